"""Dropped files read in chunks: what is a row, what is none, and where reading was broken off does not matter."""

import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl import inbox
from pawl.errors import InvalidRecord
from pawl.inbox import Chunk, Fault, Position, read_chunks

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


class Trickle:
    """A stream that gives a few bytes at a time, as a connection does."""

    def __init__(self, data: bytes, step: int) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._step))


def opener(data: bytes, step: int = 1 << 20) -> Callable[[int], Trickle]:
    return lambda offset: Trickle(data[offset:], step)


def read(data: bytes, name: str = "f.csv", **limits: int) -> Chunk:
    """All chunks of a file as one."""
    whole = Chunk(Position(), Position())
    for chunk in read_chunks(opener(data), name, **limits):
        whole.rows += chunk.rows
        whole.faults += chunk.faults
        whole.end = chunk.end
    return whole


def values(chunk: Chunk) -> list[dict[str, Any]]:
    return [row.values for row in chunk.rows]


def faults(chunk: Chunk) -> list[tuple[int, str]]:
    return [(fault.line, fault.reason) for fault in chunk.faults]


def test_csv_is_rows_of_text_by_the_header_s_names() -> None:
    found = read(b'\xef\xbb\xbfage, city\r\n41,"Oslo, east"\r\n\r\n,"a ""b""\nc"\r\n')

    assert values(found) == [{"age": "41", "city": "Oslo, east"}, {"age": "", "city": 'a "b"\nc'}]
    assert [row.line for row in found.rows] == [2, 4]
    assert found.end == Position(47, 5)


def test_json_lines_are_rows_as_they_are() -> None:
    found = read(b'\xef\xbb\xbf{"age": 41}\n\n{"age": null, "is_new": true}', "f.jsonl")

    assert values(found) == [{"age": 41}, {"age": None, "is_new": True}]
    assert (found.rows[1].line, found.faults) == (3, [])


def test_a_row_of_csv_that_cannot_be_read_is_told_with_its_line_and_the_others_are_read() -> None:
    found = read(b'a,b\n1,2\n3\n"x"y,4\n5,\xff\n6,7,8\n9,10\n')

    assert values(found) == [{"a": "1", "b": "2"}, {"a": "9", "b": "10"}]
    assert faults(found) == [
        (3, "1 values: want 2, as the header has"),
        (4, "not CSV: a quote inside of a value must be doubled, and one that is opened must be closed"),
        (5, "not UTF-8 at byte 3"),
        (6, "3 values: want 2, as the header has"),
    ]
    assert found.faults[1] == Fault(4, found.faults[1].reason, '"x"y,4')


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    found = read(b'a,b\n1,"2\n3,4\n5,6\n')

    assert values(found) == [{"a": "3", "b": "4"}, {"a": "5", "b": "6"}]
    assert faults(found) == [(2, "a quote is opened that no later line closes as CSV wants it")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON at character 2"),
        (b"[1]", "want an object with a value a column"),
        (b"{}", "want an object with a value a column"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that can be read: a number too long, or nested too deeply"),
        (b'{"a": ' + b"[" * 100_000, "not JSON that can be read: a number too long, or nested too deeply"),
    ],
    ids=["cut short", "a list", "empty", "no UTF-8", "a long number", "deep"],
)
def test_a_line_that_is_no_object_is_told_with_the_reason(line: bytes, reason: str) -> None:
    found = read(b'{"a": 1}\n' + line + b'\n{"a": 2}\n', "f.jsonl")

    assert (values(found), faults(found)) == ([{"a": 1}, {"a": 2}], [(2, reason)])


@pytest.mark.parametrize("name", ["f.csv", "f.jsonl"])
def test_a_line_beyond_all_measure_is_told_and_not_held(name: str) -> None:
    head, row = (b"a\n", b"1\n") if name == "f.csv" else (b"", b'{"a": 1}\n')
    length = 3 * inbox.LONGEST
    data = head + row + b"x" * length + b"\n" + row

    found = read(data, name)

    assert len(found.rows) == 2
    (fault,) = found.faults
    assert fault.reason.startswith(f"longer than {inbox.LONGEST} bytes")
    assert (len(fault.text), found.end.offset) == (inbox.LONGEST + 1, len(data))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("f.parquet", b"PAR1", "Parquet is not read here: write CSV or JSON lines instead"),
        (
            "f.tsv",
            b"a\tb\n",
            "the name does not tell a format: want one that ends in .csv, .csv.gz, .jsonl, .jsonl.gz, .json",
        ),
        ("f.csv", b"", "the file is empty: want a header"),
        ("f.csv", b"a,a\n1,2\n", "header: want a name of its own for each column"),
        ("f.csv", b"a,\n1,2\n", "header: want a name of its own for each column"),
        ("f.csv", b"a;b\n1;2\n", "header: want names parted by commas"),
        ("f.csv", b"a,\xff\n", "header: not UTF-8 at byte 3"),
        ("f.csv.gz", b"a,b\n1,2\n", "the file is not gzipped"),
        ("f.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 9, mtime=0)[:-9], "the gzipped file ends too early"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_what_would_be_right(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRecord) as refusal:
        read(data, name)
    assert str(refusal.value).startswith(reason)


def test_a_file_of_a_header_alone_has_no_chunks() -> None:
    assert list(read_chunks(opener(b"a,b\n"), "f.csv")) == []


def test_a_chunk_ends_after_so_many_rows_or_so_many_bytes() -> None:
    data = b"a\n" + b"12345\n" * 10

    by_rows = [len(chunk.rows) for chunk in read_chunks(opener(data), "f.csv", rows=4)]
    by_bytes = [len(chunk.rows) for chunk in read_chunks(opener(data), "f.csv", size=13)]

    assert (by_rows, by_bytes) == ([4, 4, 2], [3, 3, 3, 1])


class Endless:
    """A stream of so many bytes of rows that nobody holds in memory."""

    def __init__(self, row: bytes, rows: int) -> None:
        self._row, self._left = row, rows

    def read(self, size: int, /) -> bytes:
        count = min(self._left, max(1, size // len(self._row)))
        self._left -= count
        return self._row * count


def test_memory_holds_one_chunk_whatever_the_file() -> None:
    row = b'{"a": "' + b"x" * 4000 + b'"}\n'
    tracemalloc.start()
    try:
        chunks = read_chunks(lambda offset: Endless(row, 12_000), "f.jsonl", size=1 << 20)
        rows = sum(len(chunk.rows) for chunk in chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert rows * len(row) > 45_000_000
    assert peak < 9_000_000  # two chunks, each as text and as values, and what is being read


@given(
    st.lists(st.tuples(TEXTS, TEXTS), max_size=12),
    st.lists(st.sampled_from([b'"', b"x", b"\xff,1", b'a"b,c', b'"a,"b"']), max_size=4),
    st.integers(1, 5),
    st.integers(1, 40),
    st.sampled_from(["f.csv", "f.csv.gz"]),
)
def test_csv_read_on_from_any_chunk_is_the_file_read_at_once(
    rows: list[tuple[str, str]], broken: list[bytes], limit: int, step: int, name: str
) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    plain = b"one,two\n" + written.getvalue().encode() + b"\n".join(broken)
    data = gzip.compress(plain, mtime=0) if name.endswith(".gz") else plain
    chunks = list(read_chunks(opener(data, step), name, rows=limit))

    for number, chunk in enumerate(chunks):
        assert list(read_chunks(opener(data), name, chunk.start, rows=limit)) == chunks[number:]
    assert list(read_chunks(opener(data), name, Position(len(plain), 1), rows=limit)) == []
    assert [row for chunk in chunks for row in chunk.rows] == read(data, name).rows
    assert [fault for chunk in chunks for fault in chunk.faults] == read(data, name).faults


@given(st.lists(st.tuples(TEXTS.filter(str.strip), TEXTS), min_size=1, max_size=12), st.integers(1, 40))
def test_what_python_writes_as_csv_is_read_again(rows: list[tuple[str, str]], step: int) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    data = b"one,two\r\n" + written.getvalue().encode()

    found = [row for chunk in read_chunks(opener(data, step), "f.csv") for row in chunk.rows]

    assert [tuple(row.values.values()) for row in found] == rows


@given(st.lists(st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), min_size=1), max_size=8), st.integers(1, 5))
def test_json_lines_read_on_from_any_chunk_are_the_file_read_at_once(rows: list[dict[str, Any]], limit: int) -> None:
    plain = "\n".join(json.dumps(row) for row in rows).encode()
    for name, data in (("f.jsonl", plain), ("f.jsonl.gz", gzip.compress(plain, mtime=0))):
        chunks = list(read_chunks(opener(data, 7), name, rows=limit))
        for number, chunk in enumerate(chunks):
            assert list(read_chunks(opener(data), name, chunk.end, rows=limit)) == chunks[number + 1 :]
        assert [row.values for chunk in chunks for row in chunk.rows] == rows
