"""P-values and their corrections against scipy's and statsmodels'."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, false_discovery_control, fisher_exact, ks_2samp, norm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

from pawl.testing import (
    benjamini_hochberg,
    chi_square_survival,
    equal_samples_survival,
    holm,
    normal_survival,
    proportion_change,
)

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)
many = st.integers(1000, 100_000).flatmap(
    lambda rows: st.tuples(st.integers(rows // 50, rows - rows // 50), st.just(rows))
)
parts = st.tuples(st.integers(0, 60), st.integers(1, 60)).map(lambda pair: (min(pair), pair[1]))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 99, 1000])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.2, 3.0])
def test_the_chi_square_tail_is_scipys(degrees: int, ratio: float) -> None:
    assert chi_square_survival(ratio * degrees, degrees) == pytest.approx(chi2.sf(ratio * degrees, degrees), rel=1e-9)


@pytest.mark.parametrize("steps", [4, 5, 13, 14, 29, 30])
def test_the_exact_tail_for_equal_samples_is_scipys(steps: int) -> None:
    apart = ks_2samp(np.arange(30.0), np.arange(30.0) + steps - 0.5, method="exact")

    assert apart.statistic == pytest.approx(steps / 30)
    assert equal_samples_survival(steps, 30) == pytest.approx(apart.pvalue, rel=1e-9)


def test_samples_without_ties_always_lie_at_least_one_step_apart() -> None:
    assert equal_samples_survival(0, 30) == equal_samples_survival(1, 30) == 1.0


def test_the_normal_tail_is_scipys_far_out() -> None:
    assert normal_survival(8.0) == pytest.approx(norm.sf(8.0), rel=1e-12)


@given(parts, parts)
def test_a_change_of_a_share_of_few_rows_is_fishers(old: tuple[int, int], new: tuple[int, int]) -> None:
    (hits, rows), (new_hits, new_rows) = old, new
    pooled = (hits + new_hits) / (rows + new_rows)

    change, p_value = proportion_change(hits, rows, new_hits, new_rows)

    assert change == pytest.approx(new_hits / new_rows - hits / rows)
    if min(rows, new_rows) * min(pooled, 1 - pooled) < 5:
        exact = fisher_exact([[hits, rows - hits], [new_hits, new_rows - new_hits]]).pvalue
        assert p_value == pytest.approx(exact, rel=1e-6, abs=1e-12)


@given(many, many)
def test_a_change_of_a_share_of_many_rows_is_statsmodels_pooled_z_test(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    (hits, rows), (new_hits, new_rows) = old, new

    change, p_value = proportion_change(hits, rows, new_hits, new_rows)

    assert change == pytest.approx(new_hits / new_rows - hits / rows)
    assert p_value == pytest.approx(proportions_ztest([hits, new_hits], [rows, new_rows])[1], rel=1e-9, abs=1e-300)


def test_a_category_never_seen_before_is_told_from_one_that_is_rare() -> None:
    assert proportion_change(0, 1000, 1, 1000)[1] == pytest.approx(1.0)
    assert proportion_change(0, 1_000_000, 4, 1000)[1] < 1e-11


def test_a_share_of_nothing_has_not_changed() -> None:
    assert proportion_change(0, 0, 5, 10) == (0.0, 1.0)
    assert proportion_change(10, 10, 10, 10)[1] == 1.0


@given(p_values)
def test_benjamini_and_hochbergs_values_are_scipys(values: list[float]) -> None:
    assert benjamini_hochberg(values) == pytest.approx(false_discovery_control(values, method="bh").tolist())


@given(p_values)
@settings(max_examples=10)  # it collects garbage at each call
def test_holms_values_are_statsmodels(values: list[float]) -> None:
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())


def test_corrections_of_nothing_are_nothing() -> None:
    assert benjamini_hochberg([]) == holm([]) == []
