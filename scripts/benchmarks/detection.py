"""How surely, how quickly and how needlessly drift is found: ours beside river's and NannyML's, and false alarms alone.

Streams: detectors of concept drift on a learner's errors (`benchmarks.concepts`), ours, which river has too, and those
that only river has, all on the same ones. Census: quality without labels on NannyML's US census data, ours and theirs,
against what the labels say.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import nannyml
from benchmarks.concepts import CHANGE, CHANGES, WARM_UP, Change, errors, generators
from benchmarks.environments import Unavailable
from drift.judgement import compare
from drift.policy import DEFAULT
from pawl.calibration import Labelled, confidence_counts
from pawl.estimation import Estimate, estimated_quality, measured_quality
from pawl.profile import Profile
from pawl.streams import DETECTORS

SEEDS = 30
# River's KSWIN, at 8,000 values a second, is asked about the first few seeds and the values around the change.
KSWIN_SEEDS = 3
KSWIN_VALUES = 500
WITHIN = 2_500
CHUNK = 5_000
WINDOWS = 1_000
_FIRST = CHANGE - WARM_UP
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Detection:
    """A line of the table; rates and delay None where there is nothing to tell.

    Streams: `true_alarms` is the share of changes with an alarm in the next WITHIN rows, `false_alarms` alarms per
    1,000 rows without a change, `delay` the median rows to the first alarm. Census: shares of the windows that had
    fallen, of those that had not, and no delay. `agrees` is the share of runs in which the peer found exactly the same;
    None where it has no such thing, or the line is the peer's own.
    """

    stream: str
    detector: str
    true_alarms: float | None
    false_alarms: float
    delay: float | None
    agrees: float | None = None


def detection(home: Path, seeds: int = SEEDS) -> tuple[list[Detection], list[str]]:
    """The whole table, and what could not be had with the reason."""
    found, missing = list[Detection](), list[str]()
    parts: tuple[Callable[[], list[Detection]], ...] = (lambda: streams(seeds), lambda: census(home))
    for part in parts:
        try:
            found += part()
        except Unavailable as error:
            missing.append(str(error))
    return found, missing


def table(found: Sequence[Detection], missing: Sequence[str] = ()) -> str:
    """The lines as text."""
    lines = [f"  {'stream':<22}{'detector':<16}{'true':>8}{'false':>8}{'delay':>8}{'agrees':>8}"]
    for each in found:
        cells = (each.true_alarms, each.false_alarms, each.delay, each.agrees)
        lines.append(f"  {each.stream:<22}{each.detector:<16}" + "".join(f"{_text(cell):>8}" for cell in cells))
    return "\n".join([*lines, *(f"  missing: {reason}" for reason in missing)])


def summary(found: Sequence[Detection]) -> str:
    """A line a detector as text: means over the streams, of delays over those on which it found any change."""
    lines = [f"  {'mean over streams':<17}{'abrupt':>9}{'delay':>9}{'gradual':>9}{'delay':>9}{'false':>9}"]
    for name in dict.fromkeys(each.detector for each in found if each.delay is not None):
        mine = [each for each in found if each.detector == name]
        cells = [_mean(mine, change, key) for change in ("abrupt", "gradual") for key in ("true_alarms", "delay")]
        texts = [_text(cell) for cell in [*cells, _mean(mine, "none", "false_alarms")]]
        lines.append(f"  {name:<16} " + "".join(f"{text:>9}" for text in texts))
    return "\n".join(lines)


def streams(seeds: int = SEEDS) -> list[Detection]:
    """Every detector on every stream with every kind of change; Unavailable without river."""
    twins, others = _rivers()
    found = list[Detection]()
    for stream, concepts in generators().items():
        runs = [errors(concepts(10 * seed), seed) for seed in range(seeds)]
        for change, name in product(CHANGES, [*DETECTORS, *others]):
            kind = DETECTORS.get(name)
            alarms = [kind().update(run[change]) if kind else _alarms(others[name](), run[change]) for run in runs]
            same = [_agrees(name, twins[name], run[change]) for run in _asked(name, runs)] if kind else []
            agrees = statistics.mean(same) if same else None
            found.append(_line(f"{stream}, {change}", name if kind else f"{name} (river)", change, alarms, agrees))
    return found


def _asked(name: str, runs: list[dict[Change, Values]]) -> list[dict[Change, Values]]:
    if name != "kswin":
        return runs
    around = slice(_FIRST - KSWIN_VALUES // 2, _FIRST + KSWIN_VALUES // 2)
    return [{change: run[change][around] for change in CHANGES} for run in runs[:KSWIN_SEEDS]]


def _agrees(name: str, twin: Callable[[], Any], values: Values) -> bool:
    return DETECTORS[name]().update(values) == _alarms(twin(), values)


def census(home: Path) -> list[Detection]:
    """Whether accuracy has fallen, window by window of the census; Unavailable where NannyML cannot be had."""
    told = nannyml.census(home, CHUNK)
    guess, truth = (np.array(told[key], np.int64) for key in ("predicted", "true"))
    confidence = np.where(guess == 1, told["probability"], 1 - np.array(told["probability"]))
    rows = told["reference_rows"]
    labelled = Labelled.of(("0", "1"), guess[:rows], confidence[:rows], truth[:rows])
    reference = measured_quality(labelled).accuracy.value
    starts = range(rows, rows + told["chunk"] * len(told["accuracy"]), told["chunk"])
    windows = [slice(start, start + told["chunk"]) for start in starts]
    real = [measured_quality(Labelled.of(("0", "1"), guess[w], confidence[w], truth[w])).accuracy for w in windows]
    ours = [estimated_quality(labelled, confidence_counts(2, guess[w], confidence[w])).accuracy for w in windows]
    theirs = [Estimate.of(*pair) for pair in zip(told["accuracy"], told["sampling_error"], strict=True)]
    agrees = statistics.mean(abs(a.value - b.value) <= 0.001 for a, b in zip(ours, theirs, strict=True))
    fell = [each.is_below(reference) for each in real]
    return [
        _census_line("CBPE", [each.is_below(reference) for each in ours], fell, agrees),
        _census_line("CBPE (nannyml)", [each.is_below(reference) for each in theirs], fell, None),
    ]


def false_alarm_rate(windows: int = WINDOWS) -> tuple[float, float]:
    """Of windows like their reference, the share judged drifted, and the share whose smallest p-value alone says so.

    Both should be at most the nominal level, the policy's `alpha`; windows hold 50 to 5,000 rows of eight columns.
    """
    generator = np.random.default_rng(5)
    reference = Profile.of(_columns(generator, 20_000))
    judged = chanced = 0
    for window in range(windows):
        recent = Profile.like(reference)
        recent.update(_columns(generator, (50, 200, 1000, 5000)[window % 4]))
        columns = compare(reference, recent)
        judged += any(column.has_drifted for column in columns)
        chanced += any(column.adjusted < DEFAULT.alpha for column in columns)
    return judged / windows, chanced / windows


def _columns(generator: np.random.Generator, rows: int) -> dict[str, Any]:
    return {
        "normal": generator.normal(3, 2, rows),
        "heavy": generator.standard_t(2, rows),
        "skewed": generator.lognormal(0, 2, rows),
        "whole": generator.poisson(4, rows).astype(float),
        "switch": (generator.random(rows) < 0.1).astype(float),
        "confidence": generator.beta(5, 1, rows),
        "label": generator.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1]).tolist(),
        "word": np.minimum(generator.zipf(1.5, rows), 200).astype(str).tolist(),
    }


def _line(stream: str, name: str, change: Change, alarms: Sequence[Sequence[int]], agrees: float | None) -> Detection:
    quiet = _FIRST if change != "none" else None
    early = [sum(quiet is None or at < quiet for at in each) for each in alarms]
    rows = (quiet or 2 * CHANGE - WARM_UP) * len(alarms) / 1000
    if change == "none":
        return Detection(stream, name, None, sum(early) / rows, None, agrees)
    delays = [delay for each in alarms if (delay := _delay(each)) is not None]
    median = statistics.median(delays) if delays else None
    return Detection(stream, name, len(delays) / len(alarms), sum(early) / rows, median, agrees)


def _delay(alarms: Sequence[int]) -> int | None:
    return next((at - _FIRST for at in alarms if _FIRST <= at < _FIRST + WITHIN), None)


def _census_line(name: str, alarms: Sequence[bool], fell: Sequence[bool], agrees: float | None) -> Detection:
    hits = [alarm for alarm, real in zip(alarms, fell, strict=True) if real]
    noise = [alarm for alarm, real in zip(alarms, fell, strict=True) if not real]
    true = statistics.mean(hits) if hits else None
    return Detection("US census, employment", name, true, statistics.mean(noise) if noise else 0.0, None, agrees)


def _mean(lines: Sequence[Detection], change: Change, key: str) -> float | None:
    found = [getattr(each, key) for each in lines if each.stream.endswith(f", {change}")]
    return statistics.mean(value for value in found if value is not None) if found.count(None) < len(found) else None


def _text(cell: float | None) -> str:
    return (
        "-"
        if cell is None
        else f"{cell:.3g}"
        if 0.01 <= cell < 100 or not cell
        else f"{cell:.2g}"
        if cell < 1
        else f"{cell:.0f}"
    )


def _rivers() -> tuple[Mapping[str, Callable[[], Any]], Mapping[str, Callable[[], Any]]]:
    """River's own of ours, and what only river has."""
    try:
        from river import drift
    except ImportError as error:
        raise Unavailable("river is not installed: it comes with the `dev` extra (scripts/setup)") from error
    twins = {
        "page_hinkley": drift.PageHinkley,
        "ddm": drift.binary.DDM,
        "eddm": drift.binary.EDDM,
        "adwin": drift.ADWIN,
        "kswin": lambda: drift.KSWIN(seed=7),
    }
    # Its FHDDM waits for a fall of what it calls the rate of errors, and takes no part.
    return twins, {"hddm_a": drift.binary.HDDMA, "hddm_w": drift.binary.HDDMW}


def _alarms(detector: Any, values: Values) -> list[int]:
    found = list[int]()
    for index, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found
