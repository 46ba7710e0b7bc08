import json
from pathlib import Path
from typing import Any

import pytest

from feedback.exports import Exported, feedback_in
from pawl.errors import InvalidRecord
from pawl.metrics import declared

EVENTS = Path(__file__).parents[1] / "events"
METRICS = declared("")
ADA, GRACE = "argilla/0b9bcb1b-9a55-4b2c-8c13-52f0a1a5f0d1", "argilla/7f1f6a9e-4d70-4b69-9d6e-0f4b8a3c2b55"


def exported(tool: str) -> list[list[tuple[str, Any, str | None, str]]]:
    """What each row of an export says: metric, value, inference_id and rater."""
    rows = json.loads((EVENTS / f"{tool}_export.json").read_text(encoding="utf-8"))
    pieces = [feedback_in(row, METRICS).pieces for row in rows]
    return [
        [(each["metric_name"], each["value"], each.get("inference_id"), each["tags"]["rater"]) for each in found]
        for found in pieces
    ]


def test_a_task_of_label_studio_says_what_its_controls_say_but_for_cancelled_and_foreign_ones() -> None:
    first, second = exported("label_studio")

    by_email, by_id = "label-studio/ada@example.org", "label-studio/5"
    assert first == [
        ("label", "billing", "FIRST", by_email),
        ("thumbs_up", True, "FIRST", by_email),
        ("rating", 4, "FIRST", by_email),
    ]
    ranks = [{"value": "SECOND", "rank": 1}, {"value": "FIRST", "rank": 2}]
    assert second == [
        ("demonstration", "You get it back within a week.", "FIRST", by_id),
        ("comment", "Too long.\nAnd rude.", "FIRST", by_id),
        ("preference", {"chosen": "SECOND", "rejected": "FIRST"}, None, by_id),
        ("ranking", ranks, None, by_id),
    ]


def test_a_record_of_argilla_says_what_each_person_answered_and_not_what_was_suggested() -> None:
    first, second = exported("argilla")

    assert first == [
        ("label", "billing", "FIRST", ADA),
        ("label", "account", "FIRST", GRACE),
        ("rating", 4, "FIRST", ADA),
        ("comment", "It says refund.", "FIRST", GRACE),
        ("comment", "not an account matter", "FIRST", ADA),
    ]
    assert second == [("ranking", [{"value": "SECOND", "rank": 1}, {"value": "FIRST", "rank": 2}], None, GRACE)]


def test_a_row_that_no_tool_exported_is_itself() -> None:
    row = {"metric_name": "label", "value": "billing", "inference_id": "x"}

    assert feedback_in(row, METRICS) == Exported([row])


def test_a_record_without_responses_says_nothing() -> None:
    assert feedback_in({"id": "x", "fields": {}, "responses": None, "metadata": None}, METRICS) == Exported()


def task(**result: Any) -> dict[str, Any]:
    given = {"from_name": "it", "type": "choices", "value": {}, **result}
    return {"data": {"inference_id": "x"}, "annotations": [{"result": [given], "completed_by": 1}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"data": {}, "annotations": {}}, "not as the tool exports it: annotations"),
        ({"data": {}, "annotations": [{"result": [{"value": 5}]}]}, "annotations.0.result.0.value"),
        ({"fields": {}, "responses": {"label": ["billing"]}}, "not as the tool exports it: responses.label.0"),
    ],
    ids=str,
)
def test_what_a_tool_would_not_export_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        feedback_in(row, METRICS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (task(type="pairwise", value={"selected": "left"}), "selected left or right, and both inference_ids"),
        (task(type="ranker", value={"ranker": {"good": [], "bad": []}}), "one list of items, without buckets"),
        (task(type="ranker", value={"ranker": {"rank": "x"}}), "a ranking: want a list, best first"),
        (task(value={"choices": ["billing", "outage"]}), "want one choice"),
    ],
    ids=str,
)
def test_what_one_person_says_that_is_no_feedback_is_told_and_what_another_says_counts(
    row: dict[str, Any], message: str
) -> None:
    good = task(value={"choices": ["billing"]})["annotations"]

    found = feedback_in({**row, "annotations": [*row["annotations"], *good]}, METRICS)

    assert [piece["value"] for piece in found.pieces] == ["billing"]
    (told,) = found.wrong
    assert message in told


@pytest.mark.parametrize(
    "result",
    [
        {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"},
        {"from_name": "boxes", "type": "rectanglelabels", "value": {"x": 1.0, "rectanglelabels": ["logo"]}},
        {},
    ],
    ids=["relation", "region", "nothing"],
)
def test_a_result_that_is_no_feedback_is_passed_over(result: dict[str, Any]) -> None:
    row = {"data": {"inference_id": "x"}, "annotations": [{"result": [result], "completed_by": 1}]}

    assert feedback_in(row, METRICS) == Exported()


def test_a_text_of_argilla_is_a_label_where_no_question_is_named_so() -> None:
    answers = {"intent": [{"value": "billing", "user_id": "u"}]}

    (piece,) = feedback_in({"id": "x", "fields": {}, "responses": answers}, METRICS).pieces

    assert (piece["metric_name"], piece["value"]) == ("label", "billing")
