"""The same hours of earlier weeks: what looks like a shift against the training data may be any Monday.

Weeks are read newest first, and only when something looks amiss. A week that lies in an open incident is none to
compare with: a drift must not become normal by lasting.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from drift.estimate import AccuracyEstimate
from drift.foresight import ErrorEstimate
from drift.judgement import ColumnDrift, compare
from drift.policy import DriftPolicy
from drift.quality import Finding
from pawl.errors import IncompatibleProfiles
from pawl.profile import Profile

WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Season:
    """Earlier weeks' traffic of the same hours, together, and the rows of each week."""

    profile: Profile
    weeks: tuple[int, ...]


def windows(since_ms: int, until_ms: int, policy: DriftPolicy, opened_ms: int | None) -> list[tuple[int, int]]:
    """The same hours of each earlier week, newest first; those that end after `opened_ms` are left out."""
    earlier = [(since_ms - n * WEEK_MS, until_ms - n * WEEK_MS) for n in range(1, policy.earlier_weeks + 1)]
    return [(since, until) for since, until in earlier if opened_ms is None or until <= opened_ms]


def gather_weeks(
    weeks: Iterable[Iterable[Profile]], reference: Profile, minimum_rows: int, policy: DriftPolicy
) -> Season | None:
    """All weeks with enough rows together; None when they are too few; a week profiled otherwise is left out."""
    whole = Profile.like(reference, is_open=True)
    rows: list[int] = []
    for profiles in weeks:
        week = Profile.like(reference, is_open=True)
        try:
            for profile in profiles:
                week.merge(profile)
            if week.rows >= minimum_rows:
                whole.merge(week)
                rows.append(week.rows)
        except IncompatibleProfiles:
            continue
    return Season(whole, tuple(rows)) if len(rows) >= policy.least_weeks else None


def without_seasonal(
    columns: Sequence[ColumnDrift], season: Season, recent: Profile, policy: DriftPolicy
) -> list[ColumnDrift]:
    """The columns again; what has moved from the reference but not from earlier weeks has not drifted."""
    usual = {column.column: column for column in compare(season.profile, recent, policy)}
    return [_against(column, usual.get(column.column)) for column in columns]


def unusual(found: Sequence[Finding], then: Sequence[Finding]) -> list[Finding]:
    """The findings that hold against earlier weeks, too; `then` are those."""
    again = {(finding.kind, finding.column) for finding in then}
    return [finding for finding in found if (finding.kind, finding.column) in again]


def unless_usual(estimate: AccuracyEstimate | None, usual: AccuracyEstimate | None) -> AccuracyEstimate | None:
    """The estimate again: accuracy that was as low in earlier weeks has not fallen."""
    if estimate is None or usual is None:
        return estimate
    return replace(estimate, has_fallen=estimate.has_fallen and usual.has_fallen)


def unless_usual_error(error: ErrorEstimate | None, usual: ErrorEstimate | None) -> ErrorEstimate | None:
    """The same of an error that was as large in earlier weeks."""
    if error is None or usual is None:
        return error
    return replace(error, has_risen=error.has_risen and usual.has_risen)


def _against(column: ColumnDrift, usual: ColumnDrift | None) -> ColumnDrift:
    if usual is None:
        return column
    return replace(column, seasonal_effect=usual.effect, has_drifted=column.has_drifted and usual.has_drifted)
