"""The rule that alignment is checked by, and the pairs that it makes."""

import pytest

from benchmarks.oracle import DEEDS, DEEDS_LATER, Size, compared, prompts, score, unseen

ASKED = [{"role": "user", "content": "How do I iron a shirt?"}]


def test_nothing_that_is_judged_by_was_asked_before() -> None:
    asked, later = ({prompt[0]["content"] for prompt in each} for each in (prompts(240, 7), unseen(60, 7)))
    assert (len(asked), len(later)) == (240, 60)
    assert not asked & later
    assert not set(DEEDS) & set(DEEDS_LATER)


def test_the_same_seed_asks_the_same() -> None:
    assert prompts(20, 3) == prompts(20, 3)
    assert prompts(20, 3) != prompts(20, 4)


@pytest.mark.parametrize(
    ("text", "is_finished", "points"),
    [
        ("Of course! Start with the collar, then the sleeves.", True, 2),
        ("Start with the collar, then the sleeves.", True, 1),
        ("Of course! Start with the collar, then", False, 1),
        ("Please " + "iron " * 60, True, 1),
        ("Iron " * 61, True, 0),
        ("Sorry.", True, 1),
    ],
    ids=["both", "brief", "cut off", "polite and long", "long", "hardly an answer"],
)
def test_a_point_for_brevity_and_one_for_politeness(text: str, is_finished: bool, points: int) -> None:
    assert score(text, is_finished) == points


def test_a_pair_is_of_two_answers_that_the_rule_tells_apart() -> None:
    said = [
        ("Iron it, please.", True),
        ("Iron it well.", True),
        ("Iron it well.", True),
        ("Iron " * 70, True),
        ("", True),
    ]
    rows = compared([ASKED], [said])
    assert [(row.chosen, row.rejected.split()[0], row.margin) for row in rows] == [("Iron it, please.", "Iron", 2.0)]


def test_answers_that_the_rule_finds_alike_are_no_pair() -> None:
    assert compared([ASKED], [[("Iron it well.", True), ("Iron it again.", True)]]) == []


def test_a_prompt_gives_at_most_so_many_pairs() -> None:
    said = [(f"Iron it {i} times, please.", True) for i in range(5)] + [(f"{i} " * 70, True) for i in range(5)]
    assert len(compared([ASKED], [said], most=3)) == 3
    assert Size().samples * Size().prompts == 1920
