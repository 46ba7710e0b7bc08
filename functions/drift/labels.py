"""Late labels: is what the answers turned out to be still what the confidences promised?

Each label is joined once with the note that `collect` left of its answer (label and confidence, no text), in the order
in which labels were given, and counted in the hour of its answer; detectors of concept drift look at the stream of
errors. All that is remembered between two checks is `LabelState`, a few kilobytes. A label that reaches the table after
a later one has been counted is left out, as is one whose answer left no note.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np

from drift.policy import DriftPolicy
from pawl.detector import Detector
from pawl.identity import isoformat
from pawl.streams import DETECTORS, restore
from pawl.testing import proportion_change

LABEL = "label"
SCHEMA = 1
_KEPT_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """A label joined with its answer: when the answer and the label were given, was it right, how sure was it."""

    answered_ms: int
    given_at: str
    was_right: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class Change:
    """A detector's finding: the errors changed about when this label was given."""

    detector: str
    at: str


@dataclass(frozen=True, slots=True)
class Hour:
    """Labelled answers of one hour: rows, how many were right, and what their confidences add up to."""

    rows: int = 0
    right: int = 0
    promised: float = 0.0

    def to_list(self) -> list[float]:
        """The three numbers, as `Hour` takes them."""
        return [self.rows, self.right, round(self.promised, 4)]

    def plus(self, other: "Hour") -> "Hour":
        """Both together."""
        return Hour(
            self.rows + other.rows,
            self.right + other.right,
            self.promised + other.promised,
        )


@dataclass(frozen=True, slots=True)
class LabelState:
    """What is kept of all labels so far: `until` is when the newest one counted was given."""

    until: str = ""
    hours: dict[str, Hour] = field(default_factory=dict[str, Hour])
    detectors: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    changes: tuple[Change, ...] = ()

    def to_item(self) -> dict[str, Any]:
        """The state as the table holds it."""
        return {
            "schema": SCHEMA,
            "until": self.until,
            "hours": {name: hour.to_list() for name, hour in self.hours.items()},
            "detectors": json.dumps(self.detectors, separators=(",", ":")),
            "changes": [asdict(change) for change in self.changes],
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any] | None) -> Self:
        """The state that `to_item` wrote, and nothing where there is none, or one of another schema."""
        if item is None or item.get("schema") != SCHEMA:
            return cls()
        hours = {name: Hour(*values) for name, values in item["hours"].items()}
        return cls(item["until"], hours, json.loads(item["detectors"]), tuple(Change(**c) for c in item["changes"]))


@dataclass(frozen=True, slots=True)
class LabelledQuality:
    """Accuracy by labels against what was promised, and the verdict.

    `p_promise` and `p_holdout` are the chances of so low an accuracy if the confidences, or the holdout's accuracy,
    still held. `has_fallen`: lower than on the holdout; `is_concept`: lower than promised, which no shift of the
    inputs explains; `is_miscalibrated`: far from promised on either side, without having fallen.
    """

    rows: int
    accuracy: float
    promised: float
    holdout: float | None
    since: str
    p_promise: float
    p_holdout: float
    changes: tuple[Change, ...]
    has_fallen: bool
    is_concept: bool
    is_miscalibrated: bool


def advance(
    state: LabelState, labels: Sequence[Judged], oldest_ms: int, until: str, watching: Sequence[str]
) -> LabelState:
    """The state after more labels, in the order given; hours before `oldest_ms` are dropped.

    `watching` names the detectors that follow the errors, each on from where it was.
    """
    ordered = sorted(labels, key=lambda each: (each.given_at, each.answered_ms))
    hours = {name: hour for name, hour in state.hours.items() if name >= _hour(oldest_ms)}
    for each in ordered:
        name = _hour(each.answered_ms)
        hours[name] = hours.get(name, Hour()).plus(Hour(1, int(each.was_right), each.confidence))
    errors = [float(not each.was_right) for each in ordered]
    detectors, changes = dict[str, dict[str, Any]](), list(state.changes)
    for detector in (_kept(state, name) for name in watching):
        changes += [Change(detector.name, ordered[index].given_at) for index in detector.update(errors)]
        detectors[detector.name] = detector.to_dict()
    kept = sorted(changes, key=lambda change: (change.at, change.detector))[-_KEPT_CHANGES:]
    return LabelState(max(until, state.until), dict(sorted(hours.items())), detectors, tuple(kept))


def judge_labels(
    state: LabelState, since_ms: int, until_ms: int, holdout: tuple[float, int] | None, policy: DriftPolicy
) -> LabelledQuality | None:
    """The window's labelled answers, and as many from before as it takes to have enough; None without any.

    `holdout` is the accuracy that the version was released with, and on how many rows.
    """
    total, since = Hour(), ""
    for name in sorted(state.hours, reverse=True):
        if name > _hour(until_ms) or (name < _hour(since_ms) and total.rows >= policy.wanted_labels):
            continue
        total, since = total.plus(state.hours[name]), name
    if not total.rows:
        return None
    accuracy, promised = total.right / total.rows, total.promised / total.rows
    p_low, p_high = _binomial_tails(total.right, total.rows, promised)
    p_holdout = _against(holdout, total)
    is_concept = promised - accuracy >= policy.accuracy_drop and p_low < policy.label_alpha
    has_fallen = (
        holdout is not None and holdout[0] - accuracy >= policy.accuracy_drop and p_holdout < policy.label_alpha
    )
    is_modest = accuracy - promised >= policy.accuracy_drop and p_high < policy.label_alpha
    return LabelledQuality(
        total.rows,
        round(accuracy, 4),
        round(promised, 4),
        None if holdout is None else round(holdout[0], 4),
        since,
        p_low,
        p_holdout,
        tuple(change for change in state.changes if change.at >= isoformat(since_ms)),
        has_fallen or (is_concept and holdout is None),
        is_concept and (has_fallen or holdout is None),
        (is_modest or is_concept) and not has_fallen and holdout is not None,
    )


def _binomial_tails(right: int, rows: int, chance: float) -> tuple[float, float]:
    """P(as few or fewer are right) and P(as many or more), of rows that are each right with this chance.

    Rows of different chances with this mean vary less, so for them both are upper bounds where it matters, in the tails
    (Hoeffding 1956).
    """
    sure = min(max(chance, 1e-9), 1 - 1e-9)
    k = np.arange(rows, dtype=float)
    steps = np.log((rows - k) / (k + 1)) + math.log(sure / (1 - sure))
    logs = rows * math.log(1 - sure) + np.concatenate(([0.0], np.cumsum(steps)))
    weights = np.exp(logs)
    return min(1.0, float(weights[: right + 1].sum())), min(1.0, float(weights[right:].sum()))


def _against(holdout: tuple[float, int] | None, total: Hour) -> float:
    if holdout is None or not holdout[1]:
        return 1.0
    accuracy, rows = holdout
    change, p_value = proportion_change(round(accuracy * rows), rows, total.right, total.rows)
    return p_value / 2 if change < 0 else 1 - p_value / 2


def _kept(state: LabelState, name: str) -> Detector:
    kept = state.detectors.get(name)
    return restore(kept) if kept else DETECTORS[name]()


def _hour(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H")
