"""Profiles under measurement: values counted a second, what binning hides, a check of 1,000 columns.

Speeds are by processor time of one core, the median of several runs, all of them in one process; the check runs in a
process of its own, whose peak memory is told by the system. Peers take turns with ours where installed.
"""

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.child import run
from benchmarks.figures import Figure
from pawl.floats import FloatSketch
from pawl.numeric import BINS, NumericSketch
from pawl.profile import Profile
from pawl.stats import kolmogorov_smirnov

ROWS = 1_000_000
COLUMNS = 1_000
RUNS = 7
_CHECK = """
import json, sys, time
from pathlib import Path
from drift.judgement import compare
from pawl.profile import Profile
files = [Path(name).read_bytes() for name in sys.argv[1:]]
began = time.process_time()
reference, *parts = [Profile.from_json(data) for data in files]
recent = Profile.like(reference)
for part in parts:
    recent.merge(part)
found = compare(reference, recent)
took = time.process_time() - began
print(json.dumps({"seconds": took, "columns": sum(each.column in reference.columns for each in found)}))
"""
Values = NDArray[np.float64]


def measure(rows: int = ROWS, columns: int = COLUMNS) -> list[Figure]:
    """All figures; fewer rows and columns make a quick trial of it."""
    return [*measure_updates(rows), *measure_check(rows, columns)]


def measure_updates(rows: int = ROWS) -> list[Figure]:
    """Values a second of either sketch and of peers, and the KS distance that bins hide."""
    generator = np.random.default_rng(1)
    old, new = generator.normal(0, 1, rows), generator.normal(0.01, 1.01, rows)
    bins, single, buckets = NumericSketch.spanning(old), NumericSketch.spanning(old), FloatSketch()
    narrow = old.astype(np.float32)
    peer = _datasketches()
    counted: dict[str, Callable[[], Any]] = {
        "update_values_per_s": lambda: bins.update(old),
        "update_f32_values_per_s": lambda: single.update(narrow),
        "float_values_per_s": lambda: buckets.update(old),
        "bare_values_per_s": lambda: _bare_update(old, bins.low, bins.high),
    }
    if peer is not None:
        counted["kll_values_per_s"] = lambda: peer.kll_doubles_sketch(200).update(old)
    took = _by_turns(counted)
    meanings = {
        "update_values_per_s": "equal bins, float64, one core",
        "update_f32_values_per_s": "the same, float32",
        "float_values_per_s": "buckets of any range, float64, one core",
        "bare_values_per_s": "nothing but an affine map and a bincount, in the same run",
        "kll_values_per_s": "Apache datasketches KLL, k = 200, in the same run",
    }
    figures = [
        Figure(key, rows / seconds, "/s", meanings[key], 200e6 if key.startswith("update") else None, "higher")
        for key, seconds in took.items()
    ]
    if peer is None:
        print("  datasketches is not installed: KLL takes no part", file=sys.stderr)
    share = took["bare_values_per_s"] / took["update_values_per_s"]
    figures.append(Figure("update_of_bare", share, "x", "speed of the update against the bare map and bincount"))
    return [*figures, *_ks_figures(old, new)]


def _bare_update(values: Values, low: float, high: float) -> None:
    """The least that counting in equal bins takes in numpy: no moments, no extremes, no check of the range."""
    np.bincount(((values - low) * (BINS / (high - low))).astype(np.int64), minlength=BINS + 2)


def _ks_figures(old: Values, new: Values) -> list[Figure]:
    """The KS distance of two normal samples from sketches against the exact one, and what either costs."""
    sketches = [NumericSketch.spanning(old), NumericSketch.spanning(old)]
    for sketch, values in zip(sketches, (old, new), strict=True):
        sketch.update(values)
    exact = exact_distance(old, new)
    ours = kolmogorov_smirnov(sketches[0].counts, sketches[1].counts)[0]
    figures = [Figure("ks_error", abs(ours - exact), "", "KS distance from bins against the exact one", 0.0001)]
    counted: dict[str, Callable[[], Any]] = {
        "ks_ms": lambda: kolmogorov_smirnov(sketches[0].counts, sketches[1].counts)
    }
    try:
        scipy = importlib.import_module("scipy.stats")
        counted["scipy_ks_ms"] = lambda: scipy.ks_2samp(old, new, method="asymp")
    except ImportError:
        print("  scipy is not installed: its KS test takes no part", file=sys.stderr)
    told = {"ks_ms": "KS test from two profiles", "scipy_ks_ms": "scipy's ks_2samp on all rows, in the same run"}
    return [*figures, *(Figure(key, took * 1000, "ms", told[key]) for key, took in _by_turns(counted, 3).items())]


def measure_check(rows: int = ROWS, columns: int = COLUMNS) -> list[Figure]:
    """A check of many columns: a reference and two parts read from JSON, merged and judged in a process of its own."""
    with TemporaryDirectory() as scratch:
        files = write_profiles(Path(scratch), rows, columns)
        size = files[0].stat().st_size
        runs = [run(_CHECK, *map(str, files)) for _ in range(3)]
    assert all(each["columns"] == columns for each in runs)
    seconds = statistics.median(each["seconds"] for each in runs)
    peak = max(each["peak_mb"] for each in runs)
    return [
        Figure(f"check_seconds_{columns}_columns", seconds, "s", f"{rows:,} rows each, read, merged, judged", 1.0),
        Figure("check_peak_mb", peak, "MB", "of that process, interpreter and numpy included", 512),
        Figure("profile_bytes_a_column", size / columns, "B", f"of the reference, {rows:,} rows"),
    ]


def write_profiles(folder: Path, rows: int, columns: int) -> list[Path]:
    """A reference and two parts of as many rows together: nine in ten columns in bins, the others in buckets.

    As many columns as may be are counted together, too.
    """
    generator = np.random.default_rng(2)
    kinds = ("normal", "uniform", "exponential")
    drawn = {kind: [getattr(generator, kind)(size=rows) for _ in range(2)] for kind in kinds}
    tails = [generator.lognormal(0, 4, rows) for _ in range(2)]
    reference, parts = Profile({}, rows), [Profile({}, rows // 2), Profile({}, rows - rows // 2)]
    made = dict[str, tuple[Values, Values, float]]()
    for n in range(columns):
        old, new = tails if n % 10 == 9 else drawn[kinds[n % len(kinds)]]
        name, scale = f"column_{n}", 1.0 + n
        made[name] = old, new, scale
        scaled = old * scale
        sketch = FloatSketch() if n % 10 == 9 else NumericSketch.spanning(scaled)
        sketch.update(scaled)
        reference.columns[name] = sketch
        for part, values in zip(parts, (new[: rows // 2], new[rows // 2 :]), strict=True):
            part.columns[name] = sketch.empty()
            part.columns[name].update(values * scale)
    _relate(reference, parts, made)
    files = [folder / f"{name}.json" for name in ("reference", "first", "second")]
    for file, profile in zip(files, (reference, *parts), strict=True):
        file.write_text(profile.to_json(), encoding="utf-8")
    return files


def _relate(reference: Profile, parts: list[Profile], made: dict[str, tuple[Values, Values, float]]) -> None:
    """Count columns together; of each, `made` has the reference's rows, those of the parts, and a factor to both."""
    reference.relate()
    half = reference.rows // 2
    for name, joint in reference.joints.items():
        joint.update({each: made[each][0] * made[each][2] for each in joint.names})
        for part, rows in zip(parts, (slice(None, half), slice(half, None)), strict=True):
            part.joints[name] = joint.empty()
            part.joints[name].update({each: made[each][1][rows] * made[each][2] for each in joint.names})


def exact_distance(old: Values, new: Values) -> float:
    """The two-sample KS distance over all rows."""
    ordered, both = (np.sort(old), np.sort(new)), np.concatenate((old, new))
    upto = [np.searchsorted(each, both, side="right") / each.size for each in ordered]
    return float(np.abs(upto[0] - upto[1]).max())


def _by_turns(counted: dict[str, Callable[[], Any]], runs: int = RUNS) -> dict[str, float]:
    """The median processor time of each, one run of each after the other."""
    took: dict[str, list[float]] = {key: [] for key in counted}
    for _ in range(runs):
        for key, counts in counted.items():
            began = time.process_time()
            counts()
            took[key].append(time.process_time() - began)
    return {key: statistics.median(each) for key, each in took.items()}


def _datasketches() -> Any:
    try:
        return importlib.import_module("datasketches")
    except ImportError:
        return None
