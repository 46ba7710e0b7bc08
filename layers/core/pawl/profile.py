"""Profiles: what a stretch of data looked like, small, mergeable, without a single row.

A reference profile fixes the bins; a recent one is made with `Profile.like(reference)`, so the two, and any number of
partial ones, merge and compare bin by bin. Merging is exact in its counts and does not care about order.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import IncompatibleProfiles

SCHEMA = 1
BINS = 1024
CATEGORY_LIMIT = 1000
OTHER = "\u2026other"

Values = Sequence[float] | Sequence[str] | NDArray[Any]


@dataclass(slots=True)
class NumericSketch:
    """Counts of a numeric column in equal bins over [low, high]; the first and last bin take what lies outside.

    `counts` has shape (BINS + 2,). Mean and variance are kept apart from the bins, so they are exact.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    missing: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def spanning(cls, values: ArrayLike) -> Self:
        """An empty sketch whose bins cover `values` with a margin of a tenth of their range on either side."""
        finite = np.asarray(values, float)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        margin = (high - low) / 10 or max(1.0, abs(high)) / 10
        return cls.between(low - margin, high + margin)

    @classmethod
    def between(cls, low: float, high: float) -> Self:
        """An empty sketch with bins over [low, high]."""
        return cls(low, high, np.zeros(BINS + 2, np.int64))

    def empty(self) -> "NumericSketch":
        """A sketch with the same bins and nothing in them."""
        return NumericSketch.between(self.low, self.high)

    @property
    def rows(self) -> int:
        """How many values were counted, missing ones aside."""
        return int(self.counts.sum())

    def update(self, values: Values) -> None:
        """Count `values`, shape (rows,); NaN and infinities count as missing."""
        column = np.asarray(values, float)
        finite = column[np.isfinite(column)]
        self.missing += column.size - finite.size
        if finite.size == 0:
            return
        scaled = (finite - self.low) * (BINS / (self.high - self.low))
        bins = np.clip(np.floor(scaled), -1, BINS).astype(np.int64) + 1
        before = self.rows
        self.counts += np.bincount(bins, minlength=BINS + 2)
        self._merge_moments(before, finite.size, float(finite.mean()), float(np.square(finite - finite.mean()).sum()))

    def merge(self, other: "NumericSketch") -> None:
        """Add what `other` counted; IncompatibleProfiles when its bins differ."""
        if (self.low, self.high) != (other.low, other.high):
            raise IncompatibleProfiles(f"bins over [{self.low}, {self.high}] and [{other.low}, {other.high}]")
        before = self.rows
        self.counts += other.counts
        self.missing += other.missing
        self._merge_moments(before, other.rows, other.mean, other.squares)

    def variance(self) -> float:
        """The variance of the values counted; 0 for fewer than two."""
        return self.squares / (self.rows - 1) if self.rows > 1 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The sketch as JSON holds it: only the bins that are not empty."""
        filled = np.flatnonzero(self.counts)
        return {
            "type": "numeric",
            "low": self.low,
            "high": self.high,
            "bins": filled.tolist(),
            "counts": self.counts[filled].tolist(),
            "missing": self.missing,
            "mean": self.mean,
            "squares": self.squares,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The sketch that `to_dict` wrote."""
        sketch = cls.between(raw["low"], raw["high"])
        sketch.counts[np.asarray(raw["bins"], np.int64)] = raw["counts"]
        sketch.missing, sketch.mean, sketch.squares = raw["missing"], raw["mean"], raw["squares"]
        return sketch

    def _merge_moments(self, before: int, rows: int, mean: float, squares: float) -> None:
        """Two samples' mean and sum of squared deviations joined (Chan, Golub, LeVeque 1979)."""
        if rows == 0:
            return
        total, apart = before + rows, mean - self.mean
        self.mean += apart * rows / total
        self.squares += squares + apart * apart * before * rows / total


@dataclass(slots=True)
class CategorySketch:
    """Counts of a column of categories: the first CATEGORY_LIMIT that turn up by name, the rest together."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    missing: int = 0

    def empty(self) -> "CategorySketch":
        """A sketch with nothing counted."""
        return CategorySketch()

    @property
    def rows(self) -> int:
        """How many values were counted, missing ones aside."""
        return sum(self.counts.values())

    def update(self, values: Values) -> None:
        """Count `values`, shape (rows,); None counts as missing."""
        for value in values:
            if value is None:
                self.missing += 1
            else:
                self._add(str(value), 1)

    def merge(self, other: "CategorySketch") -> None:
        """Add what `other` counted."""
        self.missing += other.missing
        for name, count in sorted(other.counts.items()):
            self._add(name, count)

    def to_dict(self) -> dict[str, Any]:
        """The sketch as JSON holds it."""
        return {"type": "category", "counts": self.counts, "missing": self.missing}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The sketch that `to_dict` wrote."""
        return cls(dict(raw["counts"]), raw["missing"])

    def _add(self, name: str, count: int) -> None:
        known = name in self.counts or len(self.counts) < CATEGORY_LIMIT
        key = name if known else OTHER
        self.counts[key] = self.counts.get(key, 0) + count


Sketch = NumericSketch | CategorySketch


@dataclass(slots=True)
class Profile:
    """One sketch a column, with how many rows they saw and when (milliseconds since 1970)."""

    columns: dict[str, Sketch]
    rows: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    @classmethod
    def of(cls, columns: Mapping[str, Values], ranges: Mapping[str, tuple[float, float]] | None = None) -> Self:
        """A reference profile of whole columns: text becomes categories, numbers bins over `ranges` or their span."""
        ranges = ranges or {}
        profile = cls({name: _sketch_for(values, ranges.get(name)) for name, values in columns.items()})
        profile.update(columns)
        return profile

    @classmethod
    def like(cls, reference: "Profile") -> Self:
        """An empty profile with the reference's columns and bins."""
        return cls({name: sketch.empty() for name, sketch in reference.columns.items()})

    def update(self, columns: Mapping[str, Values], first_ms: int | None = None, last_ms: int | None = None) -> None:
        """Count rows; every column of the profile must be there, equally long, and no other."""
        if set(columns) != set(self.columns):
            raise IncompatibleProfiles(f"columns {sorted(columns)}: want {sorted(self.columns)}")
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise IncompatibleProfiles(f"columns of different lengths {sorted(lengths)}")
        for name, values in columns.items():
            self.columns[name].update(values)
        self.rows += lengths.pop() if lengths else 0
        self._widen(first_ms, last_ms)

    def merge(self, other: "Profile") -> None:
        """Add what `other` saw; IncompatibleProfiles when its columns or bins differ."""
        if set(other.columns) != set(self.columns):
            raise IncompatibleProfiles(f"columns {sorted(other.columns)}: want {sorted(self.columns)}")
        for name, sketch in self.columns.items():
            _merge_sketches(name, sketch, other.columns[name])
        self.rows += other.rows
        self._widen(other.first_ms, other.last_ms)

    def to_json(self) -> str:
        """The profile as it is stored."""
        columns = {name: sketch.to_dict() for name, sketch in self.columns.items()}
        return json.dumps(
            {
                "schema": SCHEMA,
                "rows": self.rows,
                "first_ms": self.first_ms,
                "last_ms": self.last_ms,
                "columns": columns,
            },
            separators=(",", ":"),
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The profile that `to_json` wrote; IncompatibleProfiles when it has another schema."""
        raw = json.loads(text)
        if raw.get("schema") != SCHEMA:
            raise IncompatibleProfiles(f"profile schema {raw.get('schema')!r}: want {SCHEMA}")
        readers = {"numeric": NumericSketch.from_dict, "category": CategorySketch.from_dict}
        columns: dict[str, Sketch] = {name: readers[each["type"]](each) for name, each in raw["columns"].items()}
        return cls(columns, raw["rows"], raw["first_ms"], raw["last_ms"])

    def _widen(self, first_ms: int | None, last_ms: int | None) -> None:
        firsts = [each for each in (self.first_ms, first_ms) if each is not None]
        lasts = [each for each in (self.last_ms, last_ms) if each is not None]
        self.first_ms, self.last_ms = min(firsts, default=None), max(lasts, default=None)


def _merge_sketches(name: str, ours: Sketch, theirs: Sketch) -> None:
    match ours, theirs:
        case NumericSketch(), NumericSketch():
            ours.merge(theirs)
        case CategorySketch(), CategorySketch():
            ours.merge(theirs)
        case _:
            raise IncompatibleProfiles(f"column {name!r} is numeric in one profile and a category in the other")


def _sketch_for(values: Values, span: tuple[float, float] | None) -> Sketch:
    if span is not None:
        return NumericSketch.between(*span)
    first = next((value for value in values if value is not None), None)
    return CategorySketch() if isinstance(first, str) else NumericSketch.spanning(values)  # type: ignore[arg-type]
