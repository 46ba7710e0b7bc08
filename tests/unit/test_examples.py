"""Rows for TRL's trainers: exactly the columns that each takes, from what people said of answers."""

from itertools import pairwise

from pawl.examples import (
    Answer,
    Preference,
    grpo_rows,
    kto_row,
    preference_row,
    sft_row,
)

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a bird."}]


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_a_thumb_is_a_row_for_kto_whichever_way_it_points() -> None:
    answer = Answer("Name a bird.", "A bat.")

    assert kto_row(answer, False) == {"prompt": "Name a bird.", "completion": "A bat.", "label": False}
    assert kto_row(answer, True)["label"] is True


def test_a_conversation_stays_one_and_its_completions_are_messages() -> None:
    preference = Preference(ASKED, "A wren.", "A bat.")

    assert sft_row(Answer(ASKED, "A wren.")) == {"prompt": ASKED, "completion": _said("A wren.")}
    assert preference_row(preference) == {
        "prompt": ASKED,
        "chosen": _said("A wren."),
        "rejected": _said("A bat."),
    }


def test_a_margin_is_a_column_only_where_somebody_gave_one() -> None:
    assert preference_row(Preference("p", "c", "r", 0.0)) == {
        "prompt": "p",
        "chosen": "c",
        "rejected": "r",
        "margin": 0.0,
    }
    assert set(preference_row(Preference("p", "c", "r"))) == {"prompt", "chosen", "rejected"}


def test_each_prompt_is_asked_once_in_order() -> None:
    prompts = ["b", ASKED, "a", "b", [dict(message) for message in ASKED]]

    rows = list(grpo_rows(prompts))

    assert rows == [{"prompt": "b"}, {"prompt": ASKED}, {"prompt": "a"}]
    assert all(one != other for one, other in pairwise(rows))
