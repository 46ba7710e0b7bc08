"""How good a model's answers are, and how fast they come: what the manifest's metrics and the model card hold.

The int8 model answers one row at a time, as it does in production (see `pawl.classifier.run_rows`).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.calibration import calibration_error, log_loss
from pawl.classifier import TextClassifier
from pawl.dataset import Row
from pawl.fairness import (
    Confusion,
    accuracy_difference,
    demographic_parity_difference,
    equalized_odds_difference,
)
from pawl.model import Features
from pawl.perturbation import RULES, perturbed

Floats = NDArray[np.float64]
LEAST_GROUP, LEAST_ROWS_A_RATE = 20, 5
"""Rows of a group to compare, and rows of a label within one to compare its rates."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Median milliseconds of one row of `tokens` tokens on one thread, measured in turns."""

    tokens: int
    float_ms: float
    int8_ms: float


def score(rows: Sequence[Row], labels: Sequence[str], probabilities: Floats) -> dict[str, Any]:
    """Accuracy (whole and by slice), macro F1, log loss and calibration error of `probabilities` (rows, labels)."""
    truth = np.array([labels.index(row.label) for row in rows])
    guess = probabilities.argmax(axis=1)
    right = guess == truth
    return {
        "rows": len(rows),
        "accuracy": _rounded(right.mean()),
        "macro_f1": _rounded(macro_f1(truth, guess)),
        "log_loss": _rounded(log_loss(probabilities[np.arange(len(truth)), truth])),
        "expected_calibration_error": _rounded(calibration_error(probabilities.max(axis=1), right)),
        "slices": _slices(rows, right),
        "labels": _labels(labels, truth, guess),
        "fairness": fairness(rows, labels, truth, guess),
        "reliability": reliability(probabilities.max(axis=1), right),
    }


def fairness(
    rows: Sequence[Row], labels: Sequence[str], truth: NDArray[np.int64], guess: NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """The gaps between the groups of each attribute, of groups with LEAST_GROUP rows; None where too few rows tell."""
    found: dict[str, dict[str, Any]] = {}
    for attribute in sorted({name for row in rows for name in row.slices}):
        values = [row.slices.get(attribute, "") for row in rows]
        names = sorted(name for name in set(values) - {""} if values.count(name) >= LEAST_GROUP)
        if len(names) < 2:
            continue
        chosen = np.flatnonzero([value in names for value in values])
        groups = np.array([names.index(values[place]) for place in chosen])
        confusion = Confusion.of(groups, truth[chosen], guess[chosen], len(labels))
        known = confusion.without(confusion.thin(LEAST_ROWS_A_RATE))
        found[attribute] = {
            "groups": names,
            "accuracy_difference": _known(accuracy_difference(groups, truth[chosen] == guess[chosen])),
            "demographic_parity_difference": _known(demographic_parity_difference(known)),
            "equalized_odds_difference": _known(equalized_odds_difference(known)),
        }
    return found


def reliability(confidences: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[list[float]]:
    """Of each tenth of confidence that has rows: how many, their mean confidence, and how often they are right.

    >>> reliability(np.array([0.95, 0.95, 0.55]), np.array([True, False, True]))
    [[1, 0.55, 1.0], [2, 0.95, 0.5]]
    """
    at = np.minimum((confidences * bins).astype(int), bins - 1)
    return [
        [int(np.sum(at == place)), _rounded(confidences[at == place].mean()), _rounded(right[at == place].mean())]
        for place in np.unique(at)
    ]


def robustness(model: TextClassifier, rows: Sequence[Row], seed: int, at_most: int = 100) -> dict[str, dict[str, Any]]:
    """Accuracy of the served model on the first rows as they are and changed, by the rule that changed them."""
    chosen = rows[:at_most]
    before = dict(zip((row.text for row in chosen), _answered_rightly(model, chosen), strict=True))
    found: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        changed = [(row, perturbed(row.text, rule, seed)) for row in chosen]
        pairs = [(row, Row(text, row.label)) for row, text in changed if text != row.text]
        if pairs:
            after = _answered_rightly(model, [row for _, row in pairs])
            clean = [before[row.text] for row, _ in pairs]
            found[rule] = {
                "rows": len(pairs),
                "before": _rounded(float(np.mean(clean))),
                "accuracy": _rounded(float(np.mean(after))),
            }
    return found


def macro_f1(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """The mean over the true labels of F1 = 2 TP / (2 TP + FP + FN).

    >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])), 4)
    0.7333
    """
    scores: list[float] = []
    for label in np.unique(truth):
        hits = np.sum((truth == label) & (guess == label))
        scores.append(float(2 * hits / (np.sum(truth == label) + np.sum(guess == label))))
    return float(np.mean(scores))


def served_answers(model: TextClassifier, rows: Sequence[Row]) -> tuple[Floats, dict[str, list[Any]]]:
    """The served model's probabilities (rows, labels) and profile features, one row at a time."""
    answers = [model.predict({"text": [row.text]}) for row in rows]
    counted: list[Features] = [answer.features() for answer in answers]
    features = {name: [each[name][0] for each in counted] for name in counted[0]}
    return np.array([answer.outputs["probabilities"][0] for answer in answers], np.float64), features


def compare_latency(
    tokens: int, run_float: Callable[[], object], run_int8: Callable[[], object], turns: int = 5, runs: int = 10
) -> Latency:
    """The median time of each run, ten at a time in turns: a busy neighbour slows both, and caches stay warm."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for run, times in zip((run_float, run_int8), took, strict=True):
            run()
            times.extend(_milliseconds(run) for _ in range(runs))
    return Latency(tokens, round(median(took[0]), 3), round(median(took[1]), 3))


def _milliseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


def _answered_rightly(model: TextClassifier, rows: Sequence[Row]) -> list[bool]:
    told, _ = served_answers(model, rows)
    labels = model.manifest.labels
    return [labels[int(best)] == row.label for best, row in zip(told.argmax(axis=1), rows, strict=True)]


def _labels(labels: Sequence[str], truth: NDArray[np.int64], guess: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Rows, precision and recall of each label that has rows; precision is None where it was never given."""
    found: dict[str, dict[str, Any]] = {}
    for code in np.unique(truth).tolist():
        hits, given = int(np.sum((truth == code) & (guess == code))), int(np.sum(guess == code))
        rows = int(np.sum(truth == code))
        found[str(labels[code])] = {
            "rows": rows,
            "precision": _rounded(hits / given) if given else None,
            "recall": _rounded(hits / rows),
        }
    return found


def _slices(rows: Sequence[Row], right: NDArray[np.bool_]) -> dict[str, dict[str, dict[str, Any]]]:
    groups: defaultdict[str, defaultdict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row, is_right in zip(rows, right.tolist(), strict=True):
        for attribute, value in row.slices.items():
            groups[attribute][value].append(is_right)
    return {
        attribute: {
            value: {"rows": len(hits), "accuracy": _rounded(float(np.mean(hits)))}
            for value, hits in sorted(values.items())
        }
        for attribute, values in sorted(groups.items())
    }


def _known(value: Floats) -> float | None:
    return None if np.isnan(value) else _rounded(float(value))


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
