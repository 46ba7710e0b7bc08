"""The next dataset of comparisons: what people prefer of a generator's answers, and what was left out and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.comparisons import SYSTEM, Conversations, preferred, rows_of
from tests.unit.freezes import KEYS

from pawl.dataset import CARD
from pawl.pairset import PairDataset, PairRow, freeze_pairs, thaw_pairs
from pawl.receipt import ReceiptKeys
from pawl.tombstones import Tombstones, subject_digest
from retrain.freezing import Frozen, Rules
from retrain.trust import Trust

BIRDS = ("wren", "crow", "duck", "swan", "kite", "dove", "lark", "rook", "hawk", "gull", "tern", "ibis")


def _compare(world: Conversations, prompt: str, better: str, worse: str, *raters: str, asked_by: str = "") -> None:
    """Two answers to a prompt, and that raters find the first one better."""
    ids = [world.answer(prompt, text, asked_by=asked_by) for text in (better, worse)]
    for rater in raters or ("ada",):
        world.prefer(ids[0], ids[1], rater)


def _questions(world: Conversations, count: int, *raters: str) -> None:
    """So many comparisons of answers to as many different prompts."""
    for number in range(count):
        bird = BIRDS[number % len(BIRDS)]
        _compare(
            world, f"where does the {bird} of hill {number} sleep", f"high up {number}", f"no idea {number}", *raters
        )


def test_a_preference_becomes_a_row_with_the_captured_conversation_and_both_texts() -> None:
    world = Conversations()
    better, worse = world.answer("Name a bird.", "A wren."), world.answer("Name a bird.", "A cat.")
    world.prefer(better, worse, margin=2.0, user="eve")

    (row,) = rows_of(world.freeze())

    assert row.prompt == [SYSTEM, {"role": "user", "content": "Name a bird."}]
    assert (row.chosen, row.rejected, row.margin, row.source) == ("A wren.", "A cat.", 1.0, "traffic")
    assert row.answers == tuple(sorted((better.split(".")[1], worse.split(".")[1])))
    assert row.subject == subject_digest("eve")
    assert row.weight == pytest.approx(0.8, abs=0.05)  # what is believed of a rater of whom nothing is known


def test_a_row_tells_the_language_that_was_asked_in_so_that_a_reward_is_judged_by_it() -> None:
    world = Conversations()
    _compare(world, "Where does the wren sleep when it rains?", "high up", "no idea")
    _compare(world, "Wo schläft der Zaunkönig, wenn es in der Nacht regnet?", "weit oben", "keine Ahnung")
    world.thumb(world.answer("Où est-ce que le roitelet dort dans la nuit ?", "Dans un arbre."), True)

    found = {row.chosen: row.slices for row in rows_of(world.freeze())}

    languages = {"high up": "english", "weit oben": "german", "Dans un arbre.": "french"}
    assert found == {text: {"language": language} for text, language in languages.items()}


def test_a_completion_keeps_its_prompt_as_a_text() -> None:
    world = Conversations()
    ids = [world.answer("A bird is", text, is_chat=False) for text in ("an animal", "a stone")]
    world.prefer(*ids)

    assert rows_of(world.freeze())[0].prompt == "A bird is"


def test_a_ranking_is_all_its_pairs_and_equal_ranks_are_ties() -> None:
    world = Conversations()
    ids = [world.answer("Name a bird.", text) for text in ("A wren.", "A duck.", "A cat.")]
    ranks = [{"value": each, "rank": rank} for each, rank in zip(ids, (1, 1, 2), strict=True)]
    world.say("ranking", ranks, named=tuple(ids))

    frozen = world.freeze()

    assert preferred(frozen) == {("A wren.", "A cat."), ("A duck.", "A cat.")}
    assert frozen.dataset.lineage["left_out"]["tie"] == 1


def test_texts_beside_an_answer_are_compared_as_they_stand_and_only_that_answer_is_named() -> None:
    world = Conversations()
    beside = world.answer("Name a bird.", "A wren.", "A cat.")
    value = {"chosen": "A wren.", "rejected": "A cat."}
    world.say("preference", value, beside=beside, named=("A wren.", "A cat."))

    (row,) = rows_of(world.freeze())

    assert (row.chosen, row.rejected, row.answers) == ("A wren.", "A cat.", (beside.split(".")[1],))


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("demonstration", "A wren."),
        ("correction", {"outputs": [{"name": "text", "data": ["A wren."]}]}),
    ],
)
def test_a_raters_own_text_is_better_than_the_answer_that_was_given(metric: str, value: object) -> None:
    world = Conversations()
    given_id = world.answer("Name a bird.", "A cat.")
    world.say(metric, value, beside=given_id)

    (row,) = rows_of(world.freeze())

    assert (row.chosen, row.rejected, row.answers) == ("A wren.", "A cat.", (given_id.split(".")[1],))
    assert row.subject == subject_digest("ada")


@pytest.mark.parametrize(
    ("metric", "value", "reason"),
    [
        ("correction", {"outputs": [{"name": "finish_reason", "data": ["stop"]}]}, "unreadable"),
        ("correction", {"outputs": [{"name": "text", "data": ["one", "two"]}]}, "unreadable"),
        ("demonstration", "A cat. ", "same text"),
    ],
)
def test_feedback_that_compares_nothing_is_counted_and_left_out(metric: str, value: object, reason: str) -> None:
    world = Conversations()
    world.say(metric, value, beside=world.answer("Name a bird.", "A cat."))

    frozen = world.freeze()

    assert (rows_of(frozen), frozen.learned) == ([], 0)
    assert frozen.dataset.lineage["left_out"][reason] == 1


def test_an_answer_of_several_texts_cannot_be_meant_and_one_that_was_not_captured_cannot_be_read() -> None:
    world = Conversations()
    several, one = world.answer("Name a bird.", "A wren.", "A duck."), world.answer("Name a bird.", "A cat.")
    world.prefer(several, one)
    world.prefer(one, several.replace(several.split(".")[1], "0" * 32))

    frozen = world.freeze()

    assert rows_of(frozen) == []
    left_out = frozen.dataset.lineage["left_out"]
    assert (left_out["several texts"], left_out["without answer"]) == (1, 1)


def test_a_preference_between_answers_of_different_versions_counts() -> None:
    world = Conversations()
    world.prefer(world.answer("Name a bird.", "A wren."), world.answer("Name a bird.", "A cat.", version="2"))

    assert preferred(world.freeze()) == {("A wren.", "A cat.")}


def test_raters_who_agree_weigh_more_than_one_and_those_who_cancel_out_say_nothing() -> None:
    world = Conversations()
    _compare(world, "Name a bird.", "A wren.", "A cat.", "ada", "bob")
    _compare(world, "What is the largest city of Norway?", "Oslo.", "Bergen.", "eve")
    ids = [world.answer("How many legs has a spider?", text) for text in ("Eight.", "Six.")]
    world.prefer(ids[0], ids[1], "ada")
    world.prefer(ids[1], ids[0], "bob")

    frozen = world.freeze()
    weights = {row.chosen: row.weight for row in rows_of(frozen)}

    assert set(weights) == {"A wren.", "Oslo."}
    assert 1 > weights["A wren."] > weights["Oslo."] > 0.5
    assert frozen.dataset.lineage["left_out"]["disputed"] == 1


def test_a_margin_is_told_in_what_its_rater_usually_gives_and_has_an_end() -> None:
    world = Conversations()
    for number, margin in enumerate((0.5, 0.25, 0.5, 1.0, 1e9)):
        for rater, scale in (("ada", 1.0), ("bob", 100.0)):
            prompt = f"where does the {BIRDS[number]} of {rater} sleep"
            ids = [world.answer(prompt, f"{text} {number} {rater}") for text in ("high up", "no idea")]
            world.prefer(ids[0], ids[1], rater, margin * scale)

    margins = {row.chosen: row.margin for row in rows_of(world.freeze())}

    for rater in ("ada", "bob"):
        assert [margins[f"high up {number} {rater}"] for number in range(5)] == [1.0, 0.5, 1.0, 2.0, 3.0]


def test_a_tie_drops_a_pair_as_far_as_it_is_trusted() -> None:
    world = Conversations()
    ids = [world.answer("Name a bird.", text) for text in ("A wren.", "A duck.")]
    world.tie(*ids, "ada")
    world.tie(*ids, "bob")
    world.prefer(*ids, "eve")

    frozen = world.freeze()

    assert rows_of(frozen) == []
    assert frozen.dataset.lineage["left_out"]["tie"] == 1


def test_one_who_turns_every_pair_round_waits_in_quarantine_and_no_text_is_copied_there() -> None:
    world = Conversations()
    for number, bird in enumerate(BIRDS * 4):
        prompt = f"where does the {bird} of hill {number} sleep"
        ids = [world.answer(prompt, text) for text in (f"high up {number}", f"no idea {number}")]
        for rater in ("ada", "bob", "eve"):
            world.prefer(ids[0], ids[1], rater)
        world.prefer(ids[1], ids[0], "mallory")

    frozen = world.freeze()

    assert {chosen.partition(" ")[0] for chosen, _ in preferred(frozen)} == {"high"}
    assert {(entry.rater, entry.reason) for entry in frozen.quarantined} == {("mallory", "against all")}
    assert len(frozen.quarantined) == frozen.dataset.lineage["quarantined"]["against all"] == 48
    assert not any("high" in str(entry.value) or "idea" in str(entry.value) for entry in frozen.quarantined)


def test_gold_pairs_let_a_rater_who_is_right_outweigh_two_who_are_not() -> None:
    world = Conversations()
    for number in range(60):
        prompt = f"where does the {BIRDS[number % 12]} of hill {number} sleep"
        ids = [world.answer(prompt, text) for text in (f"high up {number}", f"no idea {number}")]
        world.prefer(ids[0], ids[1], "ada")
        for rater in ("bob", "eve"):
            world.prefer(ids[1], ids[0], rater)
        if number < 24:
            world.know(ids[0], *ids)

    frozen = world.freeze()

    assert {chosen.partition(" ")[0] for chosen, _ in preferred(frozen)} == {"high"}
    assert {entry.rater for entry in frozen.quarantined} <= {"bob", "eve"}
    assert sum(row.weight == 1.0 for row in rows_of(frozen)) >= 24


def test_without_gold_the_two_who_agree_would_have_been_believed() -> None:
    world = Conversations()
    for number in range(60):
        prompt = f"where does the {BIRDS[number % 12]} of hill {number} sleep"
        ids = [world.answer(prompt, text) for text in (f"high up {number}", f"no idea {number}")]
        world.prefer(ids[0], ids[1], "ada")
        for rater in ("bob", "eve"):
            world.prefer(ids[1], ids[0], rater)

    assert {chosen.partition(" ")[0] for chosen, _ in preferred(world.freeze())} == {"no"}


def test_what_repeats_exactly_or_nearly_or_turned_round_is_learned_once() -> None:
    world = Conversations()
    prompt = "where does the wren of the high hill sleep when it rains in the valley at night"
    _compare(world, prompt, "it sleeps high up in the old oak by the brook", "nobody knows")
    _compare(world, prompt + "?", "It sleeps high up in the old oak, by the brook!", "nobody knows.")
    _compare(world, prompt.title(), "Nobody knows.", "it sleeps high up in the old oak by the brook")

    frozen = world.freeze()

    assert frozen.learned == 1
    assert frozen.dataset.lineage["left_out"]["repeat"] == 2


def test_about_a_quarter_is_held_out_and_no_prompt_is_on_both_sides() -> None:
    world = Conversations()
    for number in range(40):
        for place in range(3):
            prompt = f"where does the {BIRDS[number % 12]} of hill {number} sleep"
            _compare(world, prompt, f"high up {number} {place}", f"no idea {number} {place}")

    dataset = world.freeze().dataset
    assert isinstance(dataset, PairDataset)
    prompts = {split: {str(row.prompt) for row in rows} for split, rows in dataset.splits.items()}

    assert set(dataset.splits) == {"train", "holdout"}
    assert len(dataset.splits["holdout"]) == 30
    assert not prompts["train"] & prompts["holdout"]


def test_nobody_who_asked_is_on_both_sides() -> None:
    world = Conversations()
    for number in range(60):
        asker = f"p{number % 15}"
        _compare(world, f"where does bird {number} of {number} sleep", f"up {number}", f"down {number}", asked_by=asker)

    dataset = world.freeze().dataset
    assert isinstance(dataset, PairDataset)
    askers = {split: {row.subject for row in rows} for split, rows in dataset.splits.items()}

    assert askers["train"] and askers["holdout"]
    assert not askers["train"] & askers["holdout"]


def _people(world: Conversations, frozen: Frozen, names: dict[str, str]) -> dict[str, set[str]]:
    """The sides that each person's questions are on; `names` are theirs by pseudonym."""
    asked = {record.inference_id.split(".")[1]: record.subject for record in world.records}
    assert isinstance(frozen.dataset, PairDataset)
    found = dict[str, set[str]]()
    for split, rows in frozen.dataset.splits.items():
        for asker in {asked[answer] for row in rows for answer in row.answers}:
            found.setdefault(names.get(asker, asker), set()).add(split)
    return found


def test_neither_of_two_who_asked_the_same_is_on_both_sides() -> None:
    world = Conversations()
    for number in range(24):
        prompt = f"where does the {BIRDS[number % 12]} of hill {number} sleep"
        other = "zed" if number % 8 == 0 else f"friend {number}"
        better = world.answer(prompt, f"high up {number}", asked_by=f"user {number:02d}")
        world.prefer(better, world.answer(prompt, f"no idea {number}", asked_by=other))

    sides = _people(world, world.freeze(), {})

    assert len(sides) == 24 + 21 + 1
    assert {len(each) for each in sides.values()} == {1}
    assert {side for each in sides.values() for side in each} == {"train", "holdout"}


@pytest.mark.parametrize("rotated", [KEYS, ReceiptKeys("k2:" + "t" * 40 + ",k1:" + "s" * 40)], ids=["same", "rotated"])
def test_one_person_whom_feedback_names_and_requests_tell_by_pseudonyms_is_on_one_side(rotated: ReceiptKeys) -> None:
    world, names, people = Conversations(), dict[str, str](), [f"person {number}" for number in range(12)]
    for number in range(48):
        person, keys = people[number % 12], KEYS if number < 24 else rotated
        names[keys.pseudonym(person)] = person
        prompt = f"where does the {BIRDS[number % 12]} of hill {number} sleep"
        ids = [
            world.answer(prompt, f"{text} {number}", asked_by=keys.pseudonym(person)) for text in ("high up", "no idea")
        ]
        is_told = 12 <= number < 24
        world.send(
            "preference", {"chosen": ids[0], "rejected": ids[1]}, rater="ada", **({"user": person} if is_told else {})
        )
        if is_told:
            world.feedback[-1]["subjects"] = rotated.pseudonyms(person)

    first = world.freeze()
    assert isinstance(first.dataset, PairDataset)

    sides = _people(world, first, names)
    assert (len(sides), {len(each) for each in sides.values()}) == (12, {1})
    named = {row.subject for rows in first.dataset.splits.values() for row in rows if len(row.subject) == 64}
    assert named == set(map(subject_digest, people))


def test_who_wrote_better_texts_on_both_sides_still_asks_on_one() -> None:
    rows = {
        "train": [PairRow("what do wrens eat", "worms", "stones", subject="rosa")],
        "holdout": [PairRow("where do ducks sleep", "ashore", "no idea", subject="eve", authors=("rosa",))],
    }
    world = Conversations()
    for number in range(12):
        prompt = f"where does the {BIRDS[number]} of hill {number} sleep"
        _compare(
            world, prompt, f"high up {number}", f"no idea {number}", asked_by="rosa" if number % 2 else f"{number}"
        )

    dataset = world.freeze(freeze_pairs("parrot", rows, {"parent": None})).dataset
    assert isinstance(dataset, PairDataset)

    assert dataset.splits["recent"]
    assert "rosa" not in {row.subject for row in dataset.splits["recent"]}


def test_what_would_have_to_be_on_both_sides_is_left_out() -> None:
    asked = {"train": "where do wrens sleep in May", "holdout": "where do ducks sleep in June"}
    rows = {split: [PairRow(prompt, "high up", "no idea", subject=f"{split}-asker")] for split, prompt in asked.items()}
    parent = freeze_pairs("parrot", rows, {"parent": None})
    world = Conversations()
    ids = [world.answer(asked["train"], text, asked_by="holdout-asker", is_chat=False) for text in ("a hill", "a hole")]
    world.prefer(*ids)

    frozen = world.freeze(parent)

    assert frozen.learned == 0
    assert frozen.dataset.lineage["left_out"]["both sides"] == 1


def test_a_later_dataset_inherits_every_row_and_keeps_prompts_on_their_side() -> None:
    first = Conversations()
    _questions(first, 24)
    parent = first.freeze().dataset
    assert isinstance(parent, PairDataset)
    later = Conversations()
    held, learned = parent.splits["holdout"][0].prompt, parent.splits["train"][0].prompt
    for prompt in (held, learned):
        assert not isinstance(prompt, str)
        _compare(later, prompt[1]["content"], "an answer that is quite new", "another one")

    frozen = later.freeze(parent)

    assert isinstance(frozen.dataset, PairDataset)
    assert frozen.dataset.splits["holdout"] == parent.splits["holdout"]
    assert frozen.dataset.splits["train"][:-1] == parent.splits["train"]
    assert frozen.dataset.splits["train"][-1].prompt == learned
    assert [row.prompt for row in frozen.dataset.splits["recent"]] == [held]
    assert (frozen.learned, frozen.dataset.lineage["parent"]) == (2, parent.digest)


def test_who_was_erased_is_in_no_later_dataset_not_even_in_inherited_rows() -> None:
    first = Conversations()
    _compare(first, "where does eve live", "in Oslo", "no idea", asked_by="eves-pseudonym")
    erased = first.answer("Name a bird.", "A wren.")
    first.prefer(erased, first.answer("Name a bird.", "A cat."))
    _compare(first, "where does the wren sleep", "high up", "no idea", "mallory")
    _compare(first, "where does the swan sleep", "on the lake", "no idea", "ada", "bob")
    parent = first.freeze().dataset
    assert isinstance(parent, PairDataset)
    stones = Tombstones(frozenset({"eves-pseudonym", subject_digest("mallory")}), frozenset({erased.split(".")[1]}))

    again, later = first.freeze(rules=Rules(erased=stones)), Conversations().freeze(parent, Rules(erased=stones))

    assert preferred(again) == preferred(later) == {("on the lake", "no idea")}
    assert later.dataset.lineage["left_out"]["erased row"] == 3


def _leaves(world: Conversations, *names: str) -> set[str]:
    """Which texts are chosen in a dataset that inherits all rows of a world, once these were erased."""
    parent = world.freeze().dataset
    assert isinstance(parent, PairDataset)
    stones = Tombstones(frozenset({*names, *map(subject_digest, names)}))
    return {chosen for chosen, _ in preferred(Conversations().freeze(parent, Rules(erased=stones)))}


@pytest.mark.parametrize("metric", ["demonstration", "correction"])
def test_what_a_rater_wrote_goes_with_them_whoever_asked_and_whoever_agrees(metric: str) -> None:
    world = Conversations()
    beside = world.answer("Where is Oslo?", "No idea.", asked_by="a-pseudonym")
    text = "In Norway, where I live."
    corrected = {"outputs": [{"name": "text", "data": [text]}]}
    world.say(metric, corrected if metric == "correction" else text, beside=beside)
    world.say("preference", {"chosen": text, "rejected": "No idea."}, "bob", beside, (text, "No idea."))

    assert {row.subject for row in rows_of(world.freeze())} == {"a-pseudonym"}
    assert _leaves(world, "ada") == set()
    assert _leaves(world, "bob") == {text}
    assert _leaves(world, "a-pseudonym") == set()


def test_what_one_rater_brought_is_theirs_and_what_several_bring_or_the_answer_held_is_nobody_s() -> None:
    world = Conversations()
    for place, (texts, raters) in enumerate([(1, "ada"), (1, "ada bob"), (2, "ada")]):
        prompt, chosen, rejected = f"Where is town {place}?", f"In the north {place}.", f"No idea {place}."
        beside = world.answer(prompt, *(rejected, chosen)[:texts], asked_by=f"asker-{place}")
        for rater in raters.split():
            world.say("preference", {"chosen": chosen, "rejected": rejected}, rater, beside, (chosen, rejected))

    assert _leaves(world, "ada") == {"In the north 1.", "In the north 2."}


def test_a_row_goes_with_each_of_those_whose_it_is() -> None:
    world = Conversations()
    ids = [world.answer("Name a bird.", text, asked_by=who) for text, who in (("A wren.", "x-1"), ("A cat.", "x-2"))]
    world.prefer(*ids, "eve", user="carol")
    world.prefer(*ids, "bob", subject="dave")

    (row,) = rows_of(world.freeze())

    assert row.subject == subject_digest("carol")
    assert set(row.people) == {"x-1", "x-2", subject_digest("dave")}
    assert [len(_leaves(world, name)) for name in ("carol", "dave", "x-1", "x-2", "eve", "bob")] == [0, 0, 0, 0, 1, 1]


def test_what_a_person_restored_counts_and_a_trusted_rater_is_never_hasty() -> None:
    world = Conversations()
    for number in range(70):
        _compare(world, f"where does bird {number} of {number} sleep", f"up {number}", f"down {number}", "bot")
    for item in world.feedback:
        item["given_at"] = world.feedback[0]["given_at"][:-5] + f".{int(item['feedback_id'][-4:]):03d}Z"

    hasty = world.freeze()
    restored = world.freeze(rules=Rules(restored=frozenset({"feedback-0007"})))
    trusted = world.freeze(rules=Rules(Trust(trusted=frozenset({"bot"}))))

    assert (hasty.learned, len(hasty.quarantined)) == (0, 70)
    assert preferred(restored) == {("up 7", "down 7")}
    assert trusted.learned == 70


@given(st.randoms(use_true_random=False))
def test_the_order_of_records_and_of_feedback_changes_nothing(random: object) -> None:
    world = Conversations()
    _questions(world, 12, "ada", "bob")
    before = world.freeze().dataset.digest

    random.shuffle(world.records)  # type: ignore[attr-defined]
    random.shuffle(world.feedback)  # type: ignore[attr-defined]

    assert world.freeze().dataset.digest == before


def test_the_card_counts_what_went_in_and_names_nobody() -> None:
    world = Conversations()
    _questions(world, 8, "cleopatra", "bob")
    frozen = world.freeze()
    card = frozen.dataset.files[CARD].decode()

    assert "8 new pairs of answers and 0 new thumbs" in card and "by 2 raters" in card
    assert "| train | 6 | 0 | 0 | 6 |" in card and "| holdout | 2 | 0 | 0 | 2 |" in card
    assert "cleopatra" not in card and subject_digest("cleopatra") not in card
    assert thaw_pairs(frozen.dataset.files).digest == frozen.dataset.digest
