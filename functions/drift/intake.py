"""Sorts captured records into batches of an hour and stores each exactly once, whatever the queue delivers again.

Profiles cannot be deduplicated after the fact, so each record is claimed in a ledger for the batch that stores it. A
claim held by another batch is a duplicate if that batch was stored; if not, its worker died in between (the queue
shows a record again only when the worker's time is long over), and the record is taken over.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from drift.rows import HOUR_MS
from pawl.errors import Conflict, IncompatibleProfiles, InvalidRecord, NotFound, PawlError
from pawl.identity import unix_ms_of
from pawl.ledger import Ledger
from pawl.profile import Profile
from pawl.records import SHADOW, CaptureRecord, columns_of
from pawl.registry import Registry
from pawl.traffic import Traffic

LEASE_MS = 120_000
_LATE_MS = 2 * HOUR_MS
_NOTED_ROWS = 64
_UUID = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class Outcome:
    """What became of a delivery: rows stored now, duplicates, and the inference ids refused with their reason."""

    stored: int = 0
    duplicates: int = 0
    refused: dict[str, PawlError] = field(default_factory=dict[str, PawlError])


class TrafficIntake:
    """Stores captured records in the lake and their profile beside them."""

    def __init__(self, traffic: Traffic, registry: Registry, ledger: Ledger) -> None:
        self._traffic = traffic
        self._registry = registry
        self._ledger = ledger
        self._references: dict[tuple[str, str], Profile | None] = {}

    def take(self, records: Sequence[CaptureRecord], now_ms: int) -> Outcome:
        """Store the records that were not stored before."""
        groups: defaultdict[tuple[str, str, int], list[CaptureRecord]] = defaultdict(list)
        for record in sorted(records, key=lambda record: record.inference_id.split(".")[1:2]):
            groups[record.model, record.version, _hour(record)].append(record)
        outcome = Outcome()
        for group in groups.values():
            self._take_group(group, now_ms, outcome)
        return outcome

    def _take_group(self, records: list[CaptureRecord], now_ms: int, outcome: Outcome) -> None:
        more = Profile.open()
        fitting = [record for record in records if self._fits(record, more, outcome)]
        if not fitting:
            return
        batch = _batch_name(fitting)
        notes = {inference_uuid(record): answer_note(record) for record in fitting}
        new = self._ledger.claim_new(notes, batch, now_ms)
        mine = [each for each in fitting if inference_uuid(each) in new or self._claim(each, batch, now_ms, outcome)]
        if not mine:
            return
        reference = self._reference(mine[0])
        profile = Profile.like(reference) if reference else Profile.open()
        profile.update(columns_of(mine), min(r.unix_ms for r in mine), max(r.unix_ms for r in mine))
        self._traffic.store(batch, mine, profile)
        if is_late(batch, now_ms):
            self._registry.note_late(mine[0].model, mine[0].version, batch, now_ms)
        outcome.stored += len(mine)

    def _fits(self, record: CaptureRecord, more: Profile, outcome: Outcome) -> bool:
        """Whether the record can be profiled; one that cannot must not spoil the batch that it came in.

        A feature that it lacks is not counted: a reference made by newer code than what answered may have more of them.
        `more` remembers of what kind the features are that the reference does not have: all are, where there is none.
        """
        try:
            inference_uuid(record)
            reference = self._reference(record)
            known = reference.columns if reference else {}
            if reference:
                reference.require_fit({name: each for name, each in record.features.items() if name in known})
            others = {name: each for name, each in record.features.items() if name not in known}
            more.require_fit(others)
            if any(name not in more.columns or not more.columns[name].rows for name in others):
                more.update(others)
        except (InvalidRecord, IncompatibleProfiles, NotFound) as error:
            outcome.refused[record.inference_id] = error
            return False
        return True

    def _claim(self, record: CaptureRecord, batch: str, now_ms: int, outcome: Outcome) -> bool:
        key = inference_uuid(record)
        note = answer_note(record)
        held_by, since_ms = self._ledger.claim(key, batch, now_ms, note)
        if held_by == batch:
            return True
        if self._traffic.is_stored(record.model, record.version, held_by):
            outcome.duplicates += 1
            return False
        if now_ms - since_ms < LEASE_MS or not self._ledger.take_over(key, batch, held_by, now_ms, note):
            outcome.refused[record.inference_id] = Conflict("another worker is storing this record: try again later")
            return False
        return True

    def _reference(self, record: CaptureRecord) -> Profile | None:
        """An empty profile like the reference of the version that answered, open to more; None when it came without."""
        key = (record.model, record.version)
        if key not in self._references:
            found = None if record.version.endswith(SHADOW) else self._registry.reference(*key)
            self._references[key] = Profile.like(found, is_open=True) if found else None
        return self._references[key]


def is_late(batch: str, now_ms: int) -> bool:
    """Whether a batch comes so long after its rows were answered that a check may have passed their hours."""
    return now_ms - unix_ms_of(batch[:32]) >= _LATE_MS


def answer_note(record: CaptureRecord) -> dict[str, list[Any]] | None:
    """What a late label is held against, of a labelled answer of few rows: its labels and their confidences."""
    labels, confidences = record.features.get("label"), record.features.get("confidence")
    if not labels or not confidences or len(labels) > _NOTED_ROWS or None in confidences:
        return None
    return {"label": labels, "confidence": confidences}


def inference_uuid(record: CaptureRecord) -> str:
    """The uuid in the record's inference_id: 32 hexadecimal digits that sort by time."""
    parts = record.inference_id.split(".")
    if len(parts) != 8 or not _UUID.fullmatch(parts[1]):
        raise InvalidRecord("capture record: inference_id is no receipt")
    return parts[1]


def _hour(record: CaptureRecord) -> int:
    """Which hour the answer was given in: a batch lies in one window, so what comes late has one of its own."""
    found = record.inference_id.split(".")[1:2]
    return unix_ms_of(found[0]) // HOUR_MS if found and _UUID.fullmatch(found[0]) else -1


def _batch_name(records: Sequence[CaptureRecord]) -> str:
    """The first record's uuid, which tells the time, and a digest of all of them, which tells what is in it."""
    uuids = [inference_uuid(record) for record in records]
    return f"{uuids[0]}-{hashlib.sha256(' '.join(uuids).encode()).hexdigest()[:12]}"
