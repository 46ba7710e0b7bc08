"""What becomes of a dropped file of traffic: profiles in the hours that its rows belong to, or a reference.

Its rows have no receipts, so nothing could ever be joined with them: the lake does not keep them, the file does. A
profile is named by its first row's time, by the file with its content, and by chunk and hour: made twice, it is the
same one.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drift.intake import is_late
from drift.learning import learned
from drift.rows import ANSWER, NAME, NUMBER, RESERVED, TARGET, Slice, kinds_in, slice_by_hour
from drift.taught import keep, teach
from pawl.bucket import Bucket
from pawl.drops import Drop
from pawl.errors import InvalidRecord, NotFound
from pawl.identity import uuid7_hex
from pawl.inbox import Chunk, Fault
from pawl.profile import Profile
from pawl.registry import Registry
from pawl.traffic import Traffic
from pawl.versions import Elsewhere

PREFIX = "inbox/traffic/"
_PATH = re.compile(rf"{PREFIX}([a-z0-9][a-z0-9-]{{0,47}})/([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})/(.+)")
_REFERENCE = re.compile(r"reference\.(csv|jsonl)(\.gz)?")


@dataclass(frozen=True, slots=True)
class Target:
    """Whose traffic a file is; `reference` is what its version is compared with, if that came with the model."""

    model: str
    version: str
    is_served: bool
    reference: Profile | None
    given: Profile | None = None
    """What a person gave as the reference of a model that is served elsewhere, or its first window."""


def parts_of(key: str) -> tuple[str, str, str]:
    """Model, version and name of a file; InvalidRecord when the key is not made like that."""
    found = _PATH.fullmatch(key)
    if found is None:
        raise InvalidRecord(f"want {PREFIX}<model>/<version>/<file>, the model in small letters, digits and hyphens")
    return found[1], found[2], found[3]


def is_reference(name: str) -> bool:
    """Whether a file is what later traffic of its version shall be compared with."""
    return _REFERENCE.fullmatch(name) is not None


def target_of(registry: Registry, bucket: Bucket, model: str, version: str) -> Target:
    """Whose traffic that is; InvalidRecord for a version that a model served here never had."""
    try:
        registry.live(model)
    except NotFound:
        return Target(model, version, False, None, learned(bucket, model, version))
    try:
        return Target(model, version, True, registry.reference(model, version))
    except NotFound as error:
        raise InvalidRecord(
            f"{model} is served here and has no version {version}: name a version of it, or give the model that is "
            "served elsewhere a name of its own"
        ) from error


@dataclass(frozen=True, slots=True)
class TrafficFile:
    """Makes profiles of a file's rows, one an hour and chunk."""

    traffic: Traffic
    registry: Registry
    target: Target

    def take(self, drop: Drop, chunk: Chunk) -> Sequence[Fault]:
        """Store the profiles of a chunk."""
        target = self.target
        slices, faults = read_slices(self.registry, target, drop, chunk)
        if slices and not target.is_served:
            newest_ms = max(each.last_ms for each in slices.values())
            self.registry.see_elsewhere(Elsewhere(target.model, target.version, newest_ms))
        for hour, each in sorted(slices.items()):
            batch = batch_name(drop, chunk, hour, each.first_ms)
            self.traffic.store_profile(target.model, target.version, batch, profile_of(target, each))
            if is_late(batch, drop.modified_ms):
                self.registry.note_late(target.model, target.version, batch, drop.modified_ms)
        return faults

    def finish(self, drop: Drop) -> None:
        """Nothing is left to do: each chunk stands for itself."""


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """Makes a file the reference of its version: a profile of each chunk first, all of them merged in the end."""

    bucket: Bucket
    registry: Registry
    target: Target

    def take(self, drop: Drop, chunk: Chunk) -> Sequence[Fault]:
        """Store the profile of a chunk."""
        if self.target.reference is not None:
            raise InvalidRecord("this version came with its reference: other traffic cannot be put in its place")
        slices, faults = read_slices(self.registry, self.target, drop, chunk)
        if slices:
            self._learn(drop, chunk.start.line, whole_of(list(slices.values())))
        return faults

    def _learn(self, drop: Drop, line: int, rows: Slice) -> None:
        """Store the profile of a chunk, on the axes that the first one tells, and what its labelled rows teach."""
        name = f"{line:012d}.json"
        first = next(iter(self.bucket.keys(self._parts(drop))), "")
        is_first = not first or first.endswith(name)
        taught = teach(rows.columns, wants_errors=is_first)
        profile = Profile.open(None if is_first else Profile.from_json(self.bucket.read(first)))
        columns = _features(rows.columns)
        profile.update(columns, rows.first_ms, rows.last_ms)
        if is_first:
            profile.relate(columns)
        self.bucket.write(f"{self._taught(drop)}{name}", json.dumps(taught).encode())
        self.bucket.write(f"{self._parts(drop)}{name}", profile.to_json().encode())

    def finish(self, drop: Drop) -> None:
        """Merge the profiles of all chunks; InvalidRecord when there is no row in them."""
        whole = Profile.open()
        for key in self.bucket.keys(self._parts(drop)):
            whole.merge(Profile.from_json(self.bucket.read(key)))
        if not whole.rows:
            raise InvalidRecord("no row of the file can be read: want at least one to compare with")
        keep(self.bucket, list(self.bucket.keys(self._taught(drop))), self._folder())
        self.bucket.write(self._folder() + "/reference.json", whole.to_json().encode())

    def _folder(self) -> str:
        return f"profiles/{self.target.model}/{self.target.version}"

    def _parts(self, drop: Drop) -> str:
        return f"{self._folder()}/reference/{drop.id}/"

    def _taught(self, drop: Drop) -> str:
        return f"{self._folder()}/taught/{drop.id}/"


def read_slices(registry: Registry, target: Target, drop: Drop, chunk: Chunk) -> tuple[dict[int, Slice], list[Fault]]:
    """The rows of a chunk by the hour, read as the reference has their columns, or as the first rows had them."""
    known = kinds_of(target.reference)
    found = kinds_in(chunk.rows, known)
    kinds = {**registry.settle_columns(target.model, target.version, found), **known}
    if ANSWER in kinds and TARGET in kinds:
        kinds[TARGET] = kinds[ANSWER]
    return slice_by_hour(chunk.rows, kinds, drop.modified_ms)


def kinds_of(reference: Profile | None) -> dict[str, str]:
    """What is known of columns before any row: the reserved ones, and what the reference has counted."""
    if reference is None:
        return dict(RESERVED)
    told = {name: reference.holds_names(name) for name in reference.columns}
    known = {name: NAME if holds_names else NUMBER for name, holds_names in told.items() if holds_names is not None}
    return {**RESERVED, **known}


def profile_of(target: Target, rows: Slice) -> Profile:
    """The profile of rows, such that it merges with the reference."""
    profile = Profile.like(target.reference, is_open=True) if target.reference else Profile.open(target.given)
    profile.update(_features(rows.columns), rows.first_ms, rows.last_ms)
    return profile


def whole_of(slices: Sequence[Slice]) -> Slice:
    """The rows of all hours together."""
    whole = Slice(slices[0].first_ms, slices[0].last_ms)
    for each in slices:
        whole.add_all(each)
    return whole


def _features(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """What a profile counts: what would have been right is no feature, and later traffic will not have it."""
    return {name: values for name, values in columns.items() if name != TARGET or ANSWER not in columns}


def batch_name(drop: Drop, chunk: Chunk, hour: int, first_ms: int) -> str:
    """A name as a batch of captured records has it: a UUIDv7 of the first row's time, and a digest of what is in it."""
    digest = hashlib.sha256(f"{drop.id} {chunk.start.offset} {hour}".encode()).digest()
    return f"{uuid7_hex(first_ms, digest[:10])}-{digest[10:16].hex()}"
