"""`feedback.ready` as a whole: the feedback table's stream in, `FeedbackReady` out."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import boto3
import pytest

from pawl.opinions import COUNTS, Opinions, Piece
from pawl.receipt import ReceiptKeys

BEFORE_THE_NOTE = (2, 4)
"""Writes that note a crossing: who dies there has announced it already."""


@pytest.fixture
def app(start: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("READY_FEEDBACK", "10")
    return start("feedback.ready")


@pytest.fixture
def give(cloud: Any, now_ms: int) -> Callable[[int, int], None]:
    """Stores labels of answers numbered so, all at once."""

    def store(first: int, end: int) -> None:
        opinions = Opinions(boto3.client("dynamodb"), "feedback")
        pieces = [_label(number, now_ms) for number in range(first, end)]
        opinions.store(pieces, now_ms)

    return store


@pytest.fixture
def stream(cloud: Any) -> Callable[[], dict[str, Any]]:
    """The changes of counters so far, as the function is given them."""
    client = boto3.client("dynamodbstreams")

    def read() -> dict[str, Any]:
        (about,) = client.list_streams(TableName="feedback")["Streams"]
        (shard,) = client.describe_stream(StreamArn=about["StreamArn"])["StreamDescription"]["Shards"]
        begin = client.get_shard_iterator(
            StreamArn=about["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        records = client.get_records(ShardIterator=begin["ShardIterator"], Limit=1000)["Records"]
        return {"Records": [each for each in records if each["dynamodb"]["Keys"]["pk"]["S"] == COUNTS]}

    return read


def test_a_crossed_threshold_is_announced_as_a_cloud_event(
    start: Callable[[str], ModuleType], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    start("feedback.ready").handler(event("dynamodb_feedback_counted"), context)

    (told,) = cloud.announced()
    assert (told["specversion"], told["source"], told["type"]) == ("1.0", "pawl.feedback", "FeedbackReady")
    assert (told["id"], told["subject"]) == ("feedback/triage/1/500", "triage")
    assert told["data"] == {"model": "triage", "version": "1", "feedback": 500}


def test_each_threshold_is_announced_exactly_once_however_feedback_comes(
    app: ModuleType, give: Callable[..., None], stream: Callable[[], dict[str, Any]], cloud: Any, context: Any
) -> None:
    give(0, 9)
    give(0, 9)  # the same again
    app.handler(stream(), context)
    assert cloud.announced() == []

    for number in range(9, 25):
        give(number, number + 1)
    app.handler(stream(), context)
    app.handler(stream(), context)  # delivered again

    assert [told["data"]["feedback"] for told in cloud.announced()] == [10, 20]


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_crossing_outlives_a_crash_anywhere_and_keeps_its_name(
    write: int,
    app: ModuleType,
    give: Callable[..., None],
    stream: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    for number in range(21):
        give(number, number + 1)
    records = stream()
    cloud.faults.die_at(write)
    with pytest.raises(cloud.faults.Died):
        app.handler(records, context)
    cloud.faults.reset()

    app.handler(records, context)

    ids = [told["id"] for told in cloud.announced()]
    assert set(ids) == {"feedback/triage/1/10", "feedback/triage/1/20"}
    assert len(ids) == 2 + (write in BEFORE_THE_NOTE)


def test_thumbs_alone_are_announced_where_they_are_declared_to_teach(
    start: Callable[[str], ModuleType],
    rest: Callable[..., dict[str, Any]],
    stream: Callable[[], dict[str, Any]],
    keys: ReceiptKeys,
    cloud: Any,
    context: Any,
    now_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METRICS", '{"thumbs_up": {"type": "boolean", "teaches": true}}')
    monkeypatch.setenv("READY_FEEDBACK", "20")
    take, ready = start("feedback.app").handler, start("feedback.ready").handler
    about = {"model": "assistant", "model_version": "1", "function_version": "3", "payload": b"hello"}
    ids = [keys.sign(**about, rows=1, unix_ms=now_ms, random=number.to_bytes(10, "big")) for number in range(20)]
    items = [{"metric_name": "thumbs_up", "value": bool(n % 2), "inference_id": id} for n, id in enumerate(ids)]

    for first, end in ((0, 19), (0, 19), (19, 20)):  # the same again counts nothing
        assert cloud.announced() == []
        reply = take(rest("POST", "/feedback/bulk", {"items": items[first:end]}, sender="feedback"), context)
        assert reply["statusCode"] == 200
        ready(stream(), context)

    (told,) = cloud.announced()
    assert told["data"] == {"model": "assistant", "version": "1", "feedback": 20}


def _label(number: int, now_ms: int) -> Piece:
    answer = f"{now_ms:012x}7000{0x8000000000000000 + number:016x}"
    return Piece("triage", "1", answer, "label", "ada", now_ms, True, {"metric": "label", "value": ["billing"]})
