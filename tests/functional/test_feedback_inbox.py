"""`feedback.inbox` as a whole: files and their events in, pieces of feedback out, and faults beside the files."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from feedback.schema import Feedback
from feedback.tally import Tally, mark_of
from pawl.bundle import Bundle
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.tombstones import Tombstones
from retrain.joining import join
from retrain.selection import Selection, select

EVENTS = Path(__file__).parents[1] / "events"
FOLDER = "inbox/feedback/"


class Clock:
    """A Lambda context whose time runs out after so many looks at it."""

    aws_request_id = "8f5072b1-7d4e-4f0e-9e0b-6f1f2b1c9a10"

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def get_remaining_time_in_millis(self) -> int:
        self.looks -= 1
        return 60_001 if self.looks > 0 else 60_000


@pytest.fixture
def inbox(start: Callable[[str], ModuleType], cloud: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    cloud.queues["inbox"] = boto3.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    monkeypatch.setenv("INBOX_QUEUE_URL", cloud.queues["inbox"])
    monkeypatch.setenv("CHUNK_ROWS", "10")
    return start("feedback.inbox")


@pytest.fixture
def notice(inbox: ModuleType, batch_of: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Hands the function the event of one object, with time for so many chunks."""

    def tell(key: str, chunks: int = 1_000_000) -> None:
        body = {"detail-type": "Object Created", "source": "aws.s3", "detail": {"object": {"key": key}}}
        assert inbox.handler(batch_of(body), Clock(chunks)) == {"batchItemFailures": []}

    return tell


@pytest.fixture
def drop(cloud: Any, notice: Callable[..., None]) -> Callable[[str, str], None]:
    """Puts a file into the bucket and hands its event to the function."""

    def put(name: str, text: str) -> None:
        cloud.bucket.write(FOLDER + name, gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        notice(FOLDER + name)

    return put


@pytest.fixture
def receipt(keys: ReceiptKeys, now_ms: int) -> Callable[..., str]:
    """Signs the inference_id of an answer given some days ago, all to the same input."""
    given = iter(range(1, 1_000_000))

    def sign(rows: int = 1, days_ago: float = 1.0) -> str:
        return keys.sign(
            model="triage",
            model_version="1",
            function_version="3",
            rows=rows,
            payload=b"refund",
            unix_ms=now_ms - round(days_ago * 86_400_000),
            random=next(given).to_bytes(10, "big"),
        )

    return sign


@pytest.fixture
def stored(cloud: Any) -> Callable[[], list[dict[str, Any]]]:
    """Every piece of feedback in its table."""
    return lambda: [item for item in cloud.feedback_items.scan()["Items"] if "metric" in item]


@pytest.fixture
def taught(cloud: Any) -> Callable[[], int]:
    """How many pieces of feedback were counted."""
    return lambda: sum(int(item["taught"]) for item in cloud.feedback_items.scan()["Items"] if "taught" in item)


def faults(cloud: Any, name: str) -> list[tuple[int, str]]:
    written = [cloud.bucket.read(key) for key in cloud.bucket.keys(f"{FOLDER}{name}.errors/")]
    told = [json.loads(line) for text in written for line in text.splitlines()]
    return [(each["line"], each["reason"]) for each in told]


def label(inference_id: str, value: Any = "billing", **more: Any) -> dict[str, Any]:
    return {"metric_name": "label", "value": value, "inference_id": inference_id, **more}


def lines(*rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "json.gz", "csv", "csv.gz"])
def test_every_format_says_the_same(
    ending: str,
    drop: Callable[..., None],
    receipt: Callable[..., str],
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
) -> None:
    one, two = receipt(), receipt(rows=2)
    pair = {"chosen": one, "rejected": receipt()}
    rows = [
        label(one, tags={"rater": "ada", "channel": "web"}),
        label(two, ["billing", "other"]),
        {"metric_name": "thumbs_up", "value": True, "inference_id": one},
        {"metric_name": "rating", "value": 4.5, "inference_id": one},
        {"metric_name": "comment", "value": '[no], it\'s "wrong"', "inference_id": one},
        {"metric_name": "preference", "value": pair},
    ]
    cells = [
        ["label", "billing", one, "ada", '{"channel": "web"}'],
        ["label", '["billing", "other"]', two, "", ""],
        ["thumbs_up", "True", one, "", ""],
        ["rating", "4.5", one, "", ""],
        ["comment", rows[4]["value"], one, "", ""],
        ["preference", json.dumps(pair), "", "", ""],
    ]
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    texts = {
        "jsonl": lines(*rows),
        "json": json.dumps(rows, indent=1),
        "csv": "metric_name,value,inference_id,tags.rater,tags\n" + "\n".join(quoted),
    }

    drop(f"monday.{ending}", texts[ending.removesuffix(".gz")])

    found = {(item["metric"], item["rater"]): item["value"] for item in stored()}
    assert found == {
        ("label", "ada"): ["billing"],
        ("label", "inbox"): ["billing", "other"],
        ("thumbs_up", "inbox"): True,
        ("rating", "inbox"): found["rating", "inbox"],
        ("comment", "inbox"): rows[4]["value"],
        ("preference", "inbox"): pair,
    }
    assert float(found["rating", "inbox"]) == 4.5
    assert next(item["tags"] for item in stored() if item["rater"] == "ada") == {"rater": "ada", "channel": "web"}
    assert taught() == 3


def test_a_preference_in_a_file_counts_when_pairs_are_chosen(
    drop: Callable[..., None], receipt: Callable[..., str], cloud: Any
) -> None:
    one, other = receipt(), receipt()

    drop("monday.jsonl", lines({"metric_name": "preference", "value": {"chosen": one, "rejected": other}}))

    assert list(Tally(boto3.client("dynamodb"), "feedback").votes("triage").values()) == [{"inbox": mark_of(one)}]


def test_rows_that_are_refused_are_told_beside_the_file_and_the_others_count(
    drop: Callable[..., None], receipt: Callable[..., str], cloud: Any, stored: Callable[[], list[dict[str, Any]]]
) -> None:
    rows = [
        label(receipt()),
        label("forged"),
        label(receipt(), 5),
        label(receipt(), mood="good"),
        label(receipt(days_ago=91)),
        label(receipt(), dryrun=True),
    ]

    drop("a.jsonl", lines(*rows) + "{\n")

    assert [item["inference_id"] for item in stored()] == [rows[0]["inference_id"]]
    assert faults(cloud, "a.jsonl") == [
        (2, "inference_id is not one that this deployment gave: send it back as it came"),
        (3, "label takes the right label, or a list of 1: one for each row of that answer"),
        (4, "no field 'mood': want some of metric_name, value, inference_id, episode_id, tags, dryrun"),
        (5, "inference_id is older than 90 days: feedback for it is closed"),
        (7, "not JSON at character 2"),
    ]


def test_what_the_table_cannot_hold_is_refused_row_by_row_and_the_file_goes_on(
    drop: Callable[..., None], receipt: Callable[..., str], cloud: Any, stored: Callable[[], list[dict[str, Any]]]
) -> None:
    deep: Any = 0.5
    for _ in range(40):
        deep = [deep]
    pair = {"chosen": receipt(), "rejected": receipt()}
    rows = [
        {"metric_name": "preference", "value": {**pair, "margin": 1e-200}},
        {"metric_name": "correction", "value": {"outputs": [{"name": "p", "data": deep}]}, "inference_id": receipt()},
        label(receipt(), tags={"": "web"}),
        label(receipt()),
    ]

    drop("a.jsonl", lines(*rows))

    assert [item["metric"] for item in stored()] == ["label"]
    assert [line for line, _ in faults(cloud, "a.jsonl")] == [1, 2, 3]


def test_a_long_file_goes_on_in_the_next_invocation_where_it_stopped(
    notice: Callable[..., None],
    receipt: Callable[..., str],
    cloud: Any,
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
) -> None:
    cloud.bucket.write(FOLDER + "a.jsonl", lines(*(label(receipt()) for _ in range(35))).encode())

    counts = []
    for _ in range(4):
        notice(FOLDER + "a.jsonl", chunks=1)
        counts.append((len(stored()), taught(), len(cloud.messages("inbox"))))

    assert counts == [(10, 10, 1), (20, 20, 1), (30, 30, 1), (35, 35, 1)]
    notice(FOLDER + "a.jsonl")
    assert (taught(), cloud.messages("inbox")) == (35, [])


@pytest.mark.parametrize("write", range(1, 8))
def test_a_file_counts_exactly_once_though_the_function_died_anywhere(
    write: int,
    notice: Callable[..., None],
    receipt: Callable[..., str],
    cloud: Any,
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
) -> None:
    rows = [label(receipt()) for _ in range(25)]
    cloud.bucket.write(FOLDER + "a.jsonl", (lines(*rows) + "{\n").encode())
    cloud.faults.die_at(write)
    with pytest.raises(cloud.faults.Died):
        notice(FOLDER + "a.jsonl")
    cloud.faults.reset()

    notice(FOLDER + "a.jsonl")

    assert len(stored()) == taught() == 25
    assert faults(cloud, "a.jsonl") == [(26, "not JSON at character 2")]


def test_a_file_that_was_read_already_changes_nothing_under_another_name(
    drop: Callable[..., None],
    receipt: Callable[..., str],
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
) -> None:
    text = lines(*(label(receipt()) for _ in range(3)))
    drop("a.jsonl", text)
    before = stored()

    drop("b.jsonl", text)

    assert (stored(), taught()) == (before, 3)


def test_a_file_that_is_read_late_does_not_take_back_what_was_said_since(
    inbox: ModuleType,
    notice: Callable[..., None],
    receipt: Callable[..., str],
    cloud: Any,
    now_ms: int,
    stored: Callable[[], list[dict[str, Any]]],
) -> None:
    inference_id = receipt()
    cloud.bucket.write(FOLDER + "a.jsonl", lines(label(inference_id, "account", tags={"rater": "ada"})).encode())
    since = inbox.task.intake.read(Feedback(**label(inference_id)), "ada", now_ms + 60_000)
    inbox.task.opinions.store([since], now_ms + 60_000)

    notice(FOLDER + "a.jsonl")

    assert [item["value"] for item in stored()] == [["billing"]]


@pytest.mark.parametrize(("tool", "pieces"), [("label_studio", 7), ("argilla", 6)])
def test_what_an_annotation_tool_exports_is_feedback(
    tool: str,
    pieces: int,
    drop: Callable[..., None],
    receipt: Callable[..., str],
    cloud: Any,
    stored: Callable[[], list[dict[str, Any]]],
) -> None:
    text = (EVENTS / f"{tool}_export.json").read_text(encoding="utf-8")

    drop("export.json", text.replace("FIRST", receipt(days_ago=2)).replace("SECOND", receipt()))

    assert faults(cloud, "export.json") == []
    assert len(stored()) == pieces


def test_of_a_row_that_a_tool_exported_each_piece_is_taken_or_told_by_itself(
    drop: Callable[..., None], receipt: Callable[..., str], cloud: Any, stored: Callable[[], list[dict[str, Any]]]
) -> None:
    answers = {"label": [{"value": "billing", "user_id": "u"}], "rating": [{"value": "x", "user_id": "u"}]}

    drop("a.jsonl", lines({"id": receipt(), "fields": {}, "responses": {**answers, "thumbs_up": answers["label"]}}))

    assert faults(cloud, "a.jsonl") == [(1, "rating takes a number; thumbs_up takes true or false")]
    assert [item["value"] for item in stored()] == [["billing"]]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.txt", "x", "the name does not tell a format"),
        ("a.json", '{"metric_name": "label"}', "want a JSON array"),
        ("a.json", '[{"metric_name": "label"}', "want a JSON array that is closed"),
        ("a.csv", "", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason_beside_it(
    name: str, text: str, reason: str, drop: Callable[..., None], cloud: Any
) -> None:
    drop(name, text)

    ((_, told),) = faults(cloud, name)
    assert told.startswith(reason)


def of_device(id: str, value: str = "billing", unix_ms: int = 0, **more: Any) -> dict[str, Any]:
    """Feedback as the page of `scripts/edge` puts it away."""
    features = {"tokens": 2, "vocabulary": 2, "characters": 6, "script": "latin", "language": "latin"}
    features |= {
        "unknown_rate": 0.0,
        "label": "account",
        "confidence": 0.8,
        **{f"projection_{d}": 0.1 for d in range(8)},
    }
    answer = {"id": id, "model": "triage", "version": "1", "unix_ms": unix_ms, "text": "refund"}
    return {
        "answer": {**answer, "features": features, **more},
        "metric_name": "label",
        "value": value,
        "tags": {"rater": "device-7"},
    }


def test_feedback_on_a_devices_answer_brings_the_answer_along(
    drop: Callable[..., None], stored: Callable[[], list[dict[str, Any]]], cloud: Any, keys: ReceiptKeys, now_ms: int
) -> None:
    drop("device-7-000000001.jsonl", lines(of_device("a", unix_ms=now_ms - 5_000)))

    (piece,), (record,) = stored(), cloud.messages("capture")
    receipt = keys.verify(piece["inference_id"], now_ms=now_ms, valid_days=1)
    assert (receipt.model, receipt.model_version, receipt.unix_ms) == ("triage", "1", now_ms - 5_000)
    assert (piece["value"], piece["rater"]) == (["billing"], "device-7")
    assert CaptureRecord.from_dict(record).inference_id == piece["inference_id"]
    assert (record["inputs"], record["outputs"]) == ({"text": ["refund"]}, {"label": ["account"]})
    assert record["features"]["confidence"] == [0.8]


def test_a_devices_file_that_is_sent_again_says_nothing_new(
    drop: Callable[..., None],
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
    cloud: Any,
    now_ms: int,
) -> None:
    rows = lines(of_device("a", unix_ms=now_ms), of_device("b", unix_ms=now_ms))
    drop("device-7-000000001.jsonl", rows)
    drop("device-7-000000002.jsonl", rows)

    assert (len(stored()), taught()) == (2, 2)
    sent = [record["inference_id"] for record in cloud.messages("capture")]
    assert (len(sent), len(set(sent))) == (4, 2)


def test_a_devices_judgement_and_answer_can_be_learned_from(
    drop: Callable[..., None], cloud: Any, start: Any, batch_of: Any, starter: Bundle, dataset: Any, now_ms: int
) -> None:
    cloud.seed(starter, dataset)
    drop("device-7-000000001.jsonl", lines(of_device("a", unix_ms=now_ms - 1_000)))
    collect = start("drift.collect")
    assert collect.handler(batch_of(*cloud.messages("capture")), Clock(1)) == {"batchItemFailures": []}

    window = (now_ms - 60_000, now_ms + 60_000)
    feedback = cloud.feedback.within("triage", *window)
    said = select(feedback, Selection("triage", "1", window), Tombstones()).said
    joined = join(cloud.traffic.records("triage", "1", *window), said)
    assert [(vote.item, vote.value, vote.rater) for vote in joined.votes] == [("refund", "billing", "device-7")]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"unix_ms": 4_102_444_800_000}, "not after the file's"),
        ({"unix_ms": 946_684_800_000}, "older than 90 days"),
        ({"version": "live"}, "version"),
        ({"features": {}}, "features"),
        ({"key": "x"}, "no field 'key'"),
    ],
    ids=["future", "past", "version", "features", "unknown"],
)
def test_a_devices_answer_that_cannot_be_is_refused_and_nothing_is_captured(
    more: dict[str, Any],
    reason: str,
    drop: Callable[..., None],
    stored: Callable[[], list[dict[str, Any]]],
    cloud: Any,
    now_ms: int,
) -> None:
    drop("device.jsonl", lines(of_device("a", **{"unix_ms": now_ms, **more})))

    ((line, told),) = faults(cloud, "device.jsonl")
    assert (line, stored(), cloud.messages("capture")) == (1, [], [])
    assert reason in told
