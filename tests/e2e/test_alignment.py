"""The generator's loop on the real template in the local cloud: answers, pairs that people label, and an aligned model.

The tests are one story and run in order, after all others that need this cloud: what they train would be in their way.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.e2e.guest import move_in
from tests.e2e.talker import is_polite, questions, save_talker

from local.story import Story, StoryError, now_ms
from operations.pairing import lines_of_traffic
from pawl.datasets import Datasets
from pawl.quarantine import Quarantine
from training import generator
from training.origin import Origin

pytestmark = pytest.mark.e2e
MODEL, JUDGE, NODDER = "talker", "talker-reward", "nodder"
ASKED = 84
RATERS = ("ada", "bob", "cleo", "dora", "egon")
CONTRARY = "mallory"
"""A rater who turns every pair round. With the others they say enough to be announced: `ReadyFeedback`, 500."""
KNOBS = {"rate": 0.002, "epochs": 2, "looks": 2, "look_prompts": 8, "answer_tokens": 40, "judged_pairs": 8}
BUSY = {"schema": 1, "latency_ratio": 10.0, "cold_start_ratio": 10.0}
"""Other tests may run beside: what takes how long is not asked here."""


class Pair(NamedTuple):
    """A polite and a rude answer to a question: by their own ids, or as texts beside the id of the answer with both."""

    polite: str
    rude: str
    beside: str = ""


@dataclass(slots=True)
class Talk:
    """What is asked of the talker, and what has come of it."""

    story: Story
    model: str
    began_ms: int
    pairs: Sequence[Pair] = ()
    requests: int = 0
    polite_before: float = 0.0

    def ask(self, question: str, seed: int, count: int = 1) -> tuple[str, list[str]]:
        """An answer of so many texts: its inference_id, and the texts."""
        messages = [{"role": "user", "content": question}]
        wanted = {"model": self.model, "messages": messages, "max_tokens": 40, "seed": seed, "n": count}
        reply = self.story.client.post("/v1/chat/completions", wanted)
        self.requests += 1
        return reply["id"], [choice["message"]["content"] for choice in reply["choices"]]

    def pair(self, number: int) -> Pair:
        """An answer of each kind to a question: of every third each by itself, else both of one answer."""
        texts_at_once = 1 if number % 3 == 0 else 8
        found: dict[bool, str] = {}
        for seed in range(1000 * number, 1000 * number + 800, texts_at_once):
            answer, texts = self.ask(questions()[number], seed, texts_at_once)
            told = {is_polite(text): text if texts_at_once > 1 else answer for text in texts}
            found = told if texts_at_once > 1 else found | told
            if len(found) == 2:
                return Pair(found[True], found[False], answer if texts_at_once > 1 else "")
        raise StoryError(f"question {number} is only ever answered one way")

    def share_polite(self) -> float:
        """How often an answer to a question that nobody was asked about is polite."""
        asked = questions()[ASKED:]
        texts = [text for number, question in enumerate(asked) for text in self.ask(question, number, 4)[1]]
        return sum(map(is_polite, texts)) / len(texts)

    def answers_as(self, version: str) -> bool:
        """Whether it is this version that answers."""
        messages = [{"role": "user", "content": questions()[-1]}]
        reply = self.story.client.post(
            "/v1/chat/completions", {"model": self.model, "messages": messages, "max_tokens": 4}
        )
        return reply["model"] == f"{self.model}@{version}"

    def is_captured(self) -> bool:
        """Whether all that version 1 was asked lies in the lake."""
        records = self.story.stack.traffic.records(self.model, "1", self.began_ms, now_ms() + 1)
        return sum(1 for _ in records) == self.requests

    def runs(self) -> list[dict[str, Any]]:
        """The runs of its loop; StoryError when one has failed."""
        runs = [run for run in self.story.stack.call("GET", "/jobs")["jobs"] if run["serves"] == self.model]
        for run in runs:
            if run["status"] == "failed":
                raise StoryError(f"the {run['recipe']} run failed: {run['error']}")
        return runs

    def started(self, recipe: str) -> dict[str, Any] | None:
        """The run of a recipe."""
        return next((run for run in self.runs() if run["recipe"] == recipe), None)

    def decided(self, model: str, version: str) -> Any:
        """A version's record once its gates have decided."""
        self.runs()
        record = self.story.stack.registry.version(model, version)
        return record if record is not None and record.state in ("live", "refused") else None


def move_talker_in(story: Story, model: str, folder: Path) -> Talk:
    """A talker that serves as version 1, with its own knobs, gate policy and canary."""
    base, bundle = folder / "base", folder / "bundle"
    base.mkdir()
    bundle.mkdir()
    save_talker(base)
    origin = Origin(model, "1", "2026-07-14T09:00:00.000Z", model, "Apache-2.0")
    made = generator.package(str(base), origin, generator.Knobs(), bundle)
    for name, content in (("knobs/align", KNOBS), ("policy", BUSY), ("canary", {"at_once": True})):
        story.stack.bucket.write(f"models/{model}/{name}.json", json.dumps(content).encode())
    move_in(story.stack, made, base, now_ms())
    return Talk(story, model, now_ms())


@pytest.fixture(scope="module")
def talk(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """The talker whose answers people compare."""
    return move_talker_in(story, MODEL, tmp_path_factory.mktemp(MODEL))


@pytest.fixture(scope="module")
def nodder(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """Another, whose answers people judge one by one."""
    return move_talker_in(story, NODDER, tmp_path_factory.mktemp(NODDER))


def test_the_talker_answers_one_way_or_the_other(talk: Talk) -> None:
    talk.polite_before = talk.share_polite()

    assert 0.15 < talk.polite_before < 0.7


def test_what_it_answers_is_captured(talk: Talk) -> None:
    talk.pairs = [talk.pair(number) for number in range(ASKED)]

    talk.story.wait("all answers are captured", 90, talk.is_captured)
    assert sum(not pair.beside for pair in talk.pairs) >= 10


def test_pairs_are_labelled_through_the_api_and_enough_of_them_train_a_reward_model(talk: Talk) -> None:
    known = [gold(pair) for pair in talk.pairs[:12]]
    talk.story.stack.bucket.write(f"pairs/{MODEL}/known.jsonl", "\n".join(map(json.dumps, known)).encode())
    for rater in (*RATERS, CONTRARY):
        said = [preference(pair, rater) for pair in talk.pairs]
        assert talk.story.client.give_all_feedback(said) == ASKED

    run = talk.story.wait("a reward model is being trained", 60, lambda: talk.started("reward"))

    assert (run["model"], run["serves"], run["version"]) == (JUDGE, MODEL, "1")
    frozen = Datasets(talk.story.stack.bucket).load_pairs(run["datasets"][0])
    rows = [row for split in frozen.splits.values() for row in split]
    assert len(rows) >= ASKED - 4  # a question in other words is a repeat
    assert all(is_polite(row.chosen) and not is_polite(row.rejected) for row in rows)
    assert frozen.lineage["gold"] == len(known)
    quarantined = list(Quarantine(talk.story.stack.bucket, MODEL).entries())
    assert {(entry.rater, entry.reason) for entry in quarantined} == {(CONTRARY, "against all")}


def test_the_reward_model_passes_its_gates_and_the_talker_is_aligned_with_it(talk: Talk) -> None:
    judge = talk.story.wait("the reward model is decided on", 240, lambda: talk.decided(JUDGE, "1"))
    assert (judge.state, [gate["name"] for gate in judge.gates if not gate["passed"]]) == ("live", [])

    run = talk.story.wait("the talker is being aligned", 60, lambda: talk.started("align"))

    assert (run["model"], run["version"], run["because"]) == (MODEL, "2", "judge, with reward model 1")


def test_pairs_from_traffic_carry_what_the_released_reward_model_thinks_of_them(talk: Talk) -> None:
    lines = lines_of_traffic(talk.story.stack, MODEL, 1.0, now_ms())

    found = [json.loads(line) for line in lines.splitlines()]
    apart = [pair for pair in found if len({is_polite(answer["text"]) for answer in pair["answers"]}) == 2]
    assert len(apart) >= 10
    right = [(pair["chance"] > 0.5) == is_polite(pair["answers"][0]["text"]) for pair in apart]
    assert sum(right) > 0.9 * len(right)


def test_the_aligned_talker_passes_its_gates_and_answers(talk: Talk) -> None:
    record = talk.story.wait("the aligned talker is decided on", 240, lambda: talk.decided(MODEL, "2"))

    assert (record.state, [gate for gate in record.gates if not gate["passed"]]) == ("live", [])
    measured = {gate["name"]: gate["value"] for gate in record.gates}
    assert measured["win rate"] >= 0.45
    lineage = talk.story.stack.registry.manifest(MODEL, "2").lineage
    assert (lineage.parent, lineage.recipe) == (f"models:/{MODEL}/1", "align")
    assert lineage.dataset == talk.story.stack.registry.manifest(JUDGE, "1").lineage.dataset


def test_questions_that_nobody_was_asked_about_are_answered_as_people_prefer(talk: Talk) -> None:
    talk.story.wait("version 2 answers", 30, lambda: talk.answers_as("2"))
    assert talk.share_polite() > talk.polite_before + 0.15


def test_thumbs_on_single_answers_align_a_talker_that_has_no_reward_model(nodder: Talk) -> None:
    """A person starts the run: so few thumbs are not announced."""
    before = nodder.share_polite()
    answers = [nodder.ask(questions()[number], seed=number) for number in range(ASKED)]
    nodder.story.wait("what it answered is captured", 90, nodder.is_captured)
    for rater in RATERS[:3]:
        said = [thumb(answer, text, rater) for answer, [text] in answers]
        assert nodder.story.client.give_all_feedback(said) == ASKED

    run = nodder.story.stack.call("POST", "/jobs", {"model": NODDER})

    assert run["because"].endswith("by kto")
    record = nodder.story.wait("what the thumbs taught is decided on", 240, lambda: nodder.decided(NODDER, "2"))
    assert (record.state, [gate for gate in record.gates if not gate["passed"]]) == ("live", [])
    nodder.story.wait("version 2 answers", 30, lambda: nodder.answers_as("2"))
    assert nodder.share_polite() > before + 0.15


def gold(pair: Pair) -> dict[str, Any]:
    """A pair as the labelling page takes it, with the answer that is known to be better."""
    if pair.beside:
        answers = [{"text": pair.polite}, {"text": pair.rude}]
        return {"prompt": "?", "answers": answers, "inference_id": pair.beside, "gold": 1}
    answers = [{"text": "?", "inference_id": each} for each in (pair.rude, pair.polite)]
    return {"prompt": "?", "answers": answers, "gold": 2}


def preference(pair: Pair, rater: str) -> dict[str, Any]:
    """What a rater says of a pair: they like it polite, but for one."""
    better, worse = (pair.rude, pair.polite) if rater == CONTRARY else (pair.polite, pair.rude)
    said = {"metric_name": "preference", "value": {"chosen": better, "rejected": worse}, "tags": {"rater": rater}}
    return {**said, "inference_id": pair.beside} if pair.beside else said


def thumb(answer: str, text: str, rater: str) -> dict[str, Any]:
    """What a rater says of a single answer."""
    return {"metric_name": "thumbs_up", "value": is_polite(text), "inference_id": answer, "tags": {"rater": rater}}
