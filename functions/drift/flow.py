"""How many rows came, beside the same hours of earlier weeks: a loss of traffic shows in no column.

A check counts earlier weeks by whole hours and keeps the counts in the bucket, so that each hour is read for this once.
A window of a few hours, as people ask for, is counted by its own profiles instead.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from drift.policy import DriftPolicy
from drift.season import Window, last_weeks
from drift.timeline import HOUR_MS
from pawl.bucket import Bucket
from pawl.errors import NotFound
from pawl.traffic import Traffic

_LEAST_HOURS = 4


@dataclass(frozen=True, slots=True)
class Flow:
    """The rows of some hours, and of the same hours of each earlier week that had enough."""

    rows: int
    weeks: tuple[int, ...]
    hours: int


@dataclass(frozen=True, slots=True)
class FlowMeter:
    """Counts the rows of a model's versions."""

    bucket: Bucket
    traffic: Traffic
    minimum_rows: int

    def measure(
        self,
        model: str,
        version: str,
        window: Window,
        recent: Mapping[int, int],
        policy: DriftPolicy,
        opened_ms: int | None,
    ) -> tuple[Flow, ...]:
        """The flow of a window, and of its last quarter; `recent` are the window's rows by the hour since 1970."""
        weeks = last_weeks(*window, policy, opened_ms)
        if len(_whole_hours(window)) < _LEAST_HOURS:
            counts = [sum(each.rows for each in self.traffic.profiles(model, version, *week)) for week in weeks]
            return (self._flow(sum(recent.values()), counts, window),)
        known = self._count(model, version, weeks)
        quarter = (window[1] - (window[1] - window[0]) // 4, window[1])
        return tuple(
            self._flow(_sum(recent, part), [_sum(known, week) for week in last_weeks(*part, policy, opened_ms)], part)
            for part in (window, quarter)
        )

    def forget(self, model: str, version: str, window: Window) -> None:
        """Let the hours of a window be counted anew, should they be asked for: more rows have come."""
        key = _key(model, version)
        known = self._known(key)
        kept = {hour: rows for hour, rows in known.items() if not window[0] <= hour * HOUR_MS < window[1]}
        if len(kept) < len(known):
            self._keep(key, kept)

    def _flow(self, rows: int, weeks: Iterable[int], window: Window) -> Flow:
        enough = tuple(each for each in weeks if each >= self.minimum_rows)
        return Flow(rows, enough, round((window[1] - window[0]) / HOUR_MS))

    def _count(self, model: str, version: str, weeks: Sequence[Window]) -> dict[int, int]:
        """The rows of all whole hours of these weeks; what is older than these is forgotten."""
        key = _key(model, version)
        wanted = sorted({hour for week in weeks for hour in _whole_hours(week)})
        known = {hour: rows for hour, rows in self._known(key).items() if hour >= wanted[0]}
        missing = [hour for hour in wanted if hour not in known]
        if not missing:
            return known
        known |= dict.fromkeys(missing, 0)
        for first, last in _runs(missing):
            for profile in self.traffic.profiles(model, version, first * HOUR_MS, (last + 1) * HOUR_MS):
                known[first if profile.first_ms is None else profile.first_ms // HOUR_MS] += profile.rows
        self._keep(key, known)
        return known

    def _keep(self, key: str, known: Mapping[int, int]) -> None:
        self.bucket.write(key, json.dumps(known, separators=(",", ":")).encode())

    def _known(self, key: str) -> dict[int, int]:
        try:
            return {int(hour): rows for hour, rows in json.loads(self.bucket.read(key)).items()}
        except NotFound:
            return {}


def _key(model: str, version: str) -> str:
    return f"profiles/{model}/{version}/rows.json"


def _whole_hours(window: Window) -> range:
    return range(-(-window[0] // HOUR_MS), window[1] // HOUR_MS)


def _sum(rows: Mapping[int, int], window: Window) -> int:
    return sum(rows.get(hour, 0) for hour in _whole_hours(window))


def _runs(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending hours as the first and last of each run without a gap."""
    starts = [hour for place, hour in enumerate(hours) if not place or hours[place - 1] != hour - 1]
    ends = [hour for place, hour in enumerate(hours) if place + 1 == len(hours) or hours[place + 1] != hour + 1]
    return list(zip(starts, ends, strict=True))
