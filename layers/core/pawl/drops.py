"""Works a dropped file off, chunk by chunk, and knows how far it came: a crash or the end of the time costs one chunk.

After each chunk, and after what it made is stored, the place is written down. Whoever dies in between finds the same
chunk again and makes the same of it, so a task must name what it stores by the file and the chunk. Two workers at the
same file: the second to write down the same place gives up. Progress is kept in the state table:

    inbox   <digest of key and content>    how far a file has been read, rows and faults so far, why it was refused
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from pawl.bucket import Bucket, ObjectFacts
from pawl.errors import Conflict, InvalidRecord
from pawl.inbox import CHUNK_BYTES, CHUNK_ROWS, Chunk, Fault, Position, Stream, read_chunks
from pawl.items import from_item, require_lost_condition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

INBOX = "inbox/"
ERRORS = ".errors/"
"""Follows the name of a dropped file in the keys of what was wrong with it."""
_KEEP_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Drop:
    """A dropped file; `id`, hexadecimal digits, names it together with its content."""

    key: str
    id: str
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has been read; `refused` says why it is not read at all, or no further."""

    offset: int = 0
    line: int = 0
    rows: int = 0
    faults: int = 0
    is_done: bool = False
    refused: str = ""


class Task(Protocol):
    """What is made of a file. Whatever it does may be asked of it twice."""

    def take(self, drop: Drop, chunk: Chunk) -> Sequence[Fault]:
        """Store what a chunk comes to; the rows that cannot be used. InvalidRecord when the file cannot."""
        ...

    def finish(self, drop: Drop) -> None:
        """After the last chunk; InvalidRecord when the file comes to nothing."""
        ...


class Drops:
    """The files of the inbox, and how far each of them has been read."""

    def __init__(
        self, bucket: Bucket, table: "Table", chunk_rows: int = CHUNK_ROWS, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        self._bucket = bucket
        self._table = table
        self._chunk_rows = chunk_rows
        self._chunk_bytes = chunk_bytes

    def work(self, key: str, task: Task, has_time: Callable[[], bool], now_ms: int) -> Progress:
        """Go on with a file while there is time, one chunk at least; done before, nothing changes.

        A file that cannot be read is refused in `<key>.errors/refused.jsonl`, its unreadable rows are in
        `<key>.errors/<first line of the chunk>.jsonl`. NotFound when there is no such file, Conflict when it was
        replaced, or another worker is at it.
        """
        facts = self._bucket.facts(key)
        drop = _drop(key, facts)
        progress = self._read(drop)
        if progress.is_done:
            return progress
        try:
            for chunk in self._chunks(key, facts, progress):
                progress = self._advance(drop, progress, self._take(drop, chunk, task, progress), now_ms)
                if not has_time():
                    return progress
            task.finish(drop)
        except InvalidRecord as error:
            self._write_faults(drop, "refused", [Fault(progress.line + 1, str(error), "")])
            return self._advance(drop, progress, replace(progress, refused=str(error), is_done=True), now_ms)
        return self._advance(drop, progress, replace(progress, is_done=True), now_ms)

    def progress(self, key: str) -> Progress:
        """How far a file has been read; NotFound when there is none."""
        return self._read(_drop(key, self._bucket.facts(key)))

    def refuse(self, key: str, error: InvalidRecord) -> None:
        """Say beside a file why nothing is made of it, where that shows in its name alone."""
        self._write_faults(Drop(key, "", 0), "refused", [Fault(0, str(error), "")])

    def _chunks(self, key: str, facts: ObjectFacts, progress: Progress) -> Iterator[Chunk]:
        def open_at(offset: int) -> Stream:
            return self._bucket.stream(key, facts, offset) if offset < facts.size else io.BytesIO()

        start = Position(progress.offset, progress.line)
        return read_chunks(open_at, key, start, rows=self._chunk_rows, size=self._chunk_bytes)

    def _take(self, drop: Drop, chunk: Chunk, task: Task, progress: Progress) -> Progress:
        unusable = task.take(drop, chunk)
        faults = sorted([*chunk.faults, *unusable], key=lambda fault: fault.line)
        if faults:
            self._write_faults(drop, f"{chunk.start.line + 1:012d}", faults)
        return replace(
            progress,
            offset=chunk.end.offset,
            line=chunk.end.line,
            rows=progress.rows + len(chunk.rows) - len(unusable),
            faults=progress.faults + len(faults),
        )

    def _write_faults(self, drop: Drop, name: str, faults: Sequence[Fault]) -> None:
        lines = (json.dumps({"line": each.line, "reason": each.reason, "row": each.text}) for each in faults)
        self._bucket.write(f"{drop.key}{ERRORS}{name}.jsonl", "".join(f"{line}\n" for line in lines).encode())

    def _read(self, drop: Drop) -> Progress:
        item = self._table.get_item(Key={"pk": "inbox", "sk": drop.id}, ConsistentRead=True).get("Item")
        found = from_item(item) if item else {}
        return Progress(**{name: found[name] for name in Progress.__dataclass_fields__ if name in found})

    def _advance(self, drop: Drop, before: Progress, after: Progress, now_ms: int) -> Progress:
        item = {name: getattr(after, name) for name in Progress.__dataclass_fields__}
        about = {"pk": "inbox", "sk": drop.id, "key": drop.key, "expires_at": now_ms // 1000 + _KEEP_S}
        try:
            self._table.put_item(
                Item={**item, **about},
                ConditionExpression="attribute_not_exists(pk) OR (#offset = :before AND is_done = :no)",
                ExpressionAttributeNames={"#offset": "offset"},
                ExpressionAttributeValues={":before": before.offset, ":no": False},
            )
        except ClientError as error:
            require_lost_condition(error)
            raise Conflict(f"another worker is reading {drop.key!r}") from error
        return after


class Refused:
    """The rows of dropped files that could not be used, as they lie beside those files, line by line."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def lines(self) -> Iterator[tuple[str, list[bytes]]]:
        """Every file of such rows by its key, each row with the reason as a line of JSON."""
        for key in self._keys():
            yield key, self._bucket.read(key).splitlines()

    def rewrite(self, key: str, lines: Sequence[bytes]) -> None:
        """Leave a file with these of its lines; it stays where none is left, and nothing is read of it anew."""
        self._bucket.write(key, b"".join(line + b"\n" for line in lines))

    def forget_replaced(self) -> int:
        """Remove for good what such files held before they were rewritten; how many versions that were."""
        folders = {key.partition(ERRORS)[0] + ERRORS for key in self._keys()}
        return sum(map(self._bucket.forget_replaced, sorted(folders)))

    def _keys(self) -> list[str]:
        return [key for key in self._bucket.keys(INBOX) if ERRORS in key]


def _drop(key: str, facts: ObjectFacts) -> Drop:
    return Drop(key, hashlib.sha256(f"{key}\0{facts.etag}".encode()).hexdigest(), facts.modified_ms)
