"""Frozen datasets in the bucket, each under its digest."""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from pawl.bucket import Bucket
from pawl.dataset import MANIFEST, FrozenDataset, Row, thaw, writing_order
from pawl.errors import InvalidDataset
from pawl.pairset import PairDataset, PairRow, holds_pairs, thaw_pairs

_Dataset = TypeVar("_Dataset", bound=FrozenDataset | PairDataset)


class Datasets:
    """Frozen datasets by digest."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def store(self, dataset: FrozenDataset | PairDataset) -> str:
        """Store a dataset and return its s3:// address; the manifest goes last, so a listed one is whole.

        One that is whole stays as it is: equal rows may be other bytes, and somebody may be reading.
        """
        prefix = f"datasets/{dataset.digest}/"
        if not any(self._bucket.keys(prefix + MANIFEST)):
            for name in writing_order(dataset.files):
                self._bucket.write(prefix + name, dataset.files[name])
        return f"s3://{self._bucket.name}/{prefix}"

    def digests(self) -> list[str]:
        """The digests of all datasets that are wholly stored."""
        keys = [key.split("/") for key in self._bucket.keys("datasets/")]
        return [digest for _, digest, name in keys if name == MANIFEST]

    def manifests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The digest and the manifest of each of them, as it is stored."""
        for digest in self.digests():
            yield digest, json.loads(self._bucket.read(f"datasets/{digest}/{MANIFEST}"))

    def lineage(self, digest: str) -> dict[str, Any]:
        """What a dataset's rows come from, unchecked; NotFound when it was never stored."""
        return json.loads(self._bucket.read(f"datasets/{digest}/{MANIFEST}"))["lineage"]

    def load(self, digest: str) -> FrozenDataset:
        """The dataset, its digests checked; NotFound when it was never stored."""
        return _named(thaw(self._bucket.read_folder(f"datasets/{digest}/")), digest)

    def load_pairs(self, digest: str) -> PairDataset:
        """The dataset of compared answers, its digests checked; NotFound when it was never stored."""
        return _named(thaw_pairs(self._bucket.read_folder(f"datasets/{digest}/")), digest)

    def rows(self, digest: str) -> Iterator[tuple[str, Row | PairRow]]:
        """Every row of a dataset of any kind with its split, its digests checked."""
        files = self._bucket.read_folder(f"datasets/{digest}/")
        dataset = _named(thaw_pairs(files) if holds_pairs(files) else thaw(files), digest)
        for split, rows in dataset.splits.items():
            yield from ((split, row) for row in rows)


def _named(dataset: _Dataset, digest: str) -> _Dataset:
    if dataset.digest != digest:
        raise InvalidDataset(f"{MANIFEST} does not match the digest {digest} that names the dataset")
    return dataset
