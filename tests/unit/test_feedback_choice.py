"""Pairs are asked where a label teaches most, with gold among them."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.choice import GOLD_SHARE, Candidate, choose


def order(*candidates: Candidate) -> list[str]:
    return [each.id for each in choose(candidates, len(candidates), Random(1))]


def test_pairs_with_fewest_labels_come_first_and_of_equally_many_those_in_dispute() -> None:
    asked = order(
        Candidate("agreed", 2, 0),
        Candidate("new"),
        Candidate("disputed", 1, 1),
        Candidate("once", 0, 1),
        Candidate("often agreed", 0, 6),
        Candidate("often disputed", 3, 3),
    )

    assert asked == ["new", "once", "disputed", "agreed", "often disputed", "often agreed"]


def test_of_unlabelled_pairs_the_one_that_a_reward_model_cannot_tell_comes_first() -> None:
    assert order(Candidate("sure", chance=0.98), Candidate("open", chance=0.5), Candidate("likely", chance=0.2)) == [
        "open",
        "likely",
        "sure",
    ]


def test_a_tie_is_less_than_agreement_and_as_much_as_a_dispute() -> None:
    assert Candidate("", 0.5, 0.5).worth > Candidate("", 1, 0).worth
    assert Candidate("", 0.5 + 0.5, 0.5 + 0.5).worth == Candidate("", 1, 1).worth


@given(st.floats(0, 40), st.floats(0, 40), st.floats(0.01, 0.99))
def test_the_worth_is_the_variance_that_a_label_is_expected_to_take(first: float, second: float, chance: float) -> None:
    """By its definition: what the variance is, less what it will be after each answer, as likely as that is."""

    def variance(won: float, lost: float) -> float:
        a, b = 2 * chance + won, 2 * (1 - chance) + lost
        return a * b / ((a + b) ** 2 * (a + b + 1))

    likely = (2 * chance + first) / (2 + first + second)
    after = likely * variance(first + 1, second) + (1 - likely) * variance(first, second + 1)

    assert Candidate("", first, second, chance).worth == pytest.approx(variance(first, second) - after, rel=1e-6)


def test_gold_pairs_are_strewn_among_the_others_at_their_share() -> None:
    plain = [Candidate(f"p{n}") for n in range(4000)]
    gold = [Candidate(f"g{n}", is_gold=True) for n in range(4000)]

    asked = choose([*plain, *gold], 2000, Random(7))

    places = [place for place, each in enumerate(asked) if each.is_gold]
    assert len(places) == pytest.approx(2000 * GOLD_SHARE, abs=40)  # three standard deviations
    assert len(Counter(place % 10 for place in places)) == 10  # at no place that could be told


def test_gold_is_asked_too_when_nothing_else_is_left_and_nothing_twice() -> None:
    candidates = [Candidate("p"), *(Candidate(f"g{n}", is_gold=True) for n in range(3))]

    assert sorted(order(*candidates)) == ["g0", "g1", "g2", "p"]
    assert len(choose(candidates, 2, Random(1))) == 2
    assert choose([], 10, Random(1)) == []


def test_raters_who_come_at_once_begin_with_different_pairs() -> None:
    candidates = [Candidate(f"p{n}") for n in range(20)]

    firsts = {choose(candidates, 1, Random(seed))[0].id for seed in range(200)}

    assert firsts == {each.id for each in candidates}
