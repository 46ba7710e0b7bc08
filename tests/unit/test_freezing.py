"""The next dataset: what people agree on of a model's traffic, with what was left out and why."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.freezes import KEYS, PARENT, World, new_rows

from pawl.dataset import CARD, MANIFEST, FrozenDataset, Row, freeze, thaw
from pawl.errors import InvalidDataset
from pawl.tombstones import Tombstones, subject_digest
from retrain.freezing import Rules
from retrain.trust import Trust

TEXTS = [f"question number {n} about lamp {n * 7}" for n in range(200)]


def _label_by_crowd(world: World, texts: list[str], raters: dict[str, str]) -> None:
    """Each rater says the same of every text; raters map to what they say."""
    for text in texts:
        inference_id = world.answer(text)
        for rater, label in raters.items():
            world.say(inference_id, label, rater=rater)


def test_each_row_of_an_answer_gets_its_own_label() -> None:
    world = World()
    world.say(world.answer("one", "two"), "outage", "billing")
    world.label("outage", "three")

    assert new_rows(world.freeze()) == {"one": "outage", "two": "billing", "three": "outage"}


def test_other_metrics_say_nothing_of_labels_and_a_correction_of_labels_does() -> None:
    world = World()
    world.say(world.answer("one"), "outage", metric="comment")
    world.say(world.answer("two"), "outage", metric="correction")

    assert new_rows(world.freeze()) == {"two": "outage"}


def test_a_correction_that_came_through_the_api_is_learned() -> None:
    world = World()
    world.send(world.answer("one"), "correction", {"outputs": [{"name": "label", "data": ["outage"]}]}, rater="ada")
    two_rows = {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["outage", "billing"]}
    other = {"name": "probabilities", "data": [[0.9, 0.1], [0.2, 0.8]]}
    world.send(world.answer("two", "three"), "correction", {"outputs": [other, two_rows]}, rater="ada")

    assert new_rows(world.freeze()) == {"one": "outage", "two": "outage", "three": "billing"}


def test_a_text_asked_often_is_learned_once_as_first_asked_by_the_raters_last_word() -> None:
    world = World()
    world.label("outage", "No lamp")
    world.label("billing", " no LAMP ")

    assert new_rows(world.freeze()) == {"No lamp": "billing"}


def test_raters_who_are_mostly_right_outvote_more_raters_who_are_not() -> None:
    world = World()
    truths = ["outage" if n % 2 else "billing" for n in range(120)]
    for n, truth in enumerate(truths):
        inference_id, false = world.answer(TEXTS[n]), "billing" if truth == "outage" else "outage"
        for rater in ("ada", "bob"):
            world.say(inference_id, truth, rater=rater)
        for place, rater in enumerate(("x", "y", "z")):
            # Each is right on three of five texts; together they are the majority, and wrong, on every fifth.
            world.say(inference_id, false if n % 5 == 0 or n % 5 == place + 1 else truth, rater=rater)

    frozen = world.freeze()

    assert new_rows(frozen) == dict(zip(TEXTS, truths, strict=False))


def test_a_rare_label_that_only_one_rater_gave_stays_theirs() -> None:
    world = World()
    world.label("outage", *TEXTS[:150])
    world.label("billing", TEXTS[150])

    assert new_rows(world.freeze())[TEXTS[150]] == "billing"


def test_suspicious_votes_are_set_aside_with_evidence_and_everybody_elses_count() -> None:
    world = World()
    _label_by_crowd(world, TEXTS[:30], {"ada": "outage"})
    inference_ids = [*(record.inference_id for record in world.records), *map(world.answer, TEXTS[30:110])]
    for place, inference_id in enumerate(inference_ids):
        world.say(inference_id, "billing", rater="fast", after_min=300.0 - place + place / 200)

    frozen = world.freeze()

    assert new_rows(frozen) == dict.fromkeys(TEXTS[:30], "outage")
    fast = [entry for entry in frozen.quarantined if entry.rater == "fast"]
    assert (len(fast), {entry.reason for entry in fast}) == (110, {"burst"})
    assert fast[0].evidence == "rater fast gives 110 votes within 60 s; a person at most 60"
    assert (fast[0].number, fast[0].limit) == (110.0, 60.0)
    assert frozen.dataset.lineage["left_out"]["quarantined"] == 80
    assert frozen.dataset.lineage["quarantined"] == {"burst": 110}


def _burst(world: World) -> list[str]:
    inference_ids = [world.answer(text) for text in TEXTS[:80]]
    return [
        world.say(each, "outage", rater="fast", after_min=200.0 - place + place / 200)
        for place, each in enumerate(inference_ids)
    ]


def test_restored_feedback_counts_and_is_in_quarantine_no_more() -> None:
    world = World()
    feedback_ids = _burst(world)

    frozen = world.freeze(rules=Rules(restored=frozenset(feedback_ids[:2])))

    assert new_rows(frozen) == dict.fromkeys(TEXTS[:2], "outage")
    assert sorted(entry.feedback_id for entry in frozen.quarantined) == sorted(feedback_ids[2:])


def test_what_is_said_of_a_version_after_the_next_one_was_frozen_is_learned_by_the_one_after() -> None:
    world = World()
    world.label("billing", "before the freeze")
    frozen = world.freeze()
    assert isinstance(frozen.dataset, FrozenDataset)
    world.label("outage", "after the freeze")
    world.say(world.answer("by the next version", version="4"), "outage")

    later = world.freeze(frozen.dataset, version="4")

    assert new_rows(later, frozen.dataset) == {"after the freeze": "outage", "by the next version": "outage"}
    assert (later.learned, later.dataset.lineage["left_out"]["known"]) == (2, 1)


def test_restored_feedback_counts_after_another_version_has_gone_live() -> None:
    world = World()
    feedback_ids = _burst(world)

    frozen = world.freeze(rules=Rules(restored=frozenset(feedback_ids[:2])), version="4")

    assert new_rows(frozen) == dict.fromkeys(TEXTS[:2], "outage")


def test_a_trusted_raters_bursts_count() -> None:
    world = World()
    _burst(world)

    frozen = world.freeze(rules=Rules(trust=Trust(trusted=frozenset({"fast"}))))

    assert new_rows(frozen) == dict.fromkeys(TEXTS[:80], "outage")
    assert frozen.quarantined == []


def test_many_labels_in_one_request_are_no_burst() -> None:
    world = World()
    world.say(world.answer(*TEXTS[:100]), *["outage"] * 100)
    for place, text in enumerate(TEXTS[100:]):
        world.say(world.answer(text), "outage", rater="sync", after_min=300.0 - place - 1)

    assert len(new_rows(world.freeze())) == len(TEXTS)


def test_the_next_dataset_holds_the_parents_rows_where_they_were() -> None:
    world = World()
    world.label("outage", *TEXTS[:40])

    splits = world.freeze().dataset.splits

    assert splits["holdout"] == PARENT.splits["holdout"]
    assert splits["train"][:2] == PARENT.splits["train"]
    assert splits["recent"][:1] == PARENT.splits["recent"]
    assert len(splits["train"]) + len(splits["recent"]) == 43


@pytest.mark.parametrize("text", ["no light", "wrong sum", " WRONG SUM\n", "Dark"])
def test_a_text_that_the_parent_knows_changes_no_split(text: str) -> None:
    world = World()
    world.label("outage", text)

    frozen = world.freeze()

    assert frozen.dataset.splits == PARENT.splits
    assert (frozen.learned, frozen.dataset.lineage["left_out"]["known"]) == (0, 1)


def test_what_nearly_repeats_an_inherited_or_an_earlier_text_is_left_out() -> None:
    long = "since yesterday evening the lamp in the upper hall goes on and off by itself every few minutes"
    parent = freeze("triage", {**PARENT.splits, "holdout": [Row(long, "outage")]}, {})
    world = World()
    world.label("billing", f"{long} please", TEXTS[0], f"{TEXTS[0]}!")

    frozen = world.freeze(parent)

    assert new_rows(frozen, parent) == {TEXTS[0]: "billing"}
    assert frozen.dataset.lineage["left_out"]["near duplicate"] == 2


def test_a_mistyped_label_is_left_out_and_counted() -> None:
    world = World()
    world.label("outage", "dim")
    world.label("outtage", "lamp")

    frozen = world.freeze()

    assert new_rows(frozen) == {"dim": "outage"}
    assert (frozen.learned, frozen.dataset.lineage["left_out"]["rare label"]) == (1, 1)


def test_a_label_with_rows_enough_is_learned() -> None:
    world = World()
    world.label("meter", *TEXTS[:40])

    frozen = world.freeze()

    assert sum(row.label == "meter" for row in frozen.dataset.splits["train"]) >= 10
    assert frozen.dataset.lineage["left_out"]["rare label"] == 0


def test_feedback_without_a_captured_answer_is_counted() -> None:
    world = World()
    world.label("outage", "one", "two")
    world.records.pop()

    frozen = world.freeze()

    assert new_rows(frozen) == {"one": "outage"}
    assert frozen.dataset.lineage["left_out"]["without answer"] == 1


def test_an_erased_rater_subject_or_answer_is_in_no_later_dataset() -> None:
    world = World()
    world.label("outage", "by ada", rater="ada")
    world.label("outage", "about bob", rater="carl", subject="bob")
    world.label("outage", "for eve", rater="carl", user="eve")
    world.label("outage", "asked once", "stays", rater="carl")
    subjects = frozenset(map(subject_digest, ("ada", "bob", "eve")))
    answers = frozenset({world.records[3].inference_id.split(".")[1]})

    frozen = world.freeze(rules=Rules(erased=Tombstones(subjects, answers)))

    assert new_rows(frozen) == {"stays": "outage"}
    assert frozen.dataset.lineage["left_out"]["erased"] == 4


def test_a_row_knows_who_asked_by_their_pseudonym_unless_feedback_names_somebody() -> None:
    world = World()
    world.say(world.answer("asked by ada", asked_by="5c1a"), "outage", rater="carl")
    world.say(world.answer("about bob", asked_by="5c1a"), "outage", rater="carl", subject="bob")

    rows = [row for split in world.freeze().dataset.splits.values() for row in split if row.answer]

    subjects = {row.text: row.subject for row in rows}
    assert subjects == {"asked by ada": "5c1a", "about bob": subject_digest("bob")}


def test_what_an_erased_subject_asked_is_in_no_later_dataset_though_others_labelled_it() -> None:
    world = World()
    world.say(world.answer("asked by ada", asked_by="5c1a"), "outage", rater="carl")
    world.say(world.answer("asked by bob", asked_by="77f0"), "outage", rater="carl")

    frozen = world.freeze(rules=Rules(erased=Tombstones(frozenset({"5c1a"}))))

    assert new_rows(frozen) == {"asked by bob": "outage"}
    again = World().freeze(frozen.dataset, Rules(erased=Tombstones(frozenset({"77f0"}))))
    assert again.dataset.lineage["left_out"]["erased row"] == 1


def test_who_asked_takes_their_text_along_though_feedback_names_another() -> None:
    world = World()
    world.say(world.answer("lamp dead", asked_by="5c1a"), "outage", user="session-17")
    frozen = world.freeze()
    assert isinstance(frozen.dataset, FrozenDataset)

    (row,) = (row for rows in frozen.dataset.splits.values() for row in rows if row.text == "lamp dead")

    assert row.whose == (subject_digest("session-17"), "5c1a")
    for erased in row.whose:
        again = World().freeze(frozen.dataset, Rules(erased=Tombstones(frozenset({erased}))))
        assert again.dataset.lineage["left_out"]["erased row"] == 1


def test_one_person_whom_feedback_names_and_requests_tell_by_a_pseudonym_is_on_one_side() -> None:
    world, person_of = World(), dict[str, str]()
    for number, text in enumerate(TEXTS[:96]):
        person = f"person {number % 24}"
        inference_id = world.answer(text, asked_by="" if number % 2 else KEYS.pseudonym(person))
        person_of[text] = person
        world.send(inference_id, "label", "outage", rater="ada", **({"user": person} if number >= 48 else {}))
        if number < 48 and number % 2:
            world.feedback.pop()

    frozen = world.freeze()

    assert isinstance(frozen.dataset, FrozenDataset)
    sides = dict[str, set[str]]()
    for split, rows in frozen.dataset.splits.items():
        for row in rows[len(PARENT.splits[split]) :]:
            sides.setdefault(person_of[row.text], set()).add(split)
    assert {len(each) for each in sides.values()} == {1}
    assert {split for each in sides.values() for split in each} == {"train", "recent"}


def test_one_who_asks_for_others_is_on_one_side_in_every_later_dataset() -> None:
    def ask(world: World, texts: list[str]) -> None:
        for number, text in enumerate(texts):
            whose = {"subject": f"customer {text}"} if number % 2 else {}
            world.say(world.answer(text, asked_by="5c1a"), "outage", rater="ada", **whose)
            world.say(world.answer(text[::-1], asked_by=f"other {text}"), "outage", rater="ada")

    first, later = World(), World()
    ask(first, TEXTS[:20])
    ask(later, TEXTS[20:40])
    parent = first.freeze().dataset
    assert isinstance(parent, FrozenDataset)

    for frozen in parent, later.freeze(parent).dataset:
        sides = [split for split, rows in frozen.splits.items() for row in rows if "5c1a" in row.whose]
        assert len(set(sides)) == 1
        assert frozen.splits["recent"][1:]


def test_what_is_erased_leaves_the_rows_that_were_inherited_too() -> None:
    world = World()
    world.label("outage", "about bob", rater="carl", subject="bob")
    world.label("outage", "asked once", "stays", rater="carl")
    parent = world.freeze().dataset
    answers = frozenset({world.records[1].inference_id.split(".")[1]})

    frozen = World().freeze(parent, Rules(erased=Tombstones(frozenset({subject_digest("bob")}), answers)))

    texts = {row.text for rows in frozen.dataset.splits.values() for row in rows}
    assert texts == {row.text for rows in PARENT.splits.values() for row in rows} | {"stays"}
    assert frozen.dataset.lineage["left_out"]["erased row"] == 2
    assert "bob" not in str(frozen.dataset.splits).replace("about bob", "")


def test_the_same_facts_in_another_order_give_the_same_dataset() -> None:
    world = World()
    _label_by_crowd(world, TEXTS[:60], {"ada": "outage", "bob": "billing", "carl": "outage"})
    world.label("billing", TEXTS[0].upper(), *TEXTS[60:90], subject="eve")

    assert world.freeze(backwards=True).dataset.digest == world.freeze().dataset.digest


def test_the_lineage_tells_where_the_dataset_comes_from() -> None:
    world = World()
    world.label("outage", "one", "two", "no light")

    lineage: Any = world.freeze().dataset.lineage

    assert (lineage["parent"], lineage["version"], lineage["feedback"], lineage["raters"]) == (PARENT.digest, "3", 2, 1)
    assert lineage["traffic_window"] == ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"]


def test_the_card_counts_what_was_left_out_and_names_nobody() -> None:
    world = World()
    _burst(world)
    world.label("outage", "lantern", "no light", rater="ada", subject="bob")
    frozen = world.freeze()

    card = frozen.dataset.files[CARD].decode()

    assert "\n| 1 | known | texts that the parent dataset has already |\n" in card
    assert "\n| 80 | burst |\n" in card
    assert "\n| holdout | 1 | 0 | 1 | 1 to 1 |\n" in card
    assert (
        "1 new texts of answers by any version" in card and f"after the dataset {PARENT.digest} of version 3." in card
    )
    assert not {"ada", "bob", "fast", "lantern", subject_digest("bob")} & set(card.replace("|", " ").split())


def test_the_card_is_under_the_datasets_digest() -> None:
    world = World()
    world.label("outage", "one")
    files = world.freeze().dataset.files

    assert "card" in json.loads(files[MANIFEST])
    with pytest.raises(InvalidDataset, match=r"^_card\.md does not match its digest"):
        thaw({**files, CARD: files[CARD] + b" "})


def test_nothing_said_is_nothing_learned() -> None:
    frozen = World().freeze()

    assert (frozen.learned, frozen.quarantined, frozen.dataset.splits) == (0, [], PARENT.splits)


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8), st.lists(st.text(max_size=6), max_size=4))
def test_a_text_stays_on_its_side_in_every_later_dataset(texts: list[str], others: list[str]) -> None:
    world, later = World(), World()
    world.label("outage", *texts)
    first = world.freeze().dataset
    later.label("outage", *others, *(f" {text} " for text in texts))

    second = later.freeze(first).dataset

    for side in ("train", "recent"):
        before = first.splits[side]
        assert second.splits[side][: len(before)] == before
    sides = [{row.text.casefold().strip() for row in second.splits[side]} for side in ("train", "recent", "holdout")]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
