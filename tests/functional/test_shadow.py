"""A candidate in its shadow: collect sends it copies, it answers unseen, and the release function compares."""

import dataclasses
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from inference.shadow import agreement
from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.records import SHADOW, CaptureRecord
from release.trial import begin_trial

TERMS = '{"shadow": true, "shadow_per_minute": 3, "smallest_sample": 2, "step_hours": 0, "collect_minutes": 0}'


class Candidate:
    """The inference function as collect sees it: it takes copies, here to be answered later."""

    def __init__(self) -> None:
        self.copies: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, Qualifier: str, InvocationType: str, Payload: bytes) -> None:
        assert (FunctionName, Qualifier, InvocationType) == ("inference", "7", "Event")
        self.copies.append(json.loads(Payload))


@pytest.fixture
def trial(cloud: Any, starter: Bundle, dataset: FrozenDataset, now_ms: int) -> Any:
    cloud.seed(starter, dataset)
    begun = begin_trial(("triage", "2"), ("7", "arn:layer:2"), ("1", "1"), TERMS, now_ms - 60_000)
    cloud.registry.keep_canary(begun.to_item(), None)
    return begun


@pytest.fixture
def candidate() -> Candidate:
    return Candidate()


@pytest.fixture
def collect(
    trial: Any, start: Callable[[str], ModuleType], candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    monkeypatch.setenv("INFERENCE_FUNCTION", "inference")
    module = start("drift.collect")
    module.shadow._functions = candidate
    return module


def test_collect_copies_what_live_was_asked_as_often_as_the_budget_of_the_minute_allows(
    collect: ModuleType,
    candidate: Candidate,
    answered: Callable[..., CaptureRecord],
    batch_of: Callable[..., dict[str, Any]],
    context: Any,
    now_ms: int,
) -> None:
    records = [answered("refund", "hello", unix_ms=now_ms - n) for n in range(5)]
    others = dataclasses.replace(records[0], version="2")

    collect.handler(batch_of(*[each.to_json() for each in records[:2]]), context)
    collect.handler(batch_of(*[each.to_json() for each in records[2:]], others.to_json()), context)

    asked = [copy["shadow"] for copy in candidate.copies]
    assert [(each["model"], each["version"]) for each in asked] == [("triage", "2")] * 3
    assert asked[0]["inputs"] == {"text": ["refund", "hello"]}
    assert asked[0]["outputs"] == {"label": ["billing", "other"]}


def test_where_people_see_the_candidate_nothing_is_copied(
    collect: ModuleType,
    trial: Any,
    candidate: Candidate,
    answered: Callable[..., CaptureRecord],
    batch_of: Callable[..., dict[str, Any]],
    context: Any,
    cloud: Any,
    now_ms: int,
) -> None:
    cloud.registry.keep_canary(trial.stepped(trial.policy, now_ms).to_item(), 1)

    collect.handler(batch_of(answered("refund", unix_ms=now_ms).to_json()), context)

    assert candidate.copies == []


def test_a_copy_that_cannot_be_sent_costs_no_traffic(
    collect: ModuleType,
    answered: Callable[..., CaptureRecord],
    batch_of: Callable[..., dict[str, Any]],
    context: Any,
    cloud: Any,
    now_ms: int,
) -> None:
    client = boto3.client("lambda")
    collect.shadow._functions = client
    record = answered("refund", unix_ms=now_ms)
    with Stubber(client) as stubber:
        stubber.add_client_error("invoke", "TooManyRequestsException")

        assert collect.handler(batch_of(record.to_json()), context) == {"batchItemFailures": []}

    assert [each.inference_id for each in cloud.traffic.records("triage", "1", now_ms - 1, now_ms + 1)] == [
        record.inference_id
    ]


def test_the_candidate_answers_a_copy_unseen_and_its_features_are_captured_beside_the_agreement(
    start: Callable[[str], ModuleType],
    layer: Callable[[Bundle], Any],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    cloud: Any,
    context: Any,
) -> None:
    layer(make_bundle("2", dataset.digest, right=["refund", "weather"]))
    inference = start("inference.app")
    asked = {"text": ["refund", "hello", "weather"]}
    event = {
        "shadow": {"model": "triage", "version": "2", "inputs": asked, "outputs": {"label": ["billing", "other", "x"]}}
    }

    assert inference.handler(event, context) == {"answered": 3}

    inference.capture.flush(5)
    (record,) = cloud.messages("capture")
    assert (record["model"], record["version"], record["inputs"], record["outputs"]) == ("triage", f"2{SHADOW}", {}, {})
    assert record["features"]["agrees"] == [1.0, 0.0, 0.0]
    assert record["features"]["latency_ms"][1:] == [None, None]
    assert record["features"]["label"][0] == "billing"


def test_what_was_answered_unseen_is_counted_once_and_lets_the_candidate_go_on(
    collect: ModuleType,
    trial: Any,
    keys: Any,
    batch_of: Callable[..., dict[str, Any]],
    functions: Any,
    start: Callable[[str], ModuleType],
    context: Any,
    cloud: Any,
    now_ms: int,
) -> None:
    def unseen(n: int, agrees: float) -> str:
        about = {"model": "triage", "model_version": f"2{SHADOW}", "function_version": "7", "rows": 1, "payload": b""}
        inference_id = keys.sign(**about, unix_ms=now_ms - 30_000, random=n.to_bytes(10, "big"))
        features = {"agrees": [agrees], "latency_ms": [5.0]}
        return CaptureRecord(inference_id, "triage", f"2{SHADOW}", now_ms - 30_000, {}, {}, features).to_json()

    delivery = batch_of(*[unseen(n, float(n != 3)) for n in range(12)])
    for _ in range(2):
        assert collect.handler(delivery, context) == {"batchItemFailures": []}
    evidence = start("release.app").evidence

    counted = evidence.count(trial, trial.policy, now_ms)
    again = evidence.count(counted, trial.policy, now_ms)

    assert (counted.shadow_rows, again.shadow_rows) == (12, 12)
    assert counted.figures()["disagreement"] == {"answers": 12, "share": 0.0833, "limit": 0.5}


def test_alike_means_texts_to_the_letter_and_numbers_to_a_hundredth() -> None:
    live = {"label": ["a", "b"], "score": [0.5, 0.5]}

    assert agreement(live, {"label": ["a", "b"], "score": [0.505, 0.52]}, 2) == [1.0, 0.0]
    assert agreement({}, {"label": ["a"]}, 1) == [None]
