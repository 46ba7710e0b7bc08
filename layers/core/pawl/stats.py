"""How far two distributions lie apart: pure functions of counts over the same bins.

All take counts, shape (bins,), of a reference and of recent data, and cost the same whatever the number of rows. Any
distance between two samples is above zero by chance: `pawl.chance` says how far, `pawl.limits` where custom draws a
line.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import IncompatibleProfiles
from pawl.limits import SMALLEST_DEVIATION
from pawl.testing import LEAST_EXPECTED, chi_square_survival, kolmogorov_survival

Floats = NDArray[np.float64]


def population_stability(reference: ArrayLike, recent: ArrayLike) -> float:
    """How far recent traffic has moved from the reference; 0 when alike, above 0.2 by custom a shift.

    Both are counts over the same bins, shape (bins,). An empty bin counts as half an observation, so one unseen bin
    cannot make the result infinite.

    >>> population_stability([50, 50], [50, 50])
    0.0
    >>> round(population_stability([50, 50], [80, 20]), 4)
    0.4159
    """
    expected, actual = _half_at_least(reference), _half_at_least(recent)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def jensen_shannon(reference: ArrayLike, recent: ArrayLike) -> float:
    """Jensen-Shannon distance in base 2, from 0 (alike) to 1 (nothing in common); a metric (Endres, Schindelin 2003).

    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    p, q = shares(reference), shares(recent)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / middle), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / middle), 0.0).sum()
    return float(math.sqrt(max(0.0, (left + right) / 2)))


def total_variation(reference: ArrayLike, recent: ArrayLike) -> float:
    """The share of rows that would have to change their bin, from 0 to 1.

    >>> total_variation([50, 50], [75, 25])
    0.25
    """
    return float(np.abs(shares(reference) - shares(recent)).sum() / 2)


def normalized_wasserstein(
    reference: ArrayLike,
    recent: ArrayLike,
    positions: ArrayLike,
    deviation: float | None = None,
    apart: Floats | None = None,
) -> float:
    """How far values have moved on average, in standard deviations of the reference, as Evidently scales it.

    `positions` are where the bins lie, shape (bins,), ascending. `deviation` is the reference's, if it is known better
    than its bins tell, and `apart` their `gap`, if it is known already. Binning moves a value by at most half a bin,
    and the result by no more than that on both sides.

    >>> normalized_wasserstein([50, 50, 0], [0, 50, 50], [0.0, 2.0, 4.0])
    2.0
    """
    at, shapes = np.asarray(positions, float), (np.shape(reference), np.shape(recent))
    widths = np.diff(at)
    if not at.shape == shapes[0] == shapes[1] or (widths < 0).any():
        raise IncompatibleProfiles(f"positions of shape {at.shape} for counts of {shapes}: want ascending")
    apart = gap(reference, recent) if apart is None else apart
    moved = float(np.abs(apart[:-1]).dot(widths))
    if deviation is None:
        deviation = deviation_of(reference, at)
    return moved / max(deviation, SMALLEST_DEVIATION)


def kolmogorov_smirnov(reference: ArrayLike, recent: ArrayLike, apart: Floats | None = None) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov statistic over binned values, and its asymptotic p-value.

    `apart` is their `gap`, if it is known already. Binning can only hide distance inside a bin: the statistic is low by
    at most the largest bin's share.

    >>> kolmogorov_smirnov([10, 10], [10, 10])
    (0.0, 1.0)
    """
    apart = gap(reference, recent) if apart is None else apart
    distance = float(np.abs(apart).max())
    rows, others = float(np.sum(reference)), float(np.sum(recent))
    effective = rows * others / (rows + others)
    return distance, kolmogorov_survival(distance * math.sqrt(effective))


def chi_square(reference: ArrayLike, recent: ArrayLike) -> tuple[float, float]:
    """Pearson's chi-square of homogeneity of two samples of counts, and its p-value.

    >>> statistic, p = chi_square([50, 50], [80, 20])
    >>> round(statistic, 3), p < 0.001
    (19.78, True)
    """
    table = np.array([reference, recent], dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, chi_square_survival(statistic, table.shape[1] - 1)


def well_filled(reference: ArrayLike, recent: ArrayLike) -> tuple[Floats, Floats]:
    """The same counts with rare bins joined into one, the last: fewer than five rows expected in the smaller sample.

    Chi-square's p-value, and what chance does to a distance, hold for no others (Cochran 1954): names that are seen
    once would alarm on nothing.

    >>> [each.tolist() for each in well_filled([60, 35, 3, 2], [55, 35, 4, 6])]
    [[60.0, 35.0, 5.0], [55.0, 35.0, 10.0]]
    """
    old, new = np.asarray(reference, float), np.asarray(recent, float)
    pooled = old + new
    expected = pooled * (min(old.sum(), new.sum()) / pooled.sum())
    order = np.argsort(expected, kind="stable")
    rare = int(np.count_nonzero(expected < LEAST_EXPECTED))
    if rare:
        rare = max(rare, int(np.searchsorted(np.cumsum(expected[order]), LEAST_EXPECTED)) + 1)
    kept, rest = np.sort(order[rare:]), order[:rare]
    left, right = (np.append(each[kept], each[rest].sum()) if rare else each for each in (old, new))
    return left, right


def running(counts: ArrayLike) -> Floats | NDArray[np.int64]:
    """The sum of the counts up to each bin, that bin included.

    Whole counts are summed as such, for a sixth of the time: a sum of floats waits for each rounding.
    """
    values = np.asarray(counts, float)
    whole = values.astype(np.int64)
    return np.cumsum(whole if np.array_equal(whole, values) else values)


def upto(counts: ArrayLike) -> Floats:
    """The share of the counts up to each bin, that bin included: the distribution function at its upper end."""
    sums = running(counts)
    return sums / sums[-1]


def gap(reference: ArrayLike, recent: ArrayLike) -> Floats:
    """How far the two distribution functions lie apart at each bin's upper end, shape (bins,)."""
    return upto(reference) - upto(recent)


def deviation_of(counts: ArrayLike, positions: Floats) -> float:
    """The standard deviation of values that lie in bins at these positions."""
    p = shares(counts)
    return math.sqrt(float((p * np.square(positions - (p * positions).sum())).sum()))


def shares(counts: ArrayLike) -> Floats:
    """Counts as shares of their sum."""
    values = np.asarray(counts, float)
    return values / values.sum()


def _half_at_least(counts: ArrayLike) -> Floats:
    return shares(np.maximum(np.asarray(counts, float), 0.5))
