"""Rows of a dropped file: their times, and what their columns hold."""

from typing import Any

import pytest

from drift.rows import HOUR_MS, MOST_COLUMNS, NAME, NUMBER, answered_ms, kinds_in, slice_by_hour
from pawl.errors import InvalidRecord
from pawl.inbox import Row

NOW = 1_784_020_867_124


def rows(*values: dict[str, Any]) -> list[Row]:
    return [Row(n + 2, f"line {n + 2}", each) for n, each in enumerate(values)]


def column(*values: Any) -> list[Row]:
    return rows(*({"x": value} for value in values))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((1, 2.5, None), NUMBER),
        (("1", " 2.5 ", "-3e4", "", "N/A", "nan"), NUMBER),
        (("1", "2", "B"), NAME),
        (("7",) * 99 + ("seven",), NUMBER),
        (("7",) * 98 + ("seven", "eight"), NAME),
        ((True, False), NAME),
        (("1_000",), NAME),
        ((2**1100,), NAME),
    ],
)
def test_a_column_is_one_of_numbers_if_nearly_all_its_values_are(values: tuple[Any, ...], kind: str) -> None:
    assert kinds_in(column(*values), {}) == {"x": kind}


def test_nothing_is_said_of_what_is_known_of_times_and_of_empty_columns() -> None:
    found = kinds_in(rows({"unix_ms": "1", "time": "x", "known": "1", "empty": "", "new": "1"}), {"known": NAME})

    assert found == {"new": NUMBER}


@pytest.mark.parametrize(("labels", "kind"), [((0, 1), NAME), (("0", "1.0"), NAME), (("0", "1.5"), NUMBER)])
def test_whole_numbers_that_are_answers_are_names_of_classes(labels: tuple[Any, ...], kind: str) -> None:
    assert kinds_in(rows(*({"label": label} for label in labels)), {}) == {"label": kind}


def test_a_file_with_a_column_for_every_row_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="more than 2000 columns"):
        kinds_in(rows(*({f"user {n}": 1} for n in range(MOST_COLUMNS + 1))), {})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"unix_ms": NOW}, NOW),
        ({"unix_ms": str(NOW)}, NOW),
        ({"unix_ms": f"{NOW}.0", "time": "nonsense"}, NOW),
        ({"time": "2026-07-14T09:21:07.124Z"}, NOW),
        ({"time": "2026-07-14 11:21:07.124+02:00"}, NOW),
        ({"time": "2026-07-14T09:21:07.124"}, NOW),
        ({"time": "2026-07-14"}, NOW - 33_667_124),
        ({"age": 1}, NOW + 5),
        ({"unix_ms": NOW + 5 + 86_400_000}, NOW + 5 + 86_400_000),
    ],
)
def test_a_row_says_when_it_was_answered_or_the_file_does(values: dict[str, Any], expected: int) -> None:
    assert answered_ms(values, NOW + 5) == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"unix_ms": None}, "unix_ms: want whole milliseconds"),
        ({"unix_ms": "1e999"}, "unix_ms: want whole milliseconds"),
        ({"unix_ms": True}, "unix_ms: want whole milliseconds"),
        ({"unix_ms": [1]}, "unix_ms: want whole milliseconds"),
        ({"time": 5}, "time: want ISO 8601"),
        ({"time": "14.7.2026"}, "time: want ISO 8601"),
        ({"unix_ms": NOW // 1000}, "the row's time: want one after 2000"),
        ({"unix_ms": NOW * 1000}, "the row's time: want one after 2000"),
        ({"unix_ms": NOW + 86_400_006}, "the row's time: want one after 2000"),
        ({"time": "0001-01-01"}, "the row's time: want one after 2000"),
    ],
)
def test_a_time_that_cannot_be_is_a_fault_of_the_row(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRecord) as refusal:
        answered_ms(values, NOW + 5)
    assert str(refusal.value).startswith(reason)


def test_rows_are_parted_by_the_hour_and_lack_what_others_have() -> None:
    hour = NOW // HOUR_MS * HOUR_MS
    given = rows(
        {"unix_ms": hour, "a": "1"},
        {"unix_ms": hour - 1, "a": "2"},
        {"unix_ms": hour + HOUR_MS - 1, "b": True},
        {"unix_ms": hour, "a": {"deep": 1}},
    )

    slices, faults = slice_by_hour(given, {"a": NUMBER, "b": NAME}, NOW)

    found = {at: (each.rows, each.first_ms, each.last_ms, each.columns) for at, each in slices.items()}
    assert found == {
        hour // HOUR_MS: (2, hour, hour + HOUR_MS - 1, {"a": [1.0, None], "b": [None, "true"]}),
        hour // HOUR_MS - 1: (1, hour - 1, hour - 1, {"a": [2.0]}),
    }
    assert [(fault.line, fault.reason, fault.text) for fault in faults] == [
        (5, "column 'a': want a number, a text, true, false or null", "line 5")
    ]
