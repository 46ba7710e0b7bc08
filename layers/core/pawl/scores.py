"""What an item's score is when raters are generous, strict, careless or hostile: ratings such as -4..4.

A vote is the item's score, plus its rater's bias, plus noise of its rater's own deviation: the model of subjective
video quality (Li et al. 2020, "A simple model for subject behavior"; ITU-T P.913). Noise and biases are taken to be
Student-t (Lange, Little, Taylor 1989), so that single slips and raters far off the rest count little; fitted by
expectation maximization, from item medians.

A rater's deviation starts from PRIOR_VOTES of the typical rater's. Biases spread in proportion to deviations, as in the
conjugate prior of a normal mean and variance: who is erratic says little of where the zero of the scale lies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.raters import PRIOR_VOTES, Codes, sums

Floats = NDArray[np.float64]
# Of Lange, Little and Taylor: heavy tails, and still a finite variance.
DEGREES = 4.0
ROUNDS = 200
# In shares of the scale; when no item's score moves by more in a round, the fit has converged.
TOLERANCE = 1e-5
# The median of a squared standard normal variable.
_MEDIAN_SQUARE = 0.4549
# Raters who all agree exactly are still believed to err by so much of the scale.
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, slots=True)
class ScoreConsensus:
    """Scores by all raters together, and how each of them errs.

    `scores` and their standard `errors` have shape (items,), `bias` and `deviation` shape (raters,), all in the votes'
    own unit. `typical` is the deviation of the median rater: what one with few votes is believed to have. An item
    without a vote has score NaN.
    """

    scores: Floats
    errors: Floats
    bias: Floats
    deviation: Floats
    typical: float
    rounds: int
    has_converged: bool

    @property
    def trust(self) -> Floats:
        """How much a vote tells beside a typical rater's, at most 1, shape (raters,): variance by squared error."""
        return np.minimum(1.0, self.typical**2 / (self.deviation**2 + self.bias**2))


def score_consensus(
    items: Codes, raters: Codes, votes: Floats, sizes: tuple[int, int], known: Floats | None = None
) -> ScoreConsensus:
    """Fit the model to votes, each with the index of its item and of its rater; shape (votes,) each.

    `sizes` are how many items and raters there are. `known` holds true scores, shape (items,), NaN where they are not.

    >>> crowd = np.arange(4).repeat(5), np.tile(np.arange(5), 4)
    >>> votes = np.array([1, 1, 1, 2, 4.0, 0, 0, 0, 1, -4, -2, -2, -2, -1, 4, 3, 3, 3, 4, -4])
    >>> score_consensus(*crowd, votes, (4, 5)).scores.round(1).tolist()
    [1.0, 0.0, -2.0, 3.0]
    """
    scale = float(np.ptp(votes)) if votes.size else 0.0
    if not scale:
        return _unanimous(items, votes, sizes)
    truths = np.full(sizes[0], np.nan) if known is None else known
    state = _start(items, raters, votes, sizes, truths, scale)
    rounds, moved = 0, np.inf
    while rounds < ROUNDS and moved > TOLERANCE * scale:
        before = state.scores
        state = _step(items, raters, votes, truths, state)
        moved, rounds = float(np.nanmax(np.abs(state.scores - before))), rounds + 1
    deviation, typical = np.sqrt(state.variance), float(np.sqrt(state.typical))
    errors = np.sqrt(state.uncertainty)
    return ScoreConsensus(state.scores, errors, state.bias, deviation, typical, rounds, moved <= TOLERANCE * scale)


def item_medians(items: Codes, votes: Floats, size: int) -> Floats:
    """The median vote of each item, shape (size,); NaN where there is none."""
    order = np.lexsort((votes, items))
    counts = np.bincount(items, minlength=size)
    ends = np.cumsum(counts)
    ranked = np.append(votes[order], np.nan)
    low, high = (ends - counts + (counts - 1) // 2), (ends - counts + counts // 2)
    return np.where(counts, (ranked[np.maximum(low, 0)] + ranked[high]) / 2, np.nan)


@dataclass(frozen=True, slots=True)
class _State:
    """What a round starts from; `attention` is how far each vote is no slip, `tilt` how wide biases spread."""

    scores: Floats
    uncertainty: Floats
    bias: Floats
    variance: Floats
    attention: Floats
    typical: float
    tilt: float


def _start(items: Codes, raters: Codes, votes: Floats, sizes: tuple[int, int], truths: Floats, scale: float) -> _State:
    """Medians, and by them the median rater, weighted by votes: half of the votes may be hostile."""
    size, people = sizes
    scores = np.where(np.isnan(truths), item_medians(items, votes, size), truths)
    counts = np.bincount(raters, minlength=people)
    apart = votes - scores[items]
    enough = np.maximum(counts, 1)
    squares, bias = sums(raters, apart * apart, people) / enough, sums(raters, apart, people) / enough
    least = (_LEAST_DEVIATION * scale) ** 2
    typical = max(least, _weighted_median(squares, counts))
    spread = _weighted_median(bias * bias, counts) / _MEDIAN_SQUARE
    variance = (PRIOR_VOTES * typical + squares * counts) / (PRIOR_VOTES + counts)
    return _State(scores, np.zeros(size), np.zeros(people), variance, np.ones(votes.size), typical, max(least, spread))


def _step(items: Codes, raters: Codes, votes: Floats, truths: Floats, state: _State) -> _State:
    """One round: items given raters, then slips, biases and deviations given items."""
    size, people = state.scores.size, state.bias.size
    precision = state.attention / state.variance[raters]
    weight = sums(items, precision, size)
    is_known, total = ~np.isnan(truths), np.where(weight > 0, weight, np.nan)
    scores = np.where(is_known, truths, sums(items, precision * (votes - state.bias[raters]), size) / total)
    uncertainty = np.where(is_known, 0.0, 1 / total)
    apart = votes - scores[items]
    tilt = state.tilt / state.typical * state.variance
    pull = (DEGREES + 1) / (DEGREES + state.bias**2 / tilt) / tilt
    bias = sums(raters, precision * apart, people) / (sums(raters, precision, people) + pull)
    squares = (apart - bias[raters]) ** 2 + uncertainty[items]
    attention = (DEGREES + 1) / (DEGREES + squares / state.variance[raters])
    counts = np.bincount(raters, minlength=people)
    own = sums(raters, attention * squares, people) + pull * state.variance * bias**2
    variance = (PRIOR_VOTES * state.typical + own) / (PRIOR_VOTES + counts + 1)
    return _State(scores, uncertainty, bias, variance, attention, state.typical, state.tilt)


def _weighted_median(values: Floats, weights: Codes) -> float:
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(upto, upto[-1] / 2)])


def _unanimous(items: Codes, votes: Floats, sizes: tuple[int, int]) -> ScoreConsensus:
    """Nothing to tell raters apart by: every vote is the same."""
    size, people = sizes
    scores = np.full(size, np.nan)
    scores[items] = votes
    nothing = np.zeros(people)
    return ScoreConsensus(scores, np.zeros(size), nothing, nothing + 1.0, 1.0, 0, True)
