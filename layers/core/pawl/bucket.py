"""The loop's one bucket, as a mapping from keys to bytes.

Its layout:

    traffic/<model>/<version>/<yyyy-mm-dd>/<batch>.jsonl.gz    captured records, read again only to freeze a dataset
    profiles/<model>/<version>/<yyyy-mm-dd>/<batch>.json       one small profile beside each traffic object
    profiles/<model>/<version>/reference.json                  learned from the first traffic of a model without one
    profiles/<model>/<version>/rows.json                       how many rows came in which hour of the last weeks
    profiles/<model>/<version>/calibration.json, errors.json   what the labelled rows of a dropped reference teach
    inbox/traffic/<model>/<version>/<file>                     dropped by people: traffic of models served elsewhere
    inbox/feedback/<file>                                      dropped by people: feedback, as POST /feedback takes it
    inbox/.../<file>.errors/<line>.jsonl                       the rows of a dropped file that cannot be read, and why
    pairs/<model>/<digest>.jsonl                               answers for people to compare, see pawl.offered
    quarantine/<model>/ and tombstones/                        see pawl.quarantine and pawl.tombstones
    queries/ and exports/feedback/                             what Athena answers and, of feedback, reads: for a week
    datasets/<digest>/  candidates/<model>/<version>/  models/<model>/<version>/  layers/  reports/<model>/
    models/<model>/*.json, holdout.npz                         a model's policies, and labelled rows for one of tensors
    models/<model>/base/, knobs/<recipe>.json                  what a generator was made of; knobs turned for a recipe
    cards/<model>/<version>.html                               what a version is and how it was judged, for people
    checkpoints/ and adapters/                                 of trainings, by their candidates: see training.storage
"""

import gzip
import io
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.exceptions import ClientError

from pawl.errors import Conflict, NotFound
from pawl.items import error_code

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_READ_BYTES = 2**18
_AT_ONCE = 8  # connections that a client keeps are ten
_AHEAD = 2 * _AT_ONCE


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

    def read_each(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The bytes under each of many keys, in their order; some are read ahead, since each takes its way to S3."""
        ahead: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for key in keys:
                ahead.append(pool.submit(self.read, key))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

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

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """The keys under `prefix`, in order, those up to `after` left out."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in (
            pages.paginate(Bucket=self.name, Prefix=prefix, StartAfter=after)
            if after
            else pages.paginate(Bucket=self.name, Prefix=prefix)
        ):
            for entry in page.get("Contents", []):
                yield entry["Key"]  # pyright: ignore[reportTypedDictNotRequiredAccess]

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders directly under `prefix`, in order."""
        for page in self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix, Delimiter="/"
        ):
            for entry in page.get("CommonPrefixes", []):
                yield entry.get("Prefix", "")[len(prefix) : -1]

    def read_folder(self, prefix: str) -> dict[str, bytes]:
        """Every object directly under `prefix` by its name there; NotFound when there is none."""
        files = {key[len(prefix) :]: self.read(key) for key in self.keys(prefix)}
        if not files:
            raise NotFound(f"nothing under {prefix!r} in the bucket")
        return files
