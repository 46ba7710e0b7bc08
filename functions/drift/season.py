"""The same hours of earlier weeks: what looks like a shift against the training data may be any Monday.

Weeks are read newest first, and only when something looks amiss. A week that lies in an open incident is none to
compare with: a drift must not become normal by lasting. Nor must a slow one by being slow, which the last weeks always
resemble: what is usual looks like the version's first weeks, too.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from drift.estimate import AccuracyEstimate
from drift.foresight import ErrorEstimate
from drift.judgement import ColumnDrift, compare
from drift.learning import gather
from drift.policy import DriftPolicy
from drift.quality import Finding
from pawl.errors import IncompatibleProfiles
from pawl.profile import Profile

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
_DAYS = 7
Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Season:
    """Traffic of the same hours, the last weeks' together and, where they are known, the first weeks' together."""

    profiles: tuple[Profile, ...]


def last_weeks(since_ms: int, until_ms: int, policy: DriftPolicy, opened_ms: int | None) -> list[Window]:
    """The same hours of the last weeks, newest first; those that end after an incident's opening do not count."""
    return _last(policy.earlier_weeks, WEEK_MS, (since_ms, until_ms), opened_ms)


def last_days(since_ms: int, until_ms: int, opened_ms: int | None) -> list[Window]:
    """The same hours of the last days, in the same way."""
    return _last(_DAYS, DAY_MS, (since_ms, until_ms), opened_ms)


def first_weeks(since_ms: int, until_ms: int, policy: DriftPolicy, began_ms: int) -> list[Window]:
    """The same hours of the first weeks since traffic began, oldest first."""
    oldest = math.ceil((until_ms - began_ms) / WEEK_MS) - 1
    weeks = range(oldest, max(0, oldest - policy.least_weeks), -1)
    return [(since_ms - n * WEEK_MS, until_ms - n * WEEK_MS) for n in weeks]


def gather_weeks(
    read: Callable[[int, int], Iterable[Profile]],
    last: Sequence[Window],
    first: Sequence[Window],
    reference: Profile,
    minimum_rows: int,
    least_weeks: int,
) -> Season | None:
    """The last weeks with enough rows, and the first ones; None when the last ones are too few."""
    lately, long_ago = (Profile.like(reference, is_open=True) for _ in range(2))
    weeks = 0
    for window in dict.fromkeys([*last, *first]):
        week = gather(read(*window), reference).recent
        if week.rows < minimum_rows:
            continue
        if window in last:
            weeks += _fits(week, lately)
        if window in first:
            _fits(week, long_ago)
    if weeks < least_weeks:
        return None
    return Season((lately, long_ago) if long_ago.rows else (lately,))


def without_seasonal(
    columns: Sequence[ColumnDrift], season: Season, recent: Profile, policy: DriftPolicy
) -> list[ColumnDrift]:
    """The columns again; what has moved from the reference but from no earlier weeks has not drifted."""
    shared = replace(policy, alpha=policy.alpha / len(season.profiles))
    usual = [{column.column: column for column in compare(profile, recent, shared)} for profile in season.profiles]
    return [_against(column, [each[column.column] for each in usual if column.column in each]) for column in columns]


def unusual(found: Sequence[Finding], then: Sequence[Finding]) -> list[Finding]:
    """The findings that hold against earlier weeks, too; `then` are those."""
    again = {(finding.kind, finding.column) for finding in then}
    return [finding for finding in found if (finding.kind, finding.column) in again]


def unless_usual(
    estimate: AccuracyEstimate | None, usual: Sequence[AccuracyEstimate | None]
) -> AccuracyEstimate | None:
    """The estimate again: accuracy that was as low in earlier weeks, in the last as in the first, has not fallen."""
    known = [each.has_fallen for each in usual if each is not None]
    if estimate is None or not known:
        return estimate
    return replace(estimate, has_fallen=estimate.has_fallen and any(known))


def unless_usual_error(error: ErrorEstimate | None, usual: Sequence[ErrorEstimate | None]) -> ErrorEstimate | None:
    """The same of an error that was as large in earlier weeks."""
    known = [each.has_risen for each in usual if each is not None]
    if error is None or not known:
        return error
    return replace(error, has_risen=error.has_risen and any(known))


def _against(column: ColumnDrift, usual: Sequence[ColumnDrift]) -> ColumnDrift:
    if not usual:
        return column
    has_drifted = column.has_drifted and any(each.has_drifted for each in usual)
    return replace(column, seasonal_effect=max(each.effect for each in usual), has_drifted=has_drifted)


def _fits(week: Profile, whole: Profile) -> bool:
    """Add a week; False where it was profiled otherwise."""
    try:
        whole.merge(week)
    except IncompatibleProfiles:
        return False
    return True


def _last(count: int, step_ms: int, window: Window, opened_ms: int | None) -> list[Window]:
    newest = 1 if opened_ms is None else max(1, math.ceil((window[1] - opened_ms) / step_ms))
    return [(window[0] - n * step_ms, window[1] - n * step_ms) for n in range(newest, newest + count)]
