"""Profiles: what a stretch of data looked like, small, mergeable, without a single row.

A reference profile, made of whole columns, fixes ranges and names; a recent one is made with `Profile.like(reference)`,
so the two, and any number of partial ones, merge and compare bin by bin. An open profile takes columns as they come,
with sketches that need no reference. Merging is exact and does not care about order: the same rows give the same JSON.
"""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.categories import CategorySketch
from pawl.errors import IncompatibleProfiles
from pawl.floats import FloatSketch
from pawl.joint import LIMIT, JointSketch, axes_of, most_tied
from pawl.numeric import NumericSketch, can_divide

__all__ = ["CategorySketch", "FloatSketch", "JointSketch", "NumericSketch", "Profile", "Sketch", "Values"]

SCHEMA = 2
WITH_JOINTS = 3
TOGETHER, EMBEDDING = "columns together", "embedding"
"""The joint sketches: of the columns of a question, and of a text's embedding on its main directions."""
PROJECTION = "projection_"
APART = frozenset({"confidence", "finish_reason", "label", "latency_ms", "logprob", "target"})
"""Columns that are not looked at together with others: they tell of the answer, or are not judged."""
# A range so many times as wide as what lies between its first and its last percent has a heavy tail: equal bins would
# put almost all rows in a few of them.
_HEAVY = 64
_MOST = 2.0**1023

Values = Sequence[float] | Sequence[str] | NDArray[Any]
Sketch = NumericSketch | FloatSketch | CategorySketch
_READERS: Mapping[str, Callable[[Mapping[str, Any]], Sketch]] = {
    "numeric": NumericSketch.from_dict,
    "float": FloatSketch.from_dict,
    "category": CategorySketch.from_dict,
}


@dataclass(slots=True)
class Profile:
    """One sketch a column, with how many rows they saw and when (milliseconds since 1970).

    An open profile takes on columns that it does not have yet when it counts or merges them; rows that came without a
    column miss it. `joints` tell what columns have to do with each other. `given` names what a reference has told: the
    kinds of these columns and the axes of these joint sketches are not up to what is counted or merged.
    """

    columns: dict[str, Sketch]
    rows: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    is_open: bool = False
    joints: dict[str, JointSketch] = field(default_factory=dict[str, JointSketch])
    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, columns: Mapping[str, Values], ranges: Mapping[str, tuple[float, float]] | None = None) -> Self:
        """A reference profile of whole columns.

        Text becomes categories, the most frequent ones by name; numbers are counted in bins over `ranges` or their
        span, those with heavy tails in buckets of equal relative width.
        """
        ranges = ranges or {}
        rows = _rows(columns)
        sketches = {name: _reference_sketch(values, ranges.get(name)) for name, values in columns.items()}
        profile = cls(sketches, rows)
        profile.relate(columns)
        return profile

    @classmethod
    def like(cls, reference: "Profile", is_open: bool | None = None) -> Self:
        """An empty profile with the reference's columns, bins and names; open as it is, unless told otherwise.

        An open one is without the columns that the reference has nothing but missing values of: they may turn out to be
        of any kind.
        """
        is_open = reference.is_open if is_open is None else is_open
        kept = {name: sketch for name, sketch in reference.columns.items() if not (is_open and _is_void(sketch))}
        columns = {name: sketch.empty() for name, sketch in kept.items()}
        joints = {name: joint.empty() for name, joint in reference.joints.items()}
        return cls(columns, is_open=is_open, joints=joints, given=frozenset([*columns, *joints]))

    @classmethod
    def open(cls, reference: "Profile | None" = None) -> Self:
        """An empty profile that takes columns as they come, and counts them together on the reference's axes."""
        joints = {name: joint.empty() for name, joint in reference.joints.items()} if reference else {}
        return cls({}, is_open=True, joints=joints, given=frozenset(joints))

    def update(self, columns: Mapping[str, Values], first_ms: int | None = None, last_ms: int | None = None) -> None:
        """Count rows: columns equally long, and exactly the profile's own unless it is open."""
        self._require_names(columns)
        rows = _rows(columns)
        columns = self._read_once(columns)
        for name in sorted(columns) if rows else ():
            ours = self._taking(name, partial(_open_sketch, columns[name]))
            ours.update(columns[name])
        self._miss(columns, rows)
        for joint in self.joints.values() if rows else ():
            joint.update(columns)
        self.rows += rows
        self._widen(first_ms, last_ms)

    def relate(self, columns: Mapping[str, Values] = MappingProxyType({})) -> None:
        """From now on count columns together as well, on axes told from what was counted so far.

        `columns` are rows of it: they are counted so at once, and tell which columns of many have to do with others.
        """
        asked = {name: sketch for name, sketch in self.columns.items() if name not in APART}
        for joint, is_own in ((TOGETHER, False), (EMBEDDING, True)):
            mine = {name: sketch for name, sketch in asked.items() if name.startswith(PROJECTION) is is_own}
            axes = axes_of(mine) if joint not in self.columns else []
            axes = most_tied(axes, columns) if columns else axes[:LIMIT]
            if len(axes) > 1:
                self.joints[joint] = JointSketch.over(axes)
                self.joints[joint].update(columns)

    def require_fit(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """IncompatibleProfiles where `update` would fail, or count what is no value of its column; counts nothing."""
        self._require_names(columns)
        _rows(columns)
        for name, values in columns.items():
            ours = self.columns.get(name)
            if ours is None or self._is_undetermined(name):
                ours = _open_sketch(values)
            is_text = isinstance(ours, CategorySketch)
            if not all(map(_is_category if is_text else _is_number, values)):
                wanted = "text" if is_text else "numbers"
                raise IncompatibleProfiles(f"column {name!r}: want nothing but {wanted} and missing values")

    def holds_names(self, column: str) -> bool | None:
        """Whether a column is one of names rather than of numbers; None while nobody knows."""
        sketch = self.columns.get(column)
        return None if sketch is None or self._is_undetermined(column) else isinstance(sketch, CategorySketch)

    def merge(self, other: "Profile") -> None:
        """Add what `other` saw; IncompatibleProfiles when its columns, bins or names differ, and nothing is added.

        An open profile takes over columns that only `other` has. Of joint sketches that no reference has given, and
        whose axes differ, those with the lower axes remain, whichever came first.
        """
        if not self.is_open and set(other.columns) != set(self.columns):
            raise IncompatibleProfiles(f"columns {sorted(other.columns)}: want {sorted(self.columns)}")
        for name, theirs in other.columns.items():
            if name in self.columns and not (self._is_undetermined(name) or other._is_undetermined(name)):
                _require_alike(name, self.columns[name], theirs)
        for name, theirs in other.columns.items():
            _merge(self._taking(name, theirs.empty), theirs)
        self._miss(other.columns, other.rows)
        for name, joint in other.joints.items():
            ours = self.joints.get(name)
            if ours is None or (name not in self.given and joint.comes_before(ours)):
                self.joints[name] = joint.empty()
            self.joints[name].merge(joint)
        self.rows += other.rows
        self._widen(other.first_ms, other.last_ms)

    def to_json(self) -> str:
        """The profile as it is stored."""
        columns = {name: sketch.to_dict() for name, sketch in self.columns.items()}
        joints = {name: joint.to_dict() for name, joint in self.joints.items()}
        return json.dumps(
            {
                "rows": self.rows,
                "first_ms": self.first_ms,
                "last_ms": self.last_ms,
                "open": self.is_open,
                "columns": columns,
                **({"schema": WITH_JOINTS, "joints": joints} if joints else {"schema": SCHEMA}),
            },
            separators=(",", ":"),
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The profile that `to_json` wrote; IncompatibleProfiles when it has another schema."""
        raw = json.loads(text)
        if raw.get("schema") not in (SCHEMA, WITH_JOINTS):
            known = f"{SCHEMA} or {WITH_JOINTS}"
            raise IncompatibleProfiles(f"profile schema {raw.get('schema')!r}: want {known}; train the model again")
        columns = {name: _READERS[each["type"]](each) for name, each in raw["columns"].items()}
        joints = {name: JointSketch.from_dict(each) for name, each in raw.get("joints", {}).items()}
        return cls(columns, raw["rows"], raw["first_ms"], raw["last_ms"], raw["open"], joints)

    def _read_once(self, columns: Mapping[str, Values]) -> Mapping[str, Values]:
        """The columns again, those that two sketches will read as arrays already."""
        shared = {axis.name for joint in self.joints.values() for axis in joint.axes if not axis.value}
        return {n: np.asarray(values, float) if n in shared else values for n, values in columns.items()}

    def _require_names(self, columns: Mapping[str, Any]) -> None:
        if not self.is_open and set(columns) != set(self.columns):
            raise IncompatibleProfiles(f"columns {sorted(columns)}: want {sorted(self.columns)}")

    def _taking(self, name: str, new: Callable[[], Sketch]) -> Sketch:
        """The sketch that counts a column from now on; a new one misses it in all rows before."""
        ours = self.columns.get(name)
        if ours is None or self._is_undetermined(name):
            self.columns[name] = new()
            self.columns[name].missing = self.rows if ours is None else ours.missing
        return self.columns[name]

    def _miss(self, present: Container[str], rows: int) -> None:
        """Count rows that came with these columns alone."""
        for name, sketch in self.columns.items() if rows else ():
            if name not in present:
                sketch.missing += rows

    def _is_undetermined(self, name: str) -> bool:
        """Whether a column has held nothing but missing values yet, so that nobody knows what it will hold."""
        sketch = self.columns[name]
        return self.is_open and name not in self.given and isinstance(sketch, FloatSketch) and _is_void(sketch)

    def _widen(self, first_ms: int | None, last_ms: int | None) -> None:
        firsts = [each for each in (self.first_ms, first_ms) if each is not None]
        lasts = [each for each in (self.last_ms, last_ms) if each is not None]
        self.first_ms, self.last_ms = min(firsts, default=None), max(lasts, default=None)


def _rows(columns: Mapping[str, Values]) -> int:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise IncompatibleProfiles(f"columns of different lengths {sorted(lengths)}")
    return lengths.pop() if lengths else 0


def _require_alike(name: str, ours: Sketch, theirs: Sketch) -> None:
    match ours, theirs:
        case NumericSketch(), NumericSketch():
            ours.require_alike(theirs)
        case CategorySketch(), CategorySketch():
            ours.require_alike(theirs)
        case FloatSketch(), FloatSketch():
            pass
        case _:
            kinds = " and ".join(sketch.to_dict()["type"] for sketch in (ours.empty(), theirs.empty()))
            raise IncompatibleProfiles(f"column {name!r} is of two kinds: {kinds}")


def _merge(ours: Sketch, theirs: Sketch) -> None:
    """Add what `theirs` counted; of two kinds only where one of them has counted nothing."""
    match ours, theirs:
        case NumericSketch(), NumericSketch():
            ours.merge(theirs)
        case CategorySketch(), CategorySketch():
            ours.merge(theirs)
        case FloatSketch(), FloatSketch():
            ours.merge(theirs)
        case _:
            ours.missing += theirs.missing


def _is_void(sketch: Sketch) -> bool:
    """Whether it has counted nothing but missing values."""
    return sketch.missing > 0 == sketch.rows


def _open_sketch(values: Values) -> Sketch:
    return CategorySketch() if _is_text(values) else FloatSketch()


def _reference_sketch(values: Values, span: tuple[float, float] | None) -> Sketch:
    """A sketch with these values counted, of the kind that suits them."""
    if span is None and _is_text(values):
        return CategorySketch.of(values)
    numbers = np.asarray(values, float)
    sketch = FloatSketch() if span is None and _is_heavy(numbers) else _bins(numbers, span)
    sketch.update(numbers)
    return sketch


def _bins(numbers: NDArray[np.float64], span: tuple[float, float] | None) -> NumericSketch:
    return NumericSketch.spanning(numbers) if span is None else NumericSketch.between(*span)


def _is_heavy(values: ArrayLike) -> bool:
    """Whether equal bins over the values' span would not do."""
    numbers = np.asarray(values, float)
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        return False
    with np.errstate(over="ignore"):
        least, low, high, most = np.quantile(finite, [0, 0.01, 0.99, 1], method="inverted_cdf").tolist()
    margin = (most / 10 - least / 10) or max(1.0, abs(most)) / 10
    return (high - low) * _HEAVY < most - least or not can_divide(least - margin, most + margin)


def _is_text(values: Values) -> bool:
    first = next((value for value in values if value is not None), None)
    return isinstance(first, str)


def _is_category(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < _MOST)
