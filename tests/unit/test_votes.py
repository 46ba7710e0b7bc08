"""Votes as columns: each comes back as it was given, in an order of its own, and what fits no kind is refused."""

import pytest

from pawl.errors import InvalidRequest
from pawl.votes import Vote, Votes

LABELS = [
    Vote("3", "ada", "x", "spam", 5.0),
    Vote("1", "grace", "x", "ham"),
    Vote("2", "ada", "y", "spam", 1.0),
]
PAIRS = [
    Vote("1", "ada", ("b", "a"), "b", 1.0),
    Vote("2", "ada", ("a", "b"), "b", 2.0),
    Vote("3", "ada", ("a", "b"), None, 3.0),
]


def test_votes_come_back_as_they_were_given_ascending_by_id() -> None:
    votes = Votes.of("label", LABELS)

    assert [votes.vote(index) for index in range(len(votes))] == sorted(LABELS)
    assert [*votes.label_names] == ["ham", "spam"]


def test_booleans_and_scores_keep_their_type() -> None:
    flags = Votes.of("label", [Vote("1", "ada", "x", True), Vote("2", "ada", "y", False)])
    scores = Votes.of("score", [Vote("1", "ada", "x", 3), Vote("2", "ada", "y", -0.5)])

    assert flags.vote(0).value is True and flags.vote(1).value is False
    assert [scores.vote(0).value, scores.vote(1).value] == [3.0, -0.5]


def test_a_pair_is_the_same_item_in_either_order() -> None:
    votes = Votes.of("preference", PAIRS)

    assert list(votes.item_names) == [("a", "b")]
    assert [votes.vote(index).value for index in range(3)] == ["b", "b", None]


@pytest.mark.parametrize(
    ("kind", "vote", "message"),
    [
        ("label", Vote("1", "ada", "x", 1.5), "is no label: want true, false or a name"),
        ("label", Vote("1", "ada", ("x", "y"), True), "is no label"),
        ("score", Vote("1", "ada", "x", True), "is no score: want a finite number"),
        ("score", Vote("1", "ada", "x", float("nan")), "is no score"),
        ("preference", Vote("1", "ada", "x", "x"), "compares nothing: want two different items"),
        ("preference", Vote("1", "ada", ("x", "x"), "x"), "compares nothing"),
        ("preference", Vote("1", "ada", ("x", "y"), "z"), "prefers neither of its items"),
    ],
)
def test_a_vote_that_fits_no_kind_is_refused(kind: str, vote: Vote, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Votes.of(kind, [vote])  # type: ignore[arg-type]


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="two votes with the id '3'"):
        Votes.of("label", [*LABELS, LABELS[0]])


def test_scores_are_compared_in_nine_steps_of_their_scale() -> None:
    votes = Votes.of("score", [Vote(str(score), "ada", str(score), score) for score in range(-4, 5)])

    assert sorted(votes.steps(votes.values).tolist()) == list(range(9))


def test_gold_is_told_in_the_votes_own_code() -> None:
    labels, pairs = Votes.of("label", LABELS), Votes.of("preference", PAIRS)

    assert labels.known({"y": "spam", "elsewhere": "ham"}).tolist()[1] == 1
    assert labels.known({"y": "unheard of"}).tolist() != labels.known({"y": "spam"}).tolist()
    assert pairs.known({("a", "b"): "b"}).tolist() == [1]
    assert pairs.known({("a", "b"): None}).tolist() == [2]
