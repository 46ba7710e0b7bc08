"""How far two distributions lie apart: pure functions of counts over the same bins.

All take counts, shape (bins,), of a reference and of recent data, and cost the same whatever the number of rows.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    expected, actual = _shares(reference), _shares(recent)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def jensen_shannon(reference: ArrayLike, recent: ArrayLike) -> float:
    """Jensen-Shannon distance in base 2, from 0 (alike) to 1 (nothing in common); a metric (Endres, Schindelin 2003).

    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    p, q = _normalized(reference), _normalized(recent)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / middle), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / middle), 0.0).sum()
    return float(math.sqrt(max(0.0, (left + right) / 2)))


def kolmogorov_smirnov(reference: ArrayLike, recent: ArrayLike) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov statistic over binned values, and its asymptotic p-value.

    Binning can only hide distance inside a bin: the statistic is low by at most the largest bin's share.

    >>> kolmogorov_smirnov([10, 10], [10, 10])
    (0.0, 1.0)
    """
    p, q = np.asarray(reference, float), np.asarray(recent, float)
    distance = float(np.max(np.abs(np.cumsum(_normalized(p)) - np.cumsum(_normalized(q)))))
    effective = p.sum() * q.sum() / (p.sum() + q.sum())
    return distance, _kolmogorov_survival(distance * math.sqrt(effective))


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
    return statistic, _chi_square_survival(statistic, table.shape[1] - 1)


def _kolmogorov_survival(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution (Marsaglia, Tsang, Wang 2003, equation 1)."""
    if x < 0.2:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, 2.0 * sum(terms)))


def _chi_square_survival(statistic: float, degrees: int) -> float:
    """P(X > statistic), exactly (Abramowitz, Stegun 1964, 26.4.4 and 26.4.5); in logarithms, so no term overflows."""
    if degrees < 1 or statistic <= 0:
        return 1.0
    half, is_odd = statistic / 2.0, degrees % 2
    powers = (k + is_odd / 2.0 for k in range(degrees // 2))
    terms = (math.exp(power * math.log(half) - half - math.lgamma(power + 1.0)) for power in powers)
    return min(1.0, sum(terms) + (math.erfc(math.sqrt(half)) if is_odd else 0.0))


def _shares(counts: ArrayLike) -> Floats:
    return _normalized(np.maximum(np.asarray(counts, float), 0.5))


def _normalized(counts: ArrayLike) -> Floats:
    values = np.asarray(counts, float)
    return values / values.sum()
