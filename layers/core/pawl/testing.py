"""How likely chance alone is to show as much: tests on counts, their p-values, and what many tests at once allow.

Written out in numpy, because scipy.stats takes 0.6 s to import; every p-value is scipy's to nine digits where verdicts
are close.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Below this expectation in a cell the normal approximation to a proportion gives way to the exact test (Cochran 1954).
LEAST_EXPECTED = 5.0


def kolmogorov_survival(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution (Marsaglia, Tsang, Wang 2003, equation 1)."""
    if x < 0.2:
        return 1.0
    total, sign = 0.0, 1.0
    for k in range(1, 101):
        term = math.exp(-2.0 * k * k * x * x)
        total += sign * term
        if term <= 1e-18 * total:  # what is left of an alternating sum is less than its next term
            break
        sign = -sign
    return min(1.0, max(0.0, 2.0 * total))


def equal_samples_survival(steps: int, rows: int) -> float:
    """P(D >= steps / rows), exactly, of two samples of `rows` each without ties (Gnedenko, Korolyuk 1951).

    >>> round(equal_samples_survival(14, 30), 6)
    0.00253
    """
    if steps <= 0:
        return 1.0
    paths = sum((-1) ** (j - 1) * math.comb(2 * rows, rows - j * steps) for j in range(1, rows // steps + 1))
    return 2 * paths / math.comb(2 * rows, rows)


def normal_survival(z: float) -> float:
    """P(Z > z) of the standard normal distribution."""
    return math.erfc(z / math.sqrt(2)) / 2


def chi_square_survival(statistic: float, degrees: int) -> float:
    """P(X > statistic), exactly (Abramowitz, Stegun 1964, 26.4.4 and 26.4.5); in logarithms, so no term overflows."""
    if degrees < 1 or statistic <= 0:
        return 1.0
    half, offset = statistic / 2.0, (degrees % 2) / 2.0
    powers = np.arange(degrees // 2) + offset
    factorials = math.lgamma(offset + 1.0) + np.concatenate(([0.0], np.cumsum(np.log(powers[1:]))))
    terms = np.exp(powers * math.log(half) - half - factorials[: powers.size])
    return min(1.0, float(terms.sum()) + (math.erfc(math.sqrt(half)) if degrees % 2 else 0.0))


def proportion_change(old: int, old_rows: int, new: int, new_rows: int) -> tuple[float, float]:
    """The change of a share, `new / new_rows - old / old_rows`, and its two-sided p-value.

    The pooled z-test, or Fisher's exact test where fewer than LEAST_EXPECTED rows of a kind are expected in a sample.

    >>> change, p = proportion_change(10, 1000, 40, 1000)
    >>> round(change, 3), p < 0.001
    (0.03, True)
    """
    if not old_rows or not new_rows:
        return 0.0, 1.0
    change, rows = new / new_rows - old / old_rows, old_rows + new_rows
    pooled = (old + new) / rows
    if min(old_rows, new_rows) * min(pooled, 1 - pooled) < LEAST_EXPECTED:
        return change, _fisher(old, old_rows, new, new_rows)
    error = math.sqrt(pooled * (1 - pooled) * (1 / old_rows + 1 / new_rows))
    return change, 2 * normal_survival(abs(change) / error)


def mcnemar_loss(lost: int, won: int) -> float:
    """How likely chance alone loses as many of the answers that two models differ in (McNemar 1947, exact, one-sided).

    `lost` are answers that the new model alone has wrong, `won` those that it alone has right.

    >>> mcnemar_loss(3, 0), mcnemar_loss(0, 3)
    (0.125, 1.0)
    """
    differ = lost + won
    return sum(math.comb(differ, k) for k in range(lost, differ + 1)) / 2**differ


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Each p-value adjusted so that `adjusted <= a` keeps false discoveries to a share of a (1995, step-up).

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values)[::-1]
    ranks = np.arange(values.size, 0, -1)
    return _in_place_of(order, np.minimum.accumulate(values[order] * values.size / ranks))


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value adjusted so that `adjusted <= a` keeps the risk of any false alarm to a (Holm 1979, step-down).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    return _in_place_of(order, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))


def _in_place_of(order: NDArray[np.intp], adjusted: Floats) -> list[float]:
    found = np.empty_like(adjusted)
    found[order] = np.minimum(adjusted, 1.0)
    return found.tolist()


def _fisher(old: int, old_rows: int, new: int, new_rows: int) -> float:
    """Fisher's exact test, two-sided: all tables with these margins that are no likelier than the one seen."""
    rows, hits = old_rows + new_rows, old + new
    least, most = max(0, hits - new_rows), min(hits, old_rows)
    k = np.arange(least, most, dtype=float)
    ratios = np.log((hits - k) * (old_rows - k)) - np.log((k + 1) * (rows - hits - old_rows + k + 1))
    weights = np.concatenate(([0.0], np.cumsum(ratios)))
    shares = np.exp(weights - weights.max())
    unlikely = shares <= shares[old - least] * (1 + 1e-7)
    return min(1.0, float(shares[unlikely].sum() / shares.sum()))
