"""Streams whose concept changes, and the errors that a learner makes on them: river's generators, seeded.

Each stream is a concept, and another that takes over at CHANGE: at once, over GRADUAL_WIDTH rows by a sigmoid, or
never. The learner is a Gaussian naive Bayes that never forgets, so that only the concept makes its errors rise; it is
asked before it is told, in batches of BATCH, and the first WARM_UP errors, while it learns, are nobody's drift.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.environments import Unavailable

ROWS = 10_000
CHANGE = 5_000
WARM_UP = 1_000
GRADUAL_WIDTH = 1_000
BATCH = 25
Change = Literal["abrupt", "gradual", "none"]
CHANGES: tuple[Change, ...] = ("abrupt", "gradual", "none")


def generators() -> dict[str, Callable[[int], tuple[Any, Any]]]:
    """For each stream its concept and the one that follows, by seed; Unavailable without river."""
    try:
        from river.datasets import synth
    except ImportError as error:
        raise Unavailable("river is not installed: it comes with the `dev` extra (scripts/setup)") from error
    return {
        "SEA": lambda seed: (synth.SEA(2, noise=0.1, seed=seed), synth.SEA(3, noise=0.1, seed=seed + 1)),
        "Agrawal": lambda seed: (synth.Agrawal(0, seed=seed), synth.Agrawal(2, seed=seed + 1)),
        "Hyperplane": lambda seed: (synth.Hyperplane(seed=seed), synth.Hyperplane(seed=seed + 1)),
        "LED": lambda seed: (
            synth.LEDDrift(seed, noise_percentage=0.1, irrelevant_features=True),
            synth.LEDDrift(seed + 1, noise_percentage=0.1, irrelevant_features=True, n_drift_features=4),
        ),
    }


def errors(concepts: tuple[Any, Any], seed: int) -> dict[Change, NDArray[np.float64]]:
    """For each kind of change the learner's errors, 1 or 0, on the same ROWS rows less the first WARM_UP."""
    (before, labels), (after, new_labels) = (_rows(concept) for concept in concepts)
    drawn = np.random.default_rng(seed).random(ROWS)
    found = dict[Change, NDArray[np.float64]]()
    for change in CHANGES:
        is_new = drawn < _chance_of_new(change)
        rows = np.where(is_new[:, None], after, before)
        found[change] = _prequential(rows, np.where(is_new, new_labels, labels))[WARM_UP:]
    return found


def _rows(concept: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows = list(islice(iter(concept), ROWS))
    features = np.array([[float(value) for value in row.values()] for row, _ in rows])
    return features, np.array([int(label) for _, label in rows])


def _chance_of_new(change: Change) -> NDArray[np.float64]:
    at = np.arange(ROWS)
    if change == "none":
        return np.zeros(ROWS)
    if change == "abrupt":
        return (at >= CHANGE).astype(float)
    middle = CHANGE + GRADUAL_WIDTH / 2
    return np.where(at < CHANGE, 0.0, 1 / (1 + np.exp(-8 * (at - middle) / GRADUAL_WIDTH)))


def _prequential(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ask before telling: 1 for each wrong answer."""
    classes, width = int(labels.max()) + 1, rows.shape[1]
    counts, sums, squares = np.full(classes, 1e-3), np.zeros((classes, width)), np.zeros((classes, width))
    wrong = np.empty(len(rows))
    for start in range(0, len(rows), BATCH):
        part, truth = rows[start : start + BATCH], labels[start : start + BATCH]
        means = sums / counts[:, None]
        variances = np.maximum(squares / counts[:, None] - means * means, 1e-3)
        apart = (part[:, None, :] - means) ** 2 / variances + np.log(variances)
        wrong[start : start + BATCH] = (np.log(counts) - apart.sum(axis=2) / 2).argmax(axis=1) != truth
        told = np.eye(classes)[truth].T
        counts, sums, squares = counts + told.sum(axis=1), sums + told @ part, squares + told @ (part * part)
    return wrong
