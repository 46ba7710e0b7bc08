"""Numeric columns of any range: heavy tails, constants, whole numbers, values that wander off.

A value's bucket is read off its own bits: sign, exponent and the first `level` bits of the mantissa. A sketch begins
with all 52, so that few different values are kept apart exactly, and drops bits while more than LIMIT buckets are
occupied. Which bits remain depends on the set of values alone, not on their order: merging is exact, and two sketches
compare without ever having agreed on a range.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pawl.exact import SQUARE_LIMIT, ExactMoments
from pawl.packing import pack, unpack

LIMIT = 4096
LEVELS = 52
_CHUNK = 1 << 17
_MAGNITUDE = (1 << 63) - 1
Integers = NDArray[np.int64]


def _none() -> Integers:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class FloatSketch:
    """Counts of a column in at most LIMIT buckets of a relative width of 2^-level.

    `keys` are the occupied buckets in the order of their values, `counts` their rows; both have shape (buckets,). A
    bucket's middle, and so a quantile, is within 2^-(level + 1) of every value in it, relatively (normal floats; for
    subnormal ones, below 2.2e-308, absolutely). There are no more than 4,094 buckets at level 0, so it always fits.
    Mean and variance are exact, see `ExactMoments`.
    """

    level: int = LEVELS
    keys: Integers = field(default_factory=_none)
    counts: Integers = field(default_factory=_none)
    missing: int = 0
    zeros: int = 0
    minimum: float | None = None
    maximum: float | None = None
    moments: ExactMoments = field(default_factory=ExactMoments)

    def empty(self) -> "FloatSketch":
        """A sketch with nothing counted."""
        return FloatSketch()

    @property
    def rows(self) -> int:
        """How many values were counted, missing ones aside."""
        return self.moments.rows

    @property
    def mean(self) -> float:
        """The mean of the values counted; 0 of none."""
        return self.moments.mean

    def variance(self) -> float:
        """The variance of the values counted; 0 for fewer than two."""
        if self.rows < 2 or self.minimum == self.maximum:
            return 0.0
        if max(-(self.minimum or 0.0), self.maximum or 0.0) > SQUARE_LIMIT:
            return math.inf
        return self.moments.deviations / (self.rows - 1)

    def positions(self) -> NDArray[np.float64]:
        """The buckets' middles, ascending, shape (buckets,)."""
        return middles(self.keys, self.level)

    def quantile(self, share: float) -> float:
        """The value that a share of the rows does not exceed, to a relative 2^-(level + 1); NaN of nothing."""
        if self.minimum is None or self.maximum is None:
            return math.nan
        at = int(np.searchsorted(np.cumsum(self.counts), max(1, math.ceil(share * self.rows))))
        return min(max(float(self.positions()[at]), self.minimum), self.maximum)

    def update(self, values: Sequence[float] | Sequence[str] | NDArray[Any]) -> None:
        """Count `values`, shape (rows,); None, NaN and infinities count as missing."""
        column = values if isinstance(values, np.ndarray) and values.dtype.kind in "fiub" else np.asarray(values, float)
        for start in range(0, column.size, _CHUNK):
            self._count(np.asarray(column[start : start + _CHUNK], float))

    def merge(self, other: "FloatSketch") -> None:
        """Add what `other` counted, at the lower level of the two, or lower."""
        self.missing += other.missing
        if other.minimum is None or other.maximum is None:
            return
        self._widen(other.minimum, other.maximum)
        self.zeros += other.zeros
        self.moments.merge(other.moments)
        level = min(self.level, other.level)
        self.keys, self.counts = self.at(level)
        self.level = level
        self._absorb(*other.at(level))

    def at(self, level: int) -> tuple[Integers, Integers]:
        """Keys and counts at the sketch's own or a lower level."""
        drop = self.level - level
        return coarser(self.keys, self.counts, drop) if drop else (self.keys.copy(), self.counts.copy())

    def to_dict(self) -> dict[str, Any]:
        """The sketch as JSON holds it: the first key, and each one's distance from the one before."""
        return {
            "type": "float",
            "level": self.level,
            "first": int(self.keys[0]) if self.keys.size else 0,
            "steps": pack(np.diff(self.keys).view(np.uint64)),
            "counts": pack(self.counts),
            "missing": self.missing,
            "zeros": self.zeros,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "moments": self.moments.to_list(),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The sketch that `to_dict` wrote."""
        counts = unpack(raw["counts"])
        keys = np.full(counts.size, raw["first"], np.int64)
        if keys.size:
            keys[1:] += np.cumsum(unpack(raw["steps"], keys.size - 1))
        moments = ExactMoments.from_list(raw["moments"])
        return cls(raw["level"], keys, counts, raw["missing"], raw["zeros"], raw["minimum"], raw["maximum"], moments)

    def _count(self, values: NDArray[np.float64]) -> None:
        if not (math.isfinite(values.min()) and math.isfinite(values.max())):
            finite = values[np.isfinite(values)]
            self.missing += values.size - finite.size
            values = finite
        if values.size:
            values = values + 0.0  # zero has no sign here
            self._widen(float(values.min()), float(values.max()))
            self.zeros += int(np.count_nonzero(values == 0))
            self.moments.update(values)
            self._absorb(*_tally(values, self.level))

    def _absorb(self, keys: Integers, counts: Integers) -> None:
        """Add buckets of the sketch's level, then drop as many bits as must be."""
        if keys.size == 0:
            return
        if self.keys.size:
            places = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
            if np.array_equal(self.keys[places], keys):
                self.counts[places] += counts
                return
            keys, counts = np.concatenate((self.keys, keys)), np.concatenate((self.counts, counts))
            order = np.argsort(keys, kind="stable")
            keys, counts = coarser(keys[order], counts[order], 0)
        drop = _bits_too_many(keys)
        self.keys, self.counts = coarser(keys, counts, drop) if drop else (keys, counts)
        self.level -= drop

    def _widen(self, least: float, most: float) -> None:
        self.minimum = least if self.minimum is None else min(self.minimum, least)
        self.maximum = most if self.maximum is None else max(self.maximum, most)


def keys_of(values: NDArray[np.float64], level: int) -> Integers:
    """The bucket of each finite value: a whole number that grows with the value; that of a negative one is negative."""
    bits = values.view(np.int64)
    return ((bits & _MAGNITUDE) >> (LEVELS - level)) ^ (bits >> 63)


def middles(keys: Integers, level: int) -> NDArray[np.float64]:
    """The middle of each bucket; at level 52 the one value in it."""
    drop, signs = LEVELS - level, keys >> 63
    magnitudes = ((keys ^ signs) << drop) + ((1 << drop) >> 1)
    return np.where(signs < 0, -magnitudes.view(np.float64), magnitudes.view(np.float64))


def coarser(keys: Integers, counts: Integers, drop: int) -> tuple[Integers, Integers]:
    """Ascending keys with `drop` bits fewer, the counts of equal ones added up."""
    if keys.size == 0:
        return keys, counts
    fewer = keys >> drop
    starts = np.concatenate(([0], np.flatnonzero(fewer[1:] != fewer[:-1]) + 1))
    return fewer[starts], np.add.reduceat(counts, starts)


def _bits_too_many(keys: Integers) -> int:
    """How many bits ascending keys must lose for at most LIMIT different ones to be left."""
    low, high = 0, LEVELS
    while low < high and keys.size > LIMIT:
        middle = (low + high) // 2
        fewer = keys >> middle
        is_enough = np.count_nonzero(fewer[1:] != fewer[:-1]) < LIMIT
        low, high = (low, middle) if is_enough else (middle + 1, high)
    return low


def _tally(values: NDArray[np.float64], level: int) -> tuple[Integers, Integers]:
    """The buckets that values fall into, ascending, and how many values into each.

    Keys that lie close together are counted, others sorted. They are brought together first: bits that none of them has
    are taken off, and the gap between zero and the smallest magnitude.
    """
    signs = values.view(np.int64) >> 63
    short = keys_of(values, level)
    short ^= signs  # magnitudes
    used = int(np.bitwise_or.reduce(short))
    bits = (used & -used).bit_length() - 1 if used else 0
    short >>= bits
    least = int(short.min()) or int(short.min(initial=_MAGNITUDE, where=short > 0))
    short -= least - 1
    np.maximum(short, 0, out=short)
    short ^= signs
    names, counts = _count_or_sort(short)
    signs = names >> 63
    names = names ^ signs
    return (np.where(names > 0, names + (least - 1), 0) << bits) ^ signs, counts


def _count_or_sort(keys: Integers) -> tuple[Integers, Integers]:
    least = int(keys.min())
    if int(keys.max()) - least >= 4 * keys.size + LIMIT:
        return np.unique(keys, return_counts=True)
    found = np.bincount(keys - least)
    filled = np.flatnonzero(found)
    return filled + least, found[filled]
