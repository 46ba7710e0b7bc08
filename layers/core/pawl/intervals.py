"""How sure a measured number is: intervals for shares and for whatever can be computed from resampled rows.

Resampling is seeded and counts rows instead of copying them: `draws` tells how often each row is in each resample, so a
statistic of all resamples is a product of matrices.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]
CONFIDENCE = 0.95
_CELLS_AT_ONCE = 2**22


def wilson(hits: float, rows: float, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a share that was seen as `hits` of `rows` (Wilson 1927); (0, 1) of no rows.

    >>> [round(end, 4) for end in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    if not rows:
        return 0.0, 1.0
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), float(hits / rows)
    centre = share + z * z / (2 * rows)
    spread = z * (share * (1 - share) / rows + z * z / (4 * rows * rows)) ** 0.5
    scale = 1 + z * z / rows
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def draws(rows: int, resamples: int, seed: int) -> Floats:
    """How often each row is drawn when `rows` rows are drawn with replacement, shape (resamples, rows)."""
    random = np.random.default_rng(seed)
    return random.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float64)


def bootstrap_mean(
    values: ArrayLike, resamples: int, seed: int = 0, confidence: float = CONFIDENCE, clusters: Sequence[int] = ()
) -> Interval:
    """The percentile interval of the mean of `values` (Efron 1979), shape (rows,); of differences, a paired one.

    Values of one cluster are drawn together, since they are not independent: several changes of one text, say. A mean
    of no values is 0, surely.

    >>> [round(end, 2) for end in bootstrap_mean([0, 0, 0, 1, 1, 1, 1, 1], 1000, seed=1)]
    [0.25, 0.88]
    """
    seen = np.asarray(values, float)
    if not seen.size:
        return 0.0, 0.0
    groups = np.asarray(clusters, int) if len(clusters) else np.arange(seen.size)
    sums, sizes = np.bincount(groups, seen), np.bincount(groups)
    means = list[Floats]()
    at_once = max(1, _CELLS_AT_ONCE // sums.size)
    for start in range(0, resamples, at_once):
        drawn = draws(sums.size, min(at_once, resamples - start), seed + start)
        means.append((drawn @ sums) / np.maximum(drawn @ sizes, 1))
    return percentiles(np.concatenate(means), confidence)


def percentiles(resampled: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The middle `confidence` of resampled values; those that could not be computed (NaN) are left out."""
    found = np.asarray(resampled, float)
    found = found[~np.isnan(found)]
    if not found.size:
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def standard_error(differences: ArrayLike) -> float:
    """The standard error of the mean of paired differences when there is none: their root mean square over root rows.

    Of answers that are right or wrong, this is the root of those that only one of two models has right, over the rows
    (McNemar 1947).

    >>> standard_error([0, 0, 1, -1, 0, 0, 0, 0, 0, 0]) == 2**0.5 / 10
    True
    """
    seen = np.asarray(differences, float)
    return float(np.sqrt(np.square(seen).sum())) / seen.size if seen.size else 0.0
