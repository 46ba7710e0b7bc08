"""`scripts/pawl rows`: what a frozen dataset holds, as the rows that TRL's trainers take."""

import argparse
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.comparisons import MODEL, SYSTEM, Conversations

from operations.__main__ import COMMANDS
from operations.stack import OperationError
from pawl.datasets import Datasets
from pawl.pairset import PairDataset
from pawl.tombstones import bury, subject_digest

BIRDS = ("wren", "tit", "robin", "finch", "heron", "stork", "gull", "crane")
Rows = Callable[..., list[dict[str, Any]]]


def asked(bird: str) -> list[dict[str, str]]:
    return [SYSTEM, {"role": "user", "content": f"Where does a {bird} live?"}]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def shown(bird: str) -> str:
    return f"By all that I know, a {bird} lives where it was born."


@pytest.fixture
def dataset(cloud: Any) -> PairDataset:
    """People have shown how to answer about birds, the first of them ada, and how a run has frozen that."""
    world = Conversations()
    for place, bird in enumerate(BIRDS):
        given_id = world.answer(asked(bird)[1]["content"], f"The {bird}? Anywhere.")
        world.say("demonstration", shown(bird), rater="bob" if place else "ada", beside=given_id)
    frozen = world.freeze().dataset
    assert isinstance(frozen, PairDataset)
    Datasets(cloud.bucket).store(frozen)
    about = {"version": "1", "status": "completed"}
    cloud.registry.record_run("a" * 32, {**about, "model": MODEL, "dataset": "0" * 64, "created_ms": 1})
    cloud.registry.record_run(
        "b" * 32, {**about, "model": f"{MODEL}-reward", "dataset": frozen.digest, "created_ms": 2}
    )
    cloud.registry.record_run("c" * 32, {**about, "model": "triage", "dataset": "0" * 64, "created_ms": 3})
    return frozen


@pytest.fixture
def rows(cloud: Any) -> Rows:
    """Runs the command, and reads the lines that it prints."""
    stack: Any = SimpleNamespace(bucket=cloud.bucket, registry=cloud.registry)

    def run(trainer: str, digest: str | None = None, model: str = MODEL) -> list[dict[str, Any]]:
        printed = COMMANDS["rows"](stack, argparse.Namespace(model=model, trainer=trainer, dataset=digest))
        return [json.loads(line) for line in printed.splitlines()]

    return run


def learned(dataset: PairDataset) -> list[str]:
    """The birds that are not held out."""
    prompts = [row.prompt for row in dataset.splits["train"]]
    return [bird for bird in BIRDS if asked(bird) in prompts]


def test_what_people_have_shown_is_to_be_learned_by_heart_in_trl_s_own_format(dataset: PairDataset, rows: Rows) -> None:
    told = rows("sft")

    assert 0 < len(told) < len(BIRDS)
    assert sorted(map(str, told)) == sorted(
        str({"prompt": asked(bird), "completion": said(shown(bird))}) for bird in learned(dataset)
    )
    assert rows("sft", dataset.digest) == told


def test_it_is_better_than_what_was_answered_too(dataset: PairDataset, rows: Rows) -> None:
    pairs, thumbs, prompts = (rows(trainer) for trainer in ("dpo", "kto", "grpo"))

    count = len(learned(dataset))
    assert (len(pairs), len(thumbs), len(prompts)) == (count, 2 * count, count)
    assert set(map(frozenset, pairs)) == {frozenset({"prompt", "chosen", "rejected"})}
    assert pairs[0]["chosen"] == thumbs[0]["completion"] and thumbs[0]["label"] is True
    assert pairs[0]["rejected"][0]["content"].endswith("Anywhere.")


def test_nothing_is_told_of_whoever_was_erased_since(dataset: PairDataset, rows: Rows, cloud: Any) -> None:
    bury(cloud.bucket, [subject_digest("bob")], [])

    assert [row["prompt"] for row in rows("sft")] == [asked(bird) for bird in learned(dataset) if bird == BIRDS[0]]


def test_a_model_that_never_learned_and_another_one_s_dataset_are_refused(dataset: PairDataset, rows: Rows) -> None:
    with pytest.raises(OperationError, match="nothing was ever frozen for wolf"):
        rows("sft", model="wolf")
    with pytest.raises(OperationError, match=f"is of {MODEL}"):
        rows("sft", dataset.digest, "wolf")
