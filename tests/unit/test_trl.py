"""A dataset's rows for each of TRL's trainers."""

import pytest

from pawl.pairset import PairRow
from pawl.trl import TRAINERS, trl_rows

ASKED = [{"role": "user", "content": "Name a fish."}]
ROWS = [
    PairRow("Name a bird.", "A wren.", "A bat."),
    PairRow("Name a bird.", "A bat.", "A cat."),
    PairRow("Name a bird.", "A wren.", "A cat."),
    PairRow(ASKED, "", "A whale."),
    PairRow("Name a tree.", "An oak.", ""),
    PairRow("Name a rock.", "A shoe.", "Slate.", weight=0.0),
]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_the_best_answers_alone_are_learned_by_heart_and_each_once() -> None:
    assert trl_rows(ROWS, "sft") == [
        {"prompt": "Name a bird.", "completion": "A wren."},
        {"prompt": "Name a tree.", "completion": "An oak."},
    ]


def test_comparisons_are_pairs_without_the_thumbs_beside_them() -> None:
    first, *others = trl_rows(ROWS, "dpo")

    assert first == {"prompt": "Name a bird.", "chosen": "A wren.", "rejected": "A bat."}
    assert len(others) == 2


def test_every_answer_that_somebody_judged_is_a_thumb() -> None:
    thumbs = trl_rows(ROWS, "kto")

    assert [each["label"] for each in thumbs] == [True, False] * 3 + [False, True]
    assert thumbs[-2] == {"prompt": ASKED, "completion": said("A whale."), "label": False}


def test_each_prompt_is_asked_once() -> None:
    assert trl_rows(ROWS, "grpo") == [{"prompt": "Name a bird."}, {"prompt": ASKED}, {"prompt": "Name a tree."}]


@pytest.mark.parametrize("trainer", sorted(TRAINERS))
def test_a_row_of_no_weight_says_nothing_to_any_trainer(trainer: str) -> None:
    assert not any("rock" in str(row) for row in trl_rows(ROWS, trainer))
