"""Measuring and calibrating, on cases small enough to work out by hand."""

import doctest

import numpy as np
import pytest

from pawl.calibration import calibration_error
from pawl.dataset import Row
from training import evaluate
from training.calibration import COLDEST, HOTTEST, fit_temperature, softmax
from training.evaluate import compare_latency, score

ROWS = [
    Row("one", "a", {"channel": "chat"}),
    Row("two", "a", {"channel": "email"}),
    Row("three", "b", {"channel": "chat"}),
    Row("four", "b", {"channel": "email"}),
]


def test_scores_are_exact_on_a_case_made_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.35, 0.65], [0.25, 0.75], [0.15, 0.85]])

    assert score(ROWS, ["a", "b"], probabilities) == {
        "rows": 4,
        "accuracy": 0.75,
        "macro_f1": 0.7333,
        "log_loss": 0.3878,
        "expected_calibration_error": 0.275,
        "slices": {"channel": {"chat": {"rows": 2, "accuracy": 1.0}, "email": {"rows": 2, "accuracy": 0.5}}},
        "labels": {
            "a": {"rows": 2, "precision": 1.0, "recall": 0.5},
            "b": {"rows": 2, "precision": 0.6667, "recall": 1.0},
        },
        "fairness": {},
        "reliability": [[1, 0.65, 0.0], [1, 0.75, 1.0], [1, 0.85, 1.0], [1, 0.95, 1.0]],
    }


def test_gaps_between_groups_of_some_size_are_scored() -> None:
    rows = [Row(f"{n}", "ab"[n % 2], {"group": "xy"[n // 2 % 2]}) for n in range(80)]
    told = np.array([[0.9, 0.1] if row.label == "a" or int(row.text) in (3, 7, 11) else [0.1, 0.9] for row in rows])

    assert score(rows, ["a", "b"], told)["fairness"] == {
        "group": {
            "groups": ["x", "y"],
            "accuracy_difference": 0.075,
            "demographic_parity_difference": 0.075,
            "equalized_odds_difference": 0.15,
        }
    }


def test_a_label_that_was_never_given_has_no_precision() -> None:
    measured = score(ROWS, ["a", "b"], np.array([[0.9, 0.1]] * 4))

    assert measured["labels"]["b"] == {"rows": 2, "precision": None, "recall": 0.0}


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(evaluate, raise_on_error=False).failed == 0


def test_calibration_brings_an_overconfident_model_down_to_its_accuracy() -> None:
    random = np.random.default_rng(5)
    honest = random.normal(size=(4000, 4))
    labels = np.array([random.choice(4, p=row) for row in softmax(honest)])
    overconfident = honest * 3

    temperature = fit_temperature(overconfident, labels)

    assert temperature == pytest.approx(3, rel=0.05)
    assert _error(overconfident, labels) > 0.2
    assert _error(overconfident / temperature, labels) < 0.03


def test_a_model_that_is_always_right_gets_no_colder_than_the_limit() -> None:
    assert fit_temperature(np.eye(3) * 2, np.arange(3)) == pytest.approx(COLDEST, rel=1e-3)


def test_a_model_that_is_always_wrong_gets_no_hotter_than_the_limit() -> None:
    assert fit_temperature(np.eye(3) * 2, np.array([1, 2, 0])) == pytest.approx(HOTTEST, rel=1e-2)


def test_latencies_are_medians_of_runs_taken_in_turns() -> None:
    order: list[str] = []

    latency = compare_latency(32, lambda: order.append("float"), lambda: order.append("int8"), turns=2, runs=3)

    assert order == (["float"] * 4 + ["int8"] * 4) * 2
    assert latency.tokens == 32
    assert 0 <= latency.int8_ms < 100


def _error(logits: np.ndarray, labels: np.ndarray) -> float:
    probabilities = softmax(logits)
    return calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
