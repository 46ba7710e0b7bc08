"""Error of a regression before any label has come (DLE, NannyML's method), from counts instead of rows.

A second model learns, on labelled rows, how large the loss is for which features. Here it is a sum of one step function
a feature: all that counts of single columns can evaluate exactly, since the mean of a sum needs no joint distribution.
What two features do to the loss only together is lost, and so is all concept drift: when the same inputs come to mean
other outputs, only labels can tell. Give the prediction as a feature too; it often says most.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import IncompatibleProfiles

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
GROUPS = 32
# Rows without any effect that are mixed into each step, so that a step of few rows cannot say much.
PRIOR_ROWS = 5.0
BAND = 3.0
_ROUNDS = 50
_TOLERANCE = 1e-7


@dataclass(frozen=True, slots=True)
class LossEstimate:
    """The mean loss to expect with its band; `uncovered` is the largest share of a feature's rows in unknown bins.

    An unknown bin is one that no labelled row was in. Nothing is known of the loss there: it counts as no effect.
    """

    value: float
    sampling_error: float
    low: float
    high: float
    uncovered: float


@dataclass(frozen=True, slots=True)
class LossModel:
    """`mean` loss and, for each feature and bin, how much more or less to expect; shape (bins,), NaN where unknown."""

    rows: int
    mean: float
    deviation: float
    effects: dict[str, Floats]

    @classmethod
    def fit(cls, features: Mapping[str, ArrayLike], losses: ArrayLike, bins: Mapping[str, int]) -> Self:
        """Learn from labelled rows: the bin of each feature and the loss, all of shape (rows,); `bins` counts the bins.

        Bins are joined to at most GROUPS of about equal numbers of rows; steps are fitted feature by feature until
        nothing moves (backfitting: Hastie, Tibshirani 1986).
        """
        target = np.asarray(losses, float)
        mean = float(target.mean())
        groups = {name: _groups(np.asarray(codes, np.int64), bins[name]) for name, codes in features.items()}
        codes = {name: groups[name][np.asarray(features[name], np.int64)] for name in features}
        steps = _backfit(codes, target - mean)
        effects = {name: np.append(steps[name], math.nan)[groups[name]] for name in steps}
        return cls(target.size, mean, float(target.std()), effects)

    def estimate(self, counts: Mapping[str, ArrayLike]) -> LossEstimate:
        """The mean loss of a window, given each feature's counts in the same bins; every feature must be there."""
        if set(counts) != set(self.effects):
            raise IncompatibleProfiles(f"features {sorted(counts)}: want {sorted(self.effects)}")
        value, rows, uncovered = self.mean, math.inf, 0.0
        for name, effect in self.effects.items():
            column = np.asarray(counts[name], float)
            if column.shape != effect.shape or not column.sum():
                raise IncompatibleProfiles(f"{name!r} has counts of shape {column.shape}: want some, {effect.shape}")
            is_known = np.isfinite(effect)
            value += float((column[is_known] * effect[is_known]).sum() / column.sum())
            uncovered = max(uncovered, float(column[~is_known].sum() / column.sum()))
            rows = min(rows, float(column.sum()))
        error = self.deviation / math.sqrt(rows)
        value = max(0.0, value)
        return LossEstimate(value, error, max(0.0, value - BAND * error), value + BAND * error, uncovered)

    def to_dict(self) -> dict[str, Any]:
        """The model as JSON holds it: each feature's steps by where they begin, None where unknown."""
        return {
            "rows": self.rows,
            "mean": self.mean,
            "deviation": self.deviation,
            "effects": {name: _runs(effect) for name, effect in self.effects.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The model that `to_dict` wrote."""
        effects = {
            name: np.repeat([math.nan if each is None else float(each) for each in runs["values"]], runs["lengths"])
            for name, runs in raw["effects"].items()
        }
        return cls(raw["rows"], raw["mean"], raw["deviation"], effects)


def _groups(codes: Codes, bins: int) -> Codes:
    """Which of at most GROUPS each bin belongs to, shape (bins,); -1 where there is no row."""
    counts = np.bincount(codes, minlength=bins)
    filled = np.flatnonzero(counts)
    middle = np.cumsum(counts[filled]) - counts[filled] / 2
    wanted = np.arange(filled.size) if filled.size <= GROUPS else (middle * GROUPS / codes.size).astype(np.int64)
    groups = np.full(bins, -1, np.int64)
    groups[filled] = np.unique(wanted, return_inverse=True)[1]
    return groups


def _backfit(codes: Mapping[str, Codes], target: Floats) -> dict[str, Floats]:
    """Each feature's steps, shape (groups,), that together leave least of `target`, shape (rows,)."""
    sizes = {name: np.bincount(column) for name, column in codes.items()}
    steps = {name: np.zeros(size.size) for name, size in sizes.items()}
    left, scale = target.copy(), float(np.abs(target).max(initial=0.0)) or 1.0
    for _ in range(_ROUNDS):
        moved = 0.0
        for name, column in codes.items():
            sums = np.bincount(column, weights=left) + steps[name] * sizes[name]
            found = sums / (sizes[name] + PRIOR_ROWS)
            found -= (found * sizes[name]).sum() / target.size
            left -= (found - steps[name])[column]
            moved = max(moved, float(np.abs(found - steps[name]).max()))
            steps[name] = found
        if moved <= _TOLERANCE * scale:
            break
    return steps


def _runs(effect: Floats) -> dict[str, list[Any]]:
    same = (effect[1:] == effect[:-1]) | (np.isnan(effect[1:]) & np.isnan(effect[:-1]))
    starts = np.concatenate(([0], np.flatnonzero(~same) + 1))
    lengths = np.diff(np.append(starts, effect.size))
    values = [None if math.isnan(each) else each for each in effect[starts].tolist()]
    return {"values": values, "lengths": lengths.tolist()}
