"""Athena's tables against what is really stored: where it lies, what its columns are, and what may be asked."""

import gzip
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from pawl.bucket import Bucket
from pawl.dataset import LABELS, Kind, Row, freeze
from pawl.datasets import Datasets
from pawl.pairset import PAIRS, PairRow, freeze_pairs
from pawl.profile import Profile
from pawl.records import CaptureRecord
from pawl.traffic import Traffic

Resources = dict[str, Any]
ANSWER = "018bcfe5680070008000000000000000"
HIVE = {
    "VARCHAR": "string",
    "DOUBLE": "double",
    "BIGINT": "bigint",
    "VARCHAR[]": "array<string>",
    "MAP(VARCHAR, VARCHAR)": "map<string,string>",
    'STRUCT("role" VARCHAR, "content" VARCHAR)[]': "array<struct<role:string,content:string>>",
}


class Shelf(Bucket):
    """A bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.name = "data"

    def write(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def keys(self, prefix: str) -> Any:
        return iter([key for key in self.objects if key.startswith(prefix)])


@pytest.fixture
def table(resources: Resources) -> Callable[[str], dict[str, Any]]:
    return lambda name: resources[name]["Properties"]["TableInput"]


@pytest.fixture
def traffic(tmp_path: Path) -> Shelf:
    """A lake with one answer in it."""
    shelf = Shelf()
    outputs = {"label": ["other"], "probabilities": [[0.5, 0.5]]}
    record = CaptureRecord(f"1.{ANSWER}.triage", "triage", "3", 1_700_000_000_000, {"text": ["hi"]}, outputs, {}, "s")
    Traffic(shelf).store(f"{ANSWER}-0123456789ab", [record], Profile({}))
    return shelf


def test_traffic_lies_where_athena_looks_for_its_model_version_and_day(
    traffic: Shelf, table: Callable[[str], dict[str, Any]]
) -> None:
    (key,) = traffic.keys("traffic/")

    assert f"s3://data/{key}".startswith(_place(table("TrafficTable"), model="triage", version="3", day="2023-11-14"))


def test_the_columns_of_traffic_are_fields_of_its_records(
    traffic: Shelf, table: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    (key,) = traffic.keys("traffic/")
    fields = set(json.loads(gzip.decompress(traffic.objects[key]))) - {"schema"}
    columns, partitions = _columns(table("TrafficTable")), _partitions(table("TrafficTable"))
    (tmp_path / "batch.jsonl.gz").write_bytes(traffic.objects[key])
    types = {name: next(sql for sql, hive in HIVE.items() if hive == kind) for name, kind in columns.items()}

    read = duckdb.read_json(str(tmp_path / "batch.jsonl.gz"), columns=types, format="newline_delimited")

    assert set(columns) == fields - set(partitions)
    found = read.project("unix_ms, subject, inputs ->> '$.text[0]', outputs ->> '$.probabilities[0][1]'").fetchall()
    assert found == [(1_700_000_000_000, "s", "hi", "0.5")]


@pytest.mark.parametrize(("name", "kind"), [("LabelsTable", LABELS), ("PairsTable", PAIRS)], ids=["labels", "pairs"])
def test_the_columns_of_a_dataset_are_those_that_are_frozen(
    name: str, kind: Kind, table: Callable[[str], dict[str, Any]]
) -> None:
    assert _columns(table(name)) == {column: HIVE[sql] for column, sql in kind.columns.items()} | {"split": "string"}


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("LabelsTable", freeze("triage", {"train": [Row("hi", "other", {"channel": "app"})]}, {})),
        (
            "PairsTable",
            freeze_pairs("assistant", {"train": [PairRow([{"role": "user", "content": "Hi"}], "a", "b")]}, {}),
        ),
    ],
    ids=["labels", "pairs"],
)
def test_in_a_datasets_folder_there_is_nothing_to_read_but_parquet_of_these_columns(
    name: str, frozen: Any, table: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    shelf = Shelf()
    Datasets(shelf).store(frozen)
    place = _place(table(name), dataset=frozen.digest)
    seen = [key for key in shelf.objects if not key.rpartition("/")[2].startswith(("_", "."))]

    assert [f"s3://data/{key}" for key in seen] == [f"{place}train.parquet"]
    (tmp_path / "train.parquet").write_bytes(shelf.objects[seen[0]])
    rows = duckdb.read_parquet(str(tmp_path / "train.parquet"))
    described = zip(rows.columns, map(str, rows.types), strict=True)
    assert {
        column: HIVE[sql.replace("STRUCT(role VARCHAR, content", 'STRUCT("role" VARCHAR, "content"')]
        for column, sql in described
    } == _columns(table(name))


def test_an_export_of_feedback_is_read_by_the_fields_of_its_items(table: Callable[[str], dict[str, Any]]) -> None:
    place = _place(table("FeedbackExportsTable"), export="01700000000000-a1b2c3d4")
    fields = set(re.findall(r"(\w+):s", _columns(table("FeedbackExportsTable"))["item"])) - {"s"}

    assert place == "s3://data/exports/feedback/AWSDynamoDB/01700000000000-a1b2c3d4/data/"
    told = {"feedback_id", "inference_id", "model_version", "metric", "rater", "given_at", "value", "tags"}
    assert fields == told | {"pk", "sk"}


def test_partitions_are_computed_and_none_has_to_be_added(of_type: Callable[[str], Resources]) -> None:
    for name, about in of_type("AWS::Glue::Table").items():
        parameters, partitions = about["TableInput"]["Parameters"], _partitions(about["TableInput"])
        assert parameters["projection.enabled"] == "true", name
        assert all(parameters[f"projection.{each}.type"] in ("injected", "date") for each in partitions), name
        assert set(re.findall(r"\$\{!(\w+)\}", json.dumps(parameters["storage.location.template"]))) == set(partitions)


def test_a_query_is_bounded_and_its_results_are_encrypted_and_end(resources: Resources) -> None:
    settings = resources["WorkGroup"]["Properties"]["WorkGroupConfiguration"]
    rules = resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert settings["EnforceWorkGroupConfiguration"] is True
    assert settings["BytesScannedCutoffPerQuery"] == 10 * 2**30
    assert settings["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    location = settings["ResultConfiguration"]["OutputLocation"]["Fn::Sub"].removeprefix("s3://${Bucket}/")
    assert [rule["ExpirationInDays"] for rule in rules if rule.get("Prefix") == location] == [7]


def test_who_asks_reads_what_the_tables_are_of_and_writes_results_alone(resources: Resources) -> None:
    statements = resources["QueryPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    by_verb: dict[str, set[str]] = {}
    for each in statements:
        for action in [each["Action"]] if isinstance(each["Action"], str) else each["Action"]:
            assert "*" not in action
            found = each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
            by_verb.setdefault(action, set()).update(map(_prefix, found))

    assert by_verb["s3:GetObject"] == {"traffic/*", "exports/feedback/*", "datasets/*", "queries/*"}
    assert by_verb["s3:PutObject"] == {"queries/*"}
    assert not {action for action in by_verb if re.match(r"glue:(?!Get)|dynamodb:|s3:Delete", action)}


def _place(table: Mapping[str, Any], **values: str) -> str:
    template = table["Parameters"]["storage.location.template"]["Fn::Sub"].replace("${Bucket}", "data")
    return re.sub(r"\$\{!(\w+)\}", lambda found: values[found[1]], template)


def _columns(table: Mapping[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Type"] for each in table["StorageDescriptor"]["Columns"]}


def _partitions(table: Mapping[str, Any]) -> list[str]:
    return [each["Name"] for each in table["PartitionKeys"]]


def _prefix(resource: Any) -> str:
    return cast(str, resource.get("Fn::Sub", "")).removeprefix("${Bucket.Arn}/")
