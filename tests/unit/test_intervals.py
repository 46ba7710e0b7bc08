"""Intervals against scipy's, and by how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from pawl.intervals import bootstrap_mean, draws, percentiles, standard_error, wilson
from pawl.testing import mcnemar_loss


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (3, 7), (50, 100), (1000, 1000)])
def test_the_interval_of_a_share_is_scipys(hits: int, rows: int) -> None:
    theirs = stats.binomtest(hits, rows).proportion_ci(method="wilson")

    assert wilson(hits, rows) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_of_no_rows_anything_may_be_true() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert bootstrap_mean([], 10) == (0.0, 0.0)


def test_the_interval_of_a_mean_is_the_normal_one_where_rows_are_many() -> None:
    values = np.random.default_rng(3).normal(2, 1, 2000)

    low, high = bootstrap_mean(values, 2000, seed=1)

    error = 1.96 * values.std() / np.sqrt(2000)
    assert (low, high) == (
        pytest.approx(values.mean() - error, abs=0.005),
        pytest.approx(values.mean() + error, abs=0.005),
    )


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = np.random.default_rng(3).normal(size=50)

    assert bootstrap_mean(values, 200, seed=1) == bootstrap_mean(values, 200, seed=1)
    assert bootstrap_mean(values, 200, seed=1) != bootstrap_mean(values, 200, seed=2)


def test_rows_of_one_cluster_tell_no_more_than_one_row() -> None:
    values = np.random.default_rng(3).normal(size=40)
    repeated, clusters = np.repeat(values, 9), np.repeat(np.arange(40), 9).tolist()

    assert bootstrap_mean(repeated, 500, 1, clusters=clusters) == pytest.approx(bootstrap_mean(values, 500, 1))


def test_each_resample_has_as_many_rows_as_there_are() -> None:
    assert draws(7, 20, seed=1).sum(axis=1).tolist() == [7.0] * 20


def test_what_could_not_be_computed_is_left_out_of_an_interval() -> None:
    assert percentiles([float("nan"), 1.0, 1.0]) == (1.0, 1.0)
    assert np.isnan(percentiles([float("nan")])).all()


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (5, 5), (9, 2), (40, 60)])
def test_mcnemars_loss_is_the_exact_binomial_test(lost: int, won: int) -> None:
    theirs = stats.binomtest(lost, lost + won, alternative="greater").pvalue if lost + won else 1.0

    assert mcnemar_loss(lost, won) == pytest.approx(theirs)


def test_the_standard_error_of_answers_counts_those_that_differ() -> None:
    assert standard_error([1, -1, 0, 0]) == pytest.approx(np.sqrt(2) / 4)
    assert standard_error([]) == 0.0
