"""Two sketches of one column over the same bins: the only place of this package that knows what a sketch looks like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.alignment import align
from pawl.profile import FloatSketch, NumericSketch, Sketch
from pawl.stats import running

Floats = NDArray[np.float64]
_QUANTILE_BINS = 10
_WIDEST = 1e150


@dataclass(frozen=True, slots=True)
class Pair:
    """Counts of a reference and of recent data, both of shape (bins,).

    A number's bins have `positions`, ascending, a `span` that the reference knows, and its standard deviation; a
    category's have `names`.
    """

    old: Floats
    new: Floats
    old_missing: int
    new_missing: int
    positions: Floats | None = None
    span: tuple[float, float] = (-math.inf, math.inf)
    deviation: float | None = None
    names: Sequence[str] = ()

    @property
    def is_numeric(self) -> bool:
        """Whether the bins lie on a line."""
        return self.positions is not None

    @property
    def old_rows(self) -> int:
        """Values of the reference, missing ones aside."""
        return int(self.old.sum())

    @property
    def new_rows(self) -> int:
        """Recent values, missing ones aside."""
        return int(self.new.sum())


@dataclass(frozen=True, slots=True)
class Coarse:
    """The same in few bins, none of them empty on both sides; `bins[i]` is the fine bin i's place among them."""

    old: Floats
    new: Floats
    bins: NDArray[np.int64]


def pair_of(old: Sketch, new: Sketch) -> Pair:
    """Both sketches over bins, or names, that both know; IncompatibleProfiles when one is of numbers, one of names.

    Positions are kept within 1e150, so that no distance between two of them overflows.
    """
    aligned = align(old, new)
    counts = (aligned.old.astype(float), aligned.new.astype(float), old.missing, new.missing)
    if aligned.positions is None or not isinstance(old, NumericSketch | FloatSketch):
        return Pair(*counts, names=aligned.names)
    low, high = (old.low, old.high) if isinstance(old, NumericSketch) else (old.minimum, old.maximum)
    span = (-math.inf if low is None else low, math.inf if high is None else high)
    deviation = math.sqrt(min(old.variance(), _WIDEST))
    return Pair(*counts, np.clip(aligned.positions, -_WIDEST, _WIDEST), span, deviation)


def coarse(pair: Pair) -> Coarse:
    """A number in ten bins that hold equal shares of the reference, as stability is customarily measured.

    What lies below or above everything that the reference has seen gets a bin of its own. A category stays as it is.
    """
    if not pair.is_numeric:
        return Coarse(pair.old, pair.new, np.arange(pair.old.size))
    upto = running(pair.old)
    # A bin's place is told by the rows before it; both ascend, so that a few look-ups do what a division a bin would.
    edges = max(1.0, float(upto[-1])) * np.arange(1, _QUANTILE_BINS + 1)
    cuts = np.searchsorted((upto - pair.old) * _QUANTILE_BINS, edges)
    ends = np.concatenate(([np.searchsorted(upto, 0, side="right")], cuts, [upto.size]))
    starts = np.concatenate(([0], ends[:-1]))
    some = np.flatnonzero(ends > starts)
    old, new = (np.add.reduceat(counts, starts[some]) for counts in (pair.old, pair.new))
    filled = old + new > 0
    places = np.cumsum(filled) - 1
    return Coarse(old[filled], new[filled], np.repeat(places, (ends - starts)[some]))
