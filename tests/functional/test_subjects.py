"""`scripts/pawl export` and `erase` on a deployment: all that is a person's, and nothing else."""

import argparse
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from operations.__main__ import COMMANDS
from pawl.bundle import Bundle
from pawl.dataset import Row, freeze
from pawl.datasets import Datasets
from pawl.errors import InvalidRequest
from pawl.identity import isoformat
from pawl.pairset import PairRow, freeze_pairs
from pawl.profile import Profile
from pawl.quarantine import Entry, Quarantine
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.subjects import Deployment
from pawl.tombstones import Tombstones, subject_digest

HOUR_MS = 3_600_000
HERS = ("asked", "named", "rated")
"""Answers that are hers: she asked, feedback names her, she alone has rated it."""
WRITES = 17
"""What an erasure writes: it may die before any of it."""
NOT_HERS = ("rated by two", "asked by bob", "nobody's")


@pytest.fixture
def records(answered: Callable[..., CaptureRecord], keys: ReceiptKeys, now_ms: int) -> dict[str, CaptureRecord]:
    """Answers by what makes them hers, or not."""
    began = now_ms - HOUR_MS
    made = {name: answered(f"refund {name}", unix_ms=began + i) for i, name in enumerate((*HERS, *NOT_HERS))}
    made["asked"] = replace(made["asked"], subject=keys.pseudonym("ada"))
    made["asked by bob"] = replace(made["asked by bob"], subject=keys.pseudonym("bob"))
    return made


@pytest.fixture
def say(cloud: Any, records: dict[str, CaptureRecord]) -> Callable[..., str]:
    """Stores a comment on an answer, as `feedback` does, and returns its id."""

    def say(name: str, rater: str, **tags: str) -> str:
        record, uuid = records[name], uuid_of(records[name])
        body = {"metric": "comment", "inference_id": record.inference_id, "value": f"{rater} on {name}"}
        body |= {"feedback_id": f"{name}/{rater}", "rater": rater, "tags": {"rater": rater, **tags}}
        body |= {"model_version": "1", "given_at": isoformat(record.unix_ms)}
        cloud.put_feedback(model="triage", inference_uuid=uuid, metric="comment", rater=rater, body=body)
        return body["feedback_id"]

    return say


@pytest.fixture
def world(
    cloud: Any, records: dict[str, CaptureRecord], say: Callable[..., str], make_bundle: Callable[..., Bundle]
) -> Any:
    """A deployment whose lake, table, quarantine and dataset hold something of hers and something of others."""
    boto3.client("s3").put_bucket_versioning(Bucket="pawl-data", VersioningConfiguration={"Status": "Enabled"})
    hers = [Row("refund asked", "billing", {}, "traffic", uuid_of(records["asked"]))]
    hers += [Row("refund of long ago", "billing", {}, "traffic", "0" * 32, subject_digest("ada"))]
    dataset = freeze("triage", {"train": [*hers, Row("hello", "other")], "holdout": [Row("login", "account")]}, {})
    cloud.seed(make_bundle("1", dataset.digest), dataset)
    Datasets(cloud.bucket).store(freeze("triage", {"train": [Row("hello", "other")]}, {}))
    for batch in (("asked", "rated by two", "nobody's"), ("named", "rated"), ("asked by bob",)):
        stored = [records[name] for name in batch]
        cloud.traffic.store(f"{uuid_of(stored[0])}-0123456789ab", stored, Profile.open())
    say("asked", "bob")
    say("named", "carol", subject="ada")
    say("rated by two", "bob")
    for name in ("rated", "rated by two", "asked by bob"):
        say(name, "ada")
    entries = [_entry(records["asked"], "bob"), _entry(records["rated by two"], "ada"), _entry(records["nobody's"])]
    Quarantine(cloud.bucket, "triage").replace("1", entries)
    cloud.bucket.write("quarantine/triage/restored/bad", b"")
    cloud.faults.reset()
    return cloud


@pytest.fixture
def run(cloud: Any, keys: ReceiptKeys) -> Callable[[str, str], Any]:
    """Runs a command on a subject as the command line does, less the printing."""
    deployment = Deployment(cloud.bucket, cloud.feedback, cloud.registry)
    stack = SimpleNamespace(deployment=deployment, receipt_keys=keys)
    return lambda command, name: COMMANDS[command](stack, argparse.Namespace(name=name, inference=False))


def uuid_of(record: CaptureRecord) -> str:
    return record.inference_id.split(".")[1]


def _entry(record: CaptureRecord, rater: str = "carol") -> Entry:
    given_at = isoformat(record.unix_ms)
    return Entry(f"{rater}-1", record.inference_id, rater, "label", ["x"], given_at, "burst", "fast", 70.0, 60.0)


def texts_in(cloud: Any) -> list[str]:
    """What was asked in all of the lake."""
    return sorted(json.loads(line)["inputs"]["text"][0] for _, lines in cloud.traffic.lines() for line in lines)


def comments_in(cloud: Any) -> list[str]:
    return sorted(item["value"] for item in cloud.feedback.all())


def all_bytes(cloud: Any) -> bytes:
    """Everything in the bucket but datasets and models, versions that were replaced included, and in the table."""
    client, found = boto3.client("s3"), json.dumps(list(cloud.feedback.all())).encode()
    for each in client.list_object_versions(Bucket="pawl-data")["Versions"]:
        if not each["Key"].startswith(("datasets/", "models/")):
            place = {"Bucket": "pawl-data", "Key": each["Key"], "VersionId": each["VersionId"]}
            data = client.get_object(**place)["Body"].read()
            found += gzip.decompress(data) if each["Key"].endswith(".gz") else data
    return found


def is_erased(cloud: Any) -> bool:
    """Whether what is left is all that is not hers."""
    assert texts_in(cloud) == sorted(f"refund {name}" for name in NOT_HERS)
    assert comments_in(cloud) == ["bob on rated by two"]
    assert [each.rater for each in Quarantine(cloud.bucket, "triage").entries()] == ["carol"]
    return not any(f"refund {name}".encode() + b'"' in all_bytes(cloud) for name in HERS)


def test_an_export_holds_all_that_is_hers_and_nothing_else(world: Any, run: Callable[[str, str], Any]) -> None:
    found = run("export", "ada")

    assert sorted(each["inputs"]["text"][0] for each in found["traffic"]) == sorted(f"refund {n}" for n in HERS)
    said = ["ada on asked by bob", "ada on rated", "ada on rated by two", "bob on asked", "carol on named"]
    assert sorted(each["value"] for each in found["feedback"]) == said
    assert [each["rater"] for each in found["quarantine"]] == ["bob", "ada"]
    assert [(each["text"], each["split"]) for each in found["dataset_rows"]] == [
        ("refund asked", "train"),
        ("refund of long ago", "train"),
    ]
    assert found["models"] == ["triage@1"]
    assert json.loads(json.dumps(found)) == found
    assert world.faults.writes == []


def test_compared_answers_of_hers_are_found_in_datasets_of_pairs(
    world: Any, run: Callable[[str, str], Any], records: dict[str, CaptureRecord]
) -> None:
    hers = PairRow("where?", "here", "there", answers=("0" * 32, uuid_of(records["asked"])))
    told = PairRow("when?", "now", "then", subject=subject_digest("ada"))
    pairs = freeze_pairs("parrot", {"train": [hers, PairRow("who?", "I", "you")], "holdout": [told]}, {})
    Datasets(world.bucket).store(pairs)

    rows = [row for row in run("export", "ada")["dataset_rows"] if row["dataset"] == pairs.digest]

    assert [(row["split"], row["prompt"]) for row in rows] == [("holdout", "when?"), ("train", "where?")]
    assert run("erase", "ada")["rows_in_datasets"][pairs.digest] == 2


def test_an_erasure_reaches_lake_table_quarantine_and_later_datasets(
    world: Any, run: Callable[[str, str], Any]
) -> None:
    exported = run("export", "ada")

    receipt = run("erase", "ada")

    assert is_erased(world)
    counted = {name: receipt[name] for name in ("answers", "traffic_records", "feedback", "quarantine_entries")}
    assert counted == {"answers": 3, "traffic_records": 3, "feedback": 5, "quarantine_entries": 2}
    assert (sum(receipt["rows_in_datasets"].values()), receipt["models"]) == (2, ["triage@1"])
    assert len(world.faults.writes) == WRITES
    stones = Tombstones.of(world.bucket)
    assert stones.answers == {uuid_of_id(each["inference_id"]) for each in exported["traffic"]}
    for row in exported["dataset_rows"]:
        assert stones.cover(row["answer"], row["subject"])


def uuid_of_id(inference_id: str) -> str:
    return inference_id.split(".")[1]


def test_a_receipt_is_kept_and_tells_neither_who_nor_what(
    world: Any, run: Callable[[str, str], Any], keys: ReceiptKeys
) -> None:
    receipt = run("erase", "ada")

    (key,) = world.bucket.keys("tombstones/receipts/")
    assert json.loads(world.bucket.read(key)) == receipt
    assert receipt["subject"] == subject_digest("ada")
    assert not any(word in json.dumps(receipt) for word in ('"ada"', "refund", " on ", keys.pseudonym("ada")))
    assert Tombstones.of(world.bucket).subjects == {subject_digest("ada"), keys.pseudonym("ada")}


def test_an_erasure_again_changes_nothing_but_says_so(world: Any, run: Callable[[str, str], Any]) -> None:
    run("erase", "ada")
    before = all_bytes(world)

    receipt = run("erase", "ada")

    counts = ("answers", "traffic_records", "feedback", "quarantine_entries", "replaced_versions")
    assert [receipt[name] for name in counts] == [0, 0, 0, 0, 0]
    assert is_erased(world)
    assert len(before) <= len(all_bytes(world)) < len(before) + 1_000  # one more receipt


@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_an_erasure_that_dies_before_any_write_is_finished_by_the_next(
    world: Any, run: Callable[[str, str], Any], write: int
) -> None:
    world.faults.die_at(write)
    with pytest.raises(world.faults.Died):
        run("erase", "ada")
    world.faults.reset()

    run("erase", "ada")

    assert is_erased(world)


def test_who_is_unknown_is_erased_from_what_comes_later(world: Any, run: Callable[[str, str], Any]) -> None:
    before = texts_in(world), comments_in(world)

    receipt = run("erase", "eve")

    assert (receipt["traffic_records"], receipt["feedback"], receipt["models"]) == (0, 0, [])
    assert (texts_in(world), comments_in(world)) == before
    assert Tombstones.of(world.bucket).cover("", subject_digest("eve"))


def test_a_pseudonym_of_an_older_key_is_found_as_long_as_that_key_is_kept(world: Any, cloud: Any) -> None:
    deployment = Deployment(cloud.bucket, cloud.feedback, cloud.registry)
    keys = ReceiptKeys(f"2:{'t' * 32},1:{'s' * 32}")
    stack = SimpleNamespace(deployment=deployment, receipt_keys=keys)

    assert COMMANDS["erase"](stack, argparse.Namespace(name="ada", inference=False))["traffic_records"] == 3


def test_nobody_has_no_name(world: Any, run: Callable[[str, str], Any]) -> None:
    with pytest.raises(InvalidRequest, match="want a subject's name"):
        run("erase", "")
