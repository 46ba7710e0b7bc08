"""The recipe for a text classifier whose answers need no training: its probabilities are corrected, nothing is learned.

A correction (`training.correction`) is fitted to answers whose label came after the live model was made, and kept only
when rows that it was not fitted to are told better by it. Read it from top to bottom; `recalibrate` at the end is its
contents.

    new rows -> log-probabilities -> fits, held out in turn -> graph -> evaluation -> bundle, or none
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from pawl.bundle import Bundle, Lineage, Manifest, seal
from pawl.classifier import TextClassifier
from pawl.dataset import FrozenDataset, Row
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from training.card import write_recalibrated_card
from training.correction import SHAPES, Correction, Floats, Indices, Shape, correct, fit, row_losses
from training.evaluate import score, served_answers
from training.footprint import footprint
from training.progress import RunReport

RECIPE = "recalibrate"
GRAPH = "model.onnx"
_LEAST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned."""

    seed: int = 7
    """Of the dealing of rows to folds."""
    least_rows: int = 30
    """With fewer new labelled rows than this nothing is fitted."""
    folds: int = 10
    """Parts of the new rows, each told by a fit to the others."""
    alpha: float = 0.05
    """The risk that a correction which helps nothing is kept, over all that are tried together."""
    deviation: float = 1.0
    """How far scale and biases are expected to lie from 1 and 0: the standard deviation of their normal prior."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the run is for: everything that the live bundle and the data do not say."""

    version: str
    run: str
    created_at: str
    code: str = "unknown"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a shape came to on rows held out in turn, both (rows,).

    `saved` is nats of log loss; `righted` is 1 where it puts an answer right, -1 where it spoils one, else 0.
    """

    shape: Shape
    saved: Floats
    righted: Floats

    @property
    def gain(self) -> float:
        """Nats saved in the mean."""
        return float(self.saved.mean())

    @property
    def error(self) -> float:
        """The standard error of that mean."""
        return standard_error(self.saved)

    def is_worth_it(self, alpha: float) -> bool:
        """Whether so much is saved by chance with a probability below alpha only, all shapes together.

        A bias changes answers, so it must as surely put more of them right: log loss alone would give answers away.
        """
        z = NormalDist().inv_cdf(1 - alpha / len(SHAPES))
        needed = [self.saved, self.righted] if self.shape.has_bias else [self.saved]
        return all(float(values.mean()) > z * standard_error(values) for values in needed)


# --- Rows -------------------------------------------------------------------------------------------------------------


def new_rows(dataset: FrozenDataset, learned: FrozenDataset, labels: Sequence[str]) -> dict[str, list[Row]]:
    """Rows of train and recent that the live model was neither trained on nor judged by, with labels that it knows."""
    old = {row.text for rows in learned.splits.values() for row in rows}
    return {
        split: [row for row in dataset.splits.get(split, []) if row.text not in old and row.label in labels]
        for split in ("train", "recent")
    }


def log_probabilities(model: TextClassifier, rows: Sequence[Row]) -> Floats:
    """What stands for the logits, (rows, labels): a softmax takes no notice of what is added to a whole row."""
    return np.log(np.maximum(served_answers(model, rows)[0], _LEAST))


# --- The choice -------------------------------------------------------------------------------------------------------


def try_shapes(logits: Floats, labels: Indices, knobs: Knobs) -> list[Trial]:
    """Each shape on rows held out in turn, against leaving the logits as they are."""
    folds = deal(labels, knobs.folds, knobs.seed)
    trials: list[Trial] = []
    for shape in SHAPES:
        corrected = np.empty_like(logits)
        for fold in range(knobs.folds):
            held_out = folds == fold
            correction = fit(logits[~held_out], labels[~held_out], shape, knobs.deviation)
            corrected[held_out] = correction.apply(logits[held_out])
        righted = np.array(corrected.argmax(1) == labels, float) - np.array(logits.argmax(1) == labels, float)
        saved = row_losses(logits, labels) - row_losses(corrected, labels)
        trials.append(Trial(shape, saved, righted))
    return trials


def deal(labels: Indices, folds: int, seed: int) -> Indices:
    """The fold of each row, (rows,): rows of one label are spread over all."""
    shuffled = np.random.default_rng(seed).permutation(labels.size)
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    dealt = np.empty(labels.size, np.int64)
    dealt[order] = np.arange(labels.size) % folds
    return dealt


def choose(trials: Sequence[Trial], alpha: float) -> Trial | None:
    """The simplest shape within a standard error of the best (Breiman et al. 1984), of those worth it; or None.

    Both are told on the same rows, so it is the error of their difference that counts.
    """
    worthy = [trial for trial in trials if trial.is_worth_it(alpha)]
    best = max(worthy, key=lambda trial: trial.gain, default=None)
    if best is None:
        return None
    return next(trial for trial in worthy if best.gain - trial.gain <= standard_error(best.saved - trial.saved))


def standard_error(values: Floats) -> float:
    """Of the mean of values, shape (rows,)."""
    return float(values.std(ddof=1) / np.sqrt(values.size))


def told(trials: Sequence[Trial]) -> str:
    """The trials as a person reads them."""
    return "; ".join(
        f"{trial.shape.name} {trial.gain:+.4f} nats a row (± {trial.error:.4f}), {trial.righted.sum():+.0f} right"
        for trial in trials
    )


# --- Evaluation -------------------------------------------------------------------------------------------------------


def measure(
    model: TextClassifier, live: TextClassifier, dataset: FrozenDataset, trials: Sequence[Trial], rows: int
) -> dict[str, Any]:
    """The manifest's metrics: both versions as served on the rows that neither was fitted to, and the trials."""
    labels = model.manifest.labels
    metrics: dict[str, Any] = {"int8": {}, "live": {}}
    for split in ("holdout", "recent"):
        if judged := [row for row in dataset.splits.get(split, []) if row.label in labels]:
            metrics["int8"][split] = score(judged, labels, served_answers(model, judged)[0])
            metrics["live"][split] = score(judged, labels, served_answers(live, judged)[0])
    gains = {
        trial.shape.name: {
            "nats": round(trial.gain, 4),
            "error": round(trial.error, 4),
            "righted": int(trial.righted.sum()),
        }
        for trial in trials
    }
    return {**metrics, "fitted_rows": rows, "held_out_gains": gains}


def describe(
    live: Manifest, dataset: FrozenDataset, purpose: Purpose, chosen: Trial, correction: Correction
) -> dict[str, Any]:
    """The fields of the candidate's manifest: the live version's, but for where it comes from."""
    return {
        "name": live.name,
        "version": purpose.version,
        "kind": live.kind,
        "created_at": purpose.created_at,
        "inputs": live.inputs,
        "outputs": live.outputs,
        "labels": live.labels,
        "max_tokens": live.max_tokens,
        "quantization": {
            **live.quantization,
            "recalibrated": chosen.shape.name,
            "scale": round(correction.scale, 6),
            "bias": [round(each, 6) for each in correction.bias.tolist()],
        },
        "lineage": Lineage(
            purpose.run,
            dataset.digest,
            f"models:/{live.name}/{live.version}",
            live.lineage.base_model,
            live.lineage.base_licence,
            purpose.code,
            dataset.lineage["traffic_window"],
            dataset.lineage["feedback"],
            RECIPE,
        ),
    }


# --- The recipe -------------------------------------------------------------------------------------------------------


def recalibrate(
    live: Bundle,
    dataset: FrozenDataset,
    learned: FrozenDataset,
    purpose: Purpose,
    knobs: Knobs,
    folder: Path,
    report: RunReport,
) -> Bundle | None:
    """Correct the live bundle by a frozen dataset and leave a sealed one in the empty `folder`; None if nothing helps.

    `learned` is the dataset of the live version: what it was trained on says nothing of its confidences.
    """
    report.begin("answers", 0.05)
    model = TextClassifier(live)
    labels = live.manifest.labels
    rows = new_rows(dataset, learned, labels)
    if len(rows["train"]) < knobs.least_rows:
        report.conclude(f"nothing changed: {len(rows['train'])} new labelled rows, a fit needs {knobs.least_rows}")
        return None
    logits = log_probabilities(model, rows["train"])  # (rows, labels)
    truth = np.array([labels.index(row.label) for row in rows["train"]])  # (rows,)

    report.begin("fit", 0.4)
    trials = try_shapes(logits, truth, knobs)
    chosen = choose(trials, knobs.alpha)
    if chosen is None:
        report.conclude(f"nothing changed: no correction helps answers that it was not fitted to: {told(trials)}")
        return None
    report.conclude(f"{chosen.shape.name} corrected: {told(trials)}")
    correction = fit(logits, truth, chosen.shape, knobs.deviation)

    report.begin("export", 0.6)
    for name in live.manifest.files.keys() - {GRAPH, "reference.json", "card.md"}:
        shutil.copyfile(live.path / name, folder / name)
    correction = correct(live.path / GRAPH, correction, folder / GRAPH)

    report.begin("evaluation", 0.7)
    about = describe(live.manifest, dataset, purpose, chosen, correction)
    corrected = TextClassifier(seal(folder, **about, metrics={}))  # sealed for the measuring; sealed again below
    metrics = measure(corrected, model, dataset, trials, truth.size)
    metrics["footprint"] = asdict(footprint(report.elapsed_s))
    _, features = served_answers(corrected, [*rows["train"], *rows["recent"]])
    (folder / "reference.json").write_text(Profile.of(features, FEATURE_RANGES).to_json(), encoding="utf-8")
    write_recalibrated_card(folder / "card.md", about, metrics)
    return seal(folder, **about, metrics=metrics)
