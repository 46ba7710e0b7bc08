"""Rows of CSV, JSON lines and Parquet files, a chunk of columns at a time, so that a file may be larger than memory.

A column's kind is what its first values are, unless a profile to compare with says otherwise; what is no number in a
column of numbers is missing there. JSON lines may be captured traffic: then the rows are the records' features.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pawl.errors import InvalidRequest
from pawl.profile import Profile
from pawl.records import CaptureRecord, columns_of

CHUNK_ROWS = 20_000
Columns = dict[str, list[Any]]


def profile_file(path: Path, profile: Profile) -> Profile:
    """Count the rows of a file in an open profile, and return it; a new one counts columns together from then on."""
    is_new = not profile.columns
    for chunk in read_chunks(path):
        columns = {name: _cast(values, _is_text(profile, name, values)) for name, values in chunk.items()}
        profile.update(columns)
        if is_new:
            profile.relate(columns)
            is_new = False
    return profile


def read_chunks(path: Path) -> Iterator[Columns]:
    """The columns of a file, CHUNK_ROWS rows at a time; InvalidRequest names what is wrong with it."""
    ending = next((each for each in reversed(path.suffixes) if each != ".gz"), "")
    if ending not in READERS:
        raise InvalidRequest(f"{path.name}: want a file that ends in {', '.join(READERS)}, or in .gz after that")
    if not path.is_file():
        raise InvalidRequest(f"{path}: no such file")
    return READERS[ending](path)


def _csv_chunks(path: Path) -> Iterator[Columns]:
    with _open(path) as file:
        rows = csv.reader(file)
        names = next(rows, [])
        if len(set(names)) < len(names):
            raise InvalidRequest(f"{path.name}: want a first line of column names that differ")
        while chunk := list(islice((row for row in rows if row), CHUNK_ROWS)):
            if any(len(row) != len(names) for row in chunk):
                raise InvalidRequest(f"{path.name}: line {rows.line_num} or one before: want {len(names)} values a row")
            yield {name: list(values) for name, values in zip(names, zip(*chunk, strict=True), strict=True)}


def _json_chunks(path: Path) -> Iterator[Columns]:
    with _open(path) as file:
        lines = (line for line in file if line.strip())
        while chunk := list(islice(lines, CHUNK_ROWS)):
            rows = [json.loads(line) for line in chunk]
            if not all(isinstance(row, dict) for row in rows):
                raise InvalidRequest(f"{path.name}: want one JSON object a line")
            if "features" in rows[0] and "inference_id" in rows[0]:
                yield columns_of([CaptureRecord.from_dict(row) for row in rows])
            else:
                names = dict.fromkeys(name for row in rows for name in row)
                yield {name: [row.get(name) for row in rows] for name in names}


def _parquet_chunks(path: Path) -> Iterator[Columns]:
    """By pyarrow, or by duckdb, whichever is installed."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        yield from _duckdb_chunks(path)
        return
    for batch in ParquetFile(path).iter_batches(CHUNK_ROWS):
        yield batch.to_pydict()


def _duckdb_chunks(path: Path) -> Iterator[Columns]:
    try:
        import duckdb
    except ImportError:
        raise InvalidRequest(f"{path.name}: reading Parquet needs pyarrow or duckdb: pip install pyarrow") from None
    with duckdb.connect() as connection:
        cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in cursor.description or []]
        while rows := cursor.fetchmany(CHUNK_ROWS):
            yield {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


READERS: dict[str, Callable[[Path], Iterator[Columns]]] = {
    ".csv": _csv_chunks,
    ".jsonl": _json_chunks,
    ".ndjson": _json_chunks,
    ".parquet": _parquet_chunks,
}


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _is_text(profile: Profile, name: str, values: Sequence[Any]) -> bool:
    """Whether a column is one of names: as it was so far, else as its first values are."""
    known = profile.holds_names(name)
    return any(_number(value) is None for value in values if value not in (None, "")) if known is None else known


def _cast(values: Sequence[Any], is_text: bool) -> list[Any]:
    if is_text:
        return [None if value in (None, "") else value if isinstance(value, str) else str(value) for value in values]
    return [_number(value) for value in values]


def _number(value: Any) -> float | None:
    """A value as a number: a time as seconds; None where it is none."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time()).timestamp()
    if not isinstance(value, str | int | float | Decimal):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
