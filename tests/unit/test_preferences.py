"""Answers ranked by pairs: Bradley and Terry's scores are scikit-learn's, and raters who turn pairs round are found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pawl.preferences import bradley_terry, pair_consensus

Codes = NDArray[np.int64]
Games = tuple[Codes, Codes, Codes]


def _games(seed: int, items: int, games: int, eta: list[float]) -> tuple[NDArray[np.float64], Games]:
    """True scores, and who won, who lost, who said so; each rater as often as the next."""
    generator = np.random.default_rng(seed)
    true, raters = generator.normal(0, 1.5, items), np.arange(games) % len(eta)
    left = generator.integers(0, items, games)
    right = (left + generator.integers(1, items, games)) % items
    chance = 1 / (1 + np.exp(true[right] - true[left]))
    is_left = (generator.random(games) < chance) == (generator.random(games) < np.array(eta)[raters])
    return true, (np.where(is_left, left, right), np.where(is_left, right, left), raters)


def test_one_comparison_of_two_items_is_solved_by_hand() -> None:
    """By symmetry s and -s: the slope sigma(-2s) + 1 - 2 sigma(s) must be nothing."""
    first, second = bradley_terry(np.array([0]), np.array([1]), np.ones(1), 2)

    assert first == pytest.approx(-second)
    assert 1 / (1 + math.exp(2 * first)) + 1 - 2 / (1 + math.exp(-first)) == pytest.approx(0, abs=1e-7)


def test_scores_of_weighted_comparisons_are_scikit_learns() -> None:
    """A logistic regression on +1 for the winner and -1 for the loser; the virtual games are rows of one item."""
    _, (winners, losers, _) = _games(1, 12, 200, [1.0])
    weights = np.random.default_rng(1).uniform(0.1, 2, 200)
    rows = np.eye(12)[winners] - np.eye(12)[losers]
    design = np.vstack((rows, -rows[:1], np.eye(12), np.eye(12)))
    won = np.concatenate((np.ones(200), [0], np.ones(12), np.zeros(12)))
    counts = np.concatenate((weights, weights[:1], np.ones(24)))
    theirs = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, won, counts)

    ours = bradley_terry(
        np.append(winners, winners[0]), np.append(losers, losers[0]), np.append(weights, weights[0]), 12
    )

    assert ours == pytest.approx(theirs.coef_[0], abs=1e-4)


def test_raters_who_guess_or_turn_pairs_round_are_found_and_the_ranking_holds() -> None:
    true, games = _games(2, 40, 6000, [0.95, 0.95, 0.95, 0.9, 0.5, 0.05])
    is_tie = np.zeros(6000, bool)

    found = pair_consensus(*games, is_tie, (40, 6))
    plain = bradley_terry(*games[:2], np.ones(6000), 40)

    assert found.has_converged
    assert found.eta == pytest.approx([0.95, 0.95, 0.95, 0.9, 0.5, 0.05], abs=0.06)
    assert found.trust[4] < 0.12 and found.trust[5] == 0
    assert np.abs(found.scores - true + true.mean()).mean() < np.abs(plain - true + true.mean()).mean() / 2


def test_raters_of_whom_nothing_is_known_have_the_papers_prior() -> None:
    found = pair_consensus(np.array([0]), np.array([1]), np.array([0]), np.zeros(1, bool), (2, 2))

    assert found.eta[1] == pytest.approx(10 / 11)
    assert found.trust[1] == pytest.approx(9 / 11)


def test_ties_draw_two_items_together() -> None:
    wins = (np.zeros(6, np.int64), np.ones(6, np.int64), np.zeros(6, np.int64))

    apart = [pair_consensus(*wins, np.arange(6) < ties, (2, 1)).scores for ties in (0, 3, 6)]

    assert apart[0][0] > apart[1][0] > 0
    assert apart[2] == pytest.approx([0, 0], abs=1e-9)


def test_who_sees_ties_where_all_others_see_a_winner_is_trusted_less() -> None:
    raters = np.arange(200) % 4
    games = (np.zeros(200, np.int64), np.ones(200, np.int64), raters)

    found = pair_consensus(*games, raters == 3, (2, 4))

    assert found.eta[3] < found.eta[:3].min() - 0.15


def test_items_that_never_met_compare_and_items_without_a_game_are_average() -> None:
    found = pair_consensus(np.array([0, 2]), np.array([1, 3]), np.array([0, 0]), np.zeros(2, bool), (5, 1))

    assert found.scores[0] == pytest.approx(found.scores[2])
    assert found.scores[4] == 0
    assert np.isfinite(found.scores).all()


@given(st.integers(0, 10_000))
def test_the_order_of_comparisons_does_not_matter(seed: int) -> None:
    _, games = _games(seed, 6, 40, [0.95, 0.8, 0.3])
    order = np.random.default_rng(seed).permutation(40)
    is_tie = np.arange(40) % 7 == 0

    found = pair_consensus(*games, is_tie, (6, 3))
    again = pair_consensus(*(each[order] for each in games), is_tie[order], (6, 3))

    assert again.scores == pytest.approx(found.scores, abs=1e-6)
    assert again.eta == pytest.approx(found.eta, abs=1e-6)


@given(st.integers(0, 10_000))
def test_turning_every_comparison_round_turns_every_score_round_when_raters_are_given(seed: int) -> None:
    _, (winners, losers, _) = _games(seed, 6, 40, [0.9])

    forth, back = bradley_terry(winners, losers, np.ones(40), 6), bradley_terry(losers, winners, np.ones(40), 6)

    assert forth == pytest.approx(-back, abs=1e-5)


def test_pairs_that_are_known_say_who_is_right_where_most_are_not() -> None:
    """Two of three raters turn every pair round; a quarter of the pairs is known."""
    pairs, raters = np.arange(40).repeat(3), np.tile([0, 1, 2], 40)
    is_right = raters == 0
    winners, losers = np.where(is_right, 2 * pairs, 2 * pairs + 1), np.where(is_right, 2 * pairs + 1, 2 * pairs)
    known = (2 * np.arange(10), 2 * np.arange(10) + 1, np.zeros(10, bool))
    votes = (winners, losers, raters, np.zeros(120, bool), (80, 3))

    alone, judged = pair_consensus(*votes), pair_consensus(*votes, known)

    assert alone.trust[0] < 0.2 < 0.9 < min(alone.trust[1:])
    assert judged.trust[0] > 0.7 and max(judged.trust[1:]) == 0.0
    assert (judged.scores[0::2] > judged.scores[1::2]).all()
