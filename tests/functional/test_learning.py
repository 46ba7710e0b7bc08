"""A model that came without a reference: its traffic is kept and profiled all the same, and no check fails."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from drift import learning
from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.profile import Profile
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.versions import Live, VersionRecord

MODEL = "assistant"
LEARNED = f"profiles/{MODEL}/1/reference.json"
Deliver = Callable[[Sequence[CaptureRecord]], list[str]]
Say = Callable[..., CaptureRecord]


@pytest.fixture
def unreferenced(cloud: Any, starter: Bundle, dataset: FrozenDataset, tmp_path: Path) -> None:
    """The starter model, and beside it `assistant`, which has a manifest and no reference."""
    cloud.seed(starter, dataset)
    manifest = {**json.loads((starter.path / "manifest.json").read_text()), "name": MODEL, "kind": "text-generator"}
    del manifest["files"]["reference.json"]
    cloud.bucket.write(f"models/{MODEL}/1/manifest.json", json.dumps(manifest).encode())
    cloud.registry.record_version(VersionRecord(MODEL, "1", "live", starter.digest))
    cloud.registry.move_live(Live(MODEL, "1", reason="starter"), None)


@pytest.fixture
def said(keys: ReceiptKeys, now_ms: int) -> Callable[..., CaptureRecord]:
    """Makes the capture record of texts of so many tokens each, an hour ago; further features may be given."""
    given = iter(range(1, 1_000_000))

    def say(*tokens: int, finish_reason: str = "stop", **more: Any) -> CaptureRecord:
        number = next(given)
        unix_ms = now_ms - 3_600_000 + number
        inference_id = keys.sign(
            model=MODEL,
            model_version="1",
            function_version="1",
            rows=len(tokens),
            payload=b"hello",
            unix_ms=unix_ms,
            random=number.to_bytes(10, "big"),
        )
        features = {
            "prompt_tokens": [7 for _ in tokens],
            "tokens": list(tokens),
            "finish_reason": [finish_reason for _ in tokens],
            "logprob": [-each / 100 for each in tokens],
            **{name: [value for _ in tokens] for name, value in more.items()},
        }
        texts = {"text": ["hello" for _ in tokens]}
        return CaptureRecord(inference_id, MODEL, "1", unix_ms, texts, texts, features)

    return say


@pytest.fixture
def collect(unreferenced: None, start: Callable[[str], ModuleType]) -> ModuleType:
    return start("drift.collect")


@pytest.fixture
def deliver(
    collect: ModuleType, batch_of: Callable[..., dict[str, Any]], context: Any
) -> Callable[[Sequence[CaptureRecord]], list[str]]:
    """Delivers records as one SQS batch; returns the ids of the messages that go back to the queue."""

    def send(records: Sequence[CaptureRecord]) -> list[str]:
        event = batch_of(*(record.to_json() for record in records))
        return [each["itemIdentifier"] for each in collect.handler(event, context)["batchItemFailures"]]

    return send


def test_traffic_of_a_model_without_a_reference_is_stored_with_a_profile(
    deliver: Deliver, said: Say, cloud: Any
) -> None:
    assert deliver([said(5), said(70, finish_reason="length")]) == []

    (key,) = cloud.bucket.keys(f"profiles/{MODEL}/1/")
    told = json.loads(cloud.bucket.read(key))
    assert told["rows"] == 2
    assert told["columns"]["finish_reason"]["counts"] == {"length": 1, "stop": 1}
    assert set(told["columns"]) == {"prompt_tokens", "tokens", "finish_reason", "logprob"}


@pytest.fixture
def checked(
    start: Callable[[str], ModuleType], event: Callable[[str], dict[str, Any]], context: Any
) -> Callable[[], dict[str, Any]]:
    """A scheduled check: its reports by model."""

    def check() -> dict[str, Any]:
        reports = start("drift.check").handler(event("scheduled_event"), context)["reports"]
        return {report["model"]: report for report in reports}

    return check


def test_a_check_of_a_model_without_a_reference_reports_that_it_is_learning(
    deliver: Deliver, said: Say, checked: Callable[[], dict[str, Any]], cloud: Any
) -> None:
    deliver([said(5), said(70)])
    deliver([said(8)])

    reports = checked()

    assert (reports["triage"]["status"], reports[MODEL]["status"]) == ("insufficient", "learning")
    assert (reports[MODEL]["rows"], reports[MODEL]["reference_rows"], reports[MODEL]["score"]) == (3, 0, 0.0)
    assert cloud.announced() == []
    assert not cloud.bucket.has(LEARNED)


def test_the_first_window_with_enough_rows_is_what_later_ones_are_compared_with(
    deliver: Deliver, said: Say, checked: Callable[[], dict[str, Any]], cloud: Any
) -> None:
    deliver([said(*range(10, 260), latency_ms=5.0) for _ in range(4)])

    first = checked()[MODEL]
    learned = cloud.bucket.read(LEARNED)
    second = checked()[MODEL]
    for key in list(cloud.bucket.keys(f"profiles/{MODEL}/1/2")):
        cloud.bucket.write(key.replace("/1/2", "/none/2"), cloud.bucket.read(key))
        boto3.client("s3").delete_object(Bucket="pawl-data", Key=key)
    deliver([said(*range(500, 700), finish_reason="length", latency_ms=9000.0)])
    third = checked()[MODEL]

    assert (first["status"], first["rows"]) == ("learning", 1000)
    assert (second["status"], second["rows"], second["reference_rows"]) == ("stable", 1000, 1000)
    assert (third["status"], third["rows"], third["reference_rows"]) == ("drifted", 200, 1000)
    assert {"tokens", "finish_reason"} <= set(third["drifted"])
    assert not {"latency_ms", "prompt_tokens"} & set(third["drifted"])
    assert cloud.bucket.read(LEARNED) == learned


def test_a_learned_reference_takes_over_what_columns_have_to_do_with_each_other_once(cloud: Any) -> None:
    """Its own window has fixed the axes; the first window on them, of enough rows, is what is normal."""

    def window(sign: int, rows: int = 1000, on: Profile | None = None) -> Profile:
        profile = Profile.open(on)
        steps = [float(n % 40) for n in range(rows)]
        profile.update({"age": steps, "size": [sign * n + n % 3 for n in steps]})
        return profile

    def known() -> Profile:
        found = learning.learned(cloud.bucket, "churn", "7")
        assert found is not None
        return found

    def complete(recent: Profile) -> bool:
        return learning.complete(cloud.bucket, "churn", "7", known(), recent)

    assert learning.learn(cloud.bucket, "churn", "7", window(1))
    assert known().joints["columns together"].rows == 0

    told = [complete(window(1)), complete(window(1, 900, known())), complete(window(1, on=known()))]
    again = complete(window(-1, on=known()))

    assert (told, again) == ([False, False, True], False)
    assert known().joints["columns together"].correlation()[0, 1] > 0.95
    assert known().rows == 1000


def test_a_feature_that_the_reference_lacks_is_profiled_beside_those_it_has(
    deliver: Deliver, answered: Callable[..., CaptureRecord], cloud: Any, now_ms: int
) -> None:
    plain, timed = answered("refund", unix_ms=now_ms - 2), answered("login", "hello", unix_ms=now_ms - 1)
    timed.features["latency_ms"] = [7.5, 7.5]

    assert deliver([plain, timed]) == []

    (profile,) = cloud.traffic.profiles("triage", "1", now_ms - 1000, now_ms)
    latency = profile.columns["latency_ms"]
    assert (profile.rows, latency.rows, latency.missing, latency.mean) == (3, 2, 1, 7.5)
    assert set(profile.columns) == set(timed.features)


def test_a_record_of_another_kind_than_its_neighbours_fails_alone(
    deliver: Deliver, said: Say, cloud: Any, now_ms: int
) -> None:
    assert deliver([said(5, latency_ms=1.5), said(6, latency_ms="slow"), said(7, latency_ms=None)]) == ["m1"]

    (profile,) = cloud.traffic.profiles(MODEL, "1", now_ms - 7_200_000, now_ms)
    assert (profile.rows, profile.columns["latency_ms"].rows) == (2, 1)


def test_a_batch_that_does_not_fit_its_neighbours_spoils_no_check(
    deliver: Deliver, said: Say, checked: Callable[[], dict[str, Any]]
) -> None:
    deliver([said(5, speed=1.5), said(6, speed=2.5)])
    deliver([said(7, speed="slow")])

    assert (checked()[MODEL]["status"], checked()[MODEL]["rows"]) == ("learning", 2)


def test_a_version_that_nobody_registered_is_still_refused(deliver: Deliver, said: Say) -> None:
    assert deliver([replace(said(5), version="2")]) == ["m0"]
