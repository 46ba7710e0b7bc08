"""`scripts/profile` on files of every kind: what it prints, what it saves, and what it refuses."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pawl.profile import CategorySketch, FloatSketch, Profile
from pawl.records import CaptureRecord
from profiling.__main__ import main
from profiling.readers import CHUNK_ROWS, profile_file, read_chunks

ROWS: list[dict[str, Any]] = [
    {"amount": 1.5, "city": "Oslo", "note": "a"},
    {"amount": -2.0, "city": "Bergen", "note": None},
    {"amount": None, "city": "Oslo", "note": "b"},
    {"amount": 4.0, "city": "Oslo", "note": "17"},
]


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _write_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    duckdb = pytest.importorskip("duckdb")
    source = _write_json(path.with_suffix(".jsonl"), rows)
    duckdb.sql(f"SELECT * FROM read_json('{source}')").write_parquet(str(path))
    return path


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "csv": _write_csv,
    "jsonl": _write_json,
    "parquet": _write_parquet,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_has_the_same_profile_in_every_format(ending: str, tmp_path: Path) -> None:
    profile = profile_file(WRITERS[ending](tmp_path / f"rows.{ending}", ROWS), Profile.open())

    amount, city, note = (profile.columns[name] for name in ("amount", "city", "note"))
    assert isinstance(amount, FloatSketch) and isinstance(city, CategorySketch) and isinstance(note, CategorySketch)
    assert (profile.rows, amount.rows, amount.missing, amount.minimum, amount.maximum) == (4, 3, 1, -2.0, 4.0)
    assert city.counts == {"Oslo": 3, "Bergen": 1}
    assert (note.counts, note.missing) == ({"a": 1, "b": 1, "17": 1}, 1)


def test_a_file_is_read_a_chunk_at_a_time_and_unpacked(tmp_path: Path) -> None:
    path = _write_csv(tmp_path / "rows.csv", [{"n": n} for n in range(CHUNK_ROWS + 5)])
    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    assert [len(chunk["n"]) for chunk in read_chunks(packed)] == [CHUNK_ROWS, 5]
    assert profile_file(packed, Profile.open()).to_json() == profile_file(path, Profile.open()).to_json()


def test_captured_traffic_is_profiled_by_its_features(tmp_path: Path, captured: Callable[..., CaptureRecord]) -> None:
    path = tmp_path / "batch.jsonl"
    records = [captured(features={"tokens": [3, 4], "label": ["a", "b"]}), captured(features={"tokens": [5]})]
    path.write_text("\n".join(record.to_json() for record in records))

    profile = profile_file(path, Profile.open())

    assert (profile.rows, profile.columns["tokens"].rows, profile.columns["label"].missing) == (3, 3, 1)


def test_a_column_keeps_its_kind_and_what_does_not_fit_is_missing(tmp_path: Path) -> None:
    rows = [{"n": "", "zip": "12"}] * CHUNK_ROWS + [{"n": "5", "zip": "07"}, {"n": "many", "zip": "x"}]
    path = _write_csv(tmp_path / "rows.csv", rows)
    reference = Profile.of({"n": [1.0, 9.0], "zip": ["12", "07"]})

    alone = profile_file(path, Profile.open())
    beside = profile_file(path, Profile.like(reference, is_open=True))

    texts = alone.columns["n"]
    assert isinstance(texts, CategorySketch)
    assert (texts.counts, texts.missing) == ({"5": 1, "many": 1}, CHUNK_ROWS)
    assert (beside.columns["n"].rows, beside.columns["n"].missing) == (1, CHUNK_ROWS + 1)
    zips = beside.columns["zip"]
    assert isinstance(zips, CategorySketch)
    assert (zips.counts, zips.others) == ({"12": CHUNK_ROWS, "07": 1}, 1)


def test_the_table_tells_of_every_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(_write_csv(tmp_path / "rows.csv", ROWS))]) == 0

    head, _, columns, amount, city, note = capsys.readouterr().out.splitlines()
    assert head == "rows.csv: 4 rows"
    assert " ".join(columns.split()) == "column kind rows missing mean sd min 1% 25% 50% 75% 99% max"
    assert " ".join(amount.split()) == "amount numbers 3 1 1.167 3.014 -2 -2 -2 1.5 4 4 4"
    assert city.split(maxsplit=4) == ["city", "names", "4", "0", "2 different: Oslo 75%, Bergen 25%"]
    assert note.startswith("note")


@pytest.mark.parametrize("against", ["--compare", "--reference"])
def test_two_files_are_compared_column_by_column(
    against: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(1)
    for name, mean in (("old", 0.0), ("new", 3.0)):
        values = zip(generator.normal(mean, 1, 2000).tolist(), generator.choice(["a", "b"], 2000).tolist(), strict=True)
        _write_csv(tmp_path / f"{name}.csv", [{"amount": amount, "side": side} for amount, side in values])
    saved = tmp_path / "old.json"
    assert main([str(tmp_path / "old.csv"), "--save", str(saved)]) == 0
    capsys.readouterr()
    earlier = tmp_path / "old.csv" if against == "--compare" else saved

    assert main([str(tmp_path / "new.csv"), against, str(earlier)]) == 0

    _, _, told = capsys.readouterr().out.partition("compared with 2000 rows\n\n")
    _, amount, side, together = told.splitlines()
    assert amount.startswith("amount") and amount.endswith("DRIFTED")
    assert side.startswith("side") and not side.endswith("DRIFTED")
    assert together.startswith("columns together") and not together.endswith("DRIFTED")
    assert main([str(tmp_path / "new.csv"), against, str(earlier), "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    assert (raw["rows"], [each["column"] for each in raw["columns"]]) == (2000, ["amount", "side"])
    verdicts = {each["column"]: each["has_drifted"] for each in raw["drift"]}
    assert verdicts == {"amount": True, "side": False, "columns together": False}


def test_two_files_are_compared_by_what_their_columns_have_to_do_with_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [n % 40 for n in range(400)]
    _write_csv(tmp_path / "old.csv", [{"age": n, "size": n + n % 3} for n in steps])
    _write_csv(tmp_path / "new.csv", [{"age": n, "size": 39 - n + (39 - n) % 3} for n in steps])

    assert main([str(tmp_path / "new.csv"), "--compare", str(tmp_path / "old.csv")]) == 0

    (together,) = [line for line in capsys.readouterr().out.splitlines() if "DRIFTED" in line]
    assert together.split(maxsplit=6)[:4] == ["columns", "together", "correlation", "1.995"]
    assert together.endswith("DRIFTED: correlation of age and size, 1.00 to -1.00")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", "", "want a file that ends in .csv, .jsonl, .ndjson, .parquet"),
        ("rows.csv", "a,a\n1,2\n", "want a first line of column names that differ"),
        ("rows.csv", "a,b\n1,2\n3\n", "line 3 or one before: want 2 values a row"),
        ("rows.jsonl", "[1]\n", "want one JSON object a line"),
        ("rows.jsonl", "{\n", "Expecting property name"),
        ("missing.csv", None, "no such file"),
    ],
)
def test_a_file_that_is_none_is_refused_with_what_would_be_right(
    name: str, content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    assert main([str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().err
