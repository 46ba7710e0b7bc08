"""The yardsticks themselves: what single columns cannot show is found, and nothing where nothing is."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tests.unit.yardsticks import _logistic as logistic
from tests.unit.yardsticks import _wins as wins
from tests.unit.yardsticks import domain_classifier, mean_discrepancy

Rows = NDArray[np.float64]


def _correlated(seed: int, rows: int, correlation: float) -> Rows:
    covariance = [[1.0, correlation], [correlation, 1.0]]
    return np.random.default_rng(seed).multivariate_normal([0, 0], covariance, rows)


def test_a_correlation_that_comes_up_between_unchanged_columns_is_found() -> None:
    old, new = _correlated(1, 300, 0.0), _correlated(2, 300, 0.7)

    domain, discrepancy = domain_classifier(old, new), mean_discrepancy(old, new)

    assert domain.low > 0.55
    assert domain.p_value < 1e-4
    assert discrepancy.p_value == pytest.approx(1 / 501)


def test_samples_of_one_distribution_are_told_apart_no_oftener_than_stated() -> None:
    pairs = [(_correlated(seed, 150, 0.3), _correlated(1000 + seed, 100, 0.3)) for seed in range(100)]

    domains = [domain_classifier(old, new) for old, new in pairs]
    discrepancies = [mean_discrepancy(old, new, permutations=99).p_value for old, new in pairs]

    assert sum(each.p_value < 0.05 for each in domains) <= 10
    assert sum(each.low <= 0.5 <= each.high for each in domains) >= 90
    assert 1 <= sum(p_value <= 0.05 for p_value in discrepancies) <= 10


def test_the_same_rows_always_give_the_same_answer() -> None:
    old, new = _correlated(3, 800, 0.0), _correlated(4, 700, 0.1)

    assert domain_classifier(old, new) == domain_classifier(old, new)
    assert mean_discrepancy(old, new) == mean_discrepancy(old, new)


def test_features_that_never_change_make_no_difference() -> None:
    old, new = _correlated(5, 100, 0.0), _correlated(6, 100, 0.5)
    flat = np.ones((100, 1))

    assert domain_classifier(np.hstack((old, flat)), np.hstack((new, flat))) == domain_classifier(old, new)
    assert domain_classifier(flat, flat).auc == 0.5


def test_embeddings_of_many_features_are_told_apart() -> None:
    generator = np.random.default_rng(7)
    old, new = generator.normal(0, 1, (400, 100)), generator.normal(0, 1, (400, 100))
    new[:, :10] += 1.0

    assert domain_classifier(old, new).auc > 0.75
    assert mean_discrepancy(old, new, permutations=99).p_value == 0.01


def test_the_discrepancy_is_that_of_its_definition() -> None:
    old, new = np.array([[0.0], [1.0], [3.0]]), np.array([[2.0], [5.0]])
    both = np.concatenate((old, new)).ravel() / np.concatenate((old, new)).std()
    apart = (both[:, None] - both) ** 2
    kernel = np.exp(-apart / np.median(apart[np.triu_indices(5, 1)]))
    old_pairs, new_pairs = kernel[0, 1] + kernel[0, 2] + kernel[1, 2], kernel[3, 4]

    found = mean_discrepancy(old, new, permutations=1).discrepancy

    assert found == pytest.approx(old_pairs / 3 + new_pairs - 2 * kernel[:3, 3:].mean())


def test_the_classifier_is_at_its_optimum() -> None:
    generator = np.random.default_rng(8)
    rows, target = generator.normal(size=(200, 3)), (generator.random(200) < 0.4).astype(float)

    weights = logistic(rows, target)

    chances = 1 / (1 + np.exp(-(weights[0] + rows @ weights[1:])))
    assert (chances - target).sum() == pytest.approx(0, abs=1e-6)
    assert rows.T @ (chances - target) + weights[1:] == pytest.approx(np.zeros(3), abs=1e-6)


def test_pairs_won_are_scikit_learns_area() -> None:
    generator = np.random.default_rng(9)
    old, new = generator.integers(0, 9, 40).astype(float), generator.integers(2, 12, 30).astype(float)

    won, olds, news = wins(old, new)

    theirs = roc_auc_score(np.repeat([0, 1], [40, 30]), np.concatenate((old, new)))
    assert won / (olds * news) == pytest.approx(theirs)
