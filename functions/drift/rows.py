"""Rows of a dropped file as a profile counts them: read by the kinds of their columns, parted by the hour.

Reserved columns: `unix_ms` (milliseconds since 1970) or `time` (ISO 8601, UTC unless it says otherwise) tells when a
row was answered, else the file's own time does; `label` is the answer: a name, a number only if it has a fraction;
`confidence` is how sure the model was; `target`, beside `label`, is what would have been right, and of its kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pawl.errors import InvalidRecord
from pawl.inbox import Fault, Row

NAME, NUMBER = "name", "number"
"""The kinds of columns."""
CONFIDENCE, ANSWER, TARGET = "confidence", "label", "target"
RESERVED: Mapping[str, str] = {CONFIDENCE: NUMBER}
HOUR_MS = 3_600_000
MOST_COLUMNS = 2_000
_TIMES = ("unix_ms", "time")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
# So many of a column's values may be none for it to be one of numbers.
_SPOILT = 0.01
_EARLIEST_MS = 946_684_800_000  # 2000: what lies before was meant in seconds
_AHEAD_MS = 86_400_000
_MOST = 2.0**1023


@dataclass(slots=True)
class Slice:
    """The rows of one hour: when the first and the last was answered, and their values by column."""

    first_ms: int
    last_ms: int
    rows: int = 0
    columns: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])

    def add(self, at_ms: int, values: Mapping[str, Any]) -> None:
        """Take a row; where it lacks a column that another one has, it has None there."""
        self.first_ms, self.last_ms = min(self.first_ms, at_ms), max(self.last_ms, at_ms)
        for name in values.keys() - self.columns.keys():
            self.columns[name] = [None] * self.rows
        for name, column in self.columns.items():
            column.append(values.get(name))
        self.rows += 1

    def add_all(self, other: "Slice") -> None:
        """Take all rows of another one."""
        self.first_ms, self.last_ms = min(self.first_ms, other.first_ms), max(self.last_ms, other.last_ms)
        for name in dict.fromkeys([*self.columns, *other.columns]):
            ours = self.columns.setdefault(name, [None] * self.rows)
            ours.extend(other.columns.get(name) or [None] * other.rows)
        self.rows += other.rows


def kinds_in(rows: Sequence[Row], known: Mapping[str, str]) -> dict[str, str]:
    """The kinds of the columns that are not known: numbers, if nearly all values are; nothing of empty columns.

    Whole numbers in `label` are the names of classes.

    InvalidRecord when there are more columns than a model has features.
    """
    numbers: dict[str, int] = {}
    values: dict[str, int] = {}
    has_fractions = False
    for row in rows:
        for name, value in row.values.items():
            if name in known or name in _TIMES or _is_missing(value):
                continue
            values[name] = values.get(name, 0) + 1
            is_number = _is_number(value)
            numbers[name] = numbers.get(name, 0) + is_number
            has_fractions = has_fractions or (name == ANSWER and is_number and not float(value).is_integer())
    if len(values) + len(known) > MOST_COLUMNS:
        raise InvalidRecord(f"more than {MOST_COLUMNS} columns: want one for each feature, the same in every row")
    if not has_fractions:
        numbers.pop(ANSWER, None)
    return {name: NUMBER if numbers.get(name, 0) >= count * (1 - _SPOILT) else NAME for name, count in values.items()}


def slice_by_hour(
    rows: Sequence[Row], kinds: Mapping[str, str], modified_ms: int
) -> tuple[dict[int, Slice], list[Fault]]:
    """The rows by the hour that they were answered in, and those that cannot be read."""
    slices: dict[int, Slice] = {}
    faults: list[Fault] = []
    for row in rows:
        try:
            at_ms = answered_ms(row.values, modified_ms)
            values = {
                name: _read(name, value, kinds.get(name)) for name, value in row.values.items() if name not in _TIMES
            }
        except InvalidRecord as error:
            faults.append(Fault(row.line, str(error), row.text))
            continue
        slices.setdefault(at_ms // HOUR_MS, Slice(at_ms, at_ms)).add(at_ms, values)
    return slices, faults


def answered_ms(values: Mapping[str, Any], modified_ms: int) -> int:
    """When a row was answered, by its own word or by the file's time; InvalidRecord when its word is none."""
    if "unix_ms" in values:
        found = _whole(values["unix_ms"])
    elif "time" in values:
        found = _instant(values["time"])
    else:
        return modified_ms
    if not _EARLIEST_MS <= found <= modified_ms + _AHEAD_MS:
        raise InvalidRecord("the row's time: want one after 2000 and not after the file's (unix_ms is in milliseconds)")
    return found


def _whole(value: Any) -> int:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and float(value).is_integer():
            return int(float(value))
    except (ValueError, OverflowError):
        pass
    raise InvalidRecord("unix_ms: want whole milliseconds since 1970")


def _instant(value: Any) -> int:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(aware.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    raise InvalidRecord("time: want ISO 8601, as 2026-07-14T09:21:07Z")


def _read(name: str, value: Any, kind: str | None) -> float | str | None:
    if _is_missing(value):
        return None
    if isinstance(value, dict | list):
        raise InvalidRecord(f"column {name!r}: want a number, a text, true, false or null")
    if kind != NUMBER:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if not _is_number(value):
        raise InvalidRecord(f"column {name!r}: want a number, as in the rows before")
    return float(value)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _MISSING)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return "_" not in value
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST)
