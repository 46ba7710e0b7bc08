import itertools
from typing import Any

import pytest

from feedback.comparisons import Comparison, compare
from pawl.errors import InvalidReceipt, InvalidRequest
from pawl.masking import Masker, Policy
from pawl.receipt import Receipt, ReceiptKeys

NOW = 1_700_000_000_000
KEYS = ReceiptKeys("1:" + "s" * 32)


def answer(number: int, payload: bytes = b"tell me", model: str = "assistant") -> str:
    return KEYS.sign(
        model=model,
        model_version="1",
        function_version="1",
        rows=1,
        payload=payload,
        unix_ms=NOW + number,
        random=bytes(10),
    )


A, B, C = (answer(number) for number in range(3))


def verify(text: str, called: str) -> Receipt:
    return KEYS.verify(text, now_ms=NOW, valid_days=1, name=called)


def prefer(value: Any, inference_id: str | None = None) -> Comparison:
    return compare("preference", "preference", value, inference_id, verify, Masker(Policy()))


def rank(*answers: tuple[str, int], inference_id: str | None = None) -> Comparison:
    value = [{"value": each, "rank": place} for each, place in answers]
    return compare("ranking", "ranking", value, inference_id, verify, Masker(Policy()))


@pytest.mark.parametrize(
    "value",
    [
        {"chosen": A, "rejected": B},
        {"chosen": B, "rejected": A, "margin": 0.5},
        {"chosen": B, "rejected": A, "margin": 2},
        {"tie": [A, B]},
        {"tie": [B, A]},
    ],
    ids=str,
)
def test_a_preference_is_kept_as_it_came_with_the_newer_answer_and_apart_from_other_pairs(value: Any) -> None:
    found = prefer(value)

    assert found.value == value
    assert found.receipt == verify(B, "")
    assert found.apart == prefer({"chosen": A, "rejected": B}).apart
    assert found.apart != prefer({"chosen": A, "rejected": C}).apart


def test_a_ranking_is_one_whatever_the_order_of_its_answers() -> None:
    orders = [rank(*order) for order in itertools.permutations([(A, 1), (B, 2), (C, 2)])]

    assert {(each.receipt.uuid, each.apart) for each in orders} == {(verify(C, "").uuid, orders[0].apart)}
    assert orders[0].value == [{"value": A, "rank": 1}, {"value": B, "rank": 2}, {"value": C, "rank": 2}]


def test_texts_are_compared_as_answers_to_the_input_of_one_inference() -> None:
    preference = prefer({"chosen": "Paris.", "rejected": "Rome."}, A)
    ranking = rank(("Paris.", 1), ("Rome.", 2), inference_id=A)

    assert preference.receipt == ranking.receipt == verify(A, "")
    assert preference.value == {"chosen": "Paris.", "rejected": "Rome."}


def test_texts_are_told_apart_by_what_is_kept_of_them_whoever_prefers_which() -> None:
    one, other, none = "Write to bob@example.org.", "Write to ada@example.org.", "No idea."

    better, worse = prefer({"chosen": one, "rejected": other}, A), prefer({"chosen": other, "rejected": one}, A)

    assert better.value == {"chosen": "Write to <EMAIL_2>.", "rejected": "Write to <EMAIL>."}
    assert worse.value == {"chosen": "Write to <EMAIL>.", "rejected": "Write to <EMAIL_2>."}
    assert better.apart == worse.apart == prefer(better.value, A).apart
    assert prefer({"tie": [none, one]}, A).value == {"tie": [none, "Write to <EMAIL>."]}


SHAPE = r'preference takes \{"chosen": id, "rejected": id, "margin": optional\}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("better", SHAPE),
        ({"chosen": A}, f"{SHAPE} or .*: rejected: Field required"),
        ({"chosen": A, "rejected": B, "why": "x"}, "no field 'why': want some of chosen, rejected, margin"),
        ({"chosen": A, "rejected": B, "margin": 0}, "margin.*greater than or equal to 0.000000001"),
        ({"chosen": A, "rejected": B, "margin": 1e-200}, "margin.*greater than or equal to 0.000000001"),
        ({"chosen": A, "rejected": B, "margin": 10**40}, "margin"),
        ({"chosen": A, "rejected": B, "margin": True}, "margin"),
        ({"chosen": A, "rejected": B, "margin": float("nan")}, "margin"),
        ({"tie": [A]}, r'preference takes \{"tie": \[id, id\]\}: tie'),
        ({"tie": [A, B], "chosen": A}, "no field 'chosen': want some of tie"),
        ({"chosen": A, "rejected": A}, "one is named twice"),
        ({"tie": [A, answer(0, b"other")]}, "one is named twice"),
        ({"chosen": A, "rejected": answer(9, b"other")}, "of one model to the same input"),
        ({"chosen": A, "rejected": answer(9, model="triage")}, "of one model to the same input"),
    ],
    ids=str,
)
def test_a_preference_that_is_none_is_refused_with_what_would_be_right(value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        prefer(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1}, r'ranking takes \[\{"value": id, "rank": 1\}, ...\]'),
        ([{"value": A, "rank": 1}], "ranking takes 2 to 16 answers"),
        ([{"value": A, "rank": 0}, {"value": B, "rank": 1}], "0.rank: .*greater than or equal to 1"),
        ([{"value": A, "rank": 1.5}, {"value": B, "rank": 1}], "0.rank"),
        ([{"value": A, "rank": 1}, {"value": A, "rank": 2}], "one is named twice"),
    ],
    ids=str,
)
def test_a_ranking_that_is_none_is_refused_with_what_would_be_right(value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        compare("ranking", "ranking", value, None, verify, Masker(Policy()))


def test_a_ranking_of_more_answers_than_a_person_can_compare_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="2 to 16 answers"):
        rank(*((answer(number), 1) for number in range(17)))


def test_texts_without_the_inference_they_answer_are_no_ids() -> None:
    with pytest.raises(InvalidReceipt, match="preference without an inference_id beside it takes inference_ids"):
        prefer({"chosen": "Paris.", "rejected": "Rome."})


def test_an_altered_id_never_passes_for_a_text() -> None:
    altered = A[:-1] + ("A" if A[-1] != "A" else "B")

    with pytest.raises(InvalidRequest, match="inference_ids in its value alone, or texts with the inference_id"):
        prefer({"chosen": altered, "rejected": "Rome."}, B)
