"""What a check says: one sentence, then everything that it rests on, as JSON and as a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from drift.attribution import Attribution
from drift.cure import Cure
from drift.estimate import AccuracyEstimate
from drift.foresight import ErrorEstimate
from drift.judgement import ColumnDrift
from drift.labels import LabelledQuality
from drift.quality import Finding
from pawl.profile import TOGETHER

SCHEMA = 2
Status = Literal["stable", "drifted", "insufficient", "learning"]
NOTHING = Attribution("none", "", ())
NO_CURE = Cure("nothing", "Nothing was judged.", 0.0)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about: a version of a model, and a window of time."""

    model: str
    version: str
    since: str
    until: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """A column's shares of rows by bin, before and now, for a person to look at."""

    column: str
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    recent: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """One stretch of the window; `score` is 1 at the limit, and None where there were too few rows to say."""

    since: str
    rows: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A check of one model version over one window.

    `score` is the largest effect of any column: 1 and more is drift. `weeks` are the rows of the earlier weeks that the
    window was compared with as well, `left_out` is how many batches did not fit the reference.
    """

    model: str
    version: str
    rows: int
    reference_rows: int
    since: str
    until: str
    status: Status
    score: float
    sentence: str
    attribution: Attribution = NOTHING
    cure: Cure = NO_CURE
    columns: Sequence[ColumnDrift] = ()
    findings: Sequence[Finding] = ()
    estimate: AccuracyEstimate | None = None
    labels: LabelledQuality | None = None
    weeks: Sequence[int] = ()
    timeline: Sequence[Moment] = ()
    distributions: Sequence[Distribution] = ()
    left_out: int = 0
    incident: dict[str, Any] = field(default_factory=dict[str, Any])
    error: ErrorEstimate | None = None
    schema: int = SCHEMA

    @property
    def drifted(self) -> list[str]:
        """The names of the columns that have drifted, the largest shift first."""
        moved = sorted((c for c in self.columns if c.has_drifted), key=lambda c: -c.effect)
        return [column.column for column in moved]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return json.loads(json.dumps({**asdict(self), "drifted": self.drifted}))


def learning(rows: int, scope: Scope, wanted: int = 0) -> Report:
    """The report of a window of a model that has no reference yet."""
    so_far = f"{rows:,} of {wanted:,} rows so far" if wanted else f"{rows:,} rows so far"
    sentence = f"{_name(scope)} came without a reference and is still learning what is normal: {so_far}."
    return Report(scope.model, scope.version, rows, 0, scope.since, scope.until, "learning", 0.0, sentence)


def insufficient(rows: int, reference_rows: int, scope: Scope, minimum_rows: int) -> Report:
    """The report of a window with too few rows."""
    sentence = f"{_name(scope)} had {rows:,} rows, too few to judge: {minimum_rows:,} are needed."
    return Report(
        scope.model, scope.version, rows, reference_rows, scope.since, scope.until, "insufficient", 0.0, sentence
    )


def broken(report: Report, findings: Sequence[Finding], weeks: Sequence[int], cure: Cure) -> Report:
    """The report again of a window with too few rows to judge, and what that is a fault of."""
    what = "gets broken data" if findings[0].kind == "schema" else "has fallen silent"
    sentence = f"{report.model} {report.version} {what}: {findings[0].sentence}."
    return replace(
        report,
        status="drifted",
        sentence=sentence,
        attribution=Attribution("quality", "", ()),
        cure=cure,
        findings=tuple(findings),
        weeks=tuple(weeks),
    )


def sentence_of(
    scope: Scope,
    columns: Sequence[ColumnDrift],
    findings: Sequence[Finding],
    attribution: Attribution,
    estimate: AccuracyEstimate | None,
    labels: LabelledQuality | None,
    error: ErrorEstimate | None = None,
) -> str:
    """The verdict as one sentence: what moved, since when, and what became of the accuracy, or of the error."""
    moved = [part.slice if part.column == TOGETHER else part.column for part in attribution.parts]
    if not moved and attribution.kind == "none":
        looked_at = sum(column.tie is None for column in columns)
        new = "".join(f"; {finding.sentence}" for finding in findings[:2])
        return f"{_name(scope)} is stable: none of {looked_at} columns has moved beyond chance and its limit{new}."
    what = {
        "quality": "gets broken data",
        "concept": "meets a changed meaning",
        "data": "meets other questions than it was made for",
        "prediction": "answers otherwise than before",
        "none": "is stable",
    }[attribution.kind]
    since = f" since {attribution.since[:16].replace('T', ' ')} UTC" if attribution.since else ""
    told = findings if attribution.kind in ("quality", "data") else ()
    named = _listed(moved) if moved else "; ".join(finding.sentence for finding in told[:2])
    about = f": {named}{' moved' if moved else ''}" if named else ""
    return f"{_name(scope)} {what}{since}{about}{_accuracy(estimate, labels, error)}."


def _accuracy(estimate: AccuracyEstimate | None, labels: LabelledQuality | None, error: ErrorEstimate | None) -> str:
    if labels is not None and (labels.has_fallen or labels.is_concept):
        before = labels.promised if labels.holdout is None else labels.holdout
        return f"; {labels.accuracy:.0%} of labelled answers are right, where {before:.0%} were expected"
    if estimate is not None:
        fell = "falls" if estimate.has_fallen else "holds"
        return f"; estimated accuracy {fell} ({estimate.reference:.0%} to {estimate.accuracy:.0%})"
    if error is not None:
        rose = "rises" if error.has_risen else "holds"
        return f"; estimated error {rose} ({error.reference:.3g} to {error.error:.3g})"
    return ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _name(scope: Scope) -> str:
    return f"{scope.model} {scope.version}"
