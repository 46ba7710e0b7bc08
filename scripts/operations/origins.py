"""Reads what lineage is made of: versions and runs from the registry, datasets and answers from the bucket."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from operations.lineage import Dataset, Lineage, Version
from pawl.bucket import Bucket
from pawl.bundle import MANIFEST, parse_manifest
from pawl.dataset import Row
from pawl.datasets import Datasets
from pawl.errors import InvalidBundle, NotFound
from pawl.identity import unix_ms_of
from pawl.pairset import PairRow
from pawl.records import CaptureRecord
from pawl.registry import Registry
from pawl.traffic import Traffic
from pawl.versions import VersionRecord

_HOUR_MS = 3_600_000


def read_lineage(registry: Registry, bucket: Bucket) -> Lineage:
    """All versions, of runs that left none as well, and the manifests of all datasets."""
    versions = [_version(bucket, record) for model in registry.models() for record in registry.versions(model)]
    known = {version.uri: version for version in versions}
    for run in registry.runs():
        told = Version(run["model"], run["version"], f"run {run['status']}", run["sk"], run["dataset"])
        version = known.get(told.uri, told)
        if not version.dataset:  # its bundle could not be read, and was refused
            version = replace(version, run=told.run, dataset=told.dataset)
        known[told.uri] = version if version.recipe else replace(version, recipe=run.get("recipe", ""))
    return Lineage(known, {dataset.digest: dataset for dataset in _datasets(bucket)})


def count_rows(
    bucket: Bucket, digests: Iterable[str], is_wanted: Callable[[Row | PairRow], bool]
) -> dict[str, dict[str, int]]:
    """How many wanted rows each dataset holds, by digest and split; those that hold none are left out.

    Every dataset is read whole and its digests are checked, one after the other.
    """
    found: dict[str, dict[str, int]] = {}
    for digest in digests:
        counts = Counter(split for split, row in Datasets(bucket).rows(digest) if is_wanted(row))
        if counts:
            found[digest] = dict(counts)
    return found


def captured(bucket: Bucket, inference_id: str) -> CaptureRecord | None:
    """The record of an answer in the traffic lake; None when it was not captured, or not yet, or no longer."""
    _, uuid, model, version, *_ = inference_id.split(".")
    given_ms = unix_ms_of(uuid)
    began_ms = given_ms - given_ms % _HOUR_MS  # a batch lies within one hour and is named by its first answer
    return next(Traffic(bucket).answers(model, version, began_ms, given_ms + 1, {inference_id}), None)


def _version(bucket: Bucket, record: VersionRecord) -> Version:
    manifest = record.manifest or _stored_manifest(bucket, record.model, record.version)
    lineage = manifest.get("lineage", {})
    return Version(
        record.model,
        record.version,
        record.state,
        lineage.get("run", ""),
        lineage.get("dataset", ""),
        lineage.get("parent"),
        lineage.get("recipe", ""),
        lineage.get("code", ""),
        lineage.get("base_model", ""),
        manifest.get("created_at", ""),
    )


def _stored_manifest(bucket: Bucket, model: str, version: str) -> Mapping[str, Any]:
    """The manifest of a version that the registry holds none of: a starter's, or a candidate's that did not open."""
    for folder in ("models", "candidates"):
        try:
            return asdict(parse_manifest(bucket.read(f"{folder}/{model}/{version}/{MANIFEST}")))
        except (NotFound, InvalidBundle):
            continue
    return {}


def _datasets(bucket: Bucket) -> Iterator[Dataset]:
    for digest, manifest in Datasets(bucket).manifests():
        rows = {split: about["rows"] for split, about in manifest["splits"].items()}
        yield Dataset(digest, manifest["model"], rows, manifest["lineage"])
