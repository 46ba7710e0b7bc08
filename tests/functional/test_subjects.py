"""`scripts/pawl export` and `erase` on a deployment: all that is a person's, and nothing else."""

import argparse
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from feedback.pairs import PairFiles
from feedback.tally import Tally
from operations.__main__ import COMMANDS
from pawl.bundle import Bundle
from pawl.compared import apart
from pawl.dataset import Row, freeze
from pawl.datasets import Datasets
from pawl.errors import InvalidRecord, InvalidRequest
from pawl.identity import isoformat
from pawl.masking import Policy
from pawl.opinions import Opinions, Piece
from pawl.pairset import PairRow, freeze_pairs
from pawl.profile import Profile
from pawl.quarantine import Entry, Quarantine
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.subjects import Deployment
from pawl.tombstones import Tombstones, subject_digest

HOUR_MS = 3_600_000
HERS = ("asked", "named", "rated", "asked, another named", "compared", "compared")
"""Answers that are hers: she asked, feedback names her, she alone has rated it, a comparison of two names her."""
NOT_HERS = ("rated by two", "asked by bob", "nobody's", "for bob", "for bob")
WRITES = 39
"""What an erasure writes: it may die before any of it."""
REFUSED = "inbox/feedback/some.jsonl.errors/000000000001.jsonl"


@pytest.fixture
def records(answered: Callable[..., CaptureRecord], keys: ReceiptKeys, now_ms: int) -> dict[str, CaptureRecord]:
    """Answers by what makes them hers, or not."""
    began, names = now_ms - HOUR_MS, (*HERS, *NOT_HERS)
    texts = [answered(f"refund {name}", unix_ms=began + place) for place, name in enumerate(names)]
    made = {name if name not in names[:place] else f"{name} again": texts[place] for place, name in enumerate(names)}
    askers = {"asked": "ada", "asked, another named": "ada", "asked by bob": "bob", "for bob": "bob"}
    return made | {name: replace(made[name], subject=keys.pseudonym(asker)) for name, asker in askers.items()}


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
def compare(cloud: Any, records: dict[str, CaptureRecord]) -> Callable[..., None]:
    """Stores that the later answer to something is better than the first, and tallies that, as `feedback` does."""

    def compare(name: str, rater: str, **tags: str) -> None:
        first, later = (records[each].inference_id for each in (name, f"{name} again"))
        uuids = [uuid_of_id(each) for each in (first, later)]
        body = {"metric": "preference", "value": {"chosen": later, "rejected": first}, "rater": rater}
        body |= {"feedback_id": f"compared/{rater}", "tags": {"rater": rater, **tags}}
        piece = Piece("triage", "1", max(uuids), f"preference.{apart(uuids)}", rater, 0, True, body)
        Opinions(boto3.client("dynamodb"), "feedback").store([piece], records[name].unix_ms)
        Tally(boto3.client("dynamodb"), "feedback").note([piece], 90)

    return compare


def pair_of(records: dict[str, CaptureRecord], name: str) -> bytes:
    """The line of a file that offers both answers to something for comparison."""
    ids = (records[each].inference_id for each in (name, f"{name} again"))
    answers = [{"text": text, "inference_id": id} for text, id in zip(("no", "yes"), ids, strict=True)]
    return json.dumps({"prompt": f"refund {name}", "answers": answers}).encode()


def refusals(records: dict[str, CaptureRecord]) -> list[str]:
    """Rows of a dropped file that were refused: one by her, one on her answer, and one of somebody else."""
    rows = [{"tags": {"rater": "ada"}, "value": "x"}, {"inference_id": records["asked"].inference_id, "value": "y"}]
    rows += [{"tags": {"rater": "bob"}, "value": "adamant"}]
    texts = [*map(json.dumps, rows), "label,billing,bob,adamant", "label,billing,ada,z"]
    return [json.dumps({"line": place, "reason": "no value", "row": text}) for place, text in enumerate(texts, 1)]


@pytest.fixture
def world(
    cloud: Any,
    records: dict[str, CaptureRecord],
    say: Callable[..., str],
    compare: Callable[..., None],
    make_bundle: Callable[..., Bundle],
) -> Any:
    """A deployment that holds something of hers and something of others wherever it holds anything."""
    boto3.client("s3").put_bucket_versioning(Bucket="pawl-data", VersioningConfiguration={"Status": "Enabled"})
    hers = [Row("refund asked", "billing", {}, "traffic", uuid_of(records["asked"]))]
    hers += [Row("refund of long ago", "billing", {}, "traffic", "0" * 32, subject_digest("ada"))]
    hers += [Row("refund for two", "billing", {}, "traffic", "1" * 32, subject_digest("bob"), (subject_digest("ada"),))]
    dataset = freeze("triage", {"train": [*hers, Row("hello", "other")], "holdout": [Row("login", "account")]}, {})
    cloud.seed(make_bundle("1", dataset.digest), dataset)
    Datasets(cloud.bucket).store(freeze("triage", {"train": [Row("hello", "other")]}, {}))
    batches = [("asked", "rated by two", "nobody's"), ("named", "rated"), ("asked by bob",)]
    batches += [("asked, another named", "compared"), ("compared again", "for bob", "for bob again")]
    for batch in batches:
        stored = [records[name] for name in batch]
        cloud.traffic.store(f"{uuid_of(stored[0])}-0123456789ab", stored, Profile.open())
    say("asked", "bob")
    say("named", "carol", subject="ada")
    say("rated by two", "bob")
    say("asked, another named", "bob", user="session-17")
    for name in ("rated", "rated by two", "asked by bob"):
        say(name, "ada")
    say("rated by two", "label-studio/ada")
    compare("compared", "carol", subject="ada")
    for rater in ("ada", "bob"):
        compare("for bob", rater)
    PairFiles(cloud.bucket, Policy()).add(
        "triage", b"\n".join(pair_of(records, name) for name in ("compared", "for bob"))
    )
    PairFiles(cloud.bucket, Policy()).add("parrot", pair_of(records, "compared"))
    cloud.bucket.write(REFUSED, "".join(f"{line}\n" for line in refusals(records)).encode())
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


def said_in(cloud: Any) -> list[str]:
    """Who has said what, by the ids of what they said."""
    return sorted(item["feedback_id"] for item in cloud.feedback.all())


def pairs_in(cloud: Any) -> list[str]:
    """The prompts of all pairs that are offered."""
    return sorted(pair.prompt for model in ("triage", "parrot") for pair in PairFiles(cloud.bucket, Policy()).of(model))


def all_bytes(cloud: Any) -> bytes:
    """Everything in the bucket but datasets and models, versions that were replaced included, and in the table."""
    client, found = boto3.client("s3"), json.dumps(cloud.feedback_items.scan()["Items"], default=str).encode()
    for each in client.list_object_versions(Bucket="pawl-data")["Versions"]:
        if not each["Key"].startswith(("datasets/", "models/")):
            place = {"Bucket": "pawl-data", "Key": each["Key"], "VersionId": each["VersionId"]}
            data = client.get_object(**place)["Body"].read()
            found += gzip.decompress(data) if each["Key"].endswith(".gz") else data
    return found


def assert_erased(cloud: Any, records: dict[str, CaptureRecord]) -> None:
    """What is left is all that is not hers, and she is nowhere."""
    assert texts_in(cloud) == sorted(f"refund {name}" for name in NOT_HERS)
    assert said_in(cloud) == ["compared/bob", "rated by two/bob"]
    assert [str(item["sk"]).rpartition("#")[2] for item in cloud.feedback.tallied()] == ["bob"]
    assert pairs_in(cloud) == ["refund for bob"]
    assert [json.loads(line)["line"] for line in cloud.bucket.read(REFUSED).splitlines()] == [3, 4]
    assert [each.rater for each in Quarantine(cloud.bucket, "triage").entries()] == ["carol"]
    hers = [uuid_of(record) for name, record in records.items() if name.removesuffix(" again") in HERS]
    assert len(hers) == len(HERS)
    assert not re.findall(rb"\b(ada|" + "|".join(hers).encode() + rb")\b", all_bytes(cloud))


def test_an_export_holds_all_that_is_hers_and_nothing_else(
    world: Any, run: Callable[[str, str], Any], records: dict[str, CaptureRecord]
) -> None:
    found = run("export", "ada")

    assert sorted(each["inputs"]["text"][0] for each in found["traffic"]) == sorted(f"refund {n}" for n in HERS)
    by_her = {"asked by bob/ada", "compared/ada", "rated by two/ada", "rated by two/label-studio/ada", "rated/ada"}
    of_hers = {"asked, another named/bob", "asked/bob", "compared/carol", "named/carol"}
    assert sorted(each["feedback_id"] for each in found["feedback"]) == sorted(by_her | of_hers)
    assert sorted(each["sk"].rpartition("#")[2] for each in found["compared"]) == ["ada", "carol"]
    assert [each["prompt"] for each in found["pairs"]] == ["refund compared"] * 2
    assert [each["line"] for each in found["refused_rows"]] == [1, 2, 5]
    assert [each["rater"] for each in found["quarantine"]] == ["bob", "ada"]
    texts = ["refund asked", "refund of long ago", "refund for two"]
    assert [(each["text"], each["split"]) for each in found["dataset_rows"]] == [(text, "train") for text in texts]
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


def test_an_erasure_reaches_all_that_is_kept_and_later_datasets(
    world: Any, run: Callable[[str, str], Any], records: dict[str, CaptureRecord]
) -> None:
    exported = run("export", "ada")

    receipt = run("erase", "ada")

    assert_erased(world, records)
    counted = {name: count for name, count in receipt.items() if isinstance(count, int)}
    assert counted == {
        "answers": 6,
        "traffic_records": 6,
        "feedback": 9,
        "compared": 2,
        "pairs": 2,
        "refused_rows": 3,
        "quarantine_entries": 2,
        "replaced_versions": counted["replaced_versions"],
    }
    assert (sum(receipt["rows_in_datasets"].values()), receipt["models"]) == (3, ["triage@1"])
    assert len(world.faults.writes) == WRITES
    stones = Tombstones.of(world.bucket)
    assert stones.answers == {uuid_of_id(each["inference_id"]) for each in exported["traffic"]}
    for row in exported["dataset_rows"]:
        assert stones.cover(row["answer"], row["subject"], *row["people"])


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
    names = ("ada", "label-studio/ada", "argilla/ada")
    assert Tombstones.of(world.bucket).subjects == {*map(subject_digest, names), keys.pseudonym("ada")}


def test_an_erasure_again_changes_nothing_but_says_so(
    world: Any, run: Callable[[str, str], Any], records: dict[str, CaptureRecord]
) -> None:
    run("erase", "ada")
    before = all_bytes(world)

    receipt = run("erase", "ada")

    assert {count for count in receipt.values() if isinstance(count, int)} == {0}
    assert_erased(world, records)
    assert len(before) <= len(all_bytes(world)) < len(before) + 1_000  # one more receipt


@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_an_erasure_that_dies_before_any_write_is_finished_by_the_next(
    world: Any, run: Callable[[str, str], Any], records: dict[str, CaptureRecord], write: int
) -> None:
    world.faults.die_at(write)
    with pytest.raises(world.faults.Died):
        run("erase", "ada")
    world.faults.reset()

    run("erase", "ada")

    assert_erased(world, records)


def test_pairs_of_an_erased_answer_are_offered_no_more_though_the_same_file_is_added_again(
    world: Any, run: Callable[[str, str], Any], records: dict[str, CaptureRecord]
) -> None:
    run("erase", "ada")
    before = list(world.bucket.keys("pairs/"))

    PairFiles(world.bucket, Policy()).add(
        "triage", b"\n".join(pair_of(records, name) for name in ("compared", "for bob"))
    )

    assert list(world.bucket.keys("pairs/")) == before
    with pytest.raises(InvalidRecord, match="every one of these pairs is of an answer that was erased"):
        PairFiles(world.bucket, Policy()).add("triage", pair_of(records, "compared"))


def test_a_receipt_names_the_runs_that_learn_from_her_rows_still(world: Any, run: Callable[[str, str], Any]) -> None:
    (digest,) = {row["dataset"] for row in run("export", "ada")["dataset_rows"]}
    world.registry.record_run("ended", {"model": "triage", "dataset": digest, "ended_ms": 1})
    world.registry.record_run("training", {"model": "triage", "dataset": digest})
    world.registry.record_run("another", {"model": "triage", "dataset": "0" * 64})

    assert run("erase", "ada")["runs"] == ["training"]


@pytest.mark.parametrize(("name", "is_theirs"), [("7", False), ("argilla/7", True)])
def test_a_number_is_the_name_of_nobody_in_a_tool_that_counts_its_people(
    world: Any, say: Callable[..., str], run: Callable[[str, str], Any], name: str, is_theirs: bool
) -> None:
    said = say("nobody's", "argilla/7", subject="someone")

    assert [each["feedback_id"] for each in run("export", name)["feedback"]] == ([said] if is_theirs else [])


def test_who_is_unknown_is_erased_from_what_comes_later(world: Any, run: Callable[[str, str], Any]) -> None:
    before = texts_in(world), said_in(world)

    receipt = run("erase", "eve")

    assert (receipt["traffic_records"], receipt["feedback"], receipt["models"]) == (0, 0, [])
    assert (texts_in(world), said_in(world)) == before
    assert Tombstones.of(world.bucket).cover("", subject_digest("eve"))


def test_a_pseudonym_of_an_older_key_is_found_as_long_as_that_key_is_kept(world: Any, cloud: Any) -> None:
    deployment = Deployment(cloud.bucket, cloud.feedback, cloud.registry)
    keys = ReceiptKeys(f"2:{'t' * 32},1:{'s' * 32}")
    stack = SimpleNamespace(deployment=deployment, receipt_keys=keys)

    assert COMMANDS["erase"](stack, argparse.Namespace(name="ada", inference=False))["traffic_records"] == 6


def test_nobody_has_no_name(world: Any, run: Callable[[str, str], Any]) -> None:
    with pytest.raises(InvalidRequest, match="want a subject's name"):
        run("erase", "")
