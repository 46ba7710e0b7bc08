"""Captured traffic in the lake.

An object's name begins with the time-ordered id of its first record, so a window of time is a range of keys.
"""

import gzip
import json
from collections.abc import Container, Iterator, Sequence

from pawl.bucket import Bucket
from pawl.identity import day_of, days_within, unix_ms_of, uuids_from
from pawl.profile import Profile
from pawl.records import CaptureRecord, inference_id_in

_PARTS = 4
"""Slashes in a batch's key; other things of a version lie a folder higher."""


class Traffic:
    """Captured traffic by model, version and time: raw records in the lake, a profile beside each batch of them."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def is_stored(self, model: str, version: str, batch: str) -> bool:
        """Whether a batch is wholly stored: its profile is written last."""
        return self._bucket.has(_timed_key("profiles", model, version, batch, "json"))

    def store(self, batch: str, records: Sequence[CaptureRecord], profile: Profile) -> None:
        """Store a batch of one model version as `<uuid7 of its first record>-<digest>`; again changes nothing."""
        model, version = records[0].model, records[0].version
        lines = "\n".join(record.to_json() for record in records)
        self._bucket.write(
            _timed_key("traffic", model, version, batch, "jsonl.gz"), gzip.compress(lines.encode(), 6, mtime=0)
        )
        self._bucket.write(_timed_key("profiles", model, version, batch, "json"), profile.to_json().encode())

    def store_profile(self, model: str, version: str, batch: str, profile: Profile) -> bool:
        """Store the profile of rows that the lake does not keep, named as a batch is; False if it was stored before."""
        if self.is_stored(model, version, batch):
            return False
        self._bucket.write(_timed_key("profiles", model, version, batch, "json"), profile.to_json().encode())
        return True

    def profiles(self, model: str, version: str, since_ms: int, until_ms: int) -> Iterator[Profile]:
        """The profiles of batches that began within [since, until)."""
        for text in self._bucket.read_each(self._window("profiles", model, version, since_ms, until_ms)):
            yield Profile.from_json(text)

    def began_ms(self, model: str, version: str) -> int | None:
        """When the oldest batch that is stored began; None without any."""
        oldest = next(self._bucket.keys(f"profiles/{model}/{version}/"), "")
        return unix_ms_of(oldest.rpartition("/")[2][:32]) if oldest.count("/") == _PARTS else None

    def newest_ms(self, model: str, version: str, until_ms: int) -> int | None:
        """When the newest batch from before `until_ms` began; None without any."""
        days = [each for each in self._bucket.folders(f"profiles/{model}/{version}/") if each[:10] <= day_of(until_ms)]
        for day in sorted(days, reverse=True):
            names = (key.rpartition("/")[2][:32] for key in self._bucket.keys(f"profiles/{model}/{version}/{day}/"))
            began = [each for each in map(unix_ms_of, names) if each < until_ms]
            if began:
                return max(began)
        return None

    def records(self, model: str, version: str, since_ms: int, until_ms: int) -> Iterator[CaptureRecord]:
        """The records of batches that began within [since, until), each once however often it was delivered."""
        seen: set[str] = set()
        for key in self._window("traffic", model, version, since_ms, until_ms):
            for line in gzip.decompress(self._bucket.read(key)).decode().split("\n"):
                record = CaptureRecord.from_dict(json.loads(line))
                if record.inference_id not in seen:
                    seen.add(record.inference_id)
                    yield record

    def answers(
        self, model: str, version: str, since_ms: int, until_ms: int, wanted: Container[str]
    ) -> Iterator[CaptureRecord]:
        """Those of `records` whose inference_id is wanted; time and memory go with these, hardly with the others."""
        seen: set[str] = set()
        for key in self._window("traffic", model, version, since_ms, until_ms):
            for line in self._bucket.lines(key):
                if (name := inference_id_in(line)) in wanted and name not in seen:
                    seen.add(name)
                    yield CaptureRecord.from_dict(json.loads(line))

    def lines(self) -> Iterator[tuple[str, list[bytes]]]:
        """Every object of the lake by its key, each with its records as lines of JSON."""
        for key in self._bucket.keys("traffic/"):
            yield key, list(self._bucket.lines(key))

    def rewrite(self, key: str, lines: Sequence[bytes]) -> None:
        """Leave an object of the lake with these of its lines; with none, it is removed. Its profile stays."""
        if lines:
            self._bucket.write(key, gzip.compress(b"\n".join(lines), 6, mtime=0))
        else:
            self._bucket.remove(key)

    def _window(self, kind: str, model: str, version: str, since_ms: int, until_ms: int) -> Iterator[str]:
        for day in days_within(since_ms, until_ms):
            prefix = f"{kind}/{model}/{version}/{day}/"
            for key in self._bucket.keys(prefix, prefix + uuids_from(since_ms)):
                if unix_ms_of(key.rpartition("/")[2][:32]) >= until_ms:
                    break
                yield key


def _timed_key(kind: str, model: str, version: str, batch: str, ending: str) -> str:
    return f"{kind}/{model}/{version}/{day_of(unix_ms_of(batch[:32]))}/{batch}.{ending}"
