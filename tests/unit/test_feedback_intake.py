import json
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from feedback.intake import VALUE_BYTES, Intake
from feedback.schema import TEXT_LIMIT, Feedback
from pawl.errors import InvalidRequest, TooLarge
from pawl.items import attributes, from_item
from pawl.masking import Policy
from pawl.metrics import declared
from pawl.opinions import TOGETHER, Piece
from pawl.receipt import ReceiptKeys

NOW = 1_700_000_000_000
KEYS = ReceiptKeys("1:" + "s" * 32)
METRICS = declared('{"solved": {"type": "boolean", "level": "episode"}}')
INTAKE = Intake(KEYS, METRICS, 90.0)
MEBIBYTE = 1 << 20
ANSWERS = [
    KEYS.sign(
        model="assistant",
        model_version="7",
        function_version="1",
        rows=1,
        payload=b"tell me",
        unix_ms=NOW + number,
        random=bytes(10),
    )
    for number in range(16)
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ANSWERS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["chosen", "rejected", "tie", "outputs", "name", "data", "value"]), inner)
    ),
    max_leaves=12,
)


def read(metric: str, value: Any, **more: Any) -> Piece:
    return INTAKE.read(Feedback(metric_name=metric, value=value, **more), "key-1", NOW)


@given(st.sampled_from(sorted(METRICS)), JSON, st.sampled_from(["inference_id", "episode_id", None]))
def test_whatever_comes_is_refused_with_a_reason_or_can_be_written_down(
    metric: str, value: Any, target: str | None
) -> None:
    try:
        piece = read(metric, value, **({target: ANSWERS[0]} if target else {}))
    except (InvalidRequest, ValidationError):
        return

    written = TypeDeserializer().deserialize({"M": attributes(piece.body)})
    assert from_item(written) == piece.body


def test_a_piece_names_its_answer_its_rater_and_what_it_counts_for() -> None:
    piece = read("label", "billing", inference_id=ANSWERS[0], tags={"rater": "ada"})

    uuid = ANSWERS[0].split(".")[1]
    assert piece.key == ("assistant#2023-11-14", f"{uuid}#label#ada")
    assert (piece.version, piece.teaches, piece.said_ms) == ("7", True, NOW)
    assert piece.body == {
        "feedback_id": "615aeaf9-eaaf-50bd-b550-11df06c8f90f",
        "inference_id": ANSWERS[0],
        "tags": {"rater": "ada"},
        "metric": "label",
        "value": ["billing"],
        "rater": "ada",
    }


@pytest.mark.parametrize("metric", ["demonstration", "ranking"])
def test_a_value_that_no_table_could_hold_is_too_large(metric: str) -> None:
    texts = [f"{number}" + "\U0001f600" * (TEXT_LIMIT - 2) for number in range(2)]
    ranking = [{"value": text, "rank": 1} for text in texts]

    if metric == "ranking":
        with pytest.raises(TooLarge, match="ranking takes a value of at most 98304 bytes"):
            read(metric, ranking, inference_id=ANSWERS[0])
    else:
        assert read(metric, texts[0], inference_id=ANSWERS[0]).body["value"] == texts[0]


def test_the_largest_pieces_fit_into_a_transaction_together() -> None:
    tags = {f"{number:02d}" + "\U0001f600" * 126: "\U0001f600" * 128 for number in range(32)}
    half = (VALUE_BYTES - 64) // 8
    value = {"chosen": "\U0001f600" * half, "rejected": "\U0001f600" * (half - 1)}

    piece = read("preference", value, inference_id=ANSWERS[0], tags=tags)

    assert len(json.dumps(piece.body, ensure_ascii=False).encode()) * TOGETHER < 4 * MEBIBYTE


def test_what_people_write_is_masked_and_whom_they_name_is_not() -> None:
    tags = {"rater": "ada@example.org", "subject": "+49 30 901820", "note": "from bob@example.org"}
    piece = read("comment", "ask bob@example.org", inference_id=ANSWERS[0], tags=tags)

    assert piece.body["value"] == "ask <EMAIL>"
    assert piece.body["tags"] == {"rater": "ada@example.org", "subject": "+49 30 901820", "note": "from <EMAIL>"}
    assert (piece.rater, piece.body["inference_id"]) == ("ada@example.org", ANSWERS[0])


@pytest.mark.parametrize(
    ("metric", "value", "kept"),
    [
        ("demonstration", "Write to bob@example.org.", "Write to <EMAIL>."),
        (
            "correction",
            {"outputs": [{"name": "text", "data": ["bob@example.org"]}]},
            {"outputs": [{"name": "text", "data": ["<EMAIL>"]}]},
        ),
        (
            "preference",
            {"chosen": "bob@example.org", "rejected": "eve@example.org or bob@example.org"},
            {"chosen": "<EMAIL>", "rejected": "<EMAIL_2> or <EMAIL>"},
        ),
        ("label", ["bob@example.org"], ["bob@example.org"]),
    ],
)
def test_each_text_of_a_metric_is_masked_and_a_label_stays_what_it_is(metric: str, value: Any, kept: Any) -> None:
    assert read(metric, value, inference_id=ANSWERS[0]).body["value"] == kept


def test_the_ids_that_a_comparison_names_are_never_masked() -> None:
    chosen, rejected = ANSWERS[:2]

    assert read("preference", {"chosen": chosen, "rejected": rejected}).body["value"]["chosen"] == chosen


def test_where_the_policy_is_none_everything_is_kept_as_it_was_said() -> None:
    intake = Intake(KEYS, METRICS, 90.0, Policy.of("none", ""))
    feedback = Feedback(metric_name="comment", value="ask bob@example.org", inference_id=ANSWERS[0])

    assert intake.read(feedback, "key-1", NOW).body["value"] == "ask bob@example.org"


@pytest.mark.parametrize(
    ("tags", "named"), [({"user": "eve"}, "eve"), ({"user": "s-1", "subject": "eve"}, "eve"), ({}, "")]
)
def test_whom_feedback_names_is_kept_by_the_pseudonyms_of_their_requests_too(tags: dict[str, str], named: str) -> None:
    piece = read("thumbs_up", True, inference_id=ANSWERS[0], tags=tags)

    assert piece.subjects == (tuple(KEYS.pseudonyms(named)) if named else ())
