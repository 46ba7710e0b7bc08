"""Fairness measures against fairlearn's own, and Clarify's on a case made by hand."""

import math

import numpy as np
import pytest
from fairlearn import metrics as fairlearn

from pawl.fairness import (
    Confusion,
    accuracy_difference,
    clarify,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
)
from pawl.intervals import draws


@pytest.fixture(params=range(3), ids=["one", "two", "three"])
def decided(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of different sizes, their true outcomes and what was decided, by chance."""
    random = np.random.default_rng(request.param)
    groups = random.choice(4, 400, p=[0.1, 0.2, 0.3, 0.4])
    truth = (random.random(400) < 0.3 + 0.1 * groups).astype(int)
    told = np.where(random.random(400) < 0.8, truth, 1 - truth)
    return groups, truth, told


def test_parity_and_odds_are_fairlearns(decided: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    groups, truth, told = decided
    confusion = Confusion.of(groups, truth, told, 2).of_label(1)
    theirs = {"y_true": truth, "y_pred": told, "sensitive_features": groups}

    assert demographic_parity_difference(confusion) == pytest.approx(fairlearn.demographic_parity_difference(**theirs))
    assert demographic_parity_ratio(confusion) == pytest.approx(fairlearn.demographic_parity_ratio(**theirs))
    assert equalized_odds_difference(confusion) == pytest.approx(fairlearn.equalized_odds_difference(**theirs))


def test_rates_by_group_and_the_gap_in_accuracy_are_fairlearns(
    decided: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    groups, truth, told = decided
    rates = Confusion.of(groups, truth, told, 2).of_label(1).rates()
    measured = {
        "selection": fairlearn.selection_rate,
        "true_positive": fairlearn.true_positive_rate,
        "false_positive": fairlearn.false_positive_rate,
        "accuracy": lambda y_true, y_pred: float(np.mean(y_true == y_pred)),
    }
    theirs = fairlearn.MetricFrame(metrics=measured, y_true=truth, y_pred=told, sensitive_features=groups)

    for name in measured:
        assert rates[name][:, 0] == pytest.approx(theirs.by_group[name].to_numpy())
    assert accuracy_difference(groups, truth == told) == pytest.approx(theirs.difference()["accuracy"])


def test_of_many_labels_the_one_treated_worst_counts() -> None:
    groups, truth, told = [0] * 4 + [1] * 4, [0, 1, 2, 2] * 2, [0, 1, 2, 2, 0, 1, 2, 0]

    confusion = Confusion.of(groups, truth, told, 3)

    assert demographic_parity_difference(confusion) == 0.25
    assert demographic_parity_ratio(confusion) == 0.5
    assert equalized_odds_difference(confusion) == 0.5


def test_a_group_without_rows_of_a_label_is_not_compared_in_it() -> None:
    confusion = Confusion.of([0, 0, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0], 2)

    assert np.isnan(confusion.rates()["true_positive"]).tolist() == [[False, False], [False, True]]
    assert equalized_odds_difference(confusion) == 0.0


def test_rates_of_few_rows_are_not_compared() -> None:
    confusion = Confusion.of([0] * 10 + [1] * 10, [0, 1] * 5 + [0] * 8 + [1] * 2, [0, 1] * 5 + [0] * 10, 2)

    assert equalized_odds_difference(confusion) == 1.0
    assert math.isnan(equalized_odds_difference(confusion.without(confusion.thin(3))))


def test_every_resample_is_measured_as_if_its_rows_were_all_there_are() -> None:
    random = np.random.default_rng(4)
    groups, truth, told = random.integers(3, size=60), random.integers(2, size=60), random.integers(2, size=60)
    drawn = draws(60, 5, seed=1)

    resampled = Confusion.of(groups, truth, told, 2, drawn)

    for place, counts in enumerate(drawn.astype(int)):
        rows = np.repeat(np.arange(60), counts)
        alone = Confusion.of(groups[rows], truth[rows], told[rows], 2)
        assert equalized_odds_difference(resampled)[place] == pytest.approx(equalized_odds_difference(alone))
        gap = accuracy_difference(groups[rows], truth[rows] == told[rows])
        assert accuracy_difference(groups, truth == told, drawn)[place] == pytest.approx(gap)


def test_clarifys_measures_are_those_of_its_documentation() -> None:
    """Facet d: 3 hit, 1 false, 2 missed, 4 spared; facet a: 8 hit, 2 false, 2 missed, 8 spared."""
    d = [(1, 1)] * 3 + [(0, 1)] + [(1, 0)] * 2 + [(0, 0)] * 4
    a = [(1, 1)] * 8 + [(0, 1)] * 2 + [(1, 0)] * 2 + [(0, 0)] * 8
    truth, told = zip(*d, *a, strict=True)

    found = clarify(Confusion.of([0] * 10 + [1] * 20, truth, told, 2), group=0, label=1)

    assert found == {
        "DPPL": pytest.approx(10 / 20 - 4 / 10),
        "DI": pytest.approx((4 / 10) / (10 / 20)),
        "AD": pytest.approx(16 / 20 - 7 / 10),
        "RD": pytest.approx(8 / 10 - 3 / 5),
        "SD": pytest.approx(4 / 5 - 8 / 10),
        "DAR": pytest.approx(8 / 10 - 3 / 4),
        "DRR": pytest.approx(4 / 6 - 8 / 10),
        "TE": pytest.approx(2 / 1 - 2 / 2),
    }
