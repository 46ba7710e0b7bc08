"""Reads files that people drop into the inbox: CSV with a header, JSON lines or a JSON array, gzipped or not, any size.

A file is read in chunks, each of which can be read again from its position alone: the same bytes always fall into the
same chunks, so work that stopped anywhere goes on there. Memory holds one chunk. What is no row is handed over with its
line and the reason, never left out. A gzipped file cannot be entered in the middle: it is unpacked anew up to there.
"""

import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pawl.arrays import read_elements
from pawl.errors import InvalidRecord
from pawl.narrowing import is_object

CHUNK_ROWS = 20_000
CHUNK_BYTES = 8 << 20
LONGEST = 1 << 20
"""A row may have so many bytes; a longer one is none, and is not held in memory."""
ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".json", ".json.gz")
_BLOCK = 1 << 18
_MARK = b"\xef\xbb\xbf"


class Stream(Protocol):
    """Bytes of an object, one after the other."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


Opener = Callable[[int], Stream]
"""Opens the object as it is stored, from a byte on."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read: unpacked bytes and lines, the header's among them; in an array, its elements."""

    offset: int = 0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row: the number of the line that it begins in (from 1), that line, and its values by column (CSV: text)."""

    line: int
    text: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be read: its line, why, and that line as it stands in the file."""

    line: int
    reason: str
    text: str


@dataclass(slots=True)
class Chunk:
    """Rows that lie together, and what lay between them that is none."""

    start: Position
    end: Position
    rows: list[Row] = field(default_factory=list[Row])
    faults: list[Fault] = field(default_factory=list[Fault])


def require_format(name: str) -> None:
    """InvalidRecord unless a file's name ends as one does that can be read."""
    if name.endswith(ENDINGS):
        return
    if name.endswith((".parquet", ".pq")):
        raise InvalidRecord(
            "Parquet is not read here: write CSV or JSON lines instead, as with "
            "pandas.read_parquet('file.parquet').to_csv('file.csv.gz', index=False)"
        )
    raise InvalidRecord(f"the name does not tell a format: want one that ends in {', '.join(ENDINGS)}")


def read_chunks(
    opener: Opener, name: str, start: Position | None = None, *, rows: int = CHUNK_ROWS, size: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """The chunks of a file from a chunk's `start` or `end` on, of at most so many rows and about so many bytes.

    InvalidRecord when the file as a whole cannot be read: its format, its header, its compression.
    """
    require_format(name)
    is_packed, at = name.endswith(".gz"), start or Position()
    names = None
    if name.endswith((".csv", ".csv.gz")):
        source = _Source(_lines(_unpacked(opener, is_packed, 0)))
        names = _header(source)
        at = at if at.offset else source.position
    stream = _unpacked(opener, is_packed, at.offset)
    is_array = name.endswith((".json", ".json.gz"))
    source = _Source(_elements(stream, at.offset > 0) if is_array else _lines(stream), at)
    while True:
        chunk = _read_chunk(source, names, rows, size)
        if chunk.end == chunk.start:
            return
        yield chunk


@dataclass(frozen=True, slots=True)
class _Line:
    """A line without its end, cut beyond LONGEST, and the bytes that it takes in the file."""

    text: bytes
    size: int


class _Source:
    """The lines of a file one after the other; those that were not used after all may be put back."""

    def __init__(self, lines: Iterator[_Line], position: Position | None = None) -> None:
        self.position = position or Position()
        self._lines = lines
        self._waiting: deque[_Line] = deque()

    def take(self) -> _Line | None:
        line = self._waiting.popleft() if self._waiting else next(self._lines, None)
        if line is not None:
            self.position = Position(self.position.offset + line.size, self.position.line + 1)
        return line

    def put_back(self, lines: Sequence[_Line]) -> None:
        self._waiting.extendleft(reversed(lines))
        size = sum(line.size for line in lines)
        self.position = Position(self.position.offset - size, self.position.line - len(lines))


def _unpacked(opener: Opener, is_packed: bool, offset: int) -> Stream:
    if not is_packed:
        return opener(offset)
    stream = _Unpacked(opener(0))
    while offset:
        skipped = len(stream.read(min(offset, _BLOCK)))
        if not skipped:
            break
        offset -= skipped
    return stream


class _Unpacked:
    """A gzipped stream unpacked; InvalidRecord where it is none, or ends too early."""

    def __init__(self, stream: Stream) -> None:
        self._file = gzip.GzipFile(fileobj=io.BufferedReader(_Raw(stream), _BLOCK))

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InvalidRecord("the file is not gzipped, though its name ends in .gz, or it is damaged") from error
        except EOFError as error:
            raise InvalidRecord("the gzipped file ends too early: upload it again, whole") from error


class _Raw(io.RawIOBase):
    """A stream as Python's own readers want it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _lines(stream: Stream) -> Iterator[_Line]:
    rest, cut = b"", 0
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for text in whole:
            yield _Line(text[: LONGEST + 1], cut + len(text) + 1)
            cut = 0
        if len(rest) > LONGEST:
            cut += len(rest) - (LONGEST + 1)
            rest = rest[: LONGEST + 1]
    if rest:
        yield _Line(rest, cut + len(rest))


def _elements(stream: Stream, is_inside: bool) -> Iterator[_Line]:
    return (_Line(text.strip(), size) for text, size in read_elements(stream.read, LONGEST, is_inside))


def _read_chunk(source: _Source, names: Sequence[str] | None, rows: int, size: int) -> Chunk:
    start = source.position
    chunk = Chunk(start, start)
    while len(chunk.rows) + len(chunk.faults) < rows and source.position.offset - start.offset < size:
        before = source.position
        first = source.take()
        if first is None:
            break
        found = _read_json(first, before) if names is None else _read_csv(source, first, names)
        text = first.text.decode("utf-8", "replace").rstrip("\r")
        if isinstance(found, str):
            chunk.faults.append(Fault(before.line + 1, found, text))
        elif found:
            chunk.rows.append(Row(before.line + 1, text, found))
    chunk.end = source.position
    return chunk


def _read_json(line: _Line, before: Position) -> dict[str, Any] | str:
    """The row in a line of JSON, nothing of an empty line, or what is wrong with it."""
    text = line.text if before.offset else line.text.removeprefix(_MARK)
    if len(text) > LONGEST:
        return f"longer than {LONGEST} bytes"
    if not text.strip():
        return {}
    try:
        found = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON at character {error.pos + 1}"
    except (ValueError, RecursionError):
        return "not JSON that can be read: a number too long, or nested too deeply"
    return found if is_object(found) and found else "want an object with a value a column"


def _read_csv(source: _Source, first: _Line, names: Sequence[str]) -> dict[str, Any] | str:
    """The row that begins in a line; where it ends in a later one and cannot be read, the later ones stand for
    themselves."""
    if not first.text.strip():
        return {}
    lines = _quoted(source, first)
    found = _fields(b"\n".join(line.text for line in lines))
    if not isinstance(found, str) and len(found) != len(names):
        found = f"{len(found)} values: want {len(names)}, as the header has"
    if isinstance(found, str):
        source.put_back(lines[1:])
        return found if len(lines) == 1 else "a quote is opened that no later line closes as CSV wants it"
    return dict(zip(names, found, strict=True))


def _header(source: _Source) -> list[str]:
    first = source.take()
    if first is None:
        raise InvalidRecord("the file is empty: want a header with the columns' names")
    first = _Line(first.text.removeprefix(_MARK), first.size)
    found = _fields(b"\n".join(line.text for line in _quoted(source, first)))
    if isinstance(found, str):
        raise InvalidRecord(f"header: {found}")
    names = [name.strip() for name in found]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise InvalidRecord("header: want names parted by commas")
    if len(set(names)) < len(names) or "" in names:
        raise InvalidRecord("header: want a name of its own for each column")
    return names


def _quoted(source: _Source, first: _Line) -> list[_Line]:
    """A line and those after it up to the one where every quote that was opened is closed (RFC 4180)."""
    lines, quotes, size = [first], first.text.count(b'"'), len(first.text)
    while quotes % 2 and size <= LONGEST and (line := source.take()) is not None:
        lines.append(line)
        quotes, size = quotes + line.text.count(b'"'), size + len(line.text)
    return lines


def _fields(text: bytes) -> list[str] | str:
    """The values in a row of CSV, or what is wrong with it."""
    if len(text) > LONGEST:
        return f"longer than {LONGEST} bytes, or a quote is not closed"
    try:
        row = text.decode("utf-8").removesuffix("\r")
        if '"' not in row and "\r" not in row:
            return row.split(",")
        return next(csv.reader([row], strict=True), list[str]())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except csv.Error:
        return "not CSV: a quote inside of a value must be doubled, and one that is opened must be closed"
