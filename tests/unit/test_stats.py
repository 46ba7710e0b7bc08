"""The statistics against scipy's, which is too slow to import for a function but right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, kstwobign, wasserstein_distance

from pawl.errors import IncompatibleProfiles
from pawl.limits import JENSEN_SHANNON_LIMIT
from pawl.profile import NumericSketch
from pawl.stats import (
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    normalized_wasserstein,
    population_stability,
    total_variation,
    well_filled,
)

filled = st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)), min_size=2, max_size=40)
with_gaps = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=40).filter(
    lambda bins: any(old for old, _ in bins) and any(new for _, new in bins)
)
Bins = list[tuple[int, int]]


def _split(bins: Bins) -> tuple[list[int], list[int]]:
    return [old for old, _ in bins], [new for _, new in bins]


def test_stability_is_the_sum_that_it_is_by_hand() -> None:
    by_hand = (
        (0.3 - 0.5) * math.log(0.3 / 0.5) + (0.3 - 0.25) * math.log(0.3 / 0.25) + (0.4 - 0.25) * math.log(0.4 / 0.25)
    )

    assert population_stability([200, 100, 100], [30, 30, 40]) == pytest.approx(by_hand, rel=1e-12)


def test_an_empty_bin_counts_as_half_an_observation() -> None:
    old, new = np.array([99.5, 0.5]) / 100, np.array([50.0, 50.0]) / 100
    by_hand = float(((new - old) * np.log(new / old)).sum())

    assert population_stability([99.5, 0], [50, 50]) == pytest.approx(by_hand, rel=1e-12)


@given(with_gaps)
def test_stability_is_finite_symmetric_in_filled_bins_and_never_negative(bins: Bins) -> None:
    old, new = _split(bins)

    assert 0 <= population_stability(old, new) < math.inf
    assert population_stability(old, new) == pytest.approx(population_stability(new, old), rel=1e-9, abs=1e-12)
    assert population_stability(old, old) == 0


@given(with_gaps)
def test_the_jensen_shannon_distance_is_scipys(bins: Bins) -> None:
    old, new = _split(bins)

    assert jensen_shannon(old, new) == pytest.approx(jensenshannon(old, new, base=2), abs=1e-7)


def test_distributions_with_nothing_in_common_are_one_apart() -> None:
    assert jensen_shannon([10, 0, 5, 0], [0, 3, 0, 4]) == pytest.approx(1.0)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3, 2.0])
def test_the_kolmogorov_smirnov_distance_is_scipys_less_at_most_one_bins_share(shift: float) -> None:
    generator = np.random.default_rng(7)
    old, new = generator.normal(0, 1, 4000), generator.normal(shift, 1, 2500)
    sketch = NumericSketch.spanning(old)
    recent = sketch.empty()
    sketch.update(old)
    recent.update(new)

    distance, _ = kolmogorov_smirnov(sketch.counts, recent.counts)

    exact = ks_2samp(old, new).statistic
    largest_share = max((sketch.counts / sketch.rows).max(), (recent.counts / recent.rows).max())
    assert exact - largest_share <= distance <= exact + 1e-12


@given(filled)
def test_the_kolmogorov_smirnov_p_value_is_that_of_the_limiting_distribution(bins: Bins) -> None:
    old, new = _split(bins)

    distance, p_value = kolmogorov_smirnov(old, new)

    effective = sum(old) * sum(new) / (sum(old) + sum(new))
    assert p_value == pytest.approx(kstwobign.sf(distance * math.sqrt(effective)), abs=1e-9)


@given(with_gaps)
def test_chi_square_is_scipys(bins: Bins) -> None:
    seen = [pair for pair in bins if sum(pair)]
    old, new = _split(bins)

    statistic, p_value = chi_square(old, new)

    expected = chi2_contingency(np.array(seen).T, correction=False)
    assert statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("columns", [2, 3, 4, 5, 12, 301])
def test_the_chi_square_p_value_is_scipys_where_verdicts_are_close(columns: int) -> None:
    generator = np.random.default_rng(columns)
    for _ in range(20):
        table = generator.poisson(30, (2, columns)) + 1

        _, p_value = chi_square(table[0], table[1])

        assert p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=1e-9)


def test_a_category_alone_cannot_differ() -> None:
    assert chi_square([10], [900]) == (0.0, 1.0)


def test_a_statistic_beyond_all_doubt_has_a_p_value_of_zero_and_no_overflow() -> None:
    assert chi_square([10**9, 1, 10**9], [1, 10**9, 1])[1] == 0.0


@given(with_gaps)
def test_the_distances_are_what_they_are_by_definition(bins: Bins) -> None:
    old, new = (np.array(counts) / sum(counts) for counts in _split(bins))

    assert total_variation(old, new) == pytest.approx(sum(new[new > old] - old[new > old]), abs=1e-12)


@given(with_gaps, st.integers(0, 2**32 - 1))
def test_the_wasserstein_distance_is_scipys_in_deviations_of_the_reference(bins: Bins, seed: int) -> None:
    old, new = _split(bins)
    positions = np.cumsum(np.random.default_rng(seed).uniform(0.1, 2, len(old)))
    deviation = math.sqrt(np.cov(positions, fweights=old, ddof=0)) if sum(1 for each in old if each) > 1 else 0.0

    distance = normalized_wasserstein(old, new, positions)

    exact = wasserstein_distance(positions, positions, old, new) / max(deviation, 0.001)
    assert distance == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_a_wasserstein_distance_takes_a_deviation_that_is_known_better() -> None:
    assert normalized_wasserstein([10, 0], [0, 10], [0.0, 3.0], deviation=1.5) == 2.0


def test_positions_that_do_not_rise_or_fit_are_refused() -> None:
    with pytest.raises(IncompatibleProfiles, match="ascending"):
        normalized_wasserstein([1, 1], [1, 1], [1.0, 0.0])
    with pytest.raises(IncompatibleProfiles, match=r"shape \(3,\)"):
        normalized_wasserstein([1, 1], [1, 1], [0.0, 1.0, 2.0])


def test_evidentlys_limit_of_a_tenth_is_a_distance_in_natural_logarithms() -> None:
    assert JENSEN_SHANNON_LIMIT * math.sqrt(math.log(2)) == pytest.approx(0.1)


@given(with_gaps)
def test_joining_rare_bins_keeps_every_row_and_leaves_no_rare_bin(bins: Bins) -> None:
    old, new = _split(bins)

    left, right = well_filled(old, new)

    assert (left.sum(), right.sum()) == (sum(old), sum(new))
    smaller = min(sum(old), sum(new))
    assert len(left) == 1 or ((left + right) * smaller / (sum(old) + sum(new))).min() >= 5 - 1e-9


def test_names_of_a_long_tail_do_not_alarm_on_nothing_once_joined() -> None:
    generator = np.random.default_rng(3)
    tail = 1 / np.arange(1, 301) ** 1.5
    old = generator.multinomial(20_000, tail / tail.sum())
    windows = [generator.multinomial(50, tail / tail.sum()) for _ in range(400)]

    alarms = sum(chi_square(old, new)[1] < 0.05 for new in windows)
    alarms_joined = sum(chi_square(*well_filled(old, new))[1] < 0.05 for new in windows)

    assert alarms > 60
    assert alarms_joined <= 30
