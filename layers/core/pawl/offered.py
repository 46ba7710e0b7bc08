"""Pairs of answers that people are offered to compare, as lines of files; what is in a line says `feedback.pairs`.

    pairs/<model>/<digest>.jsonl

A file is named by its content, so the same pairs again change nothing. One that loses lines therefore becomes another
file, which is there before the first one goes: in between, a pair that stands in both is one all the same. And whoever
offers the first one again, offers the second: a line of an answer that was erased is never taken in.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pawl.errors import InvalidRecord
from pawl.tombstones import Tombstones, answers_in

if TYPE_CHECKING:
    from pawl.bucket import Bucket

PREFIX = "pairs/"
ENDING = ".jsonl"


class Offered:
    """The pairs of a bucket, line by line."""

    def __init__(self, bucket: "Bucket") -> None:
        self._bucket = bucket

    def keys(self, model: str) -> Iterator[str]:
        """The files of a model's pairs."""
        return (key for key in self._bucket.keys(f"{PREFIX}{model}/") if key.endswith(ENDING))

    def add(self, model: str, lines: Sequence[bytes]) -> tuple[str, int]:
        """Store what is left of lines without those of erased answers; the file's key, and how many lines it has.

        InvalidRecord where none is left.
        """
        erased = Tombstones.of(self._bucket).answers
        kept = [line for line in lines if erased.isdisjoint(answers_in(line))]
        if not kept:
            raise InvalidRecord("every one of these pairs is of an answer that was erased")
        return self._write(model, kept), len(kept)

    def lines(self) -> Iterator[tuple[str, list[bytes]]]:
        """Every file by its key, with its lines."""
        for key in list(self._bucket.keys(PREFIX)):
            if key.endswith(ENDING):
                yield key, self._bucket.read(key).splitlines()

    def rewrite(self, key: str, lines: Sequence[bytes]) -> None:
        """Leave a file with these of its lines, under the name that they have; with none, it is gone."""
        if lines:
            self._write(key.split("/")[1], lines)
        self._bucket.remove(key)

    def _write(self, model: str, lines: Sequence[bytes]) -> str:
        content = b"\n".join(lines)
        key = f"{PREFIX}{model}/{hashlib.sha256(content).hexdigest()[:16]}{ENDING}"
        self._bucket.write(key, content)
        return key
