"""Confidence made honest: one temperature for all logits (Guo, Pleiss, Sun, Weinberger 2017).

Dividing logits by a temperature changes no label, only how sure the model says it is.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLDEST, HOTTEST = 0.2, 10.0


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature that makes the true labels most likely: logits (rows, labels), label indices (rows,).

    The loss has one minimum in the inverse temperature, so a golden-section search finds it. Rows that are all right
    (or all wrong) ask for certainty (or none) and get COLDEST (or HOTTEST) at the most.
    """
    ratio = (math.sqrt(5) - 1) / 2
    low, high = 1 / HOTTEST, 1 / COLDEST
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(logits * left, labels) < _loss(logits * right, labels):
            high = right
        else:
            low = left
    return 2 / (low + high)


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits, (rows, labels) both."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _loss(logits: Floats, labels: NDArray[np.int64]) -> float:
    likely = softmax(logits)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(likely, 1e-300)).mean())
