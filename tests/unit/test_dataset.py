import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.dataset import CARD, LABELS, MANIFEST, FrozenDataset, Row, freeze, thaw
from pawl.errors import InvalidDataset

LINEAGE = {"parent": None, "feedback": 2}
SPLITS = {
    "train": [Row("no light", "outage", {"channel": "app"}), Row("wrong sum\u2028\nagain", "billing", {}, "traffic")],
    "holdout": [Row("za\u017c\u00f3\u0142\u0107", "outage")],
}
FROZEN = freeze("triage", SPLITS, LINEAGE)


def with_file(files: Mapping[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    """Files in which another one stands under a name, with a manifest that knows its digest."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    return {**files, name: data, MANIFEST: json.dumps(manifest).encode()}


def rewritten(files: Mapping[str, bytes], folder: Path, query: str, compression: str) -> dict[str, bytes]:
    """Files whose training rows went through a query and another writer."""
    before, after = folder / "before.parquet", folder / "after.parquet"
    before.write_bytes(files["train.parquet"])
    with duckdb.connect() as engine:
        engine.read_parquet(str(before)).create_view("rows")
        engine.sql(query).write_parquet(str(after), compression=compression)
    return with_file(files, "train.parquet", after.read_bytes())


words = st.text(max_size=12)
people = st.lists(words, max_size=2).map(tuple)
rows = st.builds(Row, words, words, st.dictionaries(words, words, max_size=2), words, words, words, people)


@settings(max_examples=50, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4), st.lists(rows, max_size=4), st.lists(rows, max_size=4))
def test_rows_come_back_as_they_were_frozen(train: list[Row], holdout: list[Row], recent: list[Row]) -> None:
    splits = {"train": train, "holdout": holdout, "recent": recent}

    frozen = freeze("triage", splits, LINEAGE)

    thawed = thaw(frozen.files)
    assert thawed == frozen
    assert thawed.splits == {split: given for split, given in splits.items() if given}
    assert (thawed.model, thawed.lineage) == ("triage", LINEAGE)


def test_equal_rows_give_an_equal_digest_whatever_the_order_of_splits() -> None:
    again = freeze("triage", dict(reversed(SPLITS.items())), dict(reversed(LINEAGE.items())))

    assert (again.digest, again.splits) == (FROZEN.digest, FROZEN.splits)


def test_the_digest_is_the_same_on_every_machine() -> None:
    assert FROZEN.digest == "a23dfd3add6edaf5979966279c23c3bece755dd0e1812c763b08a0e9b1956d50"


def test_a_column_that_came_later_is_there_where_a_row_fills_it_and_columns_that_nobody_knows_are_refused() -> None:
    filled = freeze("triage", {**SPLITS, "recent": [Row("a", "b", people=("ada",))]}, LINEAGE)
    manifest = json.loads(filled.files[MANIFEST])

    assert manifest["columns"] == {**LABELS.columns, **LABELS.added}
    assert [row.whose for row in thaw(filled.files).splits["recent"]] == [("", "ada")]
    for columns in ({**LABELS.columns, "age": "BIGINT"}, {"text": "VARCHAR"}, {**LABELS.columns, "people": "VARCHAR"}):
        with pytest.raises(InvalidDataset, match=r"columns \['.*want \['answer', 'label', 'slices'"):
            thaw({**FROZEN.files, MANIFEST: json.dumps({**manifest, "columns": columns}).encode()})


def test_other_bytes_of_the_same_rows_are_the_same_dataset(tmp_path: Path) -> None:
    files = rewritten(FROZEN.files, tmp_path, "SELECT * FROM rows", "snappy")

    assert files["train.parquet"] != FROZEN.files["train.parquet"]
    assert replace(thaw(files), files=FROZEN.files) == FROZEN


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * REPLACE (upper(label) AS label) FROM rows", "the rows of train.parquet do not match their digest"),
        ("SELECT * FROM rows ORDER BY text DESC", "the rows of train.parquet do not match their digest"),
        ("SELECT * EXCLUDE (label) FROM rows", "want a Parquet file with the columns text, label, slices"),
    ],
    ids=["another label", "another order", "a column less"],
)
def test_other_rows_are_refused_even_when_the_file_s_own_digest_fits(query: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=f"^{message}"):
        thaw(rewritten(FROZEN.files, tmp_path, query, "zstd"))


def test_a_file_that_is_no_parquet_is_refused_even_when_its_own_digest_fits() -> None:
    with pytest.raises(InvalidDataset, match=r"^want a Parquet file"):
        thaw(with_file(FROZEN.files, "train.parquet", b"PAR1, or so it says"))


def test_anybody_s_engine_reads_the_rows_and_which_split_they_are_of(tmp_path: Path) -> None:
    for name, data in FROZEN.files.items():
        (tmp_path / name).write_bytes(data)

    found = duckdb.sql(f"SELECT split, label, slices['channel'] FROM '{tmp_path}/*.parquet' ORDER BY ALL").fetchall()

    assert found == [("holdout", "outage", None), ("train", "billing", None), ("train", "outage", "app")]


@pytest.mark.parametrize(
    "other",
    [
        freeze("intent", SPLITS, LINEAGE),
        freeze("triage", SPLITS, {**LINEAGE, "feedback": 3}),
        freeze("triage", {**SPLITS, "recent": [Row("a", "b")]}, LINEAGE),
        freeze("triage", {**SPLITS, "train": SPLITS["train"][::-1]}, LINEAGE),
    ],
    ids=["model", "lineage", "split", "order"],
)
def test_anything_that_differs_gives_another_digest(other: FrozenDataset) -> None:
    assert other.digest != FROZEN.digest


def test_the_manifest_counts_the_rows_of_each_split_and_names_their_columns() -> None:
    manifest = json.loads(FROZEN.files[MANIFEST])

    assert {name: each["rows"] for name, each in manifest["splits"].items()} == {"train": 2, "holdout": 1}
    assert manifest["columns"] == LABELS.columns


@pytest.mark.parametrize("name", ["train.parquet", "holdout.parquet"])
def test_a_file_with_any_byte_flipped_is_named(name: str) -> None:
    whole = FROZEN.files[name]

    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 0x20
        with pytest.raises(InvalidDataset, match=f"^{name} does not match its digest$"):
            thaw({**FROZEN.files, name: bytes(altered)})


def test_a_manifest_with_any_byte_flipped_is_refused_or_names_another_dataset() -> None:
    whole = FROZEN.files[MANIFEST]

    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 0x01
        try:
            thawed = thaw({**FROZEN.files, MANIFEST: bytes(altered)})
        except InvalidDataset:
            continue
        assert thawed.digest != FROZEN.digest


@pytest.mark.parametrize("name", sorted(FROZEN.files))
def test_a_missing_file_is_named(name: str) -> None:
    files = {each: data for each, data in FROZEN.files.items() if each != name}

    with pytest.raises(InvalidDataset, match=f"^{name} is missing$"):
        thaw(files)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"schema": 1}, "schema 1, want 2"),
        ({"schema": 2}, "is not a version 2 manifest"),
        ([], "is not a version 2 manifest"),
        ({"schema": 2, "kind": "labels", "model": "m", "splits": {"train": 5}}, "is not a version 2 manifest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(manifest: Any, message: str) -> None:
    with pytest.raises(InvalidDataset, match=message):
        thaw({**FROZEN.files, MANIFEST: json.dumps(manifest).encode()})


def test_a_split_with_a_misspelt_name_is_refused_rather_than_left_out() -> None:
    with pytest.raises(InvalidDataset, match=r"splits \['tran'\]: want some of \['train', 'holdout', 'recent'\]"):
        freeze("triage", {"tran": SPLITS["train"]}, LINEAGE)


def test_a_card_is_part_of_the_dataset_and_no_split() -> None:
    carded = freeze("triage", SPLITS, LINEAGE, "# What is in it\n")

    assert carded.digest != FROZEN.digest
    assert thaw(carded.files) == carded
    assert (carded.splits, carded.files[CARD]) == (FROZEN.splits, b"# What is in it\n")
    with pytest.raises(InvalidDataset, match=r"^_card\.md does not match its digest$"):
        thaw({**carded.files, CARD: b"# Something else\n"})
    with pytest.raises(InvalidDataset, match=r"^_card\.md is missing$"):
        thaw({name: data for name, data in carded.files.items() if name != CARD})
