"""`drift.collect` as a whole: batches of the capture queue in, the traffic lake and its profiles out."""

import contextlib
import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.exceptions import EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.identity import day_of
from pawl.profile import Profile
from pawl.records import CaptureRecord, columns_of

HOUR_MS = 3_600_000
RIGHT = {"refund": "billing", "login": "account", "hello": "other"}
Answer = Callable[..., CaptureRecord]
PROPERTY = settings(
    max_examples=8, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def collect(start: Callable[[str], ModuleType], cloud: Any, starter: Bundle, dataset: FrozenDataset) -> ModuleType:
    cloud.seed(starter, dataset)
    return start("drift.collect")


@pytest.fixture
def deliver(collect: ModuleType, batch_of: Callable[..., dict[str, Any]], context: Any) -> Callable[..., list[str]]:
    """Delivers records as one SQS batch; returns the ids of the messages that go back to the queue."""

    def send(*records: Any) -> list[str]:
        event = batch_of(*(record.to_json() if isinstance(record, CaptureRecord) else record for record in records))
        return [each["itemIdentifier"] for each in collect.handler(event, context)["batchItemFailures"]]

    return send


@pytest.fixture
def lake(cloud: Any, now_ms: int) -> Callable[[], dict[str, Any]]:
    """What is stored: each line of the lake, and the profiles merged."""

    def read() -> dict[str, Any]:
        keys = list(cloud.bucket.keys("traffic/"))
        lines = [line for key in keys for line in gzip.decompress(cloud.bucket.read(key)).decode().split("\n")]
        profiles = list(cloud.traffic.profiles("triage", "1", now_ms - 1000 * HOUR_MS, now_ms + HOUR_MS))
        labels: dict[str, int] = {}
        for profile in profiles:
            for label, count in profile.columns["label"].counts.items():
                labels[label] = labels.get(label, 0) + count
        texts = sorted(json.loads(line)["inputs"]["text"][0] for line in lines)
        return {"texts": texts, "labels": labels, "rows": sum(p.rows for p in profiles), "objects": len(keys)}

    return read


@pytest.fixture
def profiled(cloud: Any, now_ms: int) -> Callable[[str], int]:
    """How many values a column of the merged profiles has."""

    def read(column: str) -> int:
        whole = Profile.open()
        for profile in cloud.traffic.profiles("triage", "1", now_ms - 1000 * HOUR_MS, now_ms + HOUR_MS):
            whole.merge(profile)
        return whole.columns[column].rows

    return read


@pytest.fixture
def at(answered: Answer, now_ms: int) -> Answer:
    """An answer given so many milliseconds into the second half of the hour before, so that all lie in one hour."""
    began = (now_ms // HOUR_MS - 1) * HOUR_MS + HOUR_MS // 2
    return lambda *texts, ms=0: answered(*texts, unix_ms=began + ms)


def _plain(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def ledger(cloud: Any) -> list[dict[str, Any]]:
    return cloud.state.query(KeyConditionExpression=Key("pk").eq("once#capture"))["Items"]


def test_a_batch_becomes_one_object_of_the_lake_and_one_profile_beside_it(
    collect: ModuleType, event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    reply = collect.handler(event("sqs_capture_batch"), context)

    assert reply == {"batchItemFailures": []}
    (traffic,) = cloud.bucket.keys("traffic/")
    (profile,) = cloud.bucket.keys("profiles/")
    assert traffic.startswith("traffic/triage/1/2026-07-14/019f5fee183470008000000000000001-")
    assert profile == traffic.replace("traffic/", "profiles/").replace(".jsonl.gz", ".json")
    told = json.loads(cloud.bucket.read(profile))
    assert (told["rows"], told["first_ms"], told["last_ms"]) == (3, 1784020867124, 1784020867126)
    assert told["columns"]["label"]["counts"] == {"billing": 1, "account": 1, "other": 1}


def test_what_is_stored_is_what_was_captured(
    collect: ModuleType, event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    batch = event("sqs_capture_batch")

    collect.handler(batch, context)

    (key,) = cloud.bucket.keys("traffic/")
    lines = gzip.decompress(cloud.bucket.read(key)).decode().split("\n")
    assert lines == [message["body"] for message in batch["Records"]]


def test_no_personal_data_is_stored_and_what_is_labelled_still_joins(
    deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]], cloud: Any, now_ms: int
) -> None:
    record = at("refund to ada@example.org, not bob@example.org")

    assert deliver(record) == []

    assert lake()["texts"] == ["refund to <EMAIL>, not <EMAIL_2>"]
    assert lake()["labels"] == {record.outputs["label"][0]: 1}
    found = cloud.traffic.answers("triage", "1", now_ms - 2 * HOUR_MS, now_ms, {record.inference_id})
    assert [each.inference_id for each in found] == [record.inference_id]
    assert not [key for key in cloud.bucket.keys("") if b"example.org" in _plain(cloud.bucket.read(key))]


def test_masking_can_be_turned_off(
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[str], ModuleType],
    collect: ModuleType,
    batch_of: Callable[..., dict[str, Any]],
    at: Answer,
    lake: Callable[[], dict[str, Any]],
    context: Any,
) -> None:
    monkeypatch.setenv("MASK_PERSONAL_DATA", "none")

    start("drift.collect").handler(batch_of(at("refund ada@example.org").to_json()), context)

    assert lake()["texts"] == ["refund ada@example.org"]


def test_the_same_batch_delivered_twice_changes_nothing(
    collect: ModuleType, event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    collect.handler(event("sqs_capture_batch"), context)
    before = {key: cloud.bucket.read(key) for key in cloud.bucket.keys("")}

    reply = collect.handler(event("sqs_capture_batch"), context)

    assert reply == {"batchItemFailures": []}
    assert {key: cloud.bucket.read(key) for key in cloud.bucket.keys("")} == before


def test_a_record_twice_in_one_batch_is_stored_once(
    deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]]
) -> None:
    record = at("refund")

    assert deliver(record, record) == []

    assert lake() == {"texts": ["refund"], "labels": {"billing": 1}, "rows": 1, "objects": 1}


def test_overlapping_batches_store_each_record_once(
    deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]]
) -> None:
    first, second, third = at("refund", ms=1), at("login", ms=2), at("hello", ms=3)

    assert [deliver(first, second), deliver(second, third), deliver(third, first)] == [[], [], []]

    labels = {"billing": 1, "account": 1, "other": 1}
    assert lake() == {"texts": ["hello", "login", "refund"], "labels": labels, "rows": 3, "objects": 2}


def test_a_batch_in_another_order_is_the_same_batch(
    deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]]
) -> None:
    first, second = at("refund", ms=1), at("login", ms=2)

    deliver(first, second)
    deliver(second, first)

    assert (lake()["rows"], lake()["objects"]) == (2, 1)


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), max_size=4),
    st.lists(st.sampled_from(["refund", "login", "hello"]), min_size=6, max_size=6),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.lists(st.integers(1, 6), max_size=3),
)
@PROPERTY
def test_however_records_are_batched_ordered_doubled_and_died_over_each_is_counted_once_in_its_hour(
    deliver: Callable[..., list[str]],
    answered: Answer,
    cloud: Any,
    now_ms: int,
    batches: list[list[int]],
    words: list[str],
    hours: list[int],
    deaths: list[int],
) -> None:
    records = [answered(word, unix_ms=now_ms - ago * HOUR_MS) for word, ago in zip(words, hours, strict=True)]
    windows = [(now_ms - ago * HOUR_MS - HOUR_MS // 2, now_ms - ago * HOUR_MS + HOUR_MS // 2) for ago in range(5)]
    before = [counted(cloud, window) for window in windows]

    for number, batch in enumerate([*batches, [*range(6)]]):
        if number < len(deaths):  # the queue gives a batch again whose worker died, as it was
            cloud.faults.die_at(deaths[number])
            with contextlib.suppress(cloud.faults.Died):
                deliver(*(records[index] for index in batch))
            cloud.faults.reset()
        assert deliver(*(records[index] for index in batch)) == []

    for ago, window in enumerate(windows):
        mine = Counter(RIGHT[word] for word, hour in zip(words, hours, strict=True) if hour == ago)
        assert counted(cloud, window) == before[ago] + mine


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), max_size=4),
    st.permutations(range(6)),
    st.lists(st.sampled_from(["refund", "login", "hello", "weather"]), min_size=6, max_size=6),
)
@PROPERTY
def test_any_order_and_any_doubling_of_deliveries_leave_the_same_lake_and_the_same_merged_profile(
    deliver: Callable[..., list[str]],
    answered: Answer,
    hours_ago: Iterator[int],
    cloud: Any,
    now_ms: int,
    batches: list[list[int]],
    order: list[int],
    words: list[str],
) -> None:
    began = (now_ms // HOUR_MS - next(hours_ago)) * HOUR_MS
    records = [answered(word, unix_ms=began + number) for number, word in enumerate(words)]

    for batch in [*batches, order]:
        assert deliver(*(records[index] for index in batch)) == []

    found, whole = (Profile.like(cloud.registry.reference("triage", "1"), is_open=True) for _ in range(2))
    for profile in cloud.traffic.profiles("triage", "1", began, began + HOUR_MS):
        found.merge(profile)
    whole.update(columns_of(records), began, began + len(records) - 1)
    assert found.to_json() == whole.to_json()
    stored = cloud.traffic.records("triage", "1", began, began + HOUR_MS)
    assert sorted(each.to_json() for each in stored) == sorted(each.to_json() for each in records)


@pytest.fixture
def hours_ago() -> Iterator[int]:
    """For each example an hour that no other one has."""
    return itertools.count(10)


def counted(cloud: Any, window: tuple[int, int]) -> Counter[str]:
    """The answers in a window, by the profiles; the lake has the same."""
    found: Counter[str] = Counter()
    for profile in cloud.traffic.profiles("triage", "1", *window):
        found += Counter(profile.columns["label"].counts)
    assert found == Counter(record.outputs["label"][0] for record in cloud.traffic.records("triage", "1", *window))
    return found


def test_a_record_that_comes_late_among_fresh_ones_lies_in_the_window_where_it_belongs(
    deliver: Callable[..., list[str]], answered: Answer, cloud: Any, now_ms: int
) -> None:
    late, fresh = answered("refund", unix_ms=now_ms - 50 * HOUR_MS), answered("login", unix_ms=now_ms - 1000)

    assert deliver(fresh, late) == []

    windows = [(now_ms - 51 * HOUR_MS, now_ms - 49 * HOUR_MS), (now_ms - 24 * HOUR_MS, now_ms)]
    assert [counted(cloud, window) for window in windows] == [Counter(billing=1), Counter(account=1)]


def test_new_records_are_claimed_25_with_a_call_and_none_is_asked_for_by_itself(
    deliver: Callable[..., list[str]], at: Answer, cloud: Any, lake: Callable[[], dict[str, Any]]
) -> None:
    deliver(at("hello"))  # the reference is read once a process
    cloud.faults.reset()

    deliver(*(at("refund", ms=number) for number in range(1, 61)))

    counted = Counter(cloud.faults.calls)
    assert counted["dynamodb.BatchExecuteStatement"] == 3
    assert (counted["dynamodb.GetItem"], lake()["rows"]) == (0, 61)
    assert {item["note"]["label"][0] for item in ledger(cloud)} == {"billing", "other"}


def test_where_claims_by_the_batch_are_refused_each_is_made_by_itself(
    deliver: Callable[..., list[str]], at: Answer, cloud: Any, lake: Callable[[], dict[str, Any]]
) -> None:
    cloud.faults.refuse("dynamodb.BatchExecuteStatement")

    assert deliver(at("refund", ms=1), at("login", ms=2)) == []

    assert cloud.faults.calls.count("dynamodb.PutItem") == len(ledger(cloud)) == lake()["rows"] == 2


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_claim_whose_answer_was_lost_is_this_batchs_own_when_it_comes_again(
    number: int, deliver: Callable[..., list[str]], at: Answer, cloud: Any, lake: Callable[[], dict[str, Any]]
) -> None:
    records = [at("refund", ms=each) for each in range(3)]
    cloud.faults.fail_after(number)
    with pytest.raises(EndpointConnectionError):
        deliver(*records)
    cloud.faults.reset()
    assert (len(ledger(cloud)), lake()["objects"]) == (number, 0)

    assert deliver(*records) == []

    assert (lake()["rows"], lake()["objects"]) == (3, 1)


def test_every_row_of_an_answer_is_counted(
    deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]]
) -> None:
    deliver(at("refund", "login", "invoice"))

    assert (lake()["rows"], lake()["labels"]) == (3, {"billing": 2, "account": 1})


def altered(record: CaptureRecord, **changes: Any) -> str:
    return json.dumps({**json.loads(record.to_json()), **changes})


def test_an_answer_without_a_feature_of_its_reference_is_stored_and_not_counted_there(
    deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]], profiled: Callable[[str], int]
) -> None:
    before = altered(at("password", ms=2), features={"label": ["billing"]})

    assert deliver(at("refund", ms=1), before) == []

    assert lake()["texts"] == ["password", "refund"]
    assert (profiled("label"), profiled("tokens")) == (2, 1)


def test_a_batch_without_a_feature_of_its_reference_merges_with_others(
    deliver: Callable[..., list[str]], at: Answer, profiled: Callable[[str], int]
) -> None:
    assert deliver(altered(at("password", ms=2), features={"label": ["billing"]})) == []
    assert deliver(at("refund", ms=1)) == []

    assert (profiled("label"), profiled("tokens")) == (2, 1)


POISON: dict[str, Callable[[CaptureRecord], str]] = {
    "no JSON": lambda record: "{",
    "a list": lambda record: "[]",
    "another schema": lambda record: altered(record, schema=2),
    "an unknown field": lambda record: altered(record, note="x"),
    "no receipt": lambda record: altered(record, inference_id="1.2.3"),
    "a receipt whose uuid is none": lambda record: altered(
        record, inference_id=record.inference_id.replace(record.inference_id.split(".")[1], "z" * 32)
    ),
    "a version nobody registered": lambda record: altered(record, version="9"),
    "columns of two lengths": lambda record: altered(record, features={**record.features, "label": ["a", "b"]}),
    "a feature that is no number": lambda record: altered(record, features={**record.features, "tokens": ["many"]}),
    "a feature that is an object": lambda record: altered(record, features={**record.features, "tokens": [{}]}),
}


@pytest.mark.parametrize("poison", POISON)
def test_a_poisoned_record_fails_alone_and_its_batch_goes_on(
    poison: str, deliver: Callable[..., list[str]], at: Answer, lake: Callable[[], dict[str, Any]]
) -> None:
    bad = POISON[poison](at("password", ms=2))

    assert deliver(at("refund", ms=1), bad, at("hello", ms=3)) == ["m1"]

    assert lake() == {"texts": ["hello", "refund"], "labels": {"billing": 1, "other": 1}, "rows": 2, "objects": 1}


def test_a_batch_of_nothing_but_poison_stores_nothing(
    deliver: Callable[..., list[str]], lake: Callable[[], dict[str, Any]]
) -> None:
    assert deliver("{", "{") == ["m0", "m1"]
    assert lake()["objects"] == 0


def test_a_poisoned_record_ends_as_a_dead_letter_and_what_came_with_it_in_the_lake(
    collect: ModuleType, at: Answer, lake: Callable[[], dict[str, Any]], context: Any
) -> None:
    queue, dead = (boto3.resource("sqs").create_queue(QueueName=name) for name in ("asked", "dead"))
    redrive = {"deadLetterTargetArn": dead.attributes["QueueArn"], "maxReceiveCount": 2}
    queue.set_attributes(Attributes={"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "0"})
    bad = altered(at("password", ms=2), note="x")
    for body in (at("refund", ms=1).to_json(), bad, at("hello", ms=3).to_json()):
        queue.send_message(MessageBody=body)

    # As Lambda's event source does: what the handler does not name is done with, the rest is shown again.
    while messages := queue.receive_messages(MaxNumberOfMessages=10):
        batch = [{"messageId": each.message_id, "body": each.body} for each in messages]
        failed = {each["itemIdentifier"] for each in collect.handler({"Records": batch}, context)["batchItemFailures"]}
        for each in messages:
            if each.message_id not in failed:
                each.delete()

    assert lake() == {"texts": ["hello", "refund"], "labels": {"billing": 1, "other": 1}, "rows": 2, "objects": 1}
    assert [each.body for each in dead.receive_messages(MaxNumberOfMessages=10)] == [bad]


def test_a_refusal_is_logged_without_what_the_user_wrote(
    deliver: Callable[..., list[str]], at: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(altered(at("password"), schema=2))

    (logged,) = caplog.records
    assert (logged.getMessage(), vars(logged)["message_id"]) == ("record refused", "m0")
    assert "password" not in str(vars(logged))


def test_a_claimant_that_died_before_storing_finishes_when_its_batch_comes_again(
    deliver: Callable[..., list[str]], at: Answer, cloud: Any, lake: Callable[[], dict[str, Any]]
) -> None:
    records = at("refund", ms=1), at("login", ms=2)
    cloud.faults.die_on("s3.PutObject")
    with pytest.raises(cloud.faults.Died):
        deliver(*records)
    cloud.faults.reset()
    assert (len(ledger(cloud)), lake()["objects"]) == (2, 0)

    assert deliver(*records) == []

    assert (lake()["rows"], lake()["objects"]) == (2, 1)


def test_a_record_of_a_claimant_that_died_is_taken_over_once_its_time_is_over_and_not_before(
    deliver: Callable[..., list[str]], at: Answer, cloud: Any, lake: Callable[[], dict[str, Any]]
) -> None:
    lost, other = at("refund", ms=1), at("login", ms=2)
    cloud.faults.die_on("s3.PutObject")
    with pytest.raises(cloud.faults.Died):
        deliver(lost)
    cloud.faults.reset()

    assert deliver(lost, other) == ["m0"]
    assert lake() == {"texts": ["login"], "labels": {"account": 1}, "rows": 1, "objects": 1}
    for item in ledger(cloud):
        cloud.state.put_item(Item={**item, "claimed_ms": item["claimed_ms"] - 121_000})

    assert deliver(lost) == []
    assert (lake()["texts"], lake()["rows"]) == (["login", "refund"], 2)


def test_a_crash_before_any_call_loses_no_record_and_doubles_none(
    deliver: Callable[..., list[str]], at: Answer, cloud: Any, lake: Callable[[], dict[str, Any]], now_ms: int
) -> None:
    deliver(at("hello"))  # the reference is read once a process
    for number in range(1, 100):
        records = at("refund", ms=3 * number), at("login", ms=3 * number + 1)
        cloud.faults.die_at(number)
        try:
            deliver(*records)
            break
        except cloud.faults.Died:
            cloud.faults.reset()
        assert deliver(*records) == [], number
        assert lake()["rows"] == 1 + 2 * number, number
    assert number == 5  # two claims, the lake's object, the profile, and then none was left
    assert lake()["labels"] == {"other": 1, "billing": 5, "account": 5}


def test_the_day_of_records_that_come_hours_late_is_to_be_judged_again(
    deliver: Callable[..., list[str]], at: Answer, cloud: Any, now_ms: int
) -> None:
    deliver(at("hello"))
    assert cloud.registry.late_days("triage", "1") == {}

    deliver(at("refund", ms=-26 * HOUR_MS))

    assert list(cloud.registry.late_days("triage", "1")) == [day_of((now_ms // HOUR_MS - 27) * HOUR_MS)]
