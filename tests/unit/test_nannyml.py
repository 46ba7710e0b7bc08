"""Estimates without labels against NannyML's, which its own environment wrote down: see `benchmarks.nannyml`."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.nannyml import RECORDED, differences
from benchmarks.subjects.labelled import AGES, Binary, Priced, prices, three_labels, tumours, two_labels
from pawl.calibration import Labelled, confidence_counts
from pawl.estimation import estimated_quality
from pawl.losses import LossModel

BINS = {"age": AGES, "fuel": 3}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """Estimators by name; of each, metrics as a value and its sampling error."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))


PAIRS: dict[str, Callable[[], tuple[Binary, Binary]]] = {
    "CBPE of two labels": two_labels,
    "CBPE of tumours": tumours,
}


@pytest.mark.parametrize("name", PAIRS)
def test_quality_of_two_labels_is_estimated_as_nannyml_does(name: str, theirs: dict[str, Any]) -> None:
    """It calibrates rows where we calibrate bins."""
    old, new = PAIRS[name]()
    sure, now = (np.where(rows.guess == 1, rows.probability, 1 - rows.probability) for rows in (old, new))
    labelled = Labelled.of(("no", "yes"), old.guess, sure, old.truth)

    quality = estimated_quality(labelled, confidence_counts(2, new.guess, now))

    yes = quality.labels["yes"]
    ours = {"accuracy": quality.accuracy, "precision": yes.precision, "recall": yes.recall, "f1": yes.f1}
    for metric, (value, error) in theirs[name].items():
        found = {**ours, "roc_auc": quality.roc_auc}[metric]
        assert found and found.value == pytest.approx(value, abs=1e-3), metric
        assert found.sampling_error == pytest.approx(error, rel=1e-3), metric


def test_quality_of_three_labels_is_estimated_as_nannyml_does(theirs: dict[str, Any]) -> None:
    """It sees every label's probability where we only see that of the predicted one."""
    old, new = three_labels()
    labelled = Labelled.of(("a", "b", "c"), old.guess, old.probabilities.max(axis=1), old.truth)

    quality = estimated_quality(labelled, confidence_counts(3, new.guess, new.probabilities.max(axis=1)))

    (accuracy, error), (recall, _) = (theirs["CBPE of three labels"][name] for name in ("accuracy", "recall"))
    assert quality.accuracy.value == pytest.approx(accuracy, abs=1e-3)
    assert quality.accuracy.sampling_error == pytest.approx(error, rel=1e-6)
    assert np.mean([each.recall.value for each in quality.labels.values() if each.recall]) == pytest.approx(
        recall, abs=1e-3
    )


def test_the_error_of_a_regression_is_estimated_as_nannyml_does(theirs: dict[str, Any]) -> None:
    """It trains boosted trees on rows where we add up effects of single features from counts alone."""
    old, new = prices()
    losses = np.abs(old.truth - old.guess)

    found = LossModel.fit(_features(old), losses, BINS).estimate(
        {name: np.bincount(codes, minlength=BINS[name]) for name, codes in _features(new).items()}
    )

    value, error = theirs["DLE"]["mae"]
    assert found.value == pytest.approx(value, rel=0.02)
    assert found.sampling_error == pytest.approx(error, rel=1e-6)
    assert found.low <= np.abs(new.truth - new.guess).mean() <= found.high


def test_another_value_or_another_version_is_no_longer_what_was_written_down() -> None:
    recorded = {"nannyml": "1", "CBPE": {"accuracy": [0.5, 0.01], "f1": [0.4, 0.01]}}

    assert differences(recorded, recorded) == []
    assert differences(recorded, {**recorded, "CBPE": {"accuracy": [0.5, 0.0101], "f1": [0.4, 0.01]}}) == [
        "CBPE: accuracy"
    ]
    assert differences(recorded, {**recorded, "nannyml": "2"}) == [
        "['CBPE', 'nannyml'] of 1, now ['CBPE', 'nannyml'] of 2"
    ]


def _features(rows: Priced) -> dict[str, Any]:
    return {"age": rows.age, "fuel": rows.fuel}
