from typing import Any

import pytest

from feedback.crossings import Crossing, crossing_in


def growth(before: int | None, after: int | None, pk: str = "counts") -> dict[str, Any]:
    images = {"OldImage": before, "NewImage": after}
    found = {name: {"taught": {"N": str(count)}} for name, count in images.items() if count is not None}
    return {"dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": "triage#7"}}, **found}}


@pytest.mark.parametrize(
    ("before", "after", "reached"),
    [
        (None, 1, None),
        (9, 10, 10),
        (None, 10, 10),
        (10, 11, None),
        (8, 12, 10),
        (19, 20, 20),
        (9, 31, 30),
        (10, 10, None),
    ],
)
def test_a_threshold_is_crossed_where_a_counter_reaches_a_multiple_of_it(
    before: int | None, after: int, reached: int | None
) -> None:
    found = crossing_in(growth(before, after), every=10)

    assert found == (None if reached is None else Crossing("triage", "7", reached))


def test_every_crossing_of_a_counter_that_grows_one_by_one_is_found_once() -> None:
    found = [crossing_in(growth(count - 1, count), every=7) for count in range(1, 100)]

    assert [each.taught for each in found if each] == list(range(7, 100, 7))


@pytest.mark.parametrize("record", [growth(10, None), growth(9, 10, pk="triage#2026-07-14")], ids=["gone", "feedback"])
def test_what_is_no_growth_of_a_counter_crosses_nothing(record: dict[str, Any]) -> None:
    assert crossing_in(record, every=10) is None


def test_a_crossing_is_named_by_how_much_was_said_so_that_another_threshold_names_none_twice() -> None:
    assert Crossing("triage", "7", 500).id == "feedback/triage/7/500"
