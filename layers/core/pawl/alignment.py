"""Two sketches of one column brought onto the same bins, so that their counts compare one by one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pawl.categories import BUCKETS, CategorySketch
from pawl.errors import IncompatibleProfiles
from pawl.floats import FloatSketch, middles
from pawl.numeric import NumericSketch
from pawl.profile import Sketch

Counts = NDArray[np.int64]
OTHERS = "\u2026others"


class Pair(NamedTuple):
    """Counts of a reference and of recent data over the same bins, each of shape (bins,).

    Numbers have `positions`, ascending, shape (bins,); categories have `names`.
    """

    old: Counts
    new: Counts
    positions: NDArray[np.float64] | None = None
    names: tuple[str, ...] = ()


def align(old: Sketch, new: Sketch) -> Pair:
    """The counts of two sketches of one column; IncompatibleProfiles when one is of numbers and the other of names.

    Two sketches in equal bins must have the same range. Buckets meet at the lower level of the two; into the bins of a
    known range they go by their middles.
    """
    match old, new:
        case CategorySketch(), CategorySketch():
            return _categories(old, new)
        case NumericSketch(), NumericSketch():
            old.require_alike(new)
            return Pair(old.counts, new.counts, old.positions())
        case FloatSketch(), FloatSketch():
            return _buckets(old, new)
        case NumericSketch(), FloatSketch():
            return Pair(old.counts, binned(new, old), old.positions())
        case FloatSketch(), NumericSketch():
            return Pair(binned(old, new), new.counts, new.positions())
        case _:
            raise IncompatibleProfiles("a column of numbers does not compare with one of categories")


def binned(buckets: FloatSketch, like: NumericSketch) -> Counts:
    """Counts in the bins of a known range, shape (bins + 2,), each bucket where its middle lies."""
    positions = buckets.positions()
    inside = np.clip(positions, like.low, like.high)
    bins = np.minimum((inside - like.low) * ((like.counts.size - 2) / (like.high - like.low)), like.counts.size - 3)
    places = np.where(positions < like.low, 0, np.where(positions > like.high, like.counts.size - 1, bins + 1))
    counts = np.zeros(like.counts.size, np.int64)
    np.add.at(counts, places.astype(np.intp), buckets.counts)
    return counts


def _buckets(old: FloatSketch, new: FloatSketch) -> Pair:
    level = min(old.level, new.level)
    (old_keys, old_counts), (new_keys, new_counts) = old.at(level), new.at(level)
    keys = np.sort(np.concatenate((old_keys, new_keys)), kind="stable")  # two runs to merge; union1d would hash
    keys = keys[np.diff(keys, prepend=keys[:1] - 1) != 0]
    pair = np.zeros((2, keys.size), np.int64)
    pair[0, np.searchsorted(keys, old_keys)] = old_counts
    pair[1, np.searchsorted(keys, new_keys)] = new_counts
    return Pair(pair[0], pair[1], middles(keys, level))


def _categories(old: CategorySketch, new: CategorySketch) -> Pair:
    """Names that both keep, then each bucket in which the reference has others, then all other buckets together."""
    names = sorted(name for name in {**old.counts, **new.counts} if old.keeps(name) and new.keeps(name))
    pairs: list[tuple[int, int]] = []
    (old_kept, old_buckets), (new_kept, new_buckets) = old.keeping(names), new.keeping(names)
    pairs += [(old_kept.get(name, 0), new_kept.get(name, 0)) for name in names]
    filled = old_buckets > 0
    pairs += zip(old_buckets[filled].tolist(), new_buckets[filled].tolist(), strict=True)
    names += [f"\u2026{bucket}" for bucket in np.arange(BUCKETS)[filled]]
    if rest := int(new_buckets[~filled].sum()):
        pairs.append((0, rest))
        names.append(OTHERS)
    counts = np.array(pairs, np.int64).reshape(-1, 2)
    return Pair(counts[:, 0], counts[:, 1], names=tuple(names))
