from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.dataset import FrozenDataset, Row, freeze
from pawl.records import CaptureRecord
from retrain.freezing import Labelled, assemble, join, label_votes

Make = Callable[..., CaptureRecord]
WINDOW = (1_700_000_000_000, 1_700_086_400_000)
PARENT = freeze(
    "triage",
    {"train": [Row("no light", "outage")], "holdout": [Row("Wrong Sum", "billing")], "recent": [Row("dark", "outage")]},
    {"parent": None},
)


def _vote(value: list[str], minute: int, inference_id: str = "a", metric: str = "label") -> dict[str, Any]:
    return {
        "metric": metric,
        "inference_id": inference_id,
        "value": value,
        "given_at": f"2026-01-01T00:{minute:02d}:00.000Z",
        "rater": f"rater {minute}",
    }


def _labelled(*texts: str, label: str = "outage") -> list[Labelled]:
    return [Labelled("0" * 32, Row(text, label, {}, "traffic")) for text in texts]


def test_most_raters_decide_on_an_answers_labels() -> None:
    votes = [_vote(["billing"], 1), _vote(["outage"], 2), _vote(["outage"], 3)]

    assert label_votes(votes) == {"a": ["outage"]}


@pytest.mark.parametrize("order", [1, -1])
def test_among_equals_the_earlier_word_counts_in_whatever_order_they_are_read(order: int) -> None:
    votes = [_vote(["outage"], 1), _vote(["billing"], 2), _vote(["outage"], 3), _vote(["billing"], 4)][::order]

    assert label_votes(votes) == {"a": ["outage"]}


def test_each_answer_has_its_own_votes_and_other_metrics_have_none() -> None:
    votes = [_vote(["outage"], 1), _vote(["billing", "meter"], 2, "b"), _vote(["x"], 3, "c", metric="comment")]

    assert label_votes(votes) == {"a": ["outage"], "b": ["billing", "meter"]}


def test_labelled_traffic_is_joined_by_the_receipt(captured: Make) -> None:
    records = [
        captured(inference_id="k.uuid-1.rest", inputs={"text": ["one", "two"]}),
        captured(inference_id="k.uuid-2.rest", inputs={"text": ["three"]}),
    ]

    found = join(records, {"k.uuid-1.rest": ["outage", "billing"], "k.uuid-9.rest": ["meter"]})

    assert found == [
        Labelled("uuid-1", Row("one", "outage", {}, "traffic")),
        Labelled("uuid-1", Row("two", "billing", {}, "traffic")),
    ]


def test_a_text_asked_often_is_learned_once_by_its_latest_label(captured: Make) -> None:
    records = [
        captured(inference_id="k.uuid-1.rest", inputs={"text": ["No light"]}),
        captured(inference_id="k.uuid-2.rest", inputs={"text": [" no LIGHT "]}),
    ]

    found = join(records, {"k.uuid-1.rest": ["billing"], "k.uuid-2.rest": ["outage"]})

    assert found == [Labelled("uuid-2", Row(" no LIGHT ", "outage", {}, "traffic"))]


def test_the_next_dataset_holds_the_parents_rows_where_they_were() -> None:
    dataset = assemble(PARENT, _labelled(*(f"text {n}" for n in range(40))), WINDOW)

    assert dataset.splits["holdout"] == PARENT.splits["holdout"]
    assert dataset.splits["train"][:1] == PARENT.splits["train"]
    assert dataset.splits["recent"][:1] == PARENT.splits["recent"]
    assert len(dataset.splits["train"]) + len(dataset.splits["recent"]) == 42


def test_the_next_dataset_tells_where_it_comes_from() -> None:
    dataset = assemble(PARENT, _labelled("one", "two", "no light"), WINDOW)

    assert dataset.model == "triage"
    assert dataset.lineage == {
        "parent": PARENT.digest,
        "traffic_window": ["2023-11-14T22:13:20.000Z", "2023-11-15T22:13:20.000Z"],
        "feedback": 2,
        "left_out": 0,
    }


@pytest.mark.parametrize("text", ["no light", "wrong sum", " WRONG SUM\n", "Dark"])
def test_a_text_that_the_parent_knows_changes_no_split(text: str) -> None:
    assert assemble(PARENT, _labelled(text, label="new"), WINDOW).splits == PARENT.splits


def test_about_a_quarter_of_the_new_rows_is_held_out() -> None:
    dataset = assemble(PARENT, _labelled(*(f"text {n}" for n in range(2000))), WINDOW)

    assert len(dataset.splits["recent"]) - 1 == pytest.approx(500, abs=60)


def test_a_parent_without_recent_rows_gets_them() -> None:
    starter = freeze("triage", {"train": [Row("a", "b")], "holdout": [Row("c", "d")]}, {})

    assert assemble(starter, _labelled(*(f"text {n}" for n in range(40))), WINDOW).splits["recent"]


def _side(dataset: FrozenDataset, text: str) -> set[str]:
    wanted = text.casefold().strip()
    return {split for split, rows in dataset.splits.items() for row in rows if row.text.casefold().strip() == wanted}


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8), st.lists(st.text(max_size=6), max_size=4))
def test_a_text_stays_on_its_side_in_every_later_dataset(texts: list[str], others: list[str]) -> None:
    first = assemble(PARENT, _labelled(*texts), WINDOW)
    alone = {text: _side(assemble(PARENT, _labelled(text.upper()), WINDOW), text.upper()) for text in texts}
    later = assemble(first, _labelled(*others, *(f" {text} " for text in texts)), WINDOW)

    for text in texts:
        assert _side(later, text) == _side(first, text)
        assert len(_side(first, text)) == 1
        if text.upper().casefold() == text.casefold():
            assert alone[text] == _side(first, text)


def test_a_mistyped_label_is_left_out_and_counted() -> None:
    frozen = assemble(PARENT, [*_labelled("dim"), *_labelled("lamp", label="outtage")], WINDOW)

    texts = {row.text for rows in frozen.splits.values() for row in rows}
    assert ("dim" in texts, "lamp" in texts) == (True, False)
    assert (frozen.lineage["feedback"], frozen.lineage["left_out"]) == (1, 1)


def test_a_label_with_rows_enough_is_learned() -> None:
    frozen = assemble(PARENT, _labelled(*(f"meter {n}" for n in range(40)), label="meter"), WINDOW)

    assert sum(row.label == "meter" for row in frozen.splits["train"]) >= 10
    assert frozen.lineage["left_out"] == 0
