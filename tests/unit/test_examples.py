"""Rows for TRL's trainers: exactly the columns that each takes, from what people said of answers."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.errors import InvalidRequest
from pawl.examples import (
    Answer,
    Preference,
    demonstrated,
    grpo_rows,
    kto_row,
    preference_row,
    preferences,
    sft_row,
)

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a bird."}]
ANSWERS = {name: Answer("Name a bird.", f"answer {name}") for name in "abcd"}


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _pairs(metric: str, value: Any) -> list[tuple[str, str]]:
    return [(each.chosen[-1], each.rejected[-1]) for each in preferences(ANSWERS, metric, value)]


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


def test_a_preference_names_the_better_and_the_worse_answer() -> None:
    (found,) = preferences(ANSWERS, "preference", {"chosen": "b", "rejected": "a", "margin": 1.5})

    assert found == Preference("Name a bird.", "answer b", "answer a", 1.5)


def test_ties_are_dropped() -> None:
    ranking = [{"value": "a", "rank": 1}, {"value": "b", "rank": 1}, {"value": "c", "rank": 2}]

    assert _pairs("preference", {"tie": ["a", "b"]}) == []
    assert _pairs("ranking", ranking) == [("a", "c"), ("b", "c")]


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_a_ranking_is_every_pair_of_different_ranks_once(ranks: list[int]) -> None:
    value = [{"value": name, "rank": rank} for name, rank in zip("abcd", ranks, strict=False)]
    rank_of = {each["value"]: each["rank"] for each in value}

    pairs = _pairs("ranking", value)

    assert all(rank_of[better] < rank_of[worse] for better, worse in pairs)
    assert len(set(pairs)) == len(pairs)
    assert len(pairs) == sum(x != y for place, x in enumerate(ranks) for y in ranks[place + 1 :])


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("preference", {"chosen": "a", "rejected": "z"}),
        ("ranking", [{"value": "z", "rank": 1}, {"value": "a", "rank": 2}]),
    ],
)
def test_an_answer_that_is_not_given_is_refused(metric: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match="1 of the answers compared are not among those given"):
        list(preferences(ANSWERS, metric, value))


def test_answers_to_different_prompts_are_not_compared() -> None:
    answers = {"a": Answer(ASKED, "x"), "b": Answer("Name a bird.", "y")}

    with pytest.raises(InvalidRequest, match="different prompts"):
        list(preferences(answers, "preference", {"chosen": "a", "rejected": "b"}))


def test_a_demonstration_is_learned_and_preferred_to_the_answer_that_it_mends() -> None:
    given = Answer(ASKED, "A bat.")

    assert demonstrated(given, "A wren.") == (Answer(ASKED, "A wren."), Preference(ASKED, "A wren.", "A bat."))
    assert demonstrated(given, "A bat.") == (given, None)


def test_each_prompt_is_asked_once_in_order() -> None:
    prompts = ["b", ASKED, "a", "b", [dict(message) for message in ASKED]]

    rows = list(grpo_rows(prompts))

    assert rows == [{"prompt": "b"}, {"prompt": ASKED}, {"prompt": "a"}]
    assert all(one != other for one, other in pairwise(rows))
