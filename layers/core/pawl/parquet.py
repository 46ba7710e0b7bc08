"""Rows as Parquet and back, by DuckDB: 69 MB in its layer, where a pruned pyarrow takes over 100.

Of 100,000 rows it writes a file in 0.4 s and reads it in 0.4 s, pyarrow in 1.1 and 2.0 s and with twice the memory.

Columns are named with their SQL types. DuckDB reads and writes files only, so bytes pass through the disk; it is
imported where it is used, since most of what knows a dataset never opens one.
"""

import atexit
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any

from pawl.errors import InvalidDataset

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Values = dict[str, Any]
_COMPRESSION = "zstd"


def line_of(values: Mapping[str, Any]) -> bytes:
    """A row as the one line of JSON that equal rows have in common."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def pack(lines: Iterable[bytes], columns: Mapping[str, str], split: str) -> bytes:
    """Rows, given as lines of JSON, as a Parquet file; each also says which split it is of, in a column of its own."""
    with TemporaryDirectory() as folder:
        rows, packed = Path(folder, "rows.jsonl"), Path(folder, "rows.parquet")
        with rows.open("wb") as file:
            file.writelines(lines)
        with _engine().cursor() as engine:
            read = engine.read_json(str(rows), columns=dict(columns), format="newline_delimited")
            read.project(f"*, '{split}' AS split").write_parquet(str(packed), compression=_COMPRESSION)
        return packed.read_bytes()


def unpack(data: bytes, columns: Mapping[str, str]) -> Iterator[Values]:
    """The rows of a Parquet file, in order, by the columns wanted; InvalidDataset when it has others or is none."""
    import duckdb

    with TemporaryDirectory() as folder:
        packed = Path(folder, "rows.parquet")
        packed.write_bytes(data)
        with _engine().cursor() as engine:
            try:
                rows = engine.read_parquet(str(packed)).project(", ".join(columns)).fetchall()
            except duckdb.Error as error:
                raise InvalidDataset(f"want a Parquet file with the columns {', '.join(columns)}") from error
    return (dict(zip(columns, row, strict=True)) for row in rows)


@cache
def _engine() -> "DuckDBPyConnection":
    """DuckDB in memory, spilling to where temporary files go; it never looks for extensions on the network."""
    import duckdb

    quiet = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    atexit.register(_engine.cache_clear)  # else the interpreter's end finds it open, and says so at length
    return duckdb.connect(config={"threads": 1, "temp_directory": gettempdir(), **quiet})
