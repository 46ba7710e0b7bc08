"""The window in stretches of an hour or more: when did it begin?

Profiles come in order of time, so one stretch is merged at a time and only its effects are kept: memory does not grow
with their number.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from drift.judgement import effects
from drift.looks import Look, begin
from drift.policy import DriftPolicy
from pawl.errors import IncompatibleProfiles
from pawl.profile import Profile

HOUR_MS = 3_600_000
LEAST_ROWS = 20
"""A stretch with fewer rows says nothing about when a shift began."""
_LONGEST = 24
_COMPARISONS = 2400


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the window: its first instant, its rows, and the effect of each column."""

    since_ms: int
    rows: int
    effects: Mapping[str, float]

    @property
    def score(self) -> float:
        """The largest effect of any column."""
        return max(self.effects.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Gathered:
    """A window's profiles together, and in stretches; `left_out` is how many did not fit, with how many rows.

    `hours` are all rows by the hour since 1970, `looks` the window's newest parts by themselves.
    """

    recent: Profile
    stretches: Sequence[Stretch]
    left_out: int
    rows_left_out: int
    hours: Mapping[int, int]
    looks: Sequence[Look]


def gather(
    profiles: Iterable[Profile], reference: Profile, since_ms: int, until_ms: int, policy: DriftPolicy
) -> Gathered:
    """The profiles of a window, which come in order of time; stretches without rows are left out."""
    builder = _Builder(reference, policy)
    length_ms = stretch_ms(until_ms - since_ms, len(reference.columns))
    hours: Counter[int] = Counter()
    looks = begin(reference, since_ms, until_ms)
    for profile in profiles:
        first = since_ms if profile.first_ms is None else profile.first_ms
        hours[first // HOUR_MS] += profile.rows
        for look in looks:
            if first >= look.since_ms:
                _merge(look.recent, profile)
        builder.add(profile, since_ms + max(0, first - since_ms) // length_ms * length_ms)
    builder.close()
    return Gathered(builder.whole, builder.stretches, builder.left_out, builder.rows_left_out, hours, looks)


def stretch_ms(window_ms: int, columns: int) -> int:
    """The length of a stretch: whole hours, 24 of them in a window at most, fewer the more columns there are."""
    most = max(4, min(_LONGEST, _COMPARISONS // max(1, columns)))
    hours = -(-window_ms // (most * HOUR_MS))
    return max(1, hours) * HOUR_MS


def since_when(columns: Sequence[str], stretches: Sequence[Stretch]) -> int | None:
    """The first instant from which any of the columns has stayed beyond its limit to the end; None when none did."""
    telling = [each for each in stretches if each.rows >= LEAST_ROWS]
    since = None
    for stretch in reversed(telling):
        if max((stretch.effects.get(column, 0.0) for column in columns), default=0.0) < 1:
            break
        since = stretch.since_ms
    return since


def _merge(into: Profile, profile: Profile) -> bool:
    """Add a profile; False where it does not fit."""
    try:
        into.merge(profile)
    except IncompatibleProfiles:
        return False
    return True


class _Builder:
    """Merges one stretch at a time, and the stretches into the whole."""

    def __init__(self, reference: Profile, policy: DriftPolicy) -> None:
        self._reference, self._policy = reference, policy
        self.whole, self._part = self._empty(), self._empty()
        self._began: int | None = None
        self.stretches: list[Stretch] = []
        self.left_out = self.rows_left_out = 0

    def add(self, profile: Profile, start: int) -> None:
        """Take a profile whose stretch begins at `start`."""
        if self._began is None or start > self._began:
            self.close()
            self._began = start
        self._merge(self._part, profile)

    def close(self) -> None:
        """End the stretch under way."""
        if self._part.rows and self._began is not None:
            enough = self._part.rows >= LEAST_ROWS
            found = effects(self._reference, self._part, self._policy) if enough else {}
            self.stretches.append(Stretch(self._began, self._part.rows, found))
            self._merge(self.whole, self._part)
        self._part = self._empty()

    def _merge(self, into: Profile, profile: Profile) -> None:
        if not _merge(into, profile):
            self.left_out += 1
            self.rows_left_out += profile.rows

    def _empty(self) -> Profile:
        return Profile.like(self._reference, is_open=True)
