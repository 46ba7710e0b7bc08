from collections.abc import Iterable

import numpy as np
import pytest

from drift.policy import DEFAULT
from drift.report import Report, Scope
from drift.season import WEEK_MS, Season, first_weeks, gather_weeks, last_weeks
from drift.verdict import Evidence, judge
from pawl.identity import isoformat
from pawl.profile import Profile

DAY_MS = 86_400_000
BEGAN_MS = 1_784_000_000_000
SCOPE = Scope("triage", "3", isoformat(BEGAN_MS), isoformat(BEGAN_MS + DAY_MS))


def _profile(shift: float, seed: int, rows: int = 2000, confidence: float = 9.0) -> Profile:
    generator = np.random.default_rng(seed)
    profile = Profile.open()
    columns = {"x": generator.normal(shift, 1, rows), "confidence": generator.beta(confidence, 1, rows)}
    profile.update(columns, BEGAN_MS, BEGAN_MS)
    return profile


REFERENCE = _profile(0.0, 0, 10_000)


def _steady(week: int, step: float = 0.0, sinking: float = 0.0) -> Report:
    """The check of a week, the traffic of which has moved by so much each week since the first."""
    now = (BEGAN_MS + week * WEEK_MS, BEGAN_MS + week * WEEK_MS + DAY_MS)

    def read(since_ms: int, until_ms: int) -> Iterable[Profile]:
        at = (since_ms - BEGAN_MS) // WEEK_MS
        return [_profile(step * at, at + 1, confidence=9.0 - sinking * at)] if at >= 0 else []

    last = last_weeks(*now, DEFAULT, None)
    first = first_weeks(*now, DEFAULT, BEGAN_MS)
    season = gather_weeks(read, last, first, REFERENCE, 100, DEFAULT.least_weeks)
    evidence = Evidence(REFERENCE, next(iter(read(*now))), season=season)
    return judge(evidence, SCOPE, policy=DEFAULT, minimum_rows=100)


def test_a_shift_that_grows_too_slowly_for_the_last_weeks_is_found_beside_the_first_ones() -> None:
    found = [week for week in range(2, 16) if _steady(week, step=0.04).status == "drifted"]

    assert found == list(range(4, 16))


def test_what_was_so_from_the_first_week_on_is_usual() -> None:
    assert {_steady(week).status for week in range(2, 16)} == {"stable"}


def test_an_estimated_accuracy_that_falls_slowly_is_found_beside_the_first_weeks() -> None:
    report = _steady(20, sinking=0.3)

    assert report.estimate is not None
    assert (report.estimate.has_fallen, report.status) == (True, "drifted")


def test_the_last_weeks_are_those_before_an_incident_however_long_it_has_been_open() -> None:
    now = (BEGAN_MS - DAY_MS, BEGAN_MS)
    assert [until for _, until in last_weeks(*now, DEFAULT, None)] == [BEGAN_MS - n * WEEK_MS for n in (1, 2, 3, 4)]

    for opened_ms, newest in ((BEGAN_MS - 3 * DAY_MS, 1), (BEGAN_MS - WEEK_MS, 1), (BEGAN_MS - 6 * WEEK_MS - 1, 7)):
        found = [until for _, until in last_weeks(*now, DEFAULT, opened_ms)]
        assert found == [BEGAN_MS - n * WEEK_MS for n in range(newest, newest + 4)]


@pytest.mark.parametrize(
    ("age_ms", "weeks_ago"), [(9 * WEEK_MS, [8, 7]), (9 * WEEK_MS + 1, [9, 8]), (2 * WEEK_MS, [1]), (DAY_MS, [])]
)
def test_the_first_weeks_begin_with_the_one_that_traffic_began_in(age_ms: int, weeks_ago: list[int]) -> None:
    now = (BEGAN_MS - DAY_MS, BEGAN_MS)

    found = first_weeks(*now, DEFAULT, BEGAN_MS - age_ms)

    assert [until for _, until in found] == [BEGAN_MS - n * WEEK_MS for n in weeks_ago]


def test_a_week_with_few_rows_is_none_to_compare_with() -> None:
    weeks = {1: 2000, 2: 99, 3: 2000}

    def read(since_ms: int, until_ms: int) -> Iterable[Profile]:
        return [_profile(0.0, 1, weeks[-since_ms // WEEK_MS])]

    windows = [(-n * WEEK_MS, -n * WEEK_MS + DAY_MS) for n in weeks]
    season = gather_weeks(read, windows, [], REFERENCE, 100, 2)

    assert isinstance(season, Season)
    assert [profile.rows for profile in season.profiles] == [4000]
    assert gather_weeks(read, windows[:2], [], REFERENCE, 100, 2) is None
