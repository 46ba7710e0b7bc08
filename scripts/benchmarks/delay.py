"""How soon a check finds a shift of one column of ten, by its size and the traffic, and how often it finds none there.

The check is the deployment's own, run each quarter of an hour over a day's window with two quiet days before the shift;
bucket, table and bus are held in memory.
"""

from collections.abc import Iterator
from itertools import product
from statistics import median
from typing import Any, cast

import numpy as np

from benchmarks.figures import Figure
from drift.labels import LabelState
from drift.late import LateLabels
from drift.watch import Watch
from pawl.bucket import Bucket
from pawl.errors import NotFound
from pawl.events import Announcer
from pawl.profile import Profile
from pawl.registry import Registry
from pawl.traffic import Traffic
from pawl.versions import Elsewhere

COLUMNS = 10
SHIFTS = (0.25, 0.5, 1.0, 3.0)
ROWS_AN_HOUR = (48, 400, 4_000)
QUARTER_MS, DAY_MS = 900_000, 86_400_000
START_MS = 1_784_000_000_000 // DAY_MS * DAY_MS
QUIET_DAYS = 2
ALARM_DAYS = 30


def measure(seeds: int = 3, alarm_days: int = ALARM_DAYS) -> list[Figure]:
    """The median delay of each shift at each rate, and the share of undrifted days with an alarm."""
    figures = [
        Figure(
            f"delay_{rows}_{shift}",
            round(median(hours_until_found(rows, shift, seed) for seed in range(seeds)), 2),
            "h",
            f"until a shift of {shift} deviations is found at {rows:,} rows an hour",
        )
        for rows, shift in product(ROWS_AN_HOUR, SHIFTS)
    ]
    alarmed = false_alarm_days(alarm_days) / alarm_days
    return [*figures, Figure("false_alarm_days", alarmed, "", f"of {alarm_days} undrifted days, 96 checks each", 0.05)]


def hours_until_found(rows: int, shift: float, seed: int) -> float:
    """From the first row that has moved to the end of the check that says so; two days at most."""
    site = Site(rows, seed)
    for quarter in range(QUIET_DAYS * 96):
        site.add(quarter, 0.0)
    for quarter in range(QUIET_DAYS * 96, (QUIET_DAYS + 2) * 96):
        site.add(quarter, shift)
        if site.is_drifted(quarter + 1):
            return (quarter + 1) / 4 - QUIET_DAYS * 24
    return 48.0


def false_alarm_days(days: int, rows: int = 400) -> int:
    """How many days of traffic like the reference have a check that says it has drifted."""
    found = 0
    for seed in range(-(-days // 5)):
        site = Site(rows, 1000 + seed)
        for quarter in range(QUIET_DAYS * 96):
            site.add(quarter, 0.0)
        for day in range(QUIET_DAYS, QUIET_DAYS + min(5, days - 5 * seed)):
            alarms = 0
            for quarter in range(day * 96, (day + 1) * 96):
                site.add(quarter, 0.0)
                alarms += site.is_drifted(quarter + 1)
            found += alarms > 0
    return found


class Site:
    """A model that is served elsewhere, and what the check of it calls for; incidents are not kept."""

    def __init__(self, rows: int, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._rows_a_quarter = rows // 4
        self._profiles: list[tuple[int, Profile]] = []
        self._reference = Profile.of(self._draw(10_000, 0.0)).to_json().encode()
        self._files: dict[str, bytes] = {"profiles/m/1/reference.json": self._reference}
        mine: Any = self
        self._watch = Watch(
            cast(Bucket, mine),
            cast(Traffic, mine),
            cast(Registry, mine),
            cast(Announcer, mine),
            cast(LateLabels, mine),
            minimum_rows=100,
            instance_hour_usd=0.0,
        )
        self._empty = Profile.from_json(self._reference)

    def add(self, quarter: int, shift: float) -> None:
        """Answers of a quarter of an hour, counted from the start."""
        at_ms = START_MS + quarter * QUARTER_MS
        profile = Profile.like(self._empty, is_open=True)
        profile.update(self._draw(self._rows_a_quarter, shift), at_ms, at_ms)
        self._profiles.append((at_ms, profile))

    def is_drifted(self, quarter: int) -> bool:
        """What a check says that ends with this quarter."""
        until_ms = START_MS + quarter * QUARTER_MS
        return self._watch.check("m", until_ms - DAY_MS, until_ms).status == "drifted"

    def _draw(self, rows: int, shift: float) -> dict[str, Any]:
        columns = {f"c{place}": self._generator.normal(size=rows) for place in range(COLUMNS)}
        return {**columns, "c0": columns["c0"] + shift}

    # What a bucket, its traffic, the registry and late labels answer.

    def read(self, key: str) -> bytes:
        if key not in self._files:
            raise NotFound(key)
        return self._files[key]

    def write(self, key: str, data: bytes) -> None:
        if not key.startswith("reports/"):
            self._files[key] = data

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self._files if key.startswith(prefix)]

    def profiles(self, model: str, version: str, since_ms: int, until_ms: int) -> Iterator[Profile]:
        return (profile for at_ms, profile in self._profiles if since_ms <= at_ms < until_ms)

    def began_ms(self, model: str, version: str) -> int:
        return START_MS

    def newest_ms(self, model: str, version: str, until_ms: int) -> int:
        return until_ms

    def elsewhere(self, model: str) -> Elsewhere:
        return Elsewhere(model, "1", START_MS)

    def models(self) -> list[str]:
        return []

    def late_days(self, model: str, version: str) -> dict[str, str]:
        return {}

    def incident(self, model: str, version: str) -> None:
        return None

    def incidents(self, model: str) -> dict[str, dict[str, Any]]:
        return {}

    def open_incident(self, model: str, version: str, body: dict[str, Any]) -> bool:
        return True

    def announce(self, type: str, **said: Any) -> None:
        return None

    def take(self, *asked: Any) -> LabelState:
        return LabelState()
