"""Feedback that a freeze set aside, where a person can look at it and let it count: nothing is ever dropped.

    quarantine/<model>/<version>.jsonl              what the last freeze of this version set aside, one piece a line
    quarantine/<model>/restored/<feedback_id>       a person's word that this piece counts; empty, the key says all

No text of a user is copied here: an entry names the answer, and the traffic lake holds it as long as it may.
"""

import json
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pawl.errors import NotFound

if TYPE_CHECKING:
    from pawl.bucket import Bucket

PREFIX = "quarantine/"
_RESTORED = "restored/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of feedback in quarantine: why, the evidence in words, its number and the limit it lies beyond."""

    feedback_id: str
    inference_id: str
    rater: str
    metric: str
    value: Any
    given_at: str
    reason: str
    evidence: str
    number: float
    limit: float


class Quarantine:
    """The quarantine of one model."""

    def __init__(self, bucket: "Bucket", model: str) -> None:
        self._bucket = bucket
        self._prefix = f"{PREFIX}{model}/"

    def replace(self, version: str, entries: Iterable[Entry]) -> None:
        """Keep what a freeze for the successor of a version set aside, in the place of what the last one did."""
        lines = (json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False) for entry in entries)
        self._bucket.write(f"{self._prefix}{version}.jsonl", "\n".join(lines).encode())

    def entries(self) -> Iterator[Entry]:
        """What is in quarantine and was not restored, version by version; what several freezes set aside, once."""
        restored, found = self.restored(), dict[str, Entry]()
        for key in self._bucket.keys(self._prefix):
            if key.endswith(".jsonl"):
                lines = self._bucket.read(key).decode().split("\n")
                found |= {(entry := Entry(**json.loads(line))).feedback_id: entry for line in lines if line}
        yield from (entry for entry in found.values() if entry.feedback_id not in restored)

    def forget(self, is_theirs: Callable[[Entry], bool], feedback_ids: Container[str]) -> int:
        """Remove entries, and people's word that some feedback counts; how many entries that were."""
        found = 0
        for key in list(self._bucket.keys(self._prefix)):
            if key.rpartition("/")[2] in feedback_ids:
                self._bucket.remove(key)
            elif key.endswith(".jsonl"):
                lines = [line for line in self._bucket.read(key).decode().split("\n") if line]
                kept = [line for line in lines if not is_theirs(Entry(**json.loads(line)))]
                if len(kept) < len(lines):
                    self._bucket.write(key, "\n".join(kept).encode())
                found += len(lines) - len(kept)
        return found

    def restored(self) -> frozenset[str]:
        """The ids of the feedback that a person let count."""
        prefix = self._prefix + _RESTORED
        return frozenset(key.removeprefix(prefix) for key in self._bucket.keys(prefix))

    def restore(self, feedback_id: str) -> Entry:
        """Let a piece of feedback count from the next freeze on; NotFound when it is not in quarantine."""
        found = next((entry for entry in self.entries() if entry.feedback_id == feedback_id), None)
        if found is None:
            raise NotFound(f"no feedback {feedback_id!r} in quarantine")
        self._bucket.write(f"{self._prefix}{_RESTORED}{feedback_id}", b"")
        return found
