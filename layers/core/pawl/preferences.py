"""Which answer is better, from pairs that raters of unequal reliability compared: Crowd-BT (Chen et al. 2013).

An item beats another by the logistic function of the difference of their scores (Bradley, Terry 1952); a rater says
what they see with probability `eta`, else the opposite. As in the paper, raters start from a Beta(10, 1) prior, and
each item has won and lost once against a virtual item of score 0: scores stay finite, and items that never met compare.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.raters import Codes, sums

Floats = NDArray[np.float64]
Known = tuple[Codes, Codes, NDArray[np.bool_]]
PRIOR_RIGHT, PRIOR_WRONG = 10.0, 1.0
VIRTUAL_GAMES = 1.0
ROUNDS = 200
# A comparison whose better item is known weighs as much as what a rater is believed of beforehand.
KNOWN_GAMES = 10.0
# In units of the log odds; when no item's score moves by more in a round, the fit has converged. A score that rests on
# twenty comparisons has a standard error a hundred times as large.
TOLERANCE = 3e-3
# With given weights there is one optimum, quickly reached: exactly, then.
_EXACT = 1e-8
_INNER_STEPS = 4
_INNER_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class PairConsensus:
    """Scores of items in log odds, shape (items,), and the chance that a rater reports what they saw, (raters,)."""

    scores: Floats
    eta: Floats
    rounds: int
    has_converged: bool

    @property
    def trust(self) -> Floats:
        """From 0, who guesses or says the opposite, to 1, shape (raters,)."""
        return np.maximum(0.0, 2 * self.eta - 1)


def pair_consensus(
    winners: Codes,
    losers: Codes,
    raters: Codes,
    is_tie: NDArray[np.bool_],
    sizes: tuple[int, int],
    known: Known | None = None,
) -> PairConsensus:
    """Fit Crowd-BT to comparisons, each an index of two items and of a rater; shape (votes,) each.

    `sizes` are how many items and raters there are. A tie is half a win of each item: it draws the two together, and
    speaks against its rater as far as all others see a clear winner. `known` are winners, losers and ties of pairs
    whose better item is known, as if somebody who never errs had compared each KNOWN_GAMES times: raters are judged by
    them.
    """
    people = sizes[1]
    games = _Games.of(winners, losers, raters, is_tie, (sizes[0], people + 1)).beside(known)
    scores, eta = np.zeros(sizes[0]), _with_nobody_better(np.full(people, PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG)))
    rounds, moved = 0, np.inf
    while rounds < ROUNDS and moved > TOLERANCE:
        honest = _honest(games, scores, eta)
        step = _newton_step(games, scores, honest)
        scores, moved, rounds = scores + step, float(np.abs(step).max(initial=0.0)), rounds + 1
        eta = _with_nobody_better(_eta(games, honest)[:people])
    return PairConsensus(scores, eta[:people], rounds, moved <= TOLERANCE)


def bradley_terry(winners: Codes, losers: Codes, weights: Floats, size: int) -> Floats:
    """Scores in log odds, shape (size,), from comparisons whose weights are given: rater's trust, or 1 each."""
    nobody = np.zeros(winners.size, np.int64)
    games = _Games(winners, losers, nobody, weights, size, 1)
    scores, moved = np.zeros(size), np.inf
    for _ in range(ROUNDS):
        if moved <= _EXACT:
            break
        step = _newton_step(games, scores, np.ones(winners.size))
        scores, moved = scores + step, float(np.abs(step).max(initial=0.0))
    return scores


@dataclass(frozen=True, slots=True)
class _Games:
    """Comparisons with a winner each, ties split in two of half the weight."""

    winners: Codes
    losers: Codes
    raters: Codes
    weights: Floats
    size: int
    people: int

    @classmethod
    def of(
        cls, winners: Codes, losers: Codes, raters: Codes, is_tie: NDArray[np.bool_], sizes: tuple[int, int]
    ) -> "_Games":
        weights = np.where(is_tie, 0.5, 1.0)
        return cls(
            np.concatenate((winners, losers[is_tie])),
            np.concatenate((losers, winners[is_tie])),
            np.concatenate((raters, raters[is_tie])),
            np.concatenate((weights, weights[is_tie])),
            *sizes,
        )

    def beside(self, known: Known | None) -> "_Games":
        """These games and those of the last of the people, who knows."""
        if known is None:
            return self
        winners, losers, is_tie = known
        sure = _Games.of(winners, losers, np.full(winners.size, self.people - 1), is_tie, (self.size, self.people))
        return _Games(
            np.concatenate((self.winners, sure.winners)),
            np.concatenate((self.losers, sure.losers)),
            np.concatenate((self.raters, sure.raters)),
            np.concatenate((self.weights, KNOWN_GAMES * sure.weights)),
            self.size,
            self.people,
        )


def _with_nobody_better(eta: Floats) -> Floats:
    """The raters, and after them one who always says what is."""
    return np.append(eta, 1.0)


def _chance(games: _Games, scores: Floats) -> Floats:
    return _logistic(scores[games.winners] - scores[games.losers])


def _logistic(odds: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(odds / 2))


def _honest(games: _Games, scores: Floats, eta: Floats) -> Floats:
    """The E step: the chance that each vote says what its rater saw, shape (games,)."""
    chance, right = _chance(games, scores), eta[games.raters]
    said, opposed = right * chance, (1 - right) * (1 - chance)
    return said / np.maximum(said + opposed, 1e-300)


def _eta(games: _Games, honest: Floats) -> Floats:
    right = sums(games.raters, games.weights * honest, games.people) + PRIOR_RIGHT
    return right / (sums(games.raters, games.weights, games.people) + PRIOR_RIGHT + PRIOR_WRONG)


def _newton_step(games: _Games, scores: Floats, honest: Floats) -> Floats:
    """One step of the M step for scores, its linear system solved by conjugate gradients: memory grows with votes."""
    chance, own = _chance(games, scores), _logistic(scores)
    push = games.weights * (honest - chance)
    slope = _ends(games, push) + VIRTUAL_GAMES * (1 - 2 * own)
    curve = games.weights * chance * (1 - chance)
    ridge = 2 * VIRTUAL_GAMES * own * (1 - own)
    diagonal = sums(games.winners, curve, games.size) + sums(games.losers, curve, games.size) + ridge
    return _conjugate_gradients(games, curve, ridge, diagonal, slope)


def _ends(games: _Games, values: Floats) -> Floats:
    """Values of games summed over the items that won, less those that lost, shape (items,)."""
    return sums(games.winners, values, games.size) - sums(games.losers, values, games.size)


def _conjugate_gradients(games: _Games, curve: Floats, ridge: Floats, diagonal: Floats, slope: Floats) -> Floats:
    step, rest = np.zeros(slope.size), slope
    ahead = scaled = rest / diagonal
    power = float(rest @ scaled)
    enough = power * _INNER_TOLERANCE**2
    for _ in range(_INNER_STEPS):
        if power <= enough:
            break
        moved = _ends(games, curve * (ahead[games.winners] - ahead[games.losers])) + ridge * ahead
        length = power / float(ahead @ moved)
        step, rest = step + length * ahead, rest - length * moved
        scaled = rest / diagonal
        power, before = float(rest @ scaled), power
        ahead = scaled + power / before * ahead
    return step
