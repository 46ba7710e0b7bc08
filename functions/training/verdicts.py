"""How well rewards agree with what people chose: what a reward model's manifest and card hold, and the benchmark."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.calibration import calibration_error, log_loss
from pawl.pairset import PairRow

Floats = NDArray[np.float64]


def score_pairs(rows: Sequence[PairRow], apart: Floats, gaps: ArrayLike, temperature: float) -> dict[str, Any]:
    """Accuracy (whole and by slice), log loss, calibration error and what the rewards have in common with length.

    `apart` are rewards of chosen less rejected answers, `gaps` their logarithms of length, shape (pairs,) each. Equal
    rewards count as half right. A row of no weight says nothing and is left out; all others count alike.
    """
    kept = np.array([row.weight > 0 for row in rows])
    counted, told = apart[kept], np.asarray(gaps, float)[kept]
    right = rightness(counted)
    chances = preference_chances(counted, temperature)
    return {
        "rows": len(counted),
        "accuracy": _rounded(right.mean()),
        "log_loss": _rounded(log_loss(chances)),
        "expected_calibration_error": _rounded(calibration_error(np.maximum(chances, 1 - chances), right > 0.5)),
        "mean_margin": _rounded(counted.mean()),
        "length_correlation": _rounded(length_correlation(counted, told)),
        "slices": _slices([row for row, is_kept in zip(rows, kept, strict=True) if is_kept], right),
    }


def rightness(apart: ArrayLike) -> Floats:
    """1 where the chosen answer is rewarded more, 0 where less, and half where both alike; shape (pairs,).

    >>> rightness([2.0, -1.0, 0.0]).tolist()
    [1.0, 0.0, 0.5]
    """
    return (1 + np.sign(np.asarray(apart, float))) / 2


def preference_chances(apart: ArrayLike, temperature: float) -> Floats:
    """How likely the model held the choices that were made, shape (pairs,) (Bradley, Terry 1952).

    >>> preference_chances([0.0], 2.0).tolist()
    [0.5]
    """
    return 0.5 * (1 + np.tanh(np.asarray(apart, float) / temperature / 2))


def length_correlation(apart: ArrayLike, gaps: ArrayLike) -> float:
    """The correlation of rewards with the logarithm of lengths within pairs, through the origin; 0 without any spread.

    >>> length_correlation([1.0, -2.0], [0.5, -1.0])
    1.0
    """
    rewards, lengths = np.asarray(apart, float), np.asarray(gaps, float)
    spread = float(np.sqrt((rewards @ rewards) * (lengths @ lengths)))
    return float(rewards @ lengths) / spread if spread > 0 else 0.0


def length_sign(gaps: Sequence[float]) -> int:
    """What length alone would say, learned from pairs: 1 when the longer answers are chosen more often, else -1.

    >>> length_sign([0.2, -0.5, -0.1])
    -1
    """
    return 1 if float(np.sign(gaps).sum()) >= 0 else -1


def _slices(rows: Sequence[PairRow], right: Floats) -> dict[str, dict[str, dict[str, Any]]]:
    groups: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row, was_right in zip(rows, right.tolist(), strict=True):
        for attribute, value in row.slices.items():
            groups[attribute][value].append(was_right)
    return {
        attribute: {
            value: {"rows": len(hits), "accuracy": _rounded(float(np.mean(hits)))}
            for value, hits in sorted(values.items())
        }
        for attribute, values in sorted(groups.items())
    }


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
