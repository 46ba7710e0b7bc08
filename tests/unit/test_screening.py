"""Feedback screened: each suspicion where it is due and not where it is not, nothing dropped, nothing by order."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.collusion import connected
from pawl.errors import SettingsError
from pawl.screening import Quarantined, Screened, screen
from pawl.suspicion import Policy, binomial_survival
from pawl.votes import FIRST, SECOND, TIE, Item, Kind, Value, Vote, Votes

Says = Callable[[int, bool], Value]
HOUR = 3600.0


def _crowd(seed: int, items: int, sayings: Sequence[Says]) -> tuple[list[Vote], list[bool]]:
    """Everybody's vote on every item, an hour apart, and what is true of each."""
    truths = (np.random.default_rng(seed).random(items) < 0.5).tolist()
    votes = [
        Vote(f"{rater:03d}-{item:04d}", f"r{rater:03d}", f"i{item:04d}", says(item, truth), HOUR * item)
        for rater, says in enumerate(sayings)
        for item, truth in enumerate(truths)
    ]
    return votes, truths


def _right(seed: int, share: float) -> Says:
    generator = np.random.default_rng(1000 + seed)
    return lambda item, truth: truth if generator.random() < share else not truth


def _scoring(seed: int, deviation: float, sign: int = 1) -> Says:
    """A score of -4..4 whose truth is drawn by item, the same for all."""
    generator = np.random.default_rng(2000 + seed)

    def says(item: int, truth: bool) -> Value:
        true = np.random.default_rng(item).normal(0, 1.7)
        return float(np.clip(np.rint(sign * true + deviation * generator.normal()), -4, 4))

    return says


def _screened(votes: Iterable[Vote], kind: Kind = "label", **more: object) -> Screened:
    return screen(Votes.of(kind, votes), **more)  # type: ignore[arg-type]


def _accused(screened: Screened) -> dict[str, set[str]]:
    found = dict[str, set[str]]()
    for each in screened.quarantined():
        found.setdefault(each.reason, set()).add(each.item.rater)
    return found


def test_a_vote_is_either_kept_with_a_weight_or_quarantined_with_a_reason() -> None:
    votes, _ = _crowd(1, 60, [*(_right(n, 0.9) for n in range(8)), _right(9, 0.05)])

    screened = _screened([*votes, votes[0]._replace(id="again", at=HOUR * 99)])

    kept, quarantined = [vote for vote, _ in screened.kept()], [each.item for each in screened.quarantined()]
    assert sorted(kept + quarantined) == sorted([*votes, votes[0]._replace(id="again", at=HOUR * 99)])
    assert len(quarantined) == 61
    assert all(0 < weight <= 1 for _, weight in screened.kept())
    assert not screened.weights[~screened.is_kept].any()


def test_evidence_is_a_reason_in_words_with_its_number_and_its_limit() -> None:
    votes, _ = _crowd(2, 60, [*(_right(n, 0.9) for n in range(8)), lambda item, truth: not truth])

    found = next(_screened(votes).quarantined())

    assert isinstance(found, Quarantined) and found.reason == "against all"
    assert found.evidence.raters == ("r008",) == (found.item.rater,)
    assert found.evidence.number == 0 < found.evidence.limit
    assert found.evidence.words == (
        "rater r008 says the opposite of the others: agreement 0.00 with them, "
        f"{found.evidence.limit:.2f} would be chance"
    )


@pytest.mark.parametrize("kind", ["label", "score", "preference"])
def test_a_rater_who_says_the_opposite_of_all_others_is_quarantined(kind: Kind) -> None:
    if kind == "score":
        votes, _ = _crowd(3, 60, [*(_scoring(n, 0.8) for n in range(9)), _scoring(9, 0.8, sign=-1)])
    else:
        votes, _ = _crowd(3, 60, [*(_right(n, 0.9) for n in range(9)), _right(9, 0.1)])
    if kind == "preference":
        votes = [
            vote._replace(item=(pair := (f"a{vote.item}", f"b{vote.item}")), value=pair[vote.value is True])
            for vote in votes
        ]

    screened = _screened(votes, kind)

    assert _accused(screened) == {"against all": {"r009"}}


def test_a_rater_who_merely_guesses_is_weighed_and_not_accused() -> None:
    votes, truths = _crowd(4, 200, [*(_right(n, 0.9) for n in range(8)), _right(9, 0.5)])

    screened = _screened(votes)

    assert screened.is_kept.all()
    assert screened.trust[8] < 0.2 < 0.6 < screened.trust[:8].min()
    assert (screened.consensus == truths).all()


def test_many_votes_in_one_request_are_no_burst_and_as_many_requests_are() -> None:
    votes, _ = _crowd(5, 80, [_right(n, 0.9) for n in range(4)])
    together = [v._replace(at=0.0) if v.rater == "r002" else v for v in votes]
    apart = [v._replace(at=0.001 * int(v.id[4:])) if v.rater == "r002" else v for v in votes]
    requests = [v._replace(at=0.001 * (int(v.id[4:]) // 2)) if v.rater == "r002" else v for v in votes]

    assert _screened(together).is_kept.all()
    assert _accused(_screened(apart)) == {"burst": {"r002"}}
    assert _screened(requests).is_kept.all()


def test_a_burst_is_quarantined_and_the_same_votes_in_their_own_time_are_not() -> None:
    votes, _ = _crowd(5, 200, [_right(n, 0.9) for n in range(6)])
    hurried = [v._replace(at=0.5 * int(v.id[4:])) if v.rater == "r002" and v.id < "002-0150" else v for v in votes]
    patient = [v._replace(at=1.5 * int(v.id[4:])) if v.rater == "r002" else v for v in votes]
    timeless = [v._replace(at=None) for v in votes]

    screened = _screened(hurried)

    assert _accused(screened) == {"burst": {"r002"}}
    assert (~screened.is_kept).sum() == 150
    found = next(screened.quarantined())
    assert (found.evidence.number, found.evidence.limit) == (121, 60)
    assert _screened(patient).is_kept.all() and _screened(timeless).is_kept.all()


def test_of_a_raters_words_on_one_item_the_last_counts_and_the_rest_can_be_reviewed() -> None:
    votes, _ = _crowd(6, 40, [_right(n, 0.9) for n in range(6)])
    first = votes[0]
    same, other = (
        first._replace(id=f"late-{n}", at=HOUR * (100 + n), value=bool(first.value) ^ bool(n)) for n in (0, 1)
    )

    repeated, changed = _screened([*votes, same]), _screened([*votes, other])

    assert [(each.item, each.reason) for each in repeated.quarantined()] == [(first, "duplicate")]
    assert [(each.item, each.reason) for each in changed.quarantined()] == [(first, "superseded")]
    assert "late-1" in next(changed.quarantined()).evidence.words


def test_a_burst_of_second_votes_takes_nothing_from_the_first_ones() -> None:
    votes, _ = _crowd(15, 100, [_right(n, 0.9) for n in range(6)])
    burst = [v._replace(id=f"x{v.id}", at=HOUR * 500 + n / 10, value=not v.value) for n, v in enumerate(votes[:80])]

    screened = _screened([*votes, *burst])

    assert {(each.reason, each.item.id[0]) for each in screened.quarantined()} == {("burst", "x")}
    assert [vote for vote, _ in screened.kept()] == votes


def test_who_contradicts_themselves_beyond_chance_has_no_last_word() -> None:
    votes, _ = _crowd(7, 40, [_right(n, 0.9) for n in range(6)])
    again = [v._replace(id=f"x{v.id}", at=HOUR * 100 + HOUR * n, value=not v.value) for n, v in enumerate(votes[:12])]
    steady = [v._replace(id=f"y{v.id}", at=HOUR * 200 + HOUR * n) for n, v in enumerate(votes[40:52])]
    steady[0] = steady[0]._replace(value=not steady[0].value)

    screened = _screened([*votes, *again, *steady])

    by_rater = Counter((each.reason, each.item.rater) for each in screened.quarantined())
    assert by_rater == {("contradiction", "r000"): 24, ("superseded", "r001"): 1, ("duplicate", "r001"): 11}


def test_who_says_the_same_of_everything_is_quarantined_unless_everybody_does() -> None:
    votes, _ = _crowd(8, 60, [*(_right(n, 0.9) for n in range(8)), lambda item, truth: True])
    content, _ = _crowd(8, 60, [*(lambda item, truth: True for _ in range(8)), lambda item, truth: item > 0])

    assert _accused(_screened(votes)) == {"monotony": {"r008"}}
    assert _screened(content).is_kept.all()


@pytest.mark.parametrize("kind", ["label", "score"])
def test_raters_who_agree_on_what_only_they_believe_are_a_group(kind: Kind) -> None:
    """They agree on a value drawn for each item, by itself neither the truth nor its opposite."""
    drawn = np.random.default_rng(9).integers(0, 9, 60) - 4.0
    plot: Says = (lambda item, truth: bool(drawn[item] > 0)) if kind == "label" else (lambda item, truth: drawn[item])
    honest = [_right(n, 0.85) if kind == "label" else _scoring(n, 0.8) for n in range(16)]
    votes, _ = _crowd(9, 60, [*honest, plot, plot, plot, plot])

    screened = _screened(votes, kind)

    assert _accused(screened) == {"collusion": {"r016", "r017", "r018", "r019"}}
    evidence = next(screened.quarantined()).evidence
    assert evidence.raters == ("r016", "r017", "r018", "r019")
    assert evidence.number > evidence.limit == 0.25


def test_experts_who_agree_with_each_other_because_they_are_right_are_no_group() -> None:
    votes, truths = _crowd(10, 80, [*(_right(n, 0.65) for n in range(14)), *(_right(n, 0.98) for n in range(14, 18))])

    screened = _screened(votes)

    assert screened.is_kept.all()
    assert screened.trust[14:].min() > screened.trust[:14].max()
    assert (screened.consensus == truths).mean() > 0.95


def _dissent(every: int) -> tuple[list[Vote], list[bool]]:
    """Seven of ten raters share an error on one item of so many; three do not, and are right."""

    def misled(item: int, truth: bool) -> Value:
        return truth if item % every else not truth

    return _crowd(11, 120, [*[misled] * 7, *(_right(n, 0.99) for n in range(7, 10))])


@pytest.mark.parametrize(("known", "prevails"), [(12, False), (60, True)])
def test_a_minority_that_gold_proves_right_is_kept_and_prevails_where_gold_is_enough(
    known: int, prevails: bool
) -> None:
    votes, truths = _dissent(every=3)
    gold: dict[Item, Value] = {f"i{item:04d}": truths[item] for item in range(known)}

    screened = _screened(votes, gold=gold)

    assert not {"r007", "r008", "r009"} & {each.item.rater for each in screened.quarantined()}
    assert (screened.trust[7:].min() > screened.trust[:7].max()) == prevails
    assert ((screened.consensus == truths).mean() > 0.95) == prevails


def test_a_pair_whose_better_answer_is_known_is_as_known() -> None:
    pair: Item = ("a", "b")
    votes = [Vote(str(n), f"r{n}", pair, "a") for n in range(5)]

    assert _screened(votes, "preference").consensus.tolist() == [FIRST]
    assert _screened(votes, "preference", gold={pair: "b"}).consensus.tolist() == [SECOND]
    assert _screened(votes, "preference", gold={pair: None}).consensus.tolist() == [TIE]


def test_a_minority_that_dissents_on_a_tenth_of_the_items_is_kept_without_gold() -> None:
    votes, _ = _dissent(every=10)

    assert _screened(votes).is_kept.all()


def test_a_minority_that_dissents_as_one_on_a_third_is_taken_for_a_plot_until_a_person_restores_it() -> None:
    votes, _ = _dissent(every=3)

    screened = _screened(votes)
    reviewed = _screened(votes, restored={each.item.id for each in screened.quarantined()})

    assert _accused(screened) == {"collusion": {"r007", "r008", "r009"}}
    assert reviewed.is_kept.all()


@pytest.mark.parametrize("kind", ["label", "score"])
def test_honest_raters_are_quarantined_in_at_most_one_of_a_hundred_crowds(kind: Kind) -> None:
    """Of 60 crowds of 20 raters, from guessing to very good, some of a few votes: 1,200 raters."""
    accused = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        careful = generator.uniform(0.5, 0.98, 20)
        sayings = [
            _right(100 * seed + n, careful[n]) if kind == "label" else _scoring(100 * seed + n, 3 * (1 - careful[n]))
            for n in range(20)
        ]
        votes, _ = _crowd(seed, 40, sayings)
        most = generator.choice([1, 3, 10, 40], 20)
        accused += not _screened([v for v in votes if int(v.id[4:]) < most[int(v.id[:3])]], kind).is_kept.all()

    assert accused <= 1


def test_a_restored_vote_counts_again_whatever_the_tests_say() -> None:
    votes, _ = _crowd(12, 60, [*(_right(n, 0.9) for n in range(8)), lambda item, truth: not truth])
    quarantined = list(_screened(votes).quarantined())

    screened = _screened(votes, restored={quarantined[0].item.id})

    assert [each.item for each in screened.quarantined()] == [each.item for each in quarantined[1:]]
    assert quarantined[0].item in [vote for vote, _ in screened.kept()]


def test_a_policy_of_ones_own_is_followed() -> None:
    votes, _ = _crowd(13, 30, [_right(n, 0.9) for n in range(6)])

    screened = _screened(votes, policy=Policy(burst_votes=5, burst_s=6 * HOUR))

    assert set(_accused(screened)) == {"burst"} and not screened.is_kept.any()
    assert np.isnan(screened.consensus).all()


def test_monotony_of_thousands_of_votes_is_a_number_still() -> None:
    votes, _ = _crowd(14, 2500, [*(_right(n, 0.99) for n in range(3)), lambda item, truth: True])

    evidence = next(_screened(votes).quarantined()).evidence

    assert evidence.words == "rater r003 says the same in all 2500 votes, by chance 0 in others"
    assert evidence.number == 0


@pytest.mark.parametrize("wrong", [{"risk": 0.0}, {"unsteady": 1.0}])
def test_a_policy_that_cannot_be_followed_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="want more than 0 and less than 1"):
        Policy(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["label", "score", "preference"])
def test_nothing_to_screen_is_no_trouble(kind: Kind) -> None:
    screened = _screened([], kind)

    assert list(screened.kept()) == list(screened.quarantined()) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["label", "score"]))
def test_the_order_of_votes_changes_nothing_not_even_a_rounding(seed: int, kind: Kind) -> None:
    honest = [_right(seed + n, 0.85) if kind == "label" else _scoring(seed + n, 0.8) for n in range(6)]
    hostile: Says = (lambda item, truth: not truth) if kind == "label" else _scoring(seed, 0.5, sign=-1)
    votes, _ = _crowd(seed, 25, [*honest, hostile])
    votes.append(votes[3]._replace(id="again", at=HOUR * 50))
    mixed = [votes[index] for index in np.random.default_rng(seed).permutation(len(votes))]

    one, other = _screened(votes, kind), _screened(mixed, kind)

    assert one.weights.tolist() == other.weights.tolist()
    assert one.consensus.tolist() == other.consensus.tolist()
    assert list(one.quarantined()) == list(other.quarantined())


def test_groups_are_what_links_connect() -> None:
    assert connected([]) == []
    assert connected([(3, 4), (1, 2), (4, 9)]) == [[1, 2], [3, 4, 9]]


@pytest.mark.parametrize(("hits", "tries", "chance"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.25), (400, 1000, 0.35)])
def test_a_binomial_tail_is_exact(hits: int, tries: int, chance: float) -> None:
    terms = (math.comb(tries, k) * chance**k * (1 - chance) ** (tries - k) for k in range(hits, tries + 1))

    assert binomial_survival(hits, tries, chance) == pytest.approx(sum(terms), rel=1e-9)
