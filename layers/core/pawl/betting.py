"""Evidence by betting: how much a bettor gains who could not gain on average if the hypothesis were true.

The bettor's wealth, 1 at first, is an e-value: under the hypothesis it ever reaches 1/alpha with probability alpha at
most, however often one looks (Ville 1939; Waudby-Smith, Ramdas 2023; Ramdas et al. 2023). A bet may use all that came
before and nothing of what it is about.

Values lie between 0 and 1. Of many only a tally is kept, shape (..., 3): how many, their sum, the sum of their squares.
Leading axes are many tests at once.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import InvalidRequest

Floats = NDArray[np.float64]
MOST_LOST = 0.75
"""No single value may cost more than this share of the wealth, so that one surprise ruins nobody."""
PRIOR_ROWS = 4.0
"""Before anything is known an arm counts as so many values of mean 1/2, as spread out as values in [0, 1] can be."""
_EVEN_SHARE = 1e-4


def tally_of(values: ArrayLike) -> Floats:
    """The tally of values between 0 and 1, shape (rows,); InvalidRequest for others.

    >>> tally_of([True, False, True]).tolist()
    [3.0, 2.0, 2.0]
    """
    column = np.asarray(values, float).ravel()
    if not ((column >= 0) & (column <= 1)).all():
        raise InvalidRequest("a tally takes values between 0 and 1: scale them first")
    return np.array([column.size, column.sum(), (column * column).sum()])


def scaled(tally: ArrayLike, low: float, high: float) -> Floats:
    """The tally of (x - low) / (high - low) by that of x; with low above high, of what is better when smaller.

    >>> scaled([3, 2, 2], 1, 0).tolist()
    [3.0, 1.0, 1.0]
    """
    rows, total, squares = np.moveaxis(np.asarray(tally, float), -1, 0)
    width = high - low
    moved = (total - low * rows) / width
    return np.stack([rows, moved, (squares - 2 * low * total + low * low * rows) / (width * width)], axis=-1)


def log_gain(tally: Floats, center: Floats, bet: Floats) -> Floats:
    """The sum of log(1 + bet (x - center)) over the values of a tally, or a lower bound: exact where all are 0 or 1.

    `center` has shape (...), `bet` (..., bets), and so has the result. Of two bounds the better: that log is concave
    between 0 and 1, and that log(1 + y) >= y + y^2 (log(1 - c) + c) / c^2 for y >= -c (Fan, Grama, Liu 2015).
    """
    rows, total, squares = (tally[..., at, None] for at in range(3))
    middle = center[..., None]
    chord = total * np.log1p(bet * (1 - middle)) + (rows - total) * np.log1p(-bet * middle)
    worst = np.maximum(np.maximum(bet * middle, -bet * (1 - middle)), 0.0)
    first = bet * (total - rows * middle)
    second = bet * bet * (squares - 2 * middle * total + middle * middle * rows)
    return np.maximum(chord, first + second * _curvature(worst))


def arms_gain(up: Floats, down: Floats, before: tuple[Floats, Floats], shift: float, gaps: Floats) -> Floats:
    """What a block adds to the log of the wealth, shape (..., gaps), against `mean(up) <= mean(down) + shift`.

    `up` and `down` are the block's tallies of two arms whose answers were assigned at random, `before` those of all
    earlier blocks. Every gap is a bettor who believes that the mean lies so far above the hypothesis.

    A value of `up` multiplies the wealth by 1 + a (x - c - shift), one of `down` by 1 - b (x - c), with as much at
    stake on both sides: rows_up a = rows_down b. Since 1 + x <= exp(x), the block's expectation is at most
    exp(rows_up a (mean_up - mean_down - shift)), so at most 1: whatever c is, and however the base rate of both arms
    has moved since the block before. For 0 and 1 it is close to the growth-optimal test of two proportions
    (Turner, Ly, Gruenwald 2024). A block that lacks an arm adds nothing.
    """
    center = (_mean(before[0]) + _mean(before[1]) - shift) / 2
    spread = (_moment(before[0], center + shift) + _moment(before[1], center)) / 2
    rows = np.maximum(up[..., 0] + down[..., 0], 1.0)
    scale = np.where((up[..., 0] > 0) & (down[..., 0] > 0), 1 / (rows * spread), 0.0)[..., None] * gaps
    on_up, on_down = scale * down[..., 0, None], scale * up[..., 0, None]
    at_risk = np.maximum(on_up * (center + shift)[..., None], on_down * (1 - center)[..., None])
    least = np.minimum(1.0, MOST_LOST / np.maximum(at_risk, MOST_LOST))
    return log_gain(up, center + shift, least * on_up) + log_gain(down, center, -least * on_down)


def ceiling_gain(tally: Floats, ceiling: float, gaps: Floats) -> Floats:
    """What a block adds to the log of the wealth, shape (..., gaps), against `mean <= ceiling`; 0 < ceiling < 1."""
    bets = np.minimum(gaps / (ceiling * (1 - ceiling)), MOST_LOST / ceiling)
    shape = tally.shape[:-1]
    return log_gain(tally, np.full(shape, ceiling), np.broadcast_to(bets, (*shape, gaps.size)))


def log_mixture(log_wealth: Floats) -> Any:
    """The log of the mean wealth of all bettors, shape (...): an e-value again.

    >>> round(float(log_mixture(np.log([1.0, 3.0]))), 6)
    0.693147
    """
    top = log_wealth.max(axis=-1)
    return top + np.log(np.exp(log_wealth - top[..., None]).mean(axis=-1))


def _mean(tally: Floats) -> Floats:
    return (tally[..., 1] + PRIOR_ROWS / 2) / (tally[..., 0] + PRIOR_ROWS)


def _moment(tally: Floats, center: Floats) -> Floats:
    """The mean squared distance from `center`."""
    rows, total, squares = (tally[..., at] for at in range(3))
    return (squares - 2 * center * total + center * center * rows + PRIOR_ROWS / 4) / (rows + PRIOR_ROWS)


def _curvature(worst: Floats) -> Floats:
    """(log(1 - c) + c) / c^2, by its series where c is small."""
    c = np.maximum(worst, _EVEN_SHARE)
    return np.where(worst < _EVEN_SHARE, -0.5 - worst / 3 - worst * worst / 4, (np.log1p(-c) + c) / (c * c))
