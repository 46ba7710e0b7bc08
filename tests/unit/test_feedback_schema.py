import json
from typing import Any

import pytest
from pydantic import ValidationError

from feedback.schema import Bulk, Feedback

GIVEN = {"metric_name": "thumbs_up", "value": True, "inference_id": "k1.receipt"}


@pytest.mark.parametrize(
    "value", [True, False, 1, 0, 1.0, 4.5, "outage", "", "true", ["outage", "billing"], [], {"tie": ["a", "b"]}, None]
)
def test_a_value_keeps_the_type_that_it_came_with(value: Any) -> None:
    feedback = Feedback.model_validate_json(json.dumps({**GIVEN, "value": value}))

    assert (feedback.value, type(feedback.value)) == (value, type(value))


def test_tags_are_empty_and_a_dry_run_is_off_unless_given() -> None:
    feedback = Feedback.model_validate(GIVEN)

    assert (feedback.tags, feedback.dryrun) == ({}, False)


@pytest.mark.parametrize("field", ["metric_name", "value"])
def test_feedback_without_a_field_is_refused_with_its_name(field: str) -> None:
    with pytest.raises(ValidationError, match=f"(?m)^{field}$"):
        Feedback.model_validate({name: value for name, value in GIVEN.items() if name != field})


@pytest.mark.parametrize(
    "changes",
    [
        {"episode": "e"},
        {"episode_id": 5},
        {"inference_id": "x" * 257},
        {"metric_name": "x" * 65},
        {"value": float("nan")},
        {"tags": {"rater": 5}},
        {"tags": {"": "web"}},
        {"tags": {"rater": "x" * 129}},
        {"tags": {"x" * 129: "a"}},
        {"tags": {"rater": "\ud800"}},
        {"tags": {str(n): "a" for n in range(33)}},
        {"inference_id": 5},
        {"dryrun": "perhaps"},
    ],
    ids=str,
)
def test_feedback_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Feedback.model_validate({**GIVEN, **changes})


def test_as_many_tags_as_the_limit_are_taken() -> None:
    tags = {str(n): "x" * 128 for n in range(32)}

    assert Feedback.model_validate({**GIVEN, "tags": tags}).tags == tags


@pytest.mark.parametrize(("count", "is_taken"), [(0, False), (1, True), (100, True), (101, False)])
def test_a_bulk_holds_1_to_100_pieces(count: int, is_taken: bool) -> None:
    body = {"items": [GIVEN] * count}

    if is_taken:
        assert len(Bulk.model_validate(body).items) == count
    else:
        with pytest.raises(ValidationError, match="items"):
            Bulk.model_validate(body)


def test_a_bulk_leaves_its_pieces_to_be_judged_one_by_one() -> None:
    assert Bulk.model_validate({"items": [{"nonsense": 1}, GIVEN]}).items == [{"nonsense": 1}, GIVEN]


def test_a_bulk_with_unknown_fields_is_refused() -> None:
    with pytest.raises(ValidationError, match="atomic"):
        Bulk.model_validate({"items": [GIVEN], "atomic": True})
