"""Scores of generous, strict, careless and hostile raters: what was simulated is found again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pawl.scores import ScoreConsensus, item_medians, score_consensus

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Ratings = tuple[Codes, Codes, Floats]


def _crowd(seed: int, items: int, bias: list[float], deviation: list[float]) -> tuple[Floats, Ratings]:
    """True scores, and everybody's rating of every item; not rounded."""
    generator = np.random.default_rng(seed)
    people, true = len(bias), generator.normal(0, 1.5, items)
    rows, raters = np.arange(items).repeat(people), np.tile(np.arange(people), items)
    noise = np.array(deviation)[raters] * generator.normal(size=rows.size)
    return true, (rows, raters, true[rows] + np.array(bias)[raters] + noise)


def _fit(votes: Ratings, sizes: tuple[int, int], known: Floats | None = None) -> ScoreConsensus:
    found = score_consensus(*votes, sizes, known)
    assert found.has_converged
    return found


def test_biases_and_deviations_are_recovered() -> None:
    bias, deviation = [0.5, -0.5, 0.0, 0.2, -0.2, 0.0, 0.0, 0.1, -0.1], [0.3, 0.3, 0.6, 0.6, 0.6, 0.6, 0.6, 1.5, 1.5]
    true, votes = _crowd(1, 800, bias, deviation)

    found = _fit(votes, (800, 9))

    # The t model's scale of Gaussian noise is its deviation by 0.84 (Lange, Little, Taylor 1989), alike for all.
    assert np.abs(found.bias - found.bias.mean() - np.array(bias)).max() < 0.15
    assert found.deviation[[2, 7]] / found.deviation[0] == pytest.approx([2.0, 5.0], rel=0.25)
    assert np.abs(found.scores - true).mean() < 0.75 * np.abs(votes[2].reshape(800, 9).mean(axis=1) - true).mean()


@pytest.mark.parametrize("hostile", ["random", "inverted", "agreed", "highest"])
def test_a_fifth_of_hostile_raters_moves_the_consensus_far_less_than_the_mean(hostile: str) -> None:
    generator = np.random.default_rng(2)
    _, (items, raters, votes) = _crowd(2, 300, [0.0] * 20, [0.8] * 20)
    attack = {
        "random": generator.uniform(-4, 4, votes.size),
        "inverted": -votes,
        "agreed": generator.uniform(-4, 4, 300)[items],
        "highest": np.full(votes.size, 4.0),
    }[hostile]
    attacked = np.where(raters < 4, attack, votes)
    clean = _fit((items, raters, votes), (300, 20)).scores

    found = score_consensus(items, raters, attacked, (300, 20))

    by_mean = np.abs(attacked.reshape(300, 20).mean(axis=1) - votes.reshape(300, 20).mean(axis=1)).mean()
    assert np.abs(found.scores - clean).mean() < by_mean / 3
    assert found.trust[:4].max() < 0.35 < 0.6 < found.trust[4:].min()


def test_a_single_slip_hardly_counts() -> None:
    _, (items, raters, votes) = _crowd(3, 50, [0.0] * 7, [0.3] * 7)
    slipped = votes.copy()
    slipped[0] = 40.0

    before, after = (_fit((items, raters, each), (50, 7)).scores for each in (votes, slipped))

    assert abs(after[0] - before[0]) < 0.3
    assert np.abs(after[1:] - before[1:]).max() < 0.1


def test_a_rater_with_one_vote_has_about_the_typical_deviation() -> None:
    _, (items, raters, votes) = _crowd(4, 100, [0.0] * 6, [0.5] * 6)
    is_counted = (raters > 0) | (items == 0)

    found = _fit((items[is_counted], raters[is_counted], votes[is_counted]), (100, 6))

    assert 0.8 < found.deviation[0] / found.typical < 1.3
    assert 0.5 < found.trust[0] <= 1


def test_raters_who_agree_exactly_get_no_infinite_weight() -> None:
    """Two copies of each other, both wrong, among five who err independently: deviations must not fall to nothing."""
    true, (items, raters, votes) = _crowd(5, 100, [0.0] * 7, [0.5] * 7)
    copied = np.where(raters < 2, np.random.default_rng(6).uniform(-4, 4, 100)[items], votes)

    found = _fit((items, raters, copied), (100, 7))

    assert np.abs(found.scores - true).mean() < 0.4
    assert found.deviation.min() > 0.1


def test_known_scores_stay_and_tell_who_is_right() -> None:
    true, (items, raters, votes) = _crowd(7, 200, [2.0, 2.0, 2.0, 0.0, 0.0], [0.4] * 5)
    known = np.where(np.arange(200) < 30, true, np.nan)

    found = _fit((items, raters, votes), (200, 5), known)

    assert found.scores[:30].tolist() == true[:30].tolist()
    assert np.abs(found.scores - true)[30:].mean() < 0.3
    assert found.bias == pytest.approx([2, 2, 2, 0, 0], abs=0.35)


def test_an_item_without_a_vote_has_no_score() -> None:
    found = _fit((np.array([0, 0, 2]), np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0])), (3, 2))

    assert np.isnan(found.scores).tolist() == [False, True, False]
    assert np.isnan(found.errors).tolist() == [False, True, False]


def test_unanimous_votes_and_no_votes_are_no_trouble() -> None:
    same = _fit((np.array([0, 1]), np.array([0, 0]), np.array([3.0, 3.0])), (2, 1))
    nothing = np.zeros(0, np.int64)

    assert same.scores.tolist() == [3.0, 3.0] and same.trust.tolist() == [1.0]
    assert np.isnan(_fit((nothing, nothing, np.zeros(0)), (1, 1)).scores).all()


def test_medians_are_those_of_numpy() -> None:
    generator = np.random.default_rng(8)
    items, votes = generator.integers(0, 9, 60), generator.normal(size=60)
    want = [np.median(votes[items == item]) for item in range(9)]

    assert item_medians(items, votes, 10)[:9] == pytest.approx(want)
    assert np.isnan(item_medians(items, votes, 10)[9])


@given(st.integers(0, 10_000))
def test_the_order_of_votes_does_not_matter(seed: int) -> None:
    _, (items, raters, votes) = _crowd(seed, 15, [0.3, -0.3, 0.0, 0.0], [0.4, 0.4, 0.8, 2.0])
    order = np.random.default_rng(seed).permutation(votes.size)

    found = score_consensus(items, raters, votes, (15, 4))
    again = score_consensus(items[order], raters[order], votes[order], (15, 4))

    assert again.scores == pytest.approx(found.scores, abs=1e-6)
    assert again.deviation == pytest.approx(found.deviation, abs=1e-6)


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.1, 20))
def test_another_unit_and_another_zero_change_nothing_but_the_unit(seed: int, zero: float, unit: float) -> None:
    _, (items, raters, votes) = _crowd(seed, 15, [0.3, -0.3, 0.0, 0.0], [0.4, 0.4, 0.8, 2.0])

    found = score_consensus(items, raters, votes, (15, 4))
    other = score_consensus(items, raters, zero + unit * votes, (15, 4))

    assert other.scores == pytest.approx(zero + unit * found.scores, abs=2e-3 * unit)
    assert other.trust == pytest.approx(found.trust, abs=5e-3)
