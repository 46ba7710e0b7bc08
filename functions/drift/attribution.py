"""What has moved: which columns and how much of it each, where in them, since when, and what kind of drift that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drift.estimate import AccuracyEstimate
from drift.foresight import ErrorEstimate
from drift.judgement import ColumnDrift
from drift.labels import LabelledQuality
from drift.pairing import Floats, Pair, coarse
from drift.quality import FAULTS, Finding
from pawl.alignment import OTHERS

_NEW = "not in the reference"
DriftKind = Literal["none", "quality", "concept", "data", "prediction"]


@dataclass(frozen=True, slots=True)
class Part:
    """A column's share of the whole shift, and the slice of its values that gained most, by share of rows.

    Of columns together `slice` is what changed most surely, such as a correlation; `is_share` tells which it is.
    """

    column: str
    share: float
    slice: str
    before: float
    now: float
    is_share: bool = True


@dataclass(frozen=True, slots=True)
class Attribution:
    """`since` is when it began, as far as the window tells, and empty where it does not."""

    kind: DriftKind
    since: str
    parts: tuple[Part, ...]


def kind_of(
    columns: Sequence[ColumnDrift],
    findings: Sequence[Finding],
    estimate: AccuracyEstimate | None,
    labels: LabelledQuality | None,
    error: ErrorEstimate | None = None,
) -> DriftKind:
    """The kind of drift, the one that explains the others first.

    A broken column explains its own shift; no shift explains a changed meaning; inputs that moved explain answers that
    did. Too much or too little traffic explains none of these.
    """
    moved = [column for column in columns if column.has_drifted]
    bad = [finding for finding in findings if finding.is_bad]
    broken = {finding.column for finding in bad if finding.kind in FAULTS and finding.column}
    if broken and {column.column for column in moved if column.role == "data" and column.tie is None} <= broken:
        return "quality"
    if labels is not None and labels.is_concept:
        return "concept"
    if any(column.role == "data" for column in moved) or any(finding.column for finding in bad):
        return "data"
    if moved or (estimate is not None and estimate.has_fallen) or (error is not None and error.has_risen):
        return "prediction"
    if labels is not None and labels.has_fallen:
        return "concept"
    return "quality" if bad else "none"


def parts_of(columns: Sequence[ColumnDrift], pairs: dict[str, Pair]) -> tuple[Part, ...]:
    """The columns that have drifted, the largest shift first, each with its share of all their effects."""
    moved = sorted((column for column in columns if column.has_drifted), key=lambda column: -column.effect)
    whole = sum(column.effect for column in moved)
    return tuple(_part(column, column.effect / whole, pairs) for column in moved)


def _part(column: ColumnDrift, share: float, pairs: dict[str, Pair]) -> Part:
    if (tie := column.tie) is not None:
        return Part(column.column, round(share, 4), tie.sentence, tie.before, tie.now, is_share=False)
    names, old, new = binned(pairs[column.column])
    gained = int(np.argmax(new - old))
    before, now = (round(float(shares[gained]), 4) for shares in (old, new))
    return Part(column.column, round(share, 4), names[gained], before, now)


def binned(pair: Pair, most: int = 12) -> tuple[list[str], Floats, Floats]:
    """A column as a person looks at it: the names of at most so many bins, and the share of rows in each.

    Numbers in tenths of the reference, categories by name; of many, the largest by either share, the rest together.
    """
    few = coarse(pair)
    old, new = few.old / max(1.0, few.old.sum()), few.new / max(1.0, few.new.sum())
    if pair.positions is not None:
        return [_range(pair, few.bins == place) for place in range(old.size)], old, new
    order = np.argsort(-np.maximum(old, new), kind="stable")
    kept, rest = order[: most - 1 if order.size > most else most], order[most - 1 :] if order.size > most else order[:0]
    names = [_NEW if pair.names[place] == OTHERS else str(pair.names[place]) for place in kept.tolist()]
    old_shares, new_shares = old[kept], new[kept]
    if rest.size:
        names.append(f"{rest.size} others")
        old_shares = np.append(old_shares, old[rest].sum())
        new_shares = np.append(new_shares, new[rest].sum())
    return names, old_shares, new_shares


def _range(pair: Pair, is_in: NDArray[np.bool_]) -> str:
    """What the occupied fine bins of a coarse one lie between."""
    assert pair.positions is not None
    at = pair.positions[is_in & (pair.old + pair.new > 0)]
    low, high = pair.span
    if at.size and at[-1] < low:
        return f"below {low:.4g}"
    if at.size and at[0] > high:
        return f"above {high:.4g}"
    first, last = (f"{value:.3g}" for value in (at[0], at[-1]))
    return first if first == last else f"{first} to {last}"
