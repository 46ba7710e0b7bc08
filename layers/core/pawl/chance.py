"""How far apart two samples of these sizes lie by chance, when nothing has changed: one function a distance.

Each takes the same counts as its namesake in `pawl.stats` and returns the distance to expect between two samples of
the same distribution, best estimated by both together. Effect size and sample size decide together: what counts is the
distance beyond it.

All are limits for well filled bins. Where the smaller sample has less than a row or two a bin, Jensen-Shannon's is a
tenth too low, and that of the stability index too high by far: `pawl.stats.well_filled` first.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.limits import SMALLEST_DEVIATION
from pawl.stats import deviation_of, shares, upto

Floats = NDArray[np.float64]
# The mean of a standard normal's absolute value.
_HALF_NORMAL_MEAN = math.sqrt(2 / math.pi)


def population_stability(reference: ArrayLike, recent: ArrayLike) -> float:
    """(bins - 1)(1/n + 1/m), over the bins that hold anything (Yurdakul 2018).

    >>> population_stability([50, 50, 0], [50, 50, 0])
    0.02
    """
    pooled, noise = _pooled(reference, recent)
    return int(np.count_nonzero(pooled) - 1) * noise


def jensen_shannon(reference: ArrayLike, recent: ArrayLike) -> float:
    """To second order the squared distance is chi-square's: (1/n + 1/m) X / (8 ln 2), X of bins - 1 degrees."""
    pooled, noise = _pooled(reference, recent)
    return math.sqrt(noise / (8 * math.log(2))) * _chi_mean(int(np.count_nonzero(pooled)) - 1)


def normalized_wasserstein(
    reference: ArrayLike, recent: ArrayLike, positions: ArrayLike, deviation: float | None = None
) -> float:
    """The mean absolute error of the distribution function, over the positions (del Barrio, Gine, Matran 1999)."""
    at, below = np.asarray(positions, float), upto(np.add(reference, recent))[:-1]
    noise = _noise(reference, recent)
    moved = _HALF_NORMAL_MEAN * float((np.sqrt(below * (1 - below) * noise) * np.diff(at)).sum())
    if deviation is None:
        deviation = deviation_of(reference, at)
    return moved / max(deviation, SMALLEST_DEVIATION)


def _pooled(reference: ArrayLike, recent: ArrayLike) -> tuple[Floats, float]:
    """Shares of both samples together, and 1/n + 1/m."""
    return shares(np.add(reference, recent)), _noise(reference, recent)


def _noise(reference: ArrayLike, recent: ArrayLike) -> float:
    """1/n + 1/m."""
    return 1 / float(np.sum(reference)) + 1 / float(np.sum(recent))


def _chi_mean(degrees: int) -> float:
    """The mean of the square root of a chi-square variable."""
    if degrees < 1:
        return 0.0
    return math.sqrt(2) * math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
