"""Columns of categories: the counts of at most 1,000 names, and of all others in hashed buckets.

A sketch is closed when a reference has fixed its names; an open one keeps the first names itself, until there are more
than LIMIT: then only those whose hash begins with one more zero bit, as often as need be (adaptive sampling, Flajolet
1990). Either way what is kept depends on the names seen alone, not on their order.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pawl.errors import IncompatibleProfiles
from pawl.packing import pack, unpack

LIMIT = 1000
BUCKETS = 256
_LONGEST = 120
_HASH_BITS = 64
_RANK_BITS = 32


def _zeros() -> NDArray[np.int64]:
    return np.zeros(BUCKETS, np.int64)


@dataclass(slots=True)
class CategorySketch:
    """Counts of the names that are kept, of the others in `buckets`, shape (BUCKETS,), by their hash.

    `known` are the names that a reference has fixed, None in an open sketch. `ranks`, shape (BUCKETS,), are the
    registers of a HyperLogLog over the names that are not kept, good to 7 % (Flajolet et al. 2007). Names of more than
    120 characters are shortened and marked with their hash.
    """

    known: frozenset[str] | None = None
    level: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    buckets: NDArray[np.int64] = field(default_factory=_zeros)
    ranks: NDArray[np.int64] = field(default_factory=_zeros)
    missing: int = 0

    @classmethod
    def knowing(cls, names: Iterable[str]) -> Self:
        """An empty sketch that keeps exactly these names, LIMIT at most."""
        known = frozenset(map(_shortened, names))
        if len(known) > LIMIT:
            raise IncompatibleProfiles(f"{len(known)} names to keep: want at most {LIMIT}")
        return cls(known)

    @classmethod
    def of(cls, values: Sequence[Any] | NDArray[Any]) -> Self:
        """The reference sketch of a whole column: the names most often seen are fixed, ties by the alphabet."""
        found, missing = _tally(values)
        names = sorted(found, key=lambda name: (-found[name], name))[:LIMIT]
        sketch = cls.knowing(names)
        sketch._absorb(found)
        sketch.missing = missing
        return sketch

    def empty(self) -> "CategorySketch":
        """A sketch that knows the same names, with nothing counted."""
        return CategorySketch(self.known)

    @property
    def rows(self) -> int:
        """How many values were counted, missing ones aside."""
        return sum(self.counts.values()) + self.others

    @property
    def others(self) -> int:
        """How many of them have names that are not kept."""
        return int(self.buckets.sum())

    @property
    def distinct(self) -> int:
        """About how many different names there were; exact where all are kept."""
        return len(self.counts) + _distinct(self.ranks)

    def top(self, count: int) -> list[tuple[str, int]]:
        """The names kept that were seen most often, and how often."""
        return sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))[:count]

    def update(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Count `values`, shape (rows,), by their text; None and NaN count as missing."""
        found, missing = _tally(values)
        self.missing += missing
        self._absorb(found)

    def require_alike(self, other: "CategorySketch") -> None:
        """IncompatibleProfiles when the other knows other names."""
        if self.known != other.known:
            raise IncompatibleProfiles("categories of two references: their names differ")

    def merge(self, other: "CategorySketch") -> None:
        """Add what `other` counted; IncompatibleProfiles when it knows other names."""
        self.require_alike(other)
        self.missing += other.missing
        self.buckets = self.buckets + other.buckets
        self.ranks = np.maximum(self.ranks, other.ranks)
        if other.level > self.level:
            self._raise_to(other.level)
        self._absorb(other.counts)

    def keeping(self, names: Iterable[str]) -> tuple[dict[str, int], NDArray[np.int64]]:
        """The counts of these names, all of which are kept here, and the buckets with all others in them."""
        kept = {name: self.counts[name] for name in names if name in self.counts}
        buckets = self.buckets.copy()
        for name, count in self.counts.items():
            if name not in kept:
                buckets[_hash(name) % BUCKETS] += count
        return kept, buckets

    def keeps(self, name: str) -> bool:
        """Whether a name is counted by itself."""
        return name in self.known if self.known is not None else not self.level or _is_sampled(_hash(name), self.level)

    def to_dict(self) -> dict[str, Any]:
        """The sketch as JSON holds it."""
        return {
            "type": "category",
            "known": None if self.known is None else sorted(self.known),
            "level": self.level,
            "counts": self.counts,
            "buckets": pack(self.buckets),
            "ranks": pack(self.ranks),
            "missing": self.missing,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The sketch that `to_dict` wrote."""
        known = None if raw["known"] is None else frozenset(raw["known"])
        buckets, ranks = unpack(raw["buckets"], BUCKETS), unpack(raw["ranks"], BUCKETS)
        return cls(known, raw["level"], dict(raw["counts"]), buckets, ranks, raw["missing"])

    def _absorb(self, found: Mapping[str, int]) -> None:
        for name, count in found.items():
            if name in self.counts or self.keeps(name):
                self.counts[name] = self.counts.get(name, 0) + count
            else:
                self._drop(name, count)
        while len(self.counts) > LIMIT:
            self._raise_to(self.level + 1)

    def _raise_to(self, level: int) -> None:
        self.level = level
        for name in [name for name in self.counts if not _is_sampled(_hash(name), level)]:
            self._drop(name, self.counts.pop(name))

    def _drop(self, name: str, count: int) -> None:
        number = _hash(name)
        bucket, rest = number % BUCKETS, number // BUCKETS % (1 << _RANK_BITS)
        self.buckets[bucket] += count
        self.ranks[bucket] = max(int(self.ranks[bucket]), _RANK_BITS - rest.bit_length() + 1)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_HASH_BITS // 8).digest())


def _is_sampled(number: int, level: int) -> bool:
    return number >> (_HASH_BITS - level) == 0


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 17]}\u2026{_hash(name):016x}"


def _tally(values: Sequence[Any] | NDArray[Any]) -> tuple[dict[str, int], int]:
    """How often each name occurs, and how many values are missing."""
    found: Counter[str] = Counter()
    missing = 0
    for value, count in Counter(values.tolist() if isinstance(values, np.ndarray) else values).items():
        if value is None or value != value:
            missing += count
        else:
            found[_shortened(str(value))] += count
    return found, missing


def _distinct(ranks: NDArray[np.int64]) -> int:
    """HyperLogLog's estimate with its correction for small numbers: linear counting while buckets are empty."""
    raw = 0.7213 / (1 + 1.079 / BUCKETS) * BUCKETS * BUCKETS / float(np.exp2(-ranks).sum())
    empty = int(np.count_nonzero(ranks == 0))
    return round(BUCKETS * math.log(BUCKETS / empty) if raw <= 2.5 * BUCKETS and empty else raw)
