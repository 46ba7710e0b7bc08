"""Accuracy before any label has come: what the confidences of a window promise (CBPE), against the reference's.

It sees what a shift of the inputs does; a changed meaning of the same inputs only labels can show, see `labels`.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift.pairing import Pair
from drift.policy import DriftPolicy
from pawl.calibration import Labelled, isotonic
from pawl.estimation import Estimate

CONFIDENCE = "confidence"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """The accuracy to expect of recent answers, with a band of three standard errors, and of the reference's.

    `is_calibrated` says that confidences were corrected by labelled rows, and not taken at their word.
    """

    accuracy: float
    low: float
    high: float
    reference: float
    is_calibrated: bool
    has_fallen: bool

    def to_dict(self) -> dict[str, Any]:
        """The estimate as JSON holds it."""
        return asdict(self)


def estimate_accuracy(pair: Pair | None, known: Labelled | None, policy: DriftPolicy) -> AccuracyEstimate | None:
    """By the confidences of both; None without any. `known` are labelled predictions, whatever their label."""
    if pair is None or pair.positions is None:
        return None
    rates = _rates(pair.positions, known)
    before, now = (float((counts * rates).sum() / counts.sum()) for counts in (pair.old, pair.new))
    error = math.sqrt(before * (1 - before) * (1 / pair.new_rows + 1 / pair.old_rows))
    estimate = Estimate.of(now, error)
    has_fallen = estimate.is_below(before) and before - now >= policy.accuracy_drop
    figures = (round(each, 4) for each in (now, estimate.low, estimate.high, before))
    return AccuracyEstimate(*figures, is_calibrated=known is not None, has_fallen=has_fallen)


def _rates(positions: Floats, known: Labelled | None) -> Floats:
    """How often an answer of each bin's confidence is right."""
    told = np.clip(positions, 0.0, 1.0)
    if known is None or not known.seen.sum():
        return told
    curve = isotonic(known.right.sum(axis=0), known.seen.sum(axis=0))
    middles = (np.arange(curve.size) + 0.5) / curve.size
    return np.interp(told, middles, curve)
