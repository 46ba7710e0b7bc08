"""Compares recent traffic with a reference, column by column and together: how far it moved, and whether by chance.

A column has drifted when the shift is both large (a distance beyond its limit, less what two samples of these sizes
show by chance) and unlikely to be chance (Kolmogorov-Smirnov or chi-square, corrected for the number of columns), so
neither a million rows nor eight of them alarm on nothing. The work grows with columns, not with rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from drift.pairing import Pair, coarse, pair_of
from drift.policy import DEFAULT, DriftPolicy
from drift.together import Change, Tie, changes
from pawl import chance, stats
from pawl.profile import Profile
from pawl.testing import holm

Role = Literal["data", "prediction"]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column's comparison, or that of several together: distances, the test's p-value, and the verdict.

    `distance` is the normalized Wasserstein distance of numbers and the Jensen-Shannon distance of categories; of
    columns together, which have a `tie` and neither stability nor variation, a change of correlation, or for an
    embedding the root of the Frechet distance a direction; these have their mean `discrepancy` too.
    `effect` is the larger of it and the stability index, each less what chance shows and in units of its limit: 1 is
    at the limit. `adjusted` is the p-value corrected for the number of columns. `seasonal_effect` is that against the
    same hours of earlier weeks, where there are any: a column that looks as it did then has not drifted.
    """

    column: str
    role: Role
    measure: Literal["wasserstein", "jensen_shannon", "correlation", "frechet"]
    distance: float
    stability: float
    total_variation: float
    effect: float
    p_value: float
    adjusted: float = 1.0
    has_drifted: bool = False
    seasonal_effect: float | None = None
    tie: Tie | None = None
    discrepancy: float | None = None

    @property
    def score(self) -> float:
        """The effect; just below 1 where it is beyond the limit but may be chance."""
        return self.effect if self.has_drifted else min(self.effect, 0.99)


def compare(reference: Profile, recent: Profile, policy: DriftPolicy = DEFAULT) -> list[ColumnDrift]:
    """Every column of two profiles, and what they tell of columns together; empty and ignored ones are left out."""
    return compare_pairs(pairs(reference, recent, policy), reference, recent, policy)


def compare_pairs(
    judged: Sequence[tuple[str, Pair]], reference: Profile, recent: Profile, policy: DriftPolicy
) -> list[ColumnDrift]:
    """Columns that are paired already, compared, and columns together after them; p-values corrected for all."""
    measured = [measure(name, pair, role_of(name, reference.columns, policy), policy) for name, pair in judged]
    measured += [_jointly(change) for change in changes(reference, recent, policy)]
    adjusted = holm([column.p_value for column in measured])
    return [
        replace(column, adjusted=p, has_drifted=column.effect >= 1 and p < policy.alpha)
        for column, p in zip(measured, adjusted, strict=True)
    ]


def pairs(reference: Profile, recent: Profile, policy: DriftPolicy) -> list[tuple[str, Pair]]:
    """The columns to be judged that both profiles have values of."""
    found = [
        (name, sketch, recent.columns[name])
        for name, sketch in reference.columns.items()
        if name in recent.columns and name not in policy.ignored_columns
    ]
    return [(name, pair_of(old, new)) for name, old, new in found if old.rows and new.rows]


def measure(name: str, pair: Pair, role: Role, policy: DriftPolicy) -> ColumnDrift:
    """One column's distances and p-value, not yet corrected for the others."""
    few = coarse(pair)
    stability = stats.population_stability(few.old, few.new)
    beyond = (stability - chance.population_stability(few.old, few.new)) / policy.stability_limit
    if pair.positions is not None:
        arguments = (pair.old, pair.new, pair.positions, pair.deviation)
        apart = stats.gap(pair.old, pair.new)
        distance = stats.normalized_wasserstein(*arguments, apart)
        effect = (distance - chance.normalized_wasserstein(*arguments)) / policy.wasserstein_limit
        _, p_value = stats.kolmogorov_smirnov(pair.old, pair.new, apart)
    else:
        old, new = stats.well_filled(pair.old, pair.new)  # rare categories alarm on nothing
        distance = stats.jensen_shannon(old, new)
        effect = (distance - chance.jensen_shannon(old, new)) / policy.jensen_shannon_limit
        _, p_value = stats.chi_square(old, new)
    return ColumnDrift(
        name,
        role,
        "wasserstein" if pair.is_numeric else "jensen_shannon",
        round(distance, 4),
        round(stability, 4),
        round(stats.total_variation(few.old, few.new), 4),
        round(max(0.0, effect, beyond), 4),
        p_value,
    )


def role_of(name: str, columns: Iterable[str], policy: DriftPolicy) -> Role:
    """Whether a column describes the question or the answer; a generator's `tokens` are those of its answer."""
    is_answer = name in policy.prediction_columns or (name == "tokens" and "prompt_tokens" in columns)
    return "prediction" if is_answer else "data"


def effects(reference: Profile, recent: Profile, policy: DriftPolicy) -> dict[str, float]:
    """The effect of every column, and of columns together, for a stretch of the window."""
    together = {
        change.name: change.effect if change.p_value < policy.alpha else min(change.effect, 0.99)
        for change in changes(reference, recent, policy)  # the surest of many pairs, so rarely far from the limit
    }
    return {name: _effect(name, pair, policy) for name, pair in pairs(reference, recent, policy)} | together


def _jointly(change: Change) -> ColumnDrift:
    return ColumnDrift(
        change.name,
        "data",
        change.measure,
        change.distance,
        stability=0.0,
        total_variation=0.0,
        effect=change.effect,
        p_value=change.p_value,
        tie=change.tie,
        discrepancy=change.discrepancy,
    )


def _effect(name: str, pair: Pair, policy: DriftPolicy) -> float:
    return measure(name, pair, "data", policy).effect
