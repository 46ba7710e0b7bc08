"""Named files in a place: a local folder or a prefix of an S3 bucket, told apart by the address alone.

A write is whole or not there at all: whoever waits for a file never reads half of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pawl.bucket import Bucket
from pawl.errors import NotFound

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3_SCHEME = "s3://"


class Folder:
    """The files of a local folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_all(self) -> dict[str, bytes]:
        """Every file by its name; NotFound when there is none."""
        files = {path.name: path.read_bytes() for path in sorted(self._path.glob("*")) if path.is_file()}
        if not files:
            raise NotFound(f"no files in the folder {self._path.name!r}")
        return files

    def read(self, name: str) -> bytes:
        """One file; NotFound when there is none."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"no file {name!r} in the folder {self._path.name!r}") from error

    def write(self, name: str, data: bytes) -> None:
        """Store one file; a reader sees the old bytes or the new ones, never a part."""
        self._path.mkdir(parents=True, exist_ok=True)
        unfinished = self._path / f".{name}.part"
        unfinished.write_bytes(data)
        unfinished.replace(self._path / name)


class Prefix:
    """The objects under a prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def read_all(self) -> dict[str, bytes]:
        """Every object by its name under the prefix; NotFound when there is none."""
        return self._bucket.read_folder(self._prefix)

    def read(self, name: str) -> bytes:
        """One object; NotFound when there is none."""
        key = self._prefix + name
        if next(self._bucket.keys(key), None) != key:  # who may list prefixes only is told 403 of a missing object
            raise NotFound(f"no object {key!r} in the bucket")
        return self._bucket.read(key)

    def write(self, name: str, data: bytes) -> None:
        """Store one object."""
        self._bucket.write(self._prefix + name, data)


Place = Folder | Prefix


def place_at(address: str, s3: "Callable[[], S3Client]") -> Place:
    """The place that a local path or `s3://bucket/prefix` names; `s3` makes the client, if one is needed."""
    if not address.startswith(S3_SCHEME):
        return Folder(Path(address))
    bucket, _, prefix = address.removeprefix(S3_SCHEME).partition("/")
    return Prefix(Bucket(s3(), bucket), prefix.rstrip("/") + "/" if prefix else "")


def checkpoint_address(output: str) -> str:
    """Where a run with this output keeps its checkpoint: a prefix of its own, which expires, or a folder beside it.

    >>> checkpoint_address("s3://loop/candidates/triage/2/"), checkpoint_address("out/2/")
    ('s3://loop/checkpoints/candidates/triage/2/', 'out/2.checkpoint')
    """
    return _apart(output, "checkpoint")


def adapter_address(output: str) -> str:
    """Where what a run with this output has taught is kept, for the next run: it is no part of the bundle.

    >>> adapter_address("s3://loop/candidates/assistant/2/"), adapter_address("out/2/")
    ('s3://loop/adapters/candidates/assistant/2/', 'out/2.adapter')
    """
    return _apart(output, "adapter")


def _apart(output: str, kind: str) -> str:
    if not output.startswith(S3_SCHEME):
        return f"{output.rstrip('/')}.{kind}"
    bucket, _, prefix = output.removeprefix(S3_SCHEME).partition("/")
    return f"{S3_SCHEME}{bucket}/{kind}s/{prefix}"


def copy_folder(folder: Path, place: Place, but: str) -> None:
    """Write every file of a local folder into a place, save one that is to follow."""
    for path in sorted(folder.iterdir()):
        if path.name != but:
            place.write(path.name, path.read_bytes())
