"""`scripts/pawl pairs`: pairs from a file or from traffic, put where the page finds them; and how far it is."""

import argparse
import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from tests.functional.rewards import seal_reward

from operations.__main__ import COMMANDS
from operations.stack import OperationError
from pawl.errors import InvalidRecord
from pawl.masking import Policy
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.reward import RewardModel
from pawl.versions import Live, VersionRecord

ID = f"k1.{'0' * 32}.assistant.1.3.1.abc.mac"
PAIR = {"prompt": "Name a bird.", "answers": [{"text": "Wren."}, {"text": "Cat."}], "inference_id": ID, "gold": 1}


@pytest.fixture
def stack(cloud: Any) -> Any:
    outputs = {"ApiUrl": "https://example/live", "FeedbackTable": "feedback"}
    return SimpleNamespace(
        bucket=cloud.bucket,
        registry=cloud.registry,
        traffic=cloud.traffic,
        outputs=outputs,
        client=boto3.client,
        masking=Policy(),
    )


@pytest.fixture
def look(stack: Any) -> Any:
    """Runs the command without a file."""
    return lambda days=None: COMMANDS["pairs"](stack, argparse.Namespace(model="assistant", file=None, traffic=days))


@pytest.fixture
def answer(keys: ReceiptKeys) -> Any:
    """The record of a request that got these texts."""
    numbers = iter(range(1, 1_000_000))

    def make(prompt: str, *texts: str, reason: str = "stop", version: str = "1") -> CaptureRecord:
        number, now_ms = next(numbers), time.time_ns() // 1_000_000 - 60_000
        signed = keys.sign(
            model="assistant",
            model_version=version,
            function_version="1",
            rows=len(texts),
            payload=prompt.encode(),
            unix_ms=now_ms + number,
            random=number.to_bytes(10, "big"),
        )
        outputs = {"text": list(texts), "finish_reason": [reason] * len(texts)}
        return CaptureRecord(
            signed, "assistant", version, now_ms + number, {"prompt": [prompt] * len(texts)}, outputs, {}
        )

    return make


@pytest.fixture
def add(stack: Any, tmp_path: Path) -> Any:
    """Runs the command on a file of these lines."""

    def run(*rows: Any) -> Any:
        path = tmp_path / "pairs.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return COMMANDS["pairs"](stack, argparse.Namespace(model="assistant", file=path, traffic=None))

    return run


def test_a_file_is_stored_once_however_often_it_is_added_and_the_page_is_named(add: Any, cloud: Any) -> None:
    first, second, other = add(PAIR), add(PAIR), add(PAIR, {**PAIR, "prompt": "Name another."})

    assert first == second
    assert (first["pairs"], other["pairs"]) == (1, 2)
    assert first["page"] == "https://example/live/label?model=assistant"
    assert sorted(cloud.bucket.keys("pairs/")) == sorted([first["key"], other["key"]])


def test_nothing_is_stored_of_a_file_with_a_wrong_line(add: Any, cloud: Any) -> None:
    with pytest.raises(InvalidRecord, match="line 2: want two different answers"):
        add(PAIR, {**PAIR, "answers": [{"text": "Wren."}, {"text": "Wren."}]})
    with pytest.raises(InvalidRecord, match="line 1: want every inference_id"):
        add({**PAIR, "inference_id": "no receipt"})

    assert list(cloud.bucket.keys("pairs/")) == []


def test_personal_data_is_masked_before_a_file_is_stored_and_who_chose_the_gold_answer_was_right(
    add: Any, look: Any, answer: Any, cloud: Any, start: Any, rest: Any, context: Any
) -> None:
    id = answer("Whom do I write to?", "+").inference_id
    texts = ["Write to help@example.org.", "No idea."]
    pair = {"prompt": "Whom?", "answers": [{"text": text} for text in texts], "inference_id": id, "gold": 1}
    added = add(pair)
    assert b"help@" not in cloud.bucket.read(added["key"])

    for chosen, rejected in (texts, ["Write to <EMAIL>.", texts[1]]):
        body = {"metric_name": "preference", "value": {"chosen": chosen, "rejected": rejected}, "inference_id": id}
        event = rest("POST", "/feedback", {**body, "tags": {"rater": chosen[9:13]}}, sender="feedback")
        assert start("feedback.app").handler(event, context)["statusCode"] == 200

    told = look()
    assert (told["pairs"], told["by_labels"]) == (1, {2: 1})
    assert told["raters"] == {name: {"labels": 1, "gold": 1, "right": 1} for name in ("<EMA", "help")}


def test_how_far_the_labelling_is_and_who_knows_what_is_known(
    add: Any, look: Any, answer: Any, cloud: Any, start: Any, rest: Any, context: Any, capsys: Any
) -> None:
    pairs = [
        {"prompt": p, "answers": [{"text": "+"}, {"text": "-"}], "inference_id": answer(p, "+").inference_id}
        for p in "abcd"
    ]
    pairs[0]["gold"], pairs[1]["gold"] = 1, 0
    add(*pairs)
    by_hand = json.dumps({**PAIR, "inference_id": "no receipt"}) + "\nno pair"
    cloud.bucket.write("pairs/assistant/by-hand.jsonl", by_hand.encode())
    say = start("feedback.app").handler
    better, worse, tie = {"chosen": "+", "rejected": "-"}, {"chosen": "-", "rejected": "+"}, {"tie": ["-", "+"]}
    for pair, rater, value in [
        (0, "ada", better),
        (0, "bo", worse),
        (1, "ada", tie),
        (1, "bo", worse),
        (2, "bo", tie),
    ]:
        body = {"metric_name": "preference", "value": value, "inference_id": pairs[pair]["inference_id"]}
        event = rest("POST", "/feedback", {**body, "tags": {"rater": rater}}, sender="feedback")
        assert say(event, context)["statusCode"] == 200

    told = look()

    assert (told["pairs"], told["gold"], told["unusable"]) == (4, 2, 1)
    assert capsys.readouterr().err.startswith("pairs/assistant/by-hand.jsonl: line 2: ")
    assert told["by_labels"] == {0: 1, 1: 1, 2: 2}
    assert told["raters"] == {
        "ada": {"labels": 2, "gold": 2, "right": 2},
        "bo": {"labels": 3, "gold": 2, "right": 0},
    }


def test_pairs_are_found_in_traffic_one_a_prompt(look: Any, answer: Any, cloud: Any, start: Any) -> None:
    from pawl.profile import Profile

    old, new = answer("Name a bird.", "A wren."), answer("Name a bird.", "A cat.", version="2")
    both = answer("Name a fish.", "A cod.", "A cod.", "A hake.", "An eel.")
    records = [
        old,
        answer("Name a bird.", "A wren."),
        answer("Name a bird.", "A stone.", reason="cancelled"),
        new,
        answer("Name a bird.", "A tit."),
        both,
        answer("Name a tree.", "An oak."),
        answer("Name a rock.", "x" * 20_000, "Slate."),
    ]
    for version in "12":
        cloud.registry.record_version(VersionRecord("assistant", version, "live", "d"))
        mine = [record for record in records if record.version == version]
        batch = f"{mine[0].inference_id.split('.')[1]}-{version}"
        cloud.traffic.store(batch, mine, Profile.of({"characters": [1.0]}))

    told = look(days=1)

    lines = cloud.bucket.read(told["key"]).decode().splitlines()
    found = {each["prompt"]: each for each in map(json.loads, lines)}
    assert (told["pairs"], set(found)) == (2, {"Name a bird.", "Name a fish."})
    assert found["Name a fish."] == {
        "prompt": "Name a fish.",
        "answers": [{"text": "A cod."}, {"text": "A hake."}],
        "inference_id": both.inference_id,
    }
    assert [each["text"] for each in found["Name a bird."]["answers"]] == ["A wren.", "A tit."]


def test_traffic_without_pairs_says_what_would_make_some(look: Any) -> None:
    with pytest.raises(OperationError, match="ask some with n=2"):
        look(days=1)


def test_a_pair_from_traffic_tells_what_the_released_reward_model_makes_of_it(
    look: Any, answer: Any, cloud: Any, start: Any, tmp_path: Path
) -> None:
    from pawl.profile import Profile

    record = answer("where is my parcel", "it is not my parcel", "the weather is fine")
    cloud.registry.record_version(VersionRecord("assistant", "1", "live", "d"))
    cloud.traffic.store(record.inference_id.split(".")[1], [record], Profile.of({"characters": [1.0]}))
    judge = seal_reward(tmp_path / "judge", "assistant-reward", "1", "none", {" weather": 2.0})
    cloud.store_files("models/assistant-reward/1/", judge)
    cloud.registry.move_live(Live("assistant-reward", "1"), None)

    (line,) = cloud.bucket.read(look(days=1)["key"]).decode().splitlines()

    rewards = RewardModel(judge).rewards([json.loads(line)["prompt"]] * 2, record.outputs["text"])
    apart = float(rewards[0] - rewards[1])
    assert apart < -1
    assert json.loads(line)["chance"] == round(1 / (1 + math.exp(-apart)), 4)
