"""How a dialogue is laid out for a reward model, by the same code in training and in serving."""

import json

import pytest

from pawl.errors import InvalidBundle
from pawl.reward import Layout, dialogue, parse_prompt

LAYOUT = Layout((1,), (2,), (3,))


def test_what_is_too_long_loses_its_beginning() -> None:
    assert LAYOUT.join([7, 8], [5, 6], 10) == [1, 7, 8, 2, 5, 6, 3]
    assert LAYOUT.join([7, 8], [5, 6], 6) == [1, 8, 2, 5, 6, 3]
    assert LAYOUT.join([7, 8], [4, 5, 6, 9], 5) == [1, 5, 6, 9, 3]


def test_a_layout_is_what_its_json_says() -> None:
    assert Layout.from_json(LAYOUT.to_json()) == LAYOUT


@pytest.mark.parametrize(
    "raw",
    [
        "no json",
        "[]",
        json.dumps({"schema": 1, "start": [1], "between": [2]}),
        json.dumps({"schema": 2, "start": [1], "between": [2], "end": [3]}),
        json.dumps({"schema": 1, "start": [1], "between": [-2], "end": [3]}),
        json.dumps({"schema": 1, "start": [1], "between": 2, "end": [3]}),
    ],
    ids=["no json", "a list", "a part missing", "another schema", "no token", "no list"],
)
def test_any_other_layout_is_refused(raw: str) -> None:
    with pytest.raises(InvalidBundle, match=r"reward\.json"):
        Layout.from_json(raw)


def test_a_lone_question_reads_as_its_text_and_a_conversation_names_who_speaks() -> None:
    assert dialogue([{"role": "user", "content": "Hi"}]) == dialogue("Hi") == "Hi"
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    assert dialogue(conversation) == "user: Hi\n\nassistant: Yes?"


def test_a_prompt_in_a_tensor_is_a_conversation_only_where_it_is_the_json_of_one() -> None:
    assert parse_prompt('[{"role": "user", "content": "Hi"}]') == [{"role": "user", "content": "Hi"}]
    for text in ("Hi", "[1, 2]", "[", "[]", '[{"role": "user"}]', '[{"role": "user", "content": 1}]', "[" * 100_000):
        assert parse_prompt(text) == text
