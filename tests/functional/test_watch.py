"""Weeks of a model's traffic, checked again and again: what lasts must not be lost from sight."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from drift.labels import LabelState
from drift.report import Report
from drift.watch import Watch
from pawl.events import Announcer
from pawl.identity import day_of, isoformat, unix_ms, uuid7_hex
from pawl.profile import Profile
from pawl.versions import Elsewhere

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOW_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS
WEEKS = 3 * 7


class NoLabels:
    """Late labels of a model that nobody labels."""

    def take(self, *_: Any) -> LabelState:
        return LabelState()


class Said:
    """An announcer that remembers what was announced."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def announce(self, type: str, **_: Any) -> None:
        self.types.append(type)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def reference(cloud: Any) -> Profile:
    """What a person gave as the reference of a model that is served elsewhere."""
    profile = Profile.open()
    profile.update({"x": np.random.default_rng(1).normal(size=5000)})
    cloud.bucket.write("profiles/m/1/reference.json", profile.to_json().encode())
    cloud.registry.see_elsewhere(Elsewhere("m", "1", NOW_MS))
    return profile


@pytest.fixture
def store(cloud: Any, reference: Profile) -> Callable[..., str]:
    """Stores the profile of so many rows, answered so many hours before NOW_MS, and returns its name."""
    number = iter(range(1, 1_000_000))
    generator = np.random.default_rng(3)

    def store_rows(hours_ago: float, rows: int, shift: float = 0.0) -> str:
        at = NOW_MS - round(hours_ago * HOUR_MS)
        profile = Profile.like(reference)
        profile.update({"x": generator.normal(shift, 1, rows)}, at, at)
        batch = uuid7_hex(at, next(number).to_bytes(10, "big")) + "-0123456789ab"
        cloud.traffic.store_profile("m", "1", batch, profile)
        return batch

    return store_rows


@pytest.fixture
def check(cloud: Any, said: Announcer) -> Callable[[float], Report]:
    """Checks the day that ended so many hours before NOW_MS."""
    watch = Watch(cloud.bucket, cloud.traffic, cloud.registry, said, NoLabels(), 100, 0.5)  # type: ignore[arg-type]

    def check_day(hours_ago: float) -> Report:
        until_ms = NOW_MS - round(hours_ago * HOUR_MS)
        return watch.check("m", until_ms - DAY_MS, until_ms)

    return check_day


def test_a_loss_of_traffic_is_told_until_it_ends(
    store: Callable[..., str], check: Callable[[float], Report], said: Said
) -> None:
    """For two days and a half, up to ten hours ago, 95 % of the rows are missing."""
    for hours_ago in range(0, WEEKS * 24, 2):
        store(hours_ago + 0.5, 20 if 10 <= hours_ago < 70 else 400)

    reports = [check(hours_ago) for hours_ago in range(76, -1, -4)]

    assert [report.status for report in reports] == ["stable"] * 3 + ["drifted"] * 15 + ["stable"] * 2
    assert {report.attribution.kind for report in reports[3:18]} == {"quality"}
    assert reports[3].sentence == (
        "m 1 gets broken data: 60 rows in 6 h, where the same hours of earlier weeks had 1,200."
    )
    assert said.types == ["DriftDetected"]


def test_earlier_weeks_are_counted_once(
    store: Callable[..., str], check: Callable[[float], Report], cloud: Any
) -> None:
    for hours_ago in range(0, WEEKS * 24, 2):
        store(hours_ago + 0.5, 400)

    read: list[int] = []
    for hours_ago in (4, 3, 2):
        cloud.faults.reset()
        assert check(hours_ago).weeks == (4800, 4800)
        read.append(cloud.faults.calls.count("s3.GetObject"))

    assert read[0] - read[1] >= 24 and read[1] - read[2] <= 1
    assert len(json.loads(cloud.bucket.read("profiles/m/1/rows.json"))) == 4 * 24 + 6


def test_traffic_that_comes_no_more_is_stale_although_no_window_is_as_long(
    store: Callable[..., str], check: Callable[[float], Report], said: Said
) -> None:
    """So few rows a day that no earlier week tells what is usual."""
    for day in range(5, 20):
        store(day * 24.0, 40)

    reports = [check(hours_ago) for hours_ago in (5 * 24 - 71, 5 * 24 - 73, 5 * 24 - 100)]

    assert [report.status for report in reports] == ["insufficient", "drifted", "drifted"]
    assert reports[1].sentence == "m 1 has fallen silent: the newest row is 73.0 hours old."
    assert said.types == ["DriftDetected"]


def test_a_model_that_never_had_a_row_has_not_fallen_silent(
    reference: Profile, check: Callable[[float], Report]
) -> None:
    assert check(0).status == "insufficient"


def test_rows_that_come_when_their_hours_are_long_over_are_judged_by_the_next_check(
    store: Callable[..., str], check: Callable[[float], Report], said: Said, cloud: Any
) -> None:
    for hours_ago in range(0, 48, 2):
        store(hours_ago + 0.5, 100)
    assert check(1).status == "stable"
    day = day_of(NOW_MS - 8 * DAY_MS)
    late = store(8 * 24.0, 400, shift=3.0)
    cloud.registry.note_late("m", "1", late, NOW_MS)

    reports = [check(0.5), check(0)]

    assert [report.status for report in reports] == ["stable", "stable"]
    assert said.types == ["DriftDetected"]
    opened = cloud.registry.incident("m", "1")
    assert opened["opened_at"] == isoformat(unix_ms(f"{day}T00:00:00Z") + DAY_MS)
    (written,) = [key for key in cloud.bucket.keys("reports/m/1/") if key.endswith(f"{opened['opened_at']}.json")]
    assert json.loads(cloud.bucket.read(written))["rows"] == 400
    assert cloud.registry.late_days("m", "1") == {}


def test_a_day_for_which_rows_come_while_it_is_judged_is_judged_again(cloud: Any) -> None:
    first, second = (uuid7_hex(NOW_MS, number.to_bytes(10, "big")) for number in (1, 2))
    cloud.registry.note_late("m", "1", first, NOW_MS)
    cloud.registry.note_late("m", "1", second, NOW_MS)

    cloud.registry.forget_late("m", "1", day_of(NOW_MS), first)

    assert cloud.registry.late_days("m", "1") == {day_of(NOW_MS): second}


def test_a_flood_of_late_days_is_judged_some_a_check_the_oldest_first(
    store: Callable[..., str], check: Callable[[float], Report], cloud: Any
) -> None:
    for day in range(3, 13):
        cloud.registry.note_late("m", "1", store(day * 24.0, 200), NOW_MS)

    left: list[int] = []
    for hours_ago in (1, 0):
        check(hours_ago)
        left.append(len(cloud.registry.late_days("m", "1")))

    assert left == [3, 0]
    assert len([key for key in cloud.bucket.keys("reports/m/1/") if key.endswith("T00:00:00.000Z.json")]) == 10


def test_an_hour_that_was_counted_is_counted_again_when_late_rows_come_for_it(
    store: Callable[..., str], check: Callable[[float], Report], cloud: Any
) -> None:
    for hours_ago in range(0, WEEKS * 24, 4):
        store(hours_ago + 0.5, 100)
    assert check(0).weeks == (600, 600)

    cloud.registry.note_late("m", "1", store(7 * 24 + 12.5, 1000), NOW_MS)

    assert sorted(check(0).weeks) == [600, 1600]


def test_a_shift_of_the_last_minutes_is_found_before_it_shows_in_the_whole_day(
    store: Callable[..., str], check: Callable[[float], Report], said: Said
) -> None:
    for quarter in range(3 * 96):
        store(quarter / 4 + 0.01, 100, shift=1.0 if quarter < 2 else 0.0)

    before, report = check(0.5), check(0)

    assert (before.status, report.status, report.drifted) == ("stable", "drifted", ["x"])
    assert unix_ms(report.until) - unix_ms(report.since) == DAY_MS // 16
    assert report.rows == 600
    assert said.types == ["DriftDetected"]


def test_a_night_is_compared_with_the_night_before(store: Callable[..., str], check: Callable[[float], Report]) -> None:
    """An hour of each day is unlike the others."""
    for quarter in range(3 * 96):
        store(quarter / 4 + 0.01, 100, shift=1.0 if quarter // 4 % 24 == 0 else 0.0)

    assert check(0).status == "stable"


def test_on_its_first_day_a_version_is_judged_by_whole_windows_alone(
    store: Callable[..., str], check: Callable[[float], Report]
) -> None:
    for quarter in range(96):
        store(quarter / 4 + 0.01, 100, shift=1.0 if quarter < 2 else 0.0)

    assert check(0).status == "stable"
