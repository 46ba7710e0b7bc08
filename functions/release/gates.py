"""What a candidate must prove, measured on its quantized artifact against the live one.

Each gate yields what was measured, what would pass, and a verdict; nothing here knows AWS or where bundles come from.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pawl.bundle import Manifest
from pawl.calibration import calibration_error, log_loss
from pawl.classifier import TextClassifier
from pawl.dataset import FrozenDataset, Row

Clock = Callable[[], float]
RECALIBRATED = "recalibrate"
"""The recipe whose candidates answer with the live version's weights and other probabilities."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The thresholds of the gates."""

    holdout_margin: float = 0.02
    """How much accuracy on the inherited holdout may be lost: two points."""
    recent_minimum_rows: int = 10
    """With fewer held-out rows of recent traffic than this, the recent gate asks for nothing."""
    latency_ratio: float = 1.5
    """How much slower than the live model one answer may be."""
    size_limit_bytes: int = 100_000_000
    """The largest bundle, so that function and layers stay within Lambda's 250 MB."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One proof asked of a candidate: what was measured and what would have passed."""

    name: str
    passed: bool
    measured: str
    wanted: str


def judge_candidate(
    candidate: TextClassifier,
    live: TextClassifier,
    dataset: FrozenDataset,
    policy: GatePolicy,
    clock: Clock = time.perf_counter,
) -> list[Gate]:
    """Every gate for a candidate that opened; all must pass.

    What was only recalibrated is not asked for better answers to recent questions, but to know better how sure to be.
    """
    judge_recent = calibration_gate if candidate.manifest.lineage.recipe == RECALIBRATED else recent_gate
    return [
        signature_gate(candidate.manifest, live.manifest),
        holdout_gate(candidate, live, dataset.splits["holdout"], policy),
        judge_recent(candidate, live, dataset.splits.get("recent", []), policy),
        latency_gate(candidate, live, [row.text for row in dataset.splits["holdout"][:30]], policy, clock),
        size_gate(candidate.manifest, policy),
    ]


def signature_gate(candidate: Manifest, live: Manifest) -> Gate:
    """Clients of the live version must be able to use the candidate: same inputs and outputs, no label lost."""
    alike = candidate.inputs == live.inputs and [(o.name, o.datatype) for o in candidate.outputs] == [
        (o.name, o.datatype) for o in live.outputs
    ]
    lost = sorted(set(live.labels) - set(candidate.labels))
    measured = f"labels lost: {', '.join(lost)}" if lost else "alike" if alike else "inputs or outputs differ"
    return Gate("signature", alike and not lost, measured, "the live version's inputs, outputs and labels")


def holdout_gate(candidate: TextClassifier, live: TextClassifier, rows: Sequence[Row], policy: GatePolicy) -> Gate:
    """Not worse on the holdout inherited from version to version, within a margin and what chance does beside it.

    Chance is one standard error of the paired difference, the root of the answers that only one of them has right over
    the rows (McNemar 1947): a row or two of a hundred and fifty prove no loss, a point of ten thousand rows does.
    """
    new, old = (right_answers(model, rows) for model in (candidate, live))
    error = float(np.sqrt(np.count_nonzero(new != old))) / len(rows)
    margin = policy.holdout_margin
    return Gate(
        "holdout",
        round(float(old.mean() - new.mean()), 9) <= round(margin + error, 9),
        f"accuracy {new.mean():.4f} on {len(rows)} rows",
        f"at least {old.mean() - margin - error:.4f}: the live version's {old.mean():.4f} less {margin} and {error:.4f}"
        " that may be chance",
    )


def recent_gate(candidate: TextClassifier, live: TextClassifier, rows: Sequence[Row], policy: GatePolicy) -> Gate:
    """Better on labelled traffic that neither version was trained on."""
    if len(rows) < policy.recent_minimum_rows:
        return Gate("recent", True, f"{len(rows)} rows", f"nothing below {policy.recent_minimum_rows} rows")
    new, old = accuracy(candidate, rows), accuracy(live, rows)
    return Gate("recent", new > old, f"accuracy {new:.4f} on {len(rows)} rows", f"above the live version's {old:.4f}")


def calibration_gate(candidate: TextClassifier, live: TextClassifier, rows: Sequence[Row], policy: GatePolicy) -> Gate:
    """Truer probabilities on labelled traffic that neither version has learned from, at no cost in accuracy.

    Log loss decides, as a proper score; the calibration error is only told, since of few rows it is mostly noise.
    """
    if len(rows) < policy.recent_minimum_rows:
        return Gate("calibration", True, f"{len(rows)} rows", f"nothing below {policy.recent_minimum_rows} rows")
    new, old = Sureness.of(candidate, rows), Sureness.of(live, rows)
    return Gate(
        "calibration",
        new.log_loss < old.log_loss and new.accuracy >= old.accuracy,
        f"{new} on {len(rows)} rows",
        f"log loss below the live version's, accuracy not below: {old}",
    )


@dataclass(frozen=True, slots=True)
class Sureness:
    """How right a model is, and how well it knows."""

    accuracy: float
    log_loss: float
    error: float

    @classmethod
    def of(cls, model: TextClassifier, rows: Sequence[Row]) -> Self:
        """Measured on rows answered one at a time, as most requests are."""
        told = np.array([model.predict({"text": [row.text]}).outputs["probabilities"][0] for row in rows])
        truth = np.array([[row.label == label for label in model.manifest.labels] for row in rows])  # (rows, labels)
        right = truth[np.arange(len(rows)), told.argmax(1)]
        return cls(float(right.mean()), log_loss((told * truth).sum(1)), calibration_error(told.max(1), right))

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.4f}, log loss {self.log_loss:.4f}, calibration error {self.error:.4f}"


def latency_gate(
    candidate: TextClassifier, live: TextClassifier, texts: Sequence[str], policy: GatePolicy, clock: Clock
) -> Gate:
    """About as fast as the live version: both timed in turn on the same texts, one row at a time."""
    times: Mapping[str, list[float]] = {"candidate": [], "live": []}
    warming = texts[:3]
    for text in [*warming, *texts]:
        for name, model in (("candidate", candidate), ("live", live)):
            began = clock()
            model.predict({"text": [text]})
            times[name].append(clock() - began)
    new, old = (statistics.median(times[name][len(warming) :]) for name in ("candidate", "live"))
    return Gate(
        "latency",
        new <= old * policy.latency_ratio,
        f"{new * 1000:.2f} ms a row",
        f"at most {policy.latency_ratio} x the live version's {old * 1000:.2f} ms",
    )


def size_gate(candidate: Manifest, policy: GatePolicy) -> Gate:
    """Small enough for a layer."""
    size = sum(about["size"] for about in candidate.files.values())
    return Gate(
        "size",
        size <= policy.size_limit_bytes,
        f"{size / 1e6:.1f} MB",
        f"at most {policy.size_limit_bytes / 1e6:.0f} MB",
    )


def accuracy(model: TextClassifier, rows: Sequence[Row]) -> float:
    """The share of rows that the model labels rightly."""
    return float(right_answers(model, rows).mean())


def right_answers(model: TextClassifier, rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Which rows the model labels rightly, shape (rows,)."""
    labels = model.predict_labels([row.text for row in rows])
    return np.array([label == row.label for label, row in zip(labels, rows, strict=True)])
