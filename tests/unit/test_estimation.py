"""Quality without labels, against what the labels say where they are known; `test_nannyml` holds it against NannyML."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from benchmarks.subjects.labelled import binary, ternary
from pawl.calibration import Labelled, confidence_counts
from pawl.errors import IncompatibleProfiles
from pawl.estimation import Estimate, Quality, estimated_quality, measured_quality, ranking_quality

Rows = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
TWO, THREE = ("no", "yes"), ("a", "b", "c")


def _binary(seed: int, rows: int, shift: float = 0.0) -> Rows:
    found = binary(seed, rows, shift)
    return found.guess, np.where(found.guess == 1, found.probability, 1 - found.probability), found.truth


def _ternary(seed: int, rows: int, spread: float = 1.0) -> Rows:
    found = ternary(seed, rows, spread)
    return found.guess, found.probabilities.max(axis=1), found.truth


def _values(quality: Quality) -> list[float]:
    found = [quality.accuracy, *(each for label in quality.labels.values() for each in (label.precision, label.recall))]
    return [each.value for each in [*found, quality.roc_auc] if each is not None]


def test_what_is_measured_is_scikit_learns() -> None:
    guess, confidence, truth = _binary(1, 4000)
    probability = np.where(guess == 1, confidence, 1 - confidence)

    quality = measured_quality(Labelled.of(TWO, guess, confidence, truth, bins=100_000))

    assert quality.rows == 4000
    assert quality.accuracy.value == pytest.approx((guess == truth).mean())
    yes = quality.labels["yes"]
    assert yes.precision and yes.recall and yes.f1 and quality.roc_auc
    assert yes.precision.value == pytest.approx(precision_score(truth, guess))
    assert yes.recall.value == pytest.approx(recall_score(truth, guess))
    assert yes.f1.value == pytest.approx(f1_score(truth, guess))
    assert quality.roc_auc.value == pytest.approx(roc_auc_score(truth, probability), abs=1e-5)


@pytest.mark.parametrize("shift", [-1.0, -0.3, 0.0, 0.6])
def test_an_estimate_of_shifted_inputs_holds_what_labels_say_later(shift: float) -> None:
    labelled = Labelled.of(TWO, *_binary(2, 40_000))
    guess, confidence, truth = _binary(3, 8000, shift)

    estimated = estimated_quality(labelled, confidence_counts(2, guess, confidence))

    real = measured_quality(Labelled.of(TWO, guess, confidence, truth))
    assert estimated.accuracy.low <= real.accuracy.value <= estimated.accuracy.high
    assert _values(estimated) == pytest.approx(_values(real), abs=0.02)


def test_an_estimate_of_the_labelled_rows_themselves_is_what_was_measured() -> None:
    labelled = Labelled.of(TWO, *_binary(4, 40_000))

    estimated, measured = estimated_quality(labelled, labelled.seen), measured_quality(labelled)

    assert estimated.accuracy.value == pytest.approx(measured.accuracy.value, abs=measured.accuracy.sampling_error)
    assert _values(estimated) == pytest.approx(_values(measured), abs=0.005)


def test_harder_inputs_of_three_labels_lower_the_estimate_as_labels_do() -> None:
    labelled = Labelled.of(THREE, *_ternary(5, 40_000))
    guess, confidence, truth = _ternary(6, 8000, spread=0.5)

    estimated = estimated_quality(labelled, confidence_counts(3, guess, confidence))

    real = measured_quality(Labelled.of(THREE, guess, confidence, truth))
    assert estimated.roc_auc is None
    assert estimated.accuracy.is_below(measured_quality(labelled).accuracy.value)
    assert _values(estimated) == pytest.approx(_values(real), abs=0.02)


def test_concept_drift_goes_unseen() -> None:
    labelled = Labelled.of(TWO, *_binary(7, 20_000))
    guess, confidence, truth = _binary(8, 5000)

    estimated = estimated_quality(labelled, confidence_counts(2, guess, confidence))

    turned = measured_quality(Labelled.of(TWO, guess, confidence, 1 - truth))
    assert turned.accuracy.high < estimated.accuracy.low


def test_a_window_has_the_error_of_its_own_size() -> None:
    labelled = Labelled.of(TWO, *_binary(9, 10_000))
    right = measured_quality(labelled).accuracy.value

    found = estimated_quality(labelled, confidence_counts(2, *_binary(10, 400)[:2])).accuracy

    assert found.sampling_error == pytest.approx(math.sqrt(right * (1 - right) / 400))
    assert (found.low, found.high) == (found.value - 3 * found.sampling_error, found.value + 3 * found.sampling_error)


def test_a_label_that_nothing_was_predicted_to_have_has_no_precision() -> None:
    labelled = Labelled.of(THREE, *_ternary(11, 3000))
    seen = labelled.seen.copy()
    seen[2] = 0

    quality = estimated_quality(labelled, seen).labels["c"]

    assert quality.precision is None
    assert quality.recall is not None and quality.recall.value == 0.0


def test_a_band_stays_between_nothing_and_all() -> None:
    assert Estimate.of(0.99, 0.01).high == 1.0
    assert Estimate.of(0.01, 0.01).low == 0.0
    assert Estimate.of(0.8, 0.01).is_below(0.84)
    assert not Estimate.of(0.8, 0.01).is_below(0.82)


def test_figures_are_json() -> None:
    labelled = Labelled.of(THREE, *_ternary(12, 500))

    assert json.loads(json.dumps(measured_quality(labelled).to_dict()))["roc_auc"] is None


def test_counts_in_other_bins_or_none_at_all_are_refused() -> None:
    labelled = Labelled.of(TWO, *_binary(13, 100))

    with pytest.raises(IncompatibleProfiles, match="want some"):
        estimated_quality(labelled, np.zeros((2, 7)))
    with pytest.raises(IncompatibleProfiles, match="want some"):
        estimated_quality(labelled, np.zeros_like(labelled.seen))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_ranking_is_scikit_learns(bins: list[tuple[int, int]]) -> None:
    up, down = (np.array(column) for column in zip(*bins, strict=True))
    if not up.sum() or not down.sum():
        return
    scores = np.concatenate([np.repeat(np.arange(len(bins)), counts) for counts in (up, down)])
    truth = np.repeat([1, 0], [up.sum(), down.sum()])

    assert ranking_quality(up, down) == pytest.approx(roc_auc_score(truth, scores))
