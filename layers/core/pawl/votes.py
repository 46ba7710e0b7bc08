"""What people said, in columns: the votes of one metric, ascending by id, so that no result depends on their order."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pawl.errors import InvalidRequest
from pawl.raters import UNKNOWN, Codes

Floats = NDArray[np.float64]
Kind = Literal["label", "score", "preference"]
Value = bool | int | float | str | None
Item = str | tuple[str, str]
Name = TypeVar("Name", str, Item, bool | str)
FIRST, SECOND, TIE = 0, 1, 2
# Scores are compared with each other in so many steps of the scale: the nine of -4..4.
STEPS = 9


class Vote(NamedTuple):
    """One rater's word on one item, at a time in seconds, or None where that is not known.

    A label's `value` is a boolean or a name, a score's a number. A preference has two items, in either order, and the
    better of them as its value, or None for a tie.
    """

    id: str
    rater: str
    item: Item
    value: Value
    at: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Votes of one kind, ascending by id; arrays have shape (votes,), and index the names beside them.

    `values` are label codes, scores, or FIRST, SECOND, TIE of a pair in its ascending order. `at` is NaN where unknown.
    """

    kind: Kind
    ids: Sequence[str]
    raters: Codes
    rater_names: Sequence[str]
    items: Codes
    item_names: Sequence[Item]
    values: Floats
    label_names: Sequence[bool | str]
    at: Floats

    @classmethod
    def of(cls, kind: Kind, votes: Iterable[Vote]) -> Self:
        """Votes as columns; InvalidRequest when an id comes twice or a value does not fit the kind."""
        rows = sorted(votes, key=lambda vote: vote.id)
        for vote, following in pairwise(rows):
            if vote.id == following.id:
                raise InvalidRequest(f"two votes with the id {vote.id!r}: want one id a vote")
        told: list[Value] = [_checked(kind, vote) for vote in rows]
        items: list[Item] = [_pair(vote) if isinstance(vote.item, tuple) else vote.item for vote in rows]
        rater_names, raters = _coded([vote.rater for vote in rows])
        item_names, item_codes = _coded(items)
        label_names, values = _values(kind, told)
        at = np.array([math.nan if vote.at is None else vote.at for vote in rows], float)
        ids = [vote.id for vote in rows]
        return cls(kind, ids, raters, rater_names, item_codes, item_names, values, label_names, at)

    def __len__(self) -> int:
        return len(self.ids)

    def vote(self, index: int) -> Vote:
        """One vote as it was given; of a pair in ascending order."""
        item, at = self.item_names[int(self.items[index])], float(self.at[index])
        when = None if math.isnan(at) else at
        return Vote(self.ids[index], self.rater_names[int(self.raters[index])], item, self._said(index, item), when)

    def known(self, gold: Mapping[Item, Value]) -> Floats:
        """Gold values in the votes' own code, shape (items,), NaN where there is none."""
        found = np.full(len(self.item_names), np.nan)
        places = {name: place for place, name in enumerate(self.label_names)}
        for index, name in enumerate(self.item_names):
            if name in gold:
                found[index] = self._code(name, gold[name], places)
        return found

    def steps(self, values: Floats) -> Codes:
        """Values, which may be those of items, as codes to compare: scores in STEPS of the scale, the rest as they are.

        UNKNOWN for NaN. The scale is what the votes span.
        """
        if self.kind != "score":
            return np.where(np.isnan(values), UNKNOWN, values).astype(np.int64)
        low, span = float(self.values.min(initial=0.0)), self.span
        places = np.rint((np.clip(values, low, low + span) - low) / span * (STEPS - 1))
        return np.where(np.isnan(values), UNKNOWN, places).astype(np.int64)

    @property
    def span(self) -> float:
        """How far apart the lowest and the highest value lie; 1 if they do not."""
        return float(np.ptp(self.values)) or 1.0 if len(self) else 1.0

    @property
    def choices(self) -> int:
        """How many different codes `steps` may give."""
        return {"label": max(2, len(self.label_names)), "score": STEPS, "preference": 3}[self.kind]

    def _said(self, index: int, item: Item) -> Value:
        value = float(self.values[index])
        if self.kind == "score":
            return value
        if self.kind == "label":
            return self.label_names[int(value)]
        return None if value == TIE else str(item[int(value)])

    def _code(self, name: Item, value: Value, places: Mapping[bool | str, int]) -> float:
        if self.kind == "score":
            return float(value) if isinstance(value, int | float) else math.nan
        if self.kind == "label":
            return float(places.get(value, math.nan)) if isinstance(value, bool | str) else math.nan
        return TIE if value is None else float(value == name[1])


def _coded(names: Sequence[Name]) -> tuple[list[Name], Codes]:
    """The different names, ascending, and the index of each."""
    different = sorted(set(names), key=lambda name: (type(name).__name__, str(name)))
    places = {name: place for place, name in enumerate(different)}
    return different, np.fromiter((places[name] for name in names), np.int64, len(names))


def _values(kind: Kind, told: Sequence[Value]) -> tuple[list[bool | str], Floats]:
    if kind != "label":
        return [], np.array(told, float)
    names, codes = _coded([value for value in told if isinstance(value, bool | str)])
    return names, codes.astype(float)


def _checked(kind: Kind, vote: Vote) -> Value:
    """The value, a preference's as FIRST, SECOND or TIE."""
    if kind == "label":
        if isinstance(vote.value, bool | str) and isinstance(vote.item, str):
            return vote.value
        raise InvalidRequest(f"vote {vote.id!r} is no label: want true, false or a name, of one item")
    if kind == "score":
        number = vote.value if isinstance(vote.value, int | float) and not isinstance(vote.value, bool) else math.nan
        if math.isfinite(number) and isinstance(vote.item, str):
            return number
        raise InvalidRequest(f"vote {vote.id!r} is no score: want a finite number, of one item")
    pair = _pair(vote)
    if vote.value is None:
        return TIE
    if vote.value in pair:
        return pair.index(str(vote.value))
    raise InvalidRequest(f"vote {vote.id!r} prefers neither of its items: want one of the two, or nothing for a tie")


def _pair(vote: Vote) -> tuple[str, str]:
    if not isinstance(vote.item, tuple) or vote.item[0] == vote.item[1]:
        raise InvalidRequest(f"vote {vote.id!r} compares nothing: want two different items")
    first, second = sorted(vote.item)
    return first, second
