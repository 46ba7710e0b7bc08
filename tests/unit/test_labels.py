import json
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import binom

from drift.labels import Judged, LabelState, advance, judge_labels
from drift.policy import DEFAULT, DriftPolicy
from pawl.errors import SettingsError
from pawl.identity import isoformat
from pawl.streams import DETECTORS

HOUR_MS = 3_600_000
START_MS = 1_783_900_800_000 // HOUR_MS * HOUR_MS
NOW_MS = START_MS + 24 * HOUR_MS


def _labels(right: float, confidence: float, rows: int = 240, seed: int = 1, hours: float = 24) -> list[Judged]:
    """Labels of answers spread over the hours up to now, each given a minute after its answer."""
    hits = np.random.default_rng(seed).random(rows) < right
    answered = [NOW_MS - round((rows - i) * hours * HOUR_MS / rows) for i in range(rows)]
    return [Judged(at, isoformat(at + 60_000), bool(hit), confidence) for at, hit in zip(answered, hits, strict=True)]


def _state(labels: list[Judged], watching: Sequence[str] = DEFAULT.detectors) -> LabelState:
    return advance(LabelState(), labels, START_MS - 14 * 24 * HOUR_MS, isoformat(NOW_MS), watching)


def test_answers_as_right_as_promised_and_as_on_the_holdout_are_no_drift() -> None:
    found = judge_labels(_state(_labels(0.9, 0.9)), START_MS, NOW_MS, (0.9, 500), DEFAULT)

    assert found is not None
    assert (found.rows, found.promised, found.holdout) == (240, 0.9, 0.9)
    assert not (found.has_fallen or found.is_concept or found.is_miscalibrated)


def test_answers_less_right_than_promised_and_than_on_the_holdout_are_concept_drift() -> None:
    found = judge_labels(_state(_labels(0.7, 0.9)), START_MS, NOW_MS, (0.9, 500), DEFAULT)

    assert found is not None
    assert found.accuracy == pytest.approx(0.7, abs=0.06)
    assert (found.has_fallen, found.is_concept, found.is_miscalibrated) == (True, True, False)
    assert max(found.p_promise, found.p_holdout) < 1e-6


def test_answers_less_right_than_on_the_holdout_but_as_promised_are_the_work_of_the_inputs() -> None:
    found = judge_labels(_state(_labels(0.7, 0.7)), START_MS, NOW_MS, (0.9, 500), DEFAULT)

    assert found is not None
    assert (found.has_fallen, found.is_concept, found.is_miscalibrated) == (True, False, False)


@pytest.mark.parametrize("confidence", [0.6, 0.99])
def test_answers_as_right_as_on_the_holdout_but_not_as_promised_are_miscalibrated(confidence: float) -> None:
    found = judge_labels(_state(_labels(0.88, confidence)), START_MS, NOW_MS, (0.89, 500), DEFAULT)

    assert found is not None
    assert (found.has_fallen, found.is_concept, found.is_miscalibrated) == (False, False, True)


def test_of_ten_labels_the_chance_is_exact() -> None:
    labels = [Judged(START_MS + i, isoformat(START_MS + i), i >= 5, 0.9) for i in range(10)]

    found = judge_labels(_state(labels), START_MS, NOW_MS, (0.9, 500), DEFAULT)

    assert found is not None
    assert (found.rows, found.accuracy, found.has_fallen, found.is_concept) == (10, 0.5, True, False)
    assert found.p_promise == pytest.approx(binom.cdf(5, 10, 0.9))


def test_labels_from_before_the_window_are_added_until_there_are_enough() -> None:
    state = _state(_labels(0.9, 0.9, rows=240, hours=240))

    found = judge_labels(state, START_MS, NOW_MS, None, DEFAULT)

    assert found is not None
    assert 100 <= found.rows <= 101
    assert found.since < isoformat(START_MS)[:13]


def test_without_labels_nothing_is_said() -> None:
    assert judge_labels(LabelState(), START_MS, NOW_MS, (0.9, 500), DEFAULT) is None


def test_a_change_of_the_errors_is_found_by_a_detector_and_dated() -> None:
    before, after = _labels(0.98, 0.95, rows=600), _labels(0.4, 0.95, rows=600, seed=2)
    moved = [
        Judged(each.answered_ms, isoformat(NOW_MS + i * 1000), each.was_right, 0.95) for i, each in enumerate(after)
    ]

    state = advance(LabelState(), [*before, *moved], 0, isoformat(NOW_MS + HOUR_MS), DEFAULT.detectors)

    adwin = [change for change in state.changes if change.detector == "adwin"]
    assert len(adwin) >= 1
    assert isoformat(NOW_MS) <= adwin[0].at < isoformat(NOW_MS + 100_000)


def test_labels_in_two_parts_leave_what_they_leave_in_one() -> None:
    labels = sorted(_labels(0.8, 0.9), key=lambda each: each.given_at)
    state = advance(LabelState(), labels[:100], 0, labels[100].given_at, DETECTORS)

    parts, whole = advance(state, labels[100:], 0, isoformat(NOW_MS), DETECTORS), _state(labels, DETECTORS)

    assert (parts.hours, parts.until, parts.changes) == (whole.hours, whole.until, whole.changes)
    assert {name: kept["seen"] for name, kept in parts.detectors.items()} == dict.fromkeys(DETECTORS, 240)


def test_the_policy_names_the_detectors_that_follow_errors() -> None:
    assert set(_state(_labels(0.8, 0.9)).detectors) == {"adwin", "page_hinkley"}
    policy = DriftPolicy.from_json('{"detectors": ["ddm", "kswin"]}')
    assert set(_state(_labels(0.8, 0.9), policy.detectors).detectors) == {"ddm", "kswin"}
    with pytest.raises(SettingsError, match=r"\['ph'\]: want some of adwin, ddm, eddm, kswin, page_hinkley"):
        DriftPolicy.from_json('{"detectors": ["ph"]}')


def test_the_order_in_which_labels_are_read_changes_nothing() -> None:
    labels = _labels(0.8, 0.9)

    assert _state(labels[::-1]) == _state(labels)


def test_the_state_is_kept_in_a_few_kilobytes() -> None:
    state = _state(_labels(0.8, 0.9, rows=20_000, hours=14 * 24))

    item = json.dumps(state.to_item())

    assert len(item) < 25_000
    assert LabelState.from_item(json.loads(item)).to_item() == json.loads(item)


def test_hours_of_long_ago_are_forgotten() -> None:
    state = _state(_labels(0.8, 0.9))

    assert advance(state, [], NOW_MS, isoformat(NOW_MS), DEFAULT.detectors).hours == {}
