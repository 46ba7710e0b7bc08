"""Compares recent traffic with the reference, column by column, and says whether the world has moved.

A column has drifted when the shift is both large (population stability index, beyond what two samples of these sizes
show by chance) and unlikely to be chance (Kolmogorov-Smirnov or chi-square at 0.05 divided by the number of columns,
Bonferroni), so neither a million rows nor eight of them alarm on nothing. The work grows with columns, not with rows.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.profile import CategorySketch, NumericSketch, Profile, Sketch
from pawl.stats import chi_square, jensen_shannon, kolmogorov_smirnov, population_stability

STABILITY_LIMIT = 0.2
ALPHA = 0.05
_QUANTILE_BINS = 10


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column's comparison: effect sizes, the test's p-value, and the verdict.

    `excess` is the stability index less its expectation without any change, (bins - 1)(1/n + 1/m) (Yurdakul 2018).
    """

    column: str
    stability: float
    excess: float
    distance: float
    p_value: float
    has_drifted: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A check of one model version over one window; `score` is the largest excess of any column."""

    model: str
    version: str
    rows: int
    reference_rows: int
    since: str
    until: str
    status: str
    score: float
    columns: list[ColumnDrift]
    schema: int = 1

    @property
    def drifted(self) -> list[str]:
        """The names of the columns that have drifted, the largest shift first."""
        moved = sorted((c for c in self.columns if c.has_drifted), key=lambda c: -c.excess)
        return [column.column for column in moved]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {**asdict(self), "drifted": self.drifted}


def compare(reference: Profile, recent: Profile) -> list[ColumnDrift]:
    """Every column of two profiles with the same bins, compared; empty columns are left out."""
    pairs = [(name, sketch, recent.columns[name]) for name, sketch in reference.columns.items()]
    judged = [(name, old, new) for name, old, new in pairs if old.rows and new.rows]
    return [_compare_column(name, old, new, ALPHA / len(judged)) for name, old, new in judged]


def judge(
    reference: Profile, recent: Profile, *, model: str, version: str, since: str, until: str, minimum_rows: int
) -> Report:
    """The report of a window: `insufficient` below `minimum_rows`, else `drifted` or `stable`."""
    columns = compare(reference, recent) if recent.rows >= minimum_rows else []
    moved = any(column.has_drifted for column in columns)
    status = "insufficient" if recent.rows < minimum_rows else "drifted" if moved else "stable"
    score = max((column.excess for column in columns), default=0.0)
    return Report(model, version, recent.rows, reference.rows, since, until, status, round(score, 4), columns)


def _compare_column(name: str, old: Sketch, new: Sketch, alpha: float) -> ColumnDrift:
    if isinstance(old, NumericSketch) and isinstance(new, NumericSketch):
        _, p_value = kolmogorov_smirnov(old.counts, new.counts)
        expected, actual = _coarse(old.counts, new.counts)
    else:
        expected, actual = _aligned(old, new)
        _, p_value = chi_square(expected, actual)
    stability = population_stability(expected, actual)
    excess = max(0.0, stability - (len(expected) - 1) * (1 / old.rows + 1 / new.rows))
    return ColumnDrift(
        name,
        round(stability, 4),
        round(excess, 4),
        round(jensen_shannon(expected, actual), 4),
        p_value,
        excess >= STABILITY_LIMIT and p_value < alpha,
    )


def _coarse(old: NDArray[np.int64], new: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both counts in ten bins that hold equal shares of the reference, as stability is customarily measured.

    What lies below or above everything that the reference has seen gets a bin of its own.
    """
    upto = np.cumsum(old)
    before = upto - old
    bins = 1 + before * _QUANTILE_BINS // old.sum()
    bins[upto == 0] = 0
    pair = [np.bincount(bins, weights=counts, minlength=_QUANTILE_BINS + 2) for counts in (old, new)]
    filled = (pair[0] + pair[1]) > 0
    return pair[0][filled], pair[1][filled]


def _aligned(old: Sketch, new: Sketch) -> tuple[NDArray[Any], NDArray[Any]]:
    """Counts of two category sketches over the names that either has seen."""
    assert isinstance(old, CategorySketch) and isinstance(new, CategorySketch)
    names: Sequence[str] = sorted(set(old.counts) | set(new.counts))
    return (
        np.array([old.counts.get(name, 0) for name in names]),
        np.array([new.counts.get(name, 0) for name in names]),
    )
