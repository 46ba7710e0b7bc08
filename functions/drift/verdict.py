"""From what a window holds to what a check says: columns, quality, season, labels, cause and cure, in this order."""

from collections.abc import Sequence
from dataclasses import dataclass

from drift.attribution import Attribution, DriftKind, binned, kind_of, parts_of
from drift.cure import Facts, choose_cure
from drift.estimate import CONFIDENCE, AccuracyEstimate, estimate_accuracy
from drift.flow import Flow
from drift.foresight import ErrorEstimate, estimate_error
from drift.judgement import ColumnDrift, compare_pairs, pairs
from drift.labels import LabelledQuality
from drift.pairing import Pair, pair_of
from drift.policy import DriftPolicy
from drift.quality import Finding, freshness, inspect, news, unfit, volume
from drift.report import Distribution, Moment, Report, Scope, broken, insufficient, sentence_of
from drift.season import Season, unless_usual, unless_usual_error, unusual, without_seasonal
from drift.timeline import LEAST_ROWS, Stretch, since_when
from pawl.calibration import Labelled
from pawl.expectation import ExpectedError
from pawl.identity import isoformat, unix_ms
from pawl.profile import Profile

_SHOWN = 12
_GENERATOR = "text-generator"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a judgement rests on; what is not known is None or empty.

    `calibration` are labelled predictions of the version's training, `expected` what is known of a regression's errors;
    `kind` is the model's, `cures_tried` how many trainings drift has caused lately, `rows_left_out` how many rows came
    in batches that do not fit the reference, `newest_ms` the time of the newest row, be it older than the window.
    """

    reference: Profile
    recent: Profile
    stretches: Sequence[Stretch] = ()
    labels: LabelledQuality | None = None
    calibration: Labelled | None = None
    season: Season | None = None
    kind: str = ""
    cures_tried: int = 0
    expected: ExpectedError | None = None
    rows_left_out: int = 0
    flows: Sequence[Flow] = ()
    newest_ms: int | None = None

    @property
    def weeks(self) -> tuple[int, ...]:
        """The rows of the same hours of earlier weeks."""
        return self.flows[0].weeks if self.flows else ()


@dataclass(frozen=True, slots=True)
class _Seen:
    columns: Sequence[ColumnDrift]
    findings: Sequence[Finding]
    estimate: AccuracyEstimate | None
    error: ErrorEstimate | None


def judge(
    evidence: Evidence, scope: Scope, *, policy: DriftPolicy, minimum_rows: int, instance_hour_usd: float = 0.0
) -> Report:
    """The report of a window: `insufficient` below `minimum_rows`, else `drifted` or `stable`."""
    recent, reference = evidence.recent, evidence.reference
    if recent.rows < minimum_rows:
        return _thin(evidence, scope, insufficient(recent.rows, reference.rows, scope, minimum_rows), policy)
    paired = pairs(reference, recent, policy)
    seen = _look(evidence, scope, paired, policy)
    kind = kind_of(seen.columns, seen.findings, seen.estimate, evidence.labels, seen.error)
    judged = dict(paired)
    parts = parts_of(seen.columns, judged)
    attribution = Attribution(kind, _since(kind, evidence, [part.column for part in parts]), parts)
    is_drifted = kind != "none"
    return Report(
        scope.model,
        scope.version,
        recent.rows,
        reference.rows,
        scope.since,
        scope.until,
        "drifted" if is_drifted else "stable",
        round(max((column.score for column in seen.columns), default=0.0), 4),
        sentence_of(scope, seen.columns, seen.findings, attribution, seen.estimate, evidence.labels, seen.error),
        attribution,
        choose_cure(_facts(kind, seen, evidence), instance_hour_usd),
        tuple(seen.columns),
        tuple(seen.findings),
        seen.estimate,
        evidence.labels,
        evidence.weeks,
        tuple(_moment(stretch) for stretch in evidence.stretches),
        _distributions(seen.columns, judged),
        error=seen.error,
    )


def _thin(evidence: Evidence, scope: Scope, report: Report, policy: DriftPolicy) -> Report:
    """Too few rows to judge: that may be a fault in itself."""
    faults = _faults(evidence, scope, policy)
    if not faults:
        return report
    cure = choose_cure(Facts("quality", False, False, False, 0.0, False, 0), 0.0)
    return broken(report, faults, evidence.weeks, cure)


def _faults(evidence: Evidence, scope: Scope, policy: DriftPolicy) -> list[Finding]:
    """What is wrong with the rows as a whole; of the last hours nothing where it is so of all of them."""
    flows = [volume(each.rows, each.weeks, policy, f" in {each.hours} h") for each in evidence.flows]
    found = [
        unfit(evidence.rows_left_out, evidence.recent.rows, policy),
        *[each for each in flows if each is not None and each.is_bad][:1],
        freshness(evidence.newest_ms, unix_ms(scope.until), policy),
    ]
    return [each for each in found if each is not None and each.is_bad]


def _look(evidence: Evidence, scope: Scope, paired: Sequence[tuple[str, Pair]], policy: DriftPolicy) -> _Seen:
    """Columns, findings and estimate against the reference, and what of them is no season's doing."""
    reference, recent = evidence.reference, evidence.recent
    columns = compare_pairs(paired, reference, recent, policy)
    findings = inspect(reference, recent, paired, policy)
    estimate = estimate_accuracy(_confidences(reference, recent, policy), evidence.calibration, policy)
    error = estimate_error(reference, recent, evidence.expected, policy)
    if evidence.season is not None:
        earlier = evidence.season.profiles
        columns = without_seasonal(columns, evidence.season, recent, policy)
        then = [inspect(each, recent, pairs(each, recent, policy), policy) for each in earlier]
        findings = unusual(findings, [finding for each in then for finding in each])
        confident = (_confidences(each, recent, policy) for each in earlier)
        usual = [estimate_accuracy(each, evidence.calibration, policy) for each in confident]
        estimate = unless_usual(estimate, usual)
        expected = [estimate_error(each, recent, evidence.expected, policy) for each in earlier]
        error = unless_usual_error(error, expected)
    told = [*findings, *_faults(evidence, scope, policy), *news(reference, recent, policy)]
    return _Seen(columns, told, estimate, error)


def _facts(kind: DriftKind, seen: _Seen, evidence: Evidence) -> Facts:
    labels = evidence.labels
    inputs = [column for column in seen.columns if column.role == "data" and column.tie is None]
    moved = [column.column for column in seen.columns if column.has_drifted]
    by_labels = labels is not None and (labels.has_fallen or labels.is_concept)
    by_estimate = seen.estimate is not None and seen.estimate.has_fallen
    by_error = seen.error is not None and seen.error.has_risen
    return Facts(
        kind,
        evidence.kind == _GENERATOR,
        by_labels or by_estimate or by_error,
        labels is not None and labels.is_miscalibrated,
        sum(column.has_drifted for column in inputs) / len(inputs) if inputs else 0.0,
        "label" in moved,
        evidence.cures_tried,
    )


def _since(kind: DriftKind, evidence: Evidence, moved: Sequence[str]) -> str:
    labels = evidence.labels
    if kind == "concept" and labels is not None:
        return labels.changes[0].at if labels.changes else ""
    began = since_when(moved, evidence.stretches)
    return "" if began is None else isoformat(began)


def _confidences(old: Profile, new: Profile, policy: DriftPolicy) -> Pair | None:
    before, now = old.columns.get(CONFIDENCE), new.columns.get(CONFIDENCE)
    if before is None or now is None or CONFIDENCE in policy.ignored_columns:
        return None
    return pair_of(before, now) if before.rows and now.rows else None


def _moment(stretch: Stretch) -> Moment:
    score = round(stretch.score, 4) if stretch.rows >= LEAST_ROWS else None
    return Moment(isoformat(stretch.since_ms), stretch.rows, score)


def _distributions(columns: Sequence[ColumnDrift], judged: dict[str, Pair]) -> tuple[Distribution, ...]:
    """The columns that moved, and those that describe the answer; the largest effects first."""
    single = [column for column in columns if column.tie is None]
    shown = [column for column in single if column.has_drifted or column.role == "prediction"]
    ordered = sorted(shown, key=lambda column: (not column.has_drifted, -column.effect))[:_SHOWN]
    return tuple(_distribution(column.column, judged[column.column]) for column in ordered)


def _distribution(name: str, pair: Pair) -> Distribution:
    names, old, new = binned(pair)
    return Distribution(name, tuple(names), tuple(old.round(4).tolist()), tuple(new.round(4).tolist()))
