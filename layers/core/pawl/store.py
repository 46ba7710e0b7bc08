"""The loop's data at rest, in our own words: traffic lake, profiles, datasets, feedback, and the once-only ledger.

Thin classes over S3 and DynamoDB clients that are passed in. Keys begin with a time-ordered id, so a window of time is
a range of keys. Layout of the bucket:

    traffic/<model>/<version>/<yyyy-mm-dd>/<batch>.jsonl.gz    captured records, read again only to freeze a dataset
    profiles/<model>/<version>/<yyyy-mm-dd>/<batch>.json       one small profile beside each traffic object
    profiles/<model>/<version>/reference.json                  learned from the first traffic of a model without one
    inbox/traffic/<model>/<version>/<file>                     dropped by people: traffic of models served elsewhere
    inbox/feedback/<file>                                      dropped by people: feedback, as POST /feedback takes it
    inbox/.../<file>.errors/<line>.jsonl                       the rows of a dropped file that cannot be read, and why
    pairs/<model>/<digest>.jsonl                               answers for people to compare, see feedback.pairs
    quarantine/<model>/ and tombstones/                        see pawl.quarantine and pawl.tombstones
    datasets/<digest>/  candidates/<model>/<version>/  models/<model>/<version>/  layers/  reports/<model>/
"""

import gzip
import io
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from botocore.exceptions import ClientError

from pawl.dataset import MANIFEST, FrozenDataset, thaw
from pawl.errors import Conflict, InvalidDataset, NotFound
from pawl.identity import day_of, unix_ms_of
from pawl.items import error_code, from_item, query_all, require_lost_condition, to_item
from pawl.pairset import PairDataset, thaw_pairs
from pawl.profile import Profile
from pawl.records import CaptureRecord, inference_id_in

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client


_Dataset = TypeVar("_Dataset", FrozenDataset, PairDataset)
_KEYS_A_READ = 100
_READ_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """An object as it is now: a name for its content, its size in bytes, and when it was written."""

    etag: str
    size: int
    modified_ms: int


class Bucket:
    """One S3 bucket as a mapping from keys to bytes."""

    def __init__(self, client: "S3Client", name: str) -> None:
        self._client = client
        self.name = name

    def read(self, key: str) -> bytes:
        """The bytes under `key`; NotFound when there are none."""
        try:
            return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                raise NotFound(f"no object {key!r} in the bucket") from error
            raise

    def facts(self, key: str) -> ObjectFacts:
        """What is known of an object without reading it; NotFound when there is none."""
        try:
            found = self._client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                raise NotFound(f"no object {key!r} in the bucket") from error
            raise
        return ObjectFacts(found["ETag"], found["ContentLength"], round(found["LastModified"].timestamp() * 1000))

    def stream(self, key: str, facts: ObjectFacts, offset: int) -> "StreamingBody":
        """An object's bytes from `offset`, which lies within it, on; Conflict when `facts` are no longer its own."""
        try:
            wanted = f"bytes={offset}-"
            return self._client.get_object(Bucket=self.name, Key=key, IfMatch=facts.etag, Range=wanted)["Body"]
        except ClientError as error:
            if error_code(error) in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                raise Conflict(f"the object {key!r} was replaced while it was read") from error
            raise

    def lines(self, key: str) -> Iterator[bytes]:
        """The lines of a gzip object, read and decompressed piece by piece."""
        body = self._client.get_object(Bucket=self.name, Key=key)["Body"]
        with gzip.open(cast("BinaryIO", body)) as lines:
            for line in io.BufferedReader(cast("io.RawIOBase", lines), _READ_BYTES):
                yield line.rstrip(b"\n")

    def write(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, replacing what is there."""
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        """Remove what is under `key`; in a bucket with versions it is kept until `forget_replaced`."""
        self._client.delete_object(Bucket=self.name, Key=key)

    def forget_replaced(self, prefix: str) -> int:
        """Remove for good what was replaced or removed under `prefix`, and return how many versions that were."""
        forgotten = 0
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix):
            for each in page.get("Versions", []):
                if not each.get("IsLatest"):
                    key, version = each.get("Key", ""), each.get("VersionId", "")
                    self._client.delete_object(Bucket=self.name, Key=key, VersionId=version)
                    forgotten += 1
        return forgotten

    def has(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        try:
            self._client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                return False
            raise
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys under `prefix`, in order."""
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"]  # pyright: ignore[reportTypedDictNotRequiredAccess]

    def read_folder(self, prefix: str) -> dict[str, bytes]:
        """Every object directly under `prefix` by its name there; NotFound when there is none."""
        files = {key[len(prefix) :]: self.read(key) for key in self.keys(prefix)}
        if not files:
            raise NotFound(f"nothing under {prefix!r} in the bucket")
        return files


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
        for key in self._window("profiles", model, version, since_ms, until_ms):
            yield Profile.from_json(self._bucket.read(key))

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
        for day in _days(since_ms, until_ms):
            for key in self._bucket.keys(f"{kind}/{model}/{version}/{day}/"):
                began = unix_ms_of(key.rpartition("/")[2][:32])
                if since_ms <= began < until_ms:
                    yield key


class Datasets:
    """Frozen datasets by digest."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def store(self, dataset: FrozenDataset | PairDataset) -> str:
        """Store a dataset and return its s3:// address; the manifest goes last, so a listed one is whole."""
        prefix = f"datasets/{dataset.digest}/"
        for name in sorted(dataset.files, key=lambda name: name == "manifest.json"):
            self._bucket.write(prefix + name, dataset.files[name])
        return f"s3://{self._bucket.name}/{prefix}"

    def digests(self) -> list[str]:
        """The digests of all datasets that are wholly stored."""
        keys = [key.split("/") for key in self._bucket.keys("datasets/")]
        return [digest for _, digest, name in keys if name == MANIFEST]

    def load(self, digest: str) -> FrozenDataset:
        """The dataset, its digests checked; NotFound when it was never stored."""
        return _named(thaw(self._bucket.read_folder(f"datasets/{digest}/")), digest)

    def load_pairs(self, digest: str) -> PairDataset:
        """The dataset of compared answers, its digests checked; NotFound when it was never stored."""
        return _named(thaw_pairs(self._bucket.read_folder(f"datasets/{digest}/")), digest)


def _named(dataset: _Dataset, digest: str) -> _Dataset:
    if dataset.digest != digest:
        raise InvalidDataset(f"manifest.json does not match the digest {digest} that names the dataset")
    return dataset


class FeedbackTable:
    """What people said of answers: one item an inference, metric and rater; a rater's later word counts."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def put(self, *, model: str, inference_uuid: str, metric: str, rater: str, body: Mapping[str, Any]) -> None:
        """Store one piece of feedback durably, with no look-up before."""
        day = day_of(unix_ms_of(inference_uuid))
        self._table.put_item(Item={"pk": f"{model}#{day}", "sk": f"{inference_uuid}#{metric}#{rater}", **to_item(body)})

    def within(self, model: str, since_ms: int, until_ms: int) -> Iterator[dict[str, Any]]:
        """The feedback for answers that were given within [since, until)."""
        for day in _days(since_ms, until_ms):
            for item in query_all(self._table, f"{model}#{day}"):
                if since_ms <= unix_ms_of(str(item["sk"]).partition("#")[0]) < until_ms:
                    yield item

    def of_answer(self, model: str, inference_uuid: str) -> Iterator[dict[str, Any]]:
        """All feedback for one answer."""
        yield from query_all(self._table, f"{model}#{day_of(unix_ms_of(inference_uuid))}", f"{inference_uuid}#")

    def all(self) -> Iterator[dict[str, Any]]:
        """All feedback there is, in no order: it reads the whole table, which costs what the table is long."""
        start: dict[str, Any] = {}
        while True:
            page = self._table.scan(FilterExpression="attribute_exists(feedback_id)", ConsistentRead=True, **start)
            yield from (from_item(item) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def remove(self, item: Mapping[str, Any]) -> None:
        """Remove a piece of feedback."""
        self._table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})


class Ledger:
    """Which deliveries have been dealt with, so that a second delivery of the same thing changes nothing.

    A claim names the piece of work that deals with the key. Whoever finds a foreign claim asks whether that work was
    finished; when it was not, the claimant died between claiming and finishing and the key may be taken over.
    """

    def __init__(self, table: "Table", scope: str, keep_days: int = 15) -> None:
        self._table = table
        self._scope = scope
        self._keep_s = keep_days * 86_400

    def claim(self, key: str, work: str, now_ms: int, note: Mapping[str, Any] | None = None) -> tuple[str, int]:
        """Claim `key` for `work`; returns the work that holds it (`work` itself or an earlier one) and since when.

        A `note` is kept with the claim, as long as that is.
        """
        try:
            self._put(key, work, now_ms, "attribute_not_exists(pk) OR #work = :work", {":work": work}, note)
        except ClientError as error:
            require_lost_condition(error)
            item = from_item(self._table.get_item(Key=self._key(key), ConsistentRead=True).get("Item", {}))
            return item.get("work", work), item.get("claimed_ms", now_ms)
        return work, now_ms

    def take_over(self, key: str, work: str, held_by: str, now_ms: int, note: Mapping[str, Any] | None = None) -> bool:
        """Move the claim from unfinished work to `work`; False when somebody else just did."""
        try:
            self._put(key, work, now_ms, "#work = :held", {":held": held_by}, note)
        except ClientError as error:
            require_lost_condition(error)
            return False
        return True

    def notes(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The notes of the claims that were made with one, by key."""
        found: dict[str, dict[str, Any]] = {}
        wanted = [self._key(key) for key in sorted(set(keys))]
        while wanted:
            asked, wanted = wanted[:_KEYS_A_READ], wanted[_KEYS_A_READ:]
            reply = self._table.meta.client.batch_get_item(RequestItems={self._table.name: {"Keys": asked}})
            for item in reply["Responses"].get(self._table.name, []):
                body = from_item(item)
                if "note" in body:
                    found[body["sk"]] = body["note"]
            wanted += [dict(key) for key in reply["UnprocessedKeys"].get(self._table.name, {}).get("Keys", [])]  # type: ignore[misc]
        return found

    def _put(
        self,
        key: str,
        work: str,
        now_ms: int,
        condition: str,
        values: Mapping[str, str],
        note: Mapping[str, Any] | None,
    ) -> None:
        item = {**self._key(key), "work": work, "claimed_ms": now_ms, "expires_at": now_ms // 1000 + self._keep_s}
        self._table.put_item(
            Item={**item, **to_item({"note": note} if note else {})},
            ConditionExpression=condition,
            ExpressionAttributeNames={"#work": "work"},
            ExpressionAttributeValues=dict(values),
        )

    def _key(self, key: str) -> dict[str, str]:
        return {"pk": f"once#{self._scope}", "sk": key}


def _timed_key(kind: str, model: str, version: str, batch: str, ending: str) -> str:
    return f"{kind}/{model}/{version}/{day_of(unix_ms_of(batch[:32]))}/{batch}.{ending}"


def _days(since_ms: int, until_ms: int) -> Iterator[str]:
    day = datetime.fromtimestamp(since_ms / 1000, UTC).date()
    last = datetime.fromtimestamp(max(since_ms, until_ms - 1) / 1000, UTC).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
