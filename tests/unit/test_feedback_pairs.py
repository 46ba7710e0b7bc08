"""Files of pairs: what is no pair is refused with its line and what would be right."""

import json
from typing import Any

import pytest

from feedback.pairs import FILE_PAIRS, NewPair, parse
from pawl.errors import InvalidRecord

WITH_RECEIPTS: dict[str, Any] = {
    "prompt": "Name a bird.",
    "answers": [{"text": "Wren.", "inference_id": "1.a"}, {"text": "Cat.", "inference_id": "1.b"}],
}
TEXTS = {
    "prompt": "Name a bird.",
    "answers": [{"text": "Wren."}, {"text": "Cat."}],
    "inference_id": "1.a",
    "gold": 1,
    "chance": 0.9,
}


def lines(*rows: Any) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_answers_have_receipts_of_their_own_or_are_texts_beside_one() -> None:
    own, beside = parse(lines(WITH_RECEIPTS, TEXTS) + b"\n\n")

    assert [answer.name for answer in own.answers] == ["1.a", "1.b"]
    assert [answer.name for answer in beside.answers] == ["Wren.", "Cat."]
    assert (own.gold, own.chance, beside.gold, beside.chance) == (None, 0.5, 1, 0.9)


WRONG = {
    "no receipt": ({**WITH_RECEIPTS, "answers": TEXTS["answers"]}, "want an inference_id in both answers, or one"),
    "three receipts": ({**WITH_RECEIPTS, "inference_id": "1.c"}, "want an inference_id in both answers, or one"),
    "one receipt": (
        {**TEXTS, "answers": [{"text": "Wren.", "inference_id": "1.a"}, {"text": "Cat."}]},
        "want an inference_id in both answers, or one",
    ),
    "the same twice": ({**TEXTS, "answers": [{"text": "Wren."}] * 2}, "want two different answers"),
    "one answer": ({**TEXTS, "answers": [{"text": "Wren."}]}, "answers: .* at least 2 items"),
    "a third as gold": ({**TEXTS, "gold": 3}, "gold: Input should be 0, 1 or 2"),
    "more than sure": ({**TEXTS, "chance": 1.5}, "chance: .* less than or equal to 1"),
    "an unknown field": ({**TEXTS, "golden": 1}, "no field 'golden': want some of prompt, answers"),
    "an empty prompt": ({**TEXTS, "prompt": ""}, "prompt: "),
    "no object": ("pair", "valid dictionary|object"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_pair_is_refused_with_its_line(wrong: str) -> None:
    row, told = WRONG[wrong]

    with pytest.raises(InvalidRecord, match=f"^line 2: .*(?:{told})"):
        parse(lines(WITH_RECEIPTS, row))


@pytest.mark.parametrize("number", [0, FILE_PAIRS + 1])
def test_an_empty_file_and_one_too_large_are_refused(number: int) -> None:
    with pytest.raises(InvalidRecord, match=f"{number} pairs: want 1 to {FILE_PAIRS}"):
        parse(lines(*[TEXTS] * number))


ID = f"k1.{'0' * 32}.assistant.1.3.1.abc.mac"
UNNAMED = {
    "beside": {**TEXTS, "inference_id": "1.a"},
    "one of two": {**WITH_RECEIPTS, "answers": [{"text": "Wren.", "inference_id": ID}, WITH_RECEIPTS["answers"][1]]},
    "empty": {**TEXTS, "inference_id": ""},
}


@pytest.mark.parametrize("wrong", UNNAMED)
def test_a_pair_whose_id_is_none_is_not_taken_in(wrong: str) -> None:
    good = {**TEXTS, "inference_id": ID}
    assert len(parse(lines(good), NewPair)) == 1

    with pytest.raises(InvalidRecord, match=r"^line 2: want every inference_id as an answer came with it"):
        parse(lines(good, UNNAMED[wrong]), NewPair)
