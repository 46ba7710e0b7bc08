"""Detectors of concept drift against river's, value by value."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from river import drift
from sklearn.datasets import load_digits

from pawl.errors import InvalidRecord, InvalidRequest
from pawl.streams import ADWIN, DDM, DETECTORS, EDDM, KSWIN, Detector, PageHinkley, restore

Stream = NDArray[np.float64]
_TURNED = 700
PAIRS: dict[str, tuple[Callable[[], Detector], Callable[[], Any]]] = {
    "page_hinkley": (PageHinkley, drift.PageHinkley),
    "page_hinkley, quick": (
        lambda: PageHinkley(threshold=8, delta=0.01, alpha=0.99),
        lambda: drift.PageHinkley(threshold=8, delta=0.01, alpha=0.99),
    ),
    "ddm": (DDM, drift.binary.DDM),
    "eddm": (EDDM, drift.binary.EDDM),
    "adwin": (ADWIN, drift.ADWIN),
    "adwin, every value": (lambda: ADWIN(delta=0.01, clock=1), lambda: drift.ADWIN(delta=0.01, clock=1)),
    "kswin": (KSWIN, lambda: drift.KSWIN(seed=7)),
}


def _errors(seed: int) -> Stream:
    """One to four stretches of errors, each with a rate of its own."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(50, 900, generator.integers(1, 5))
    return np.concatenate([generator.random(n) < generator.uniform(0, 0.6) for n in lengths]).astype(float)


def _values(seed: int) -> Stream:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(50, 900, generator.integers(1, 5))
    return np.concatenate([generator.normal(generator.uniform(-1, 1), generator.uniform(0.2, 2), n) for n in lengths])


def _tripled() -> Stream:
    """Errors at a rate of 0.1, of 0.3 from the 2,000th on, and of 0.1 again from the 3,000th."""
    generator = np.random.default_rng(3)
    parts = [generator.random(rows) < rate for rows, rate in ((2000, 0.1), (1000, 0.3), (1000, 0.1))]
    return np.concatenate(parts).astype(float)


def _errors_on_digits() -> Stream:
    """Errors of the nearest mean, learnt on 500 of scikit-learn's digits; from _TURNED on, two pairs swap names."""
    digits = load_digits()
    means = np.array([digits.data[:500][digits.target[:500] == each].mean(axis=0) for each in range(10)])
    rows, truth = digits.data[500:], digits.target[500:].copy()
    truth[_TURNED:] = np.array([1, 0, 3, 2, 4, 5, 6, 7, 8, 9])[truth[_TURNED:]]
    guess = ((rows[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    return (guess != truth).astype(float)


def _streams(name: str) -> list[Stream]:
    takes_errors_only = name in ("ddm", "eddm")
    seeds = range(6 if name == "kswin" else 30)
    return [_errors(seed) if takes_errors_only or seed % 2 else _values(seed) for seed in seeds]


def _drifts_of_river(detector: Any, stream: Stream) -> list[int]:
    found: list[int] = []
    for index, value in enumerate(stream.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found


@pytest.mark.parametrize("name", PAIRS)
def test_drift_is_found_where_river_finds_it(name: str) -> None:
    ours, theirs = PAIRS[name]
    found = [_drifts_of_river(theirs(), stream) for stream in _streams(name)]

    assert [ours().update(stream) for stream in _streams(name)] == found
    assert sum(map(len, found)) > 0


@pytest.mark.parametrize("name", PAIRS)
def test_drift_in_the_errors_on_real_digits_is_found_where_river_finds_it(name: str) -> None:
    ours, theirs = PAIRS[name]
    errors = _errors_on_digits()

    found = _drifts_of_river(theirs(), errors)

    assert ours().update(errors) == found
    assert any(_TURNED <= index < _TURNED + 400 for index in found)


@pytest.mark.parametrize("name", ["ddm", "eddm"])
def test_warnings_are_rivers(name: str) -> None:
    ours, theirs = PAIRS[name][0](), PAIRS[name][1]()
    states: list[str] = []
    for value in _tripled().tolist():
        ours.update([value])
        theirs.update(value)
        states.append("drift" if theirs.drift_detected else "warning" if theirs.warning_detected else "stable")
        assert ours.state == states[-1]

    assert {"warning", "drift"} <= set(states)


@pytest.mark.parametrize("name", PAIRS)
def test_where_batches_are_cut_and_what_is_kept_as_json_changes_nothing(name: str) -> None:
    for stream in _streams(name)[:6]:
        cuts = np.sort(np.random.default_rng(stream.size).integers(0, stream.size, 12))
        detector, found, start = PAIRS[name][0](), list[int](), 0
        for part in np.split(stream, cuts):
            found += [start + index for index in detector.update(part)]
            start += part.size
            detector = restore(json.loads(json.dumps(detector.to_dict())))

        assert found == PAIRS[name][0]().update(stream)
        assert detector.seen == stream.size


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("page_hinkley", [2169, 3172]),
        ("ddm", [545, 2088]),
        ("adwin", [2111, 3167]),
        ("kswin", [2451]),
    ],
)
def test_an_error_rate_that_triples_for_a_while_is_found(name: str, expected: list[int]) -> None:
    assert DETECTORS[name]().update(_tripled()) == expected


@pytest.mark.parametrize("name", DETECTORS)
def test_what_is_kept_stays_small_however_long_the_stream(name: str) -> None:
    detector = DETECTORS[name]()
    detector.update((np.random.default_rng(1).random(20_000 if name == "kswin" else 300_000) < 0.2).astype(float))

    assert len(json.dumps(detector.to_dict())) < 6000


def test_the_window_of_adwin_follows_the_present_mean() -> None:
    detector = ADWIN()
    detector.update(np.repeat([0.0, 1.0], 2000))

    assert detector.mean == 1.0
    assert 1900 <= detector.width < 2000


def test_a_value_alone_updates_a_detector() -> None:
    detector = PageHinkley()

    assert detector.update([]) == []
    assert detector.update(0.5) == []
    assert detector.seen == 1


@pytest.mark.parametrize("kind", [DDM, EDDM])
def test_a_stream_of_errors_holds_nothing_but_zeros_and_ones(kind: type[Detector]) -> None:
    with pytest.raises(InvalidRequest, match="1 for a wrong prediction"):
        kind().update([0.0, 0.5])


@pytest.mark.parametrize("kind", [PageHinkley, ADWIN, KSWIN])
def test_a_value_that_is_no_number_is_refused_and_changes_nothing(kind: type[Detector]) -> None:
    detector = kind()
    before = detector.to_dict()

    with pytest.raises(InvalidRequest, match="finite"):
        detector.update([1.0, float("nan")])
    assert detector.to_dict() == before


def test_a_window_too_short_for_its_sample_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at most half"):
        KSWIN(window_size=50, stat_size=30)


def test_another_schema_kind_or_field_is_refused() -> None:
    kept = DDM().to_dict()

    with pytest.raises(InvalidRecord, match="schema 2"):
        restore({**kept, "schema": 2})
    with pytest.raises(InvalidRecord, match="want one of adwin"):
        restore({**kept, "detector": "oracle"})
    with pytest.raises(InvalidRecord, match="other fields"):
        restore({**kept, "memory": {**kept["memory"], "more": 1}})


def test_a_million_values_take_little_memory() -> None:
    errors = (np.random.default_rng(2).random(1_000_000) < 0.1).astype(float)
    tracemalloc.start()
    DDM().update(errors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 30e6
