"""Reads the labels that came in since the last check, joins them, and remembers how far it came.

A label may come before its answer has been collected; it, and what was given after it, then waits for the next check.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drift.labels import LABEL, Judged, LabelState, advance
from drift.policy import DriftPolicy
from pawl.feedback import FeedbackTable
from pawl.identity import isoformat, unix_ms_of
from pawl.ledger import Ledger
from pawl.registry import Registry

_DAY_MS = 86_400_000
_COLLECTED_MS = 900_000


@dataclass(frozen=True, slots=True)
class LateLabels:
    """The labels of one deployment, joined with the notes that `collect` left of their answers."""

    feedback: FeedbackTable
    notes: Ledger
    registry: Registry

    def take(self, model: str, version: str, until_ms: int, policy: DriftPolicy) -> LabelState:
        """All labels given before `until_ms`, each counted once; an earlier instant than the last changes nothing."""
        item = self.registry.label_state(model, version)
        state = LabelState.from_item(item)
        if state.until >= isoformat(until_ms):
            return state
        oldest_ms = until_ms - policy.label_days * _DAY_MS
        given = [
            vote
            for vote in self.feedback.within(model, oldest_ms, until_ms)
            if vote["metric"] == LABEL
            and vote["model_version"] == version
            and state.until <= vote["given_at"] < isoformat(until_ms)
        ]
        notes = self.notes.notes(_uuid(vote) for vote in given)
        waiting = [
            str(vote["given_at"])
            for vote in given
            if _uuid(vote) not in notes and until_ms - unix_ms_of(_uuid(vote)) < _COLLECTED_MS
        ]
        until = min([isoformat(until_ms), *waiting])
        joined = [judged for vote in given if vote["given_at"] < until for judged in _join(vote, notes)]
        after = advance(state, joined, oldest_ms, until, policy.detectors)
        if joined or after.hours != state.hours:
            expected = "" if item is None else str(item.get("until", ""))
            self.registry.keep_label_state(model, version, after.to_item(), expected)
        return after


def _uuid(vote: Mapping[str, Any]) -> str:
    return str(vote["sk"]).partition("#")[0]


def _join(vote: Mapping[str, Any], notes: Mapping[str, Mapping[str, Any]]) -> list[Judged]:
    """One entry a row of the labelled answer; none where no note of it is left."""
    note = notes.get(_uuid(vote))
    if note is None:
        return []
    answered_ms = unix_ms_of(_uuid(vote))
    rows = zip(vote["value"], note["label"], note["confidence"], strict=False)
    return [Judged(answered_ms, vote["given_at"], label == told, float(sure)) for label, told, sure in rows]
