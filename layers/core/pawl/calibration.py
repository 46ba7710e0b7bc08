"""What labelled predictions teach: how often one of this label and this confidence is right.

Only counts are kept, by predicted label and bin of confidence, so labels that come late are added whenever they come,
and no order and no partition changes the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import IncompatibleProfiles

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
CONFIDENCE_BINS = 1000
# How many rows of all labels together are mixed into the calibration of each, so that a rare label borrows theirs.
BORROWED_ROWS = 20.0
ERROR_BINS = 15
_LEAST_LIKELY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Counts of predictions whose label is known; they add up, whenever and wherever the labels come in.

    `seen` and `right` have shape (labels, bins): predictions by predicted label and equal bins of confidence over
    [0, 1], and how many were right. `confusion` has shape (labels, labels): predicted, true.
    """

    names: tuple[str, ...]
    seen: Counts
    right: Counts
    confusion: Counts

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        predicted: ArrayLike,
        confidences: ArrayLike,
        true: ArrayLike,
        bins: int = CONFIDENCE_BINS,
    ) -> Self:
        """Counts of rows: `predicted` and `true` are indices into `names`; all three of shape (rows,)."""
        guess, truth = np.asarray(predicted, np.int64), np.asarray(true, np.int64)
        was_right = guess == truth
        confusion = np.bincount(guess * len(names) + truth, minlength=len(names) ** 2)
        return cls(
            tuple(names),
            confidence_counts(len(names), guess, confidences, bins),
            confidence_counts(len(names), guess[was_right], np.asarray(confidences, float)[was_right], bins),
            confusion.reshape(len(names), -1),
        )

    def merged(self, other: "Labelled") -> "Labelled":
        """Both together; IncompatibleProfiles when the labels or bins differ."""
        if self.names != other.names or self.seen.shape != other.seen.shape:
            raise IncompatibleProfiles(f"labels {other.names}, {other.seen.shape[1]} bins: want {self.names}")
        return Labelled(self.names, self.seen + other.seen, self.right + other.right, self.confusion + other.confusion)

    def over(self, names: Sequence[str]) -> "Labelled":
        """The same counts among these labels, which are ours and maybe more."""
        places = [names.index(name) for name in self.names]
        shape = (len(names), self.seen.shape[1])
        seen, right = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        confusion = np.zeros((len(names), len(names)), np.int64)
        seen[places], right[places], confusion[np.ix_(places, places)] = self.seen, self.right, self.confusion
        return Labelled(tuple(names), seen, right, confusion)

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON holds them: only what is not zero."""
        filled = np.flatnonzero(self.seen)
        return {
            "labels": list(self.names),
            "bins": int(self.seen.shape[1]),
            "filled": filled.tolist(),
            "seen": self.seen.ravel()[filled].tolist(),
            "right": self.right.ravel()[filled].tolist(),
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The counts that `to_dict` wrote."""
        shape = (len(raw["labels"]), raw["bins"])
        seen, right = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        seen.ravel()[raw["filled"]], right.ravel()[raw["filled"]] = raw["seen"], raw["right"]
        return cls(tuple(raw["labels"]), seen, right, np.array(raw["confusion"], np.int64).reshape(shape[0], shape[0]))


def confidence_counts(labels: int, predicted: ArrayLike, confidences: ArrayLike, bins: int = CONFIDENCE_BINS) -> Counts:
    """Rows counted by predicted label and confidence, shape (labels, bins)."""
    at = np.clip((np.asarray(confidences, float) * bins).astype(np.int64), 0, bins - 1)
    return np.bincount(np.asarray(predicted, np.int64) * bins + at, minlength=labels * bins).reshape(labels, bins)


def right_rates(labelled: Labelled) -> Floats:
    """How often a prediction of each label at each confidence is right, shape (labels, bins); isotonic.

    Two labels share one curve, over the probability of the second.
    """
    seen, right = labelled.seen.astype(float), labelled.right.astype(float)
    if len(labelled.names) == 2:
        curve = isotonic(positives_by_score(seen, right), rows_by_score(seen))
        return np.stack([1 - curve[::-1], curve])
    borrowed = BORROWED_ROWS / seen.sum()
    seen, right = seen + borrowed * seen.sum(axis=0), right + borrowed * right.sum(axis=0)
    return np.stack([isotonic(hits, rows) for hits, rows in zip(right, seen, strict=True)])


def isotonic(hits: ArrayLike, rows: ArrayLike) -> Floats:
    """The rising curve of rates closest to `hits / rows`, both of shape (bins,), by pooling (Ayer et al. 1955).

    Bins without rows lie on a straight line between their neighbours, and level beyond the ends.

    >>> isotonic([1, 3, 1, 0], [4, 4, 4, 0]).tolist()
    [0.25, 0.5, 0.5, 0.5]
    """
    parts, wholes = np.asarray(hits, float), np.asarray(rows, float)
    filled = np.flatnonzero(wholes)
    pools: list[tuple[float, float, int]] = []
    for part, whole in zip(parts[filled].tolist(), wholes[filled].tolist(), strict=True):
        pool = (part, whole, 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            part, whole, bins = pools.pop()
            pool = (pool[0] + part, pool[1] + whole, pool[2] + bins)
        pools.append(pool)
    rates = np.repeat([part / whole for part, whole, _ in pools], [bins for _, _, bins in pools])
    return np.interp(np.arange(wholes.size), filled, rates)


def log_loss(likelihoods: ArrayLike) -> float:
    """Mean surprise in nats at the true labels, of the probabilities that they were given, shape (rows,).

    It is lowest in the mean for who says what he believes (a proper score). Clipped at float32's epsilon, as
    scikit-learn does, so that one answer held impossible does not decide alone.

    >>> round(log_loss([0.5, 0.25]), 4)
    1.0397
    """
    return float(-np.log(np.maximum(np.asarray(likelihoods, float), _LEAST_LIKELY)).mean())


def calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = ERROR_BINS) -> float:
    """Expected calibration error over equal bins (Guo et al. 2017): how far confidence lies from accuracy, by rows.

    >>> round(calibration_error([0.95, 0.95, 0.55, 0.55], [True, True, True, False]), 4)
    0.05
    """
    told, was_right = np.asarray(confidences, float), np.asarray(right, bool)
    at = np.minimum((told * bins).astype(int), bins - 1)
    apart = np.bincount(at, told - was_right, minlength=bins)
    return float(np.abs(apart).sum() / told.size)


def rows_by_score(seen: ArrayLike) -> Floats:
    """Rows by the probability of the second of two labels, which is 1 - confidence where the first was predicted."""
    counts = np.asarray(seen, float)
    return counts[1] + counts[0, ::-1] if len(counts) == 2 else counts.sum(axis=0)


def positives_by_score(seen: ArrayLike, right: ArrayLike) -> Floats:
    """Rows that have the second label, by the probability of it."""
    rows, hits = np.asarray(seen, float), np.asarray(right, float)
    return hits[1] + (rows[0] - hits[0])[::-1]
