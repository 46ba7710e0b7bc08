"""What chance alone does to a distance, against samples drawn from one distribution."""

import numpy as np
import pytest

from pawl import chance, stats

EVEN = np.full(20, 0.05)
SKEWED = np.array([0.5, 0.3, 0.1, 0.05, 0.03, 0.02])
DISTANCES = ["population_stability", "jensen_shannon"]


def _pairs(shares: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(1)
    return [(generator.multinomial(2000, shares), generator.multinomial(1000, shares)) for _ in range(400)]


@pytest.mark.parametrize("shares", [EVEN, SKEWED], ids=["even", "skewed"])
@pytest.mark.parametrize("name", DISTANCES)
def test_two_samples_of_one_distribution_lie_as_far_apart_as_expected(name: str, shares: np.ndarray) -> None:
    pairs = _pairs(shares)

    found = np.mean([getattr(stats, name)(old, new) for old, new in pairs])
    expected = np.mean([getattr(chance, name)(old, new) for old, new in pairs])

    assert expected == pytest.approx(found, rel=0.06)


def test_values_move_by_chance_as_far_as_expected() -> None:
    pairs, positions = _pairs(EVEN), np.arange(20.0) ** 2

    found = np.mean([stats.normalized_wasserstein(old, new, positions) for old, new in pairs])
    expected = np.mean([chance.normalized_wasserstein(old, new, positions) for old, new in pairs])

    assert expected == pytest.approx(found, rel=0.06)


def test_four_times_the_rows_halve_the_distance_to_expect() -> None:
    few, many = chance.jensen_shannon([50, 30], [40, 20]), chance.jensen_shannon([200, 120], [160, 80])

    assert many == pytest.approx(few / 2)


def test_a_single_bin_leaves_nothing_to_chance() -> None:
    assert chance.population_stability([9, 0], [4, 0]) == 0
    assert chance.jensen_shannon([9, 0], [4, 0]) == 0
    assert chance.normalized_wasserstein([9, 0], [4, 0], [0.0, 1.0]) == 0
