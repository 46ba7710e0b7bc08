"""Faults of the data themselves: values that are missing, new or outside, a changed schema, too little traffic.

What is normal is learned from the reference and edited by the policy. What the reference merely never saw is news, and
may be the drift itself; all else is a fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from drift.judgement import role_of
from drift.pairing import Pair
from drift.policy import DriftPolicy
from pawl.profile import Profile
from pawl.testing import holm, proportion_change

Kind = Literal["missing", "range", "outside", "new_category", "schema", "volume", "freshness"]
FAULTS = ("missing", "range", "schema", "volume", "freshness")
"""What somebody upstream has broken; a model must not learn from it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One look at the data's quality: a share, or a number of rows, before and now.

    It names no `column` where it is about rows as a whole.
    """

    kind: Kind
    column: str
    before: float
    now: float
    p_value: float
    is_bad: bool
    sentence: str


def inspect(
    reference: Profile, recent: Profile, judged: Sequence[tuple[str, Pair]], policy: DriftPolicy
) -> list[Finding]:
    """What is bad about the columns' values, worst first; `judged` are the pairs that were compared."""
    found = [
        *_schema(reference, recent, policy),
        *_shares(reference, recent, judged, policy),
    ]
    adjusted = holm([finding.p_value for finding in found])
    kept = [replace(each, is_bad=each.is_bad and p < policy.alpha) for each, p in zip(found, adjusted, strict=True)]
    return sorted((each for each in kept if each.is_bad), key=lambda each: each.before - each.now)


def news(reference: Profile, recent: Profile, policy: DriftPolicy) -> list[Finding]:
    """Columns that the reference has no value of: told, and no fault, for the model does not know them."""
    return [
        Finding("schema", name, 0.0, 1.0, 1.0, False, f"{name} is new: the reference has no value of it")
        for name in sorted(_lacking(recent, reference, policy))
    ]


def unfit(left_out: int, rows: int, policy: DriftPolicy) -> Finding | None:
    """Rows of batches that do not fit the reference, beside those that do; None without any."""
    if not left_out:
        return None
    share = left_out / (left_out + rows)
    sentence = f"{left_out:,} of {left_out + rows:,} rows do not fit the reference: a column is of another kind"
    return Finding("schema", "", 0.0, round(share, 4), 0.0, share >= policy.missing_increase, sentence)


def volume(rows: int, earlier: Sequence[int], policy: DriftPolicy, where: str = "") -> Finding | None:
    """Whether traffic is far from the same hours of earlier weeks; None without them."""
    if len(earlier) < policy.least_weeks:
        return None
    usual = sorted(earlier)[len(earlier) // 2]
    is_bad = not policy.least_volume * usual <= rows <= policy.most_volume * usual
    sentence = f"{rows:,} rows{where}, where the same hours of earlier weeks had {usual:,}"
    return Finding("volume", "", usual, rows, 0.0, is_bad, sentence)


def freshness(last_ms: int | None, until_ms: int, policy: DriftPolicy) -> Finding | None:
    """Whether the newest row, within a window or before it, is old; None where there is none."""
    if last_ms is None:
        return None
    hours = max(0.0, (until_ms - last_ms) / 3_600_000)
    is_bad = hours > policy.stale_hours
    sentence = f"the newest row is {hours:.1f} hours old"
    return Finding("freshness", "", policy.stale_hours, round(hours, 2), 0.0, is_bad, sentence)


def _schema(reference: Profile, recent: Profile, policy: DriftPolicy) -> list[Finding]:
    """Columns that the reference has values of and recent rows have none of at all."""
    gone = _lacking(reference, recent, policy) if recent.rows else []
    return [Finding("schema", name, 1.0, 0.0, 0.0, True, f"{name} has no value any more") for name in gone]


def _lacking(one: Profile, other: Profile, policy: DriftPolicy) -> list[str]:
    """The columns that one profile has values of and the other has none of."""
    held = [name for name, sketch in one.columns.items() if sketch.rows and name not in policy.ignored_columns]
    return [name for name in held if name not in other.columns or not other.columns[name].rows]


def _shares(
    reference: Profile, recent: Profile, judged: Sequence[tuple[str, Pair]], policy: DriftPolicy
) -> list[Finding]:
    found: list[Finding] = []
    for name, pair in judged:
        found.append(_missing(name, pair, policy))
        if pair.is_numeric:
            found.extend(_outside(name, pair, policy.ranges, policy))
        elif role_of(name, reference.columns, policy) == "data":
            found.append(_new_categories(name, pair, policy))
    return found


def _missing(name: str, pair: Pair, policy: DriftPolicy) -> Finding:
    old_rows, new_rows = pair.old_rows + pair.old_missing, pair.new_rows + pair.new_missing
    change, p_value = _change(pair.old_missing, old_rows, pair.new_missing, new_rows)
    before, now = pair.old_missing / old_rows, pair.new_missing / new_rows
    sentence = f"{name} is missing in {now:.0%} of rows, before in {before:.0%}"
    return Finding("missing", name, before, now, p_value, change >= policy.missing_increase, sentence)


def _outside(name: str, pair: Pair, ranges: Mapping[str, tuple[float, float]], policy: DriftPolicy) -> list[Finding]:
    """Values beyond the policy's range, if it has one, else beyond the reference's."""
    assert pair.positions is not None
    kind: Kind = "range" if name in ranges else "outside"
    low, high = ranges.get(name, pair.span)
    beyond = (pair.positions < low) | (pair.positions > high)
    old, new = int(pair.old[beyond].sum()), int(pair.new[beyond].sum())
    change, p_value = _change(old, pair.old_rows, new, pair.new_rows)
    before, now = old / pair.old_rows, new / pair.new_rows
    sentence = f"{name} lies outside {low:.4g} to {high:.4g} in {now:.0%} of rows, before in {before:.0%}"
    return [Finding(kind, name, before, now, p_value, change >= policy.outside_increase, sentence)]


def _new_categories(name: str, pair: Pair, policy: DriftPolicy) -> Finding:
    unseen = pair.old == 0
    rows = int(pair.new[unseen].sum())
    now = rows / pair.new_rows
    _, p_value = _change(0, pair.old_rows, rows, pair.new_rows)
    sentence = f"{name} has a value that the reference never saw in {now:.0%} of rows"
    return Finding("new_category", name, 0.0, now, p_value, now >= policy.new_category_share, sentence)


def _change(old: int, old_rows: int, new: int, new_rows: int) -> tuple[float, float]:
    """A share's change and its p-value; most columns have nothing amiss before or now, and need no test."""
    return proportion_change(old, old_rows, new, new_rows) if old or new else (0.0, 1.0)
