"""Quality of a classifier before any label has come, from its own confidences (CBPE, NannyML's method).

A prediction of confidence 0.8, if confidences are calibrated, is right with probability 0.8; so the mean calibrated
confidence is the accuracy to expect, and the same holds for precision, recall, F1 and ROC AUC. It needs no rows: counts
of confidences by predicted label are enough, of labelled predictions to calibrate by and of a window to judge.

It sees what a shift of the inputs does. It is blind to concept drift: when the same input begins to mean another label,
the calibration is no longer true, and only labels can tell.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.calibration import Labelled, positives_by_score, right_rates, rows_by_score
from pawl.errors import IncompatibleProfiles

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
# Half the width of a band, in sampling errors; NannyML's.
BAND = 3.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure between 0 and 1, the standard error that a window of this size has, and the band of three of them."""

    value: float
    sampling_error: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, sampling_error: float) -> Self:
        """The figure with its band, clipped to what is possible."""
        low, high = value - BAND * sampling_error, value + BAND * sampling_error
        return cls(value, sampling_error, max(0.0, low), min(1.0, high))

    def is_below(self, reference: float) -> bool:
        """Whether the whole band lies below `reference`."""
        return self.high < reference


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """One label's figures; None where no row was predicted to have it, or none is expected to."""

    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True, slots=True)
class Quality:
    """A window's figures; `roc_auc` is that of the second of two labels, and None where there are more."""

    rows: int
    accuracy: Estimate
    labels: dict[str, LabelQuality]
    roc_auc: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON holds them."""
        return asdict(self)


def measured_quality(labelled: Labelled) -> Quality:
    """What the labels say; the bands are those of samples of this size."""
    positives = positives_by_score(labelled.seen, labelled.right) if len(labelled.names) == 2 else None
    return _quality(labelled, labelled.confusion.astype(float), positives, rows_by_score(labelled.seen))


def estimated_quality(labelled: Labelled, seen: ArrayLike) -> Quality:
    """What to expect of a window without labels: `seen` are its counts, shape (labels, bins), in the same bins.

    Which label a wrong prediction should have had is told, beyond two labels, by the labelled rows' confusions.
    """
    recent = np.asarray(seen, float)
    if recent.shape != labelled.seen.shape or not recent.sum() or not labelled.seen.sum():
        raise IncompatibleProfiles(f"{recent.shape} confidences: want some, and {labelled.seen.shape} labelled ones")
    right = recent * right_rates(labelled)
    hits = right.sum(axis=1)
    joint = _spread(labelled.confusion) * (recent.sum(axis=1) - hits)[:, None] + np.diag(hits)
    positives = positives_by_score(recent, right) if len(labelled.names) == 2 else None
    return _quality(labelled, joint, positives, rows_by_score(recent))


def ranking_quality(positives: ArrayLike, negatives: ArrayLike) -> float:
    """ROC AUC of counts by ascending score, shape (bins,), a tie counting half (Mann, Whitney 1947).

    >>> ranking_quality([0, 1, 1], [1, 1, 0])
    0.875
    """
    up, down = np.asarray(positives, float), np.asarray(negatives, float)
    below = np.cumsum(down) - down / 2
    return float((up * below).sum() / (up.sum() * down.sum()))


def _quality(labelled: Labelled, joint: Floats, positives: Floats | None, scores: Floats) -> Quality:
    """Figures of a table of (predicted, true) rows, expected or counted."""
    rows = float(joint.sum())
    hits, predicted, true = np.diag(joint), joint.sum(axis=1), joint.sum(axis=0)
    reference = labelled.confusion.astype(float)
    accuracy = float(np.trace(reference) / reference.sum())
    qualities = {
        name: LabelQuality(
            _ratio(hits[at], predicted[at], _precision_error(reference, at, rows)),
            _ratio(hits[at], true[at], _precision_error(reference.T, at, rows)),
            _ratio(2 * hits[at], predicted[at] + true[at], _f1_error(reference, at, rows)),
        )
        for at, name in enumerate(labelled.names)
    }
    return Quality(
        round(rows),
        Estimate.of(float(hits.sum() / rows), math.sqrt(accuracy * (1 - accuracy) / rows)),
        qualities,
        None if positives is None else _area(labelled, positives, scores, rows),
    )


def _area(labelled: Labelled, positives: Floats, scores: Floats, rows: float) -> Estimate | None:
    if not 0 < positives.sum() < scores.sum():
        return None
    known = positives_by_score(labelled.seen, labelled.right)
    error = _area_error(known, rows_by_score(labelled.seen) - known, rows)
    return Estimate.of(ranking_quality(positives, scores - positives), error)


def _ratio(part: float, whole: float, error: float) -> Estimate | None:
    return Estimate.of(float(part / whole), error) if whole > 0 else None


def _precision_error(reference: Floats, at: int, rows: float) -> float:
    """NannyML's: the deviation of being right among those predicted so, over the root of how many there will be."""
    predicted = reference[at].sum()
    if not predicted:
        return 1.0
    precision = reference[at, at] / predicted
    return math.sqrt(precision * (1 - precision) / (rows * predicted / reference.sum()))


def _f1_error(reference: Floats, at: int, rows: float) -> float:
    """NannyML's: hits count `scale`, misses and false alarms nothing, so that their mean is F1."""
    hits = reference[at, at]
    relevant = reference[at].sum() + reference[:, at].sum() - hits
    if not relevant:
        return 1.0
    share, scale = hits / relevant, relevant / ((relevant - hits) / 2 + hits)
    return float(scale * math.sqrt(share * (1 - share) / (rows * relevant / reference.sum())))


def _area_error(positives: Floats, negatives: Floats, rows: float) -> float:
    """NannyML's: the deviation of the rarer label's placements, over the root of how many of it there will be."""
    if positives.sum() > negatives.sum():
        positives, negatives = negatives[::-1], positives[::-1]
    if not positives.sum():
        return 1.0
    placements = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    shares = positives / positives.sum()
    variance = float((shares * np.square(placements - (shares * placements).sum())).sum())
    return math.sqrt(variance / (rows * float(positives.sum() / (positives.sum() + negatives.sum()))))


def _spread(confusion: Counts) -> Floats:
    """What wrong predictions of each label should have been, rows summing to 1; if none was wrong, any true label."""
    wrong = confusion - np.diag(np.diag(confusion))
    wrong = wrong + 1e-9 * (confusion.sum(axis=0) + 1e-9)
    np.fill_diagonal(wrong, 0.0)
    return wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1e-300)
