"""Thumbs on single answers: which become rows, what they weigh, and what was left out and why."""

import pytest
from tests.unit.comparisons import METRICS_DECLARED, MODEL, Conversations, rows_of

from pawl.dataset import CARD
from pawl.metrics import declared
from pawl.pairset import PairDataset, PairRow, freeze_pairs, thaw_pairs
from pawl.tombstones import Tombstones, subject_digest
from retrain.freezing import Frozen, Rules
from retrain.thumbs import graded
from retrain.trust import Trust


def told(frozen: Frozen) -> dict[str, bool]:
    """Which single answers are good."""
    return {row.chosen or row.rejected: bool(row.chosen) for row in rows_of(frozen) if row.is_thumb}


def asked_thrice(world: Conversations, count: int) -> list[str]:
    """So many answers to as many different questions."""
    return [world.answer(f"where does bird {n} of hill {n} sleep", f"in tree {n} of {n}") for n in range(count)]


def test_a_thumb_becomes_a_row_of_one_answer_with_its_conversation() -> None:
    world = Conversations()
    good, bad = world.answer("Name a bird.", "A wren."), world.answer("Name a fish, please.", "A cat.")
    world.thumb(good, True, user="eve")
    world.thumb(bad, False)

    rows = {row.chosen: row for row in rows_of(world.freeze())}

    assert (rows["A wren."].rejected, rows["A wren."].answers) == ("", (good.split(".")[1],))
    assert rows["A wren."].prompt[-1] == {"role": "user", "content": "Name a bird."}
    assert rows["A wren."].subject == subject_digest("eve")
    assert rows[""].rejected == "A cat."
    assert all(0 < row.weight < 1 for row in rows.values())


def test_the_metrics_that_grade_are_thumbs_up_and_what_is_declared_to_teach() -> None:
    assert sorted(graded(METRICS_DECLARED, MODEL)) == ["harmful", "stars", "thumbs_up"]
    elsewhere = declared('{"solved": {"type": "boolean", "teaches": true, "models": ["triage"]}}')
    episodes = declared('{"solved": {"type": "boolean", "teaches": true, "level": "episode"}}')
    assert sorted(graded(elsewhere, MODEL)) == sorted(graded(episodes, MODEL)) == ["thumbs_up"]


def test_what_is_to_be_little_is_good_where_it_is_not() -> None:
    world = Conversations()
    safe, harmful = world.answer("Name a bird.", "A wren."), world.answer("Name a fish, please.", "A cat.")
    world.thumb(safe, False, metric="harmful")
    world.thumb(harmful, True, metric="harmful")

    assert told(world.freeze()) == {"A wren.": True, "A cat.": False}


def test_a_number_above_the_middle_of_its_metric_is_a_thumb_up_and_one_in_the_middle_says_nothing() -> None:
    world = Conversations()
    for number, answer in enumerate(asked_thrice(world, 5)):
        world.thumb(answer, float(number), metric="stars")
        world.thumb(answer, float(-number), metric="speed")  # teaches nothing

    frozen = world.freeze()

    assert told(frozen) == {f"in tree {n} of {n}": n > 2 for n in (0, 1, 3, 4)}
    assert frozen.dataset.lineage["left_out"]["untrusted"] == 1


def test_raters_who_agree_weigh_more_and_those_who_cancel_out_say_nothing() -> None:
    world = Conversations()
    one, both, disputed = asked_thrice(world, 3)
    world.thumb(one, True)
    for rater in ("ada", "bob"):
        world.thumb(both, True, rater)
    world.thumb(disputed, True, "cleo")
    world.thumb(disputed, False, "dora")

    frozen = world.freeze()

    weights = {row.chosen or row.rejected: row.weight for row in rows_of(frozen)}
    assert weights["in tree 1 of 1"] > weights["in tree 0 of 0"]
    assert weights.get("in tree 2 of 2", 0.0) < 0.1
    assert frozen.dataset.lineage["raters"] == 4


def test_one_rater_in_two_metrics_of_an_answer_speaks_once() -> None:
    world = Conversations()
    alone, twice = world.answer("Name a bird.", "A wren."), world.answer("Name a fish, please.", "A carp.")
    torn = world.answer("What do owls eat at night?", "Stones.")
    for answer, rater, says_harmful in ((alone, "ada", None), (twice, "bob", False), (torn, "cleo", True)):
        world.thumb(answer, True, rater)
        if says_harmful is not None:
            world.thumb(answer, says_harmful, rater, metric="harmful")

    weights = {row.chosen or row.rejected: row.weight for row in rows_of(world.freeze())}

    assert weights["A carp."] == pytest.approx(weights["A wren."], abs=0.1)
    assert weights["Stones."] < 0.3 * weights["A wren."]


def test_hasty_thumbs_and_those_that_never_differ_wait_in_quarantine() -> None:
    world = Conversations()
    answers = asked_thrice(world, 40)
    for number, answer in enumerate(answers):
        for rater in ("ada", "bob", "cleo"):
            world.thumb(answer, number % 2 == 0, rater)
        world.thumb(answer, True, "always")

    frozen = world.freeze()

    assert {(entry.rater, entry.reason) for entry in frozen.quarantined} == {("always", "monotony")}
    assert all(entry.value is True and entry.metric == "thumbs_up" for entry in frozen.quarantined)
    assert frozen.dataset.lineage["quarantined"] == {"monotony": 40}
    assert told(frozen) == {f"in tree {n} of {n}": n % 2 == 0 for n in range(40)}

    hasty = world.freeze(rules=Rules(Trust.from_json('{"burst_votes": 1, "burst_s": 3600, "trusted": ["ada"]}')))
    assert {entry.reason for entry in hasty.quarantined} == {"burst"}
    assert {entry.rater for entry in hasty.quarantined} == {"always", "bob", "cleo"}

    restored = frozenset(entry.feedback_id for entry in frozen.quarantined)
    assert world.freeze(rules=Rules(restored=restored)).quarantined == []


def test_a_rater_who_contradicts_themselves_is_set_aside() -> None:
    world = Conversations()
    for number in range(12):
        for value in (True, False):  # the same text answered twice
            world.thumb(world.answer(f"where does bird {number} sleep", f"in tree {number}"), value)

    frozen = world.freeze()

    assert {entry.reason for entry in frozen.quarantined} == {"contradiction"}
    assert rows_of(frozen) == []
    assert frozen.dataset.lineage["left_out"]["quarantined"] == 12


def test_a_thumb_on_a_text_that_is_compared_already_is_a_repeat_and_so_is_one_on_nearly_the_same_text() -> None:
    world = Conversations()
    better, worse = world.answer("Name a bird.", "A wren it is."), world.answer("Name a bird.", "A cat it is.")
    world.prefer(better, worse)
    world.thumb(worse, True)
    for text in ("It sleeps in the old tree.", "it sleeps, in the old tree"):
        world.thumb(world.answer("Where does it sleep?", text), True)

    frozen = world.freeze()

    assert frozen.dataset.lineage["left_out"]["repeat"] == 2
    assert (frozen.learned, frozen.dataset.lineage["thumbs"]) == (2, 1)


@pytest.mark.parametrize(
    ("texts", "value", "reason"),
    [(("A wren.", "A cat."), True, "several texts"), ((" ",), False, "no text"), (("A wren.",), 4.5, "unreadable")],
    ids=["several", "empty", "no boolean"],
)
def test_a_thumb_that_says_nothing_of_one_text_is_counted_and_left_out(
    texts: tuple[str, ...], value: bool | float, reason: str
) -> None:
    world = Conversations()
    world.thumb(world.answer("Name a bird.", *texts), value)

    frozen = world.freeze()

    assert rows_of(frozen) == []
    assert frozen.dataset.lineage["left_out"][reason] == 1


def test_a_thumb_on_an_episode_or_on_what_was_not_captured_is_counted_and_left_out() -> None:
    world = Conversations()
    world.thumb(world.answer("Name a bird.", "A wren."), True)
    world.thumb(world.answer("Name a fish.", "A carp."), True)
    del world.feedback[0]["inference_id"]
    world.records.clear()

    left_out = world.freeze().dataset.lineage["left_out"]

    assert (left_out["unreadable"], left_out["without answer"]) == (1, 1)


def test_thumbs_are_held_out_with_their_prompts_and_whoever_asked() -> None:
    world = Conversations()
    for number in range(16):
        asker = f"asker-{number % 8}"
        prompt = f"where does bird {number // 2} of hill {number // 2} sleep"
        world.thumb(world.answer(prompt, f"in tree {number} of {number}", asked_by=asker), number % 3 == 0)

    frozen = world.freeze()

    assert isinstance(frozen.dataset, PairDataset)
    train, holdout = (frozen.dataset.splits[split] for split in ("train", "holdout"))
    assert len(train) + len(holdout) == 16 and len(holdout) == 4
    assert not {repr(row.prompt) for row in train} & {repr(row.prompt) for row in holdout}
    assert not {row.subject for row in train} & {row.subject for row in holdout}


def test_who_was_erased_has_no_thumb_in_a_later_dataset() -> None:
    world = Conversations()
    theirs, others, gone = asked_thrice(world, 3)
    world.thumb(theirs, True, "eve")
    world.thumb(others, True, "bob")
    world.thumb(gone, True, "bob")
    parent = world.freeze().dataset
    assert isinstance(parent, PairDataset)

    rules = Rules(erased=Tombstones(frozenset({subject_digest("eve")}), frozenset({gone.split(".")[1]})))
    frozen = world.freeze(parent, rules)

    assert set(told(frozen)) == {"in tree 1 of 1"}
    left_out = frozen.dataset.lineage["left_out"]
    assert (left_out["erased"], left_out["erased row"]) == (2, 2)


def test_a_later_dataset_inherits_thumbs_and_learns_none_of_them_again() -> None:
    world = Conversations()
    for number, answer in enumerate(asked_thrice(world, 8)):
        world.thumb(answer, number % 2 == 0)
    first = world.freeze()
    assert isinstance(first.dataset, PairDataset)

    second = world.freeze(first.dataset)

    assert (first.learned, second.learned) == (8, 0)
    assert {**second.dataset.splits} == first.dataset.splits


def test_thumbs_survive_freezing_and_the_card_counts_them() -> None:
    world = Conversations()
    for number, answer in enumerate(asked_thrice(world, 8)):
        world.thumb(answer, number % 4 != 0)

    dataset = world.freeze().dataset

    assert isinstance(dataset, PairDataset)
    assert (thaw_pairs(dataset.files).splits, dataset.thumbs) == (dataset.splits, 8)
    card = dataset.files[CARD].decode()
    assert "0 new pairs of answers and 8 new thumbs" in card
    up, down = (sum(bool(getattr(row, name)) for row in dataset.splits["train"]) for name in ("chosen", "rejected"))
    assert f"| train | 0 | {up} | {down} | 6 |" in card


def test_what_compares_is_told_apart_from_what_grades() -> None:
    pair, thumb = PairRow("a", "yes", "no"), PairRow("a", "", "no")
    dataset = freeze_pairs("parrot", {"train": [pair, thumb], "holdout": [thumb]}, {})

    assert (dataset.compared.splits, dataset.thumbs) == ({"train": [pair]}, 2)
