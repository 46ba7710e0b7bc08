"""The recipe that looks for better knobs of `transfer`, for when training as usual has not helped.

Bayesian optimization by tree-structured Parzen estimators (Bergstra et al. 2011), as Optuna does it, of the validation
loss over several divisions of the training rows. A trial that is worse than half of the others on its first divisions
is given up. The first trial is `transfer` as it is: the search finds something better, or says that it did not.

Each finished trial is kept in `trials.json` among the checkpoints: a search that was interrupted goes on with the next,
and asks for the same one, since a trial's suggestions depend on its number and the trials before it alone. When the
search ends, its table lies beside `run.json` as well.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset, Row
from pawl.errors import NotFound
from training.classifier import Classifier, load_encoder, load_tokenizer
from training.examples import divide, encode, label_names
from training.progress import RunReport, Silence
from training.search_knobs import Search
from training.storage import Place
from training.transfer import Knobs, Purpose, train_head, train_layers, transfer, validate

RECIPE = "automl"
TRIALS = "trials.json"
SPACE: Mapping[str, BaseDistribution] = {
    "tuned_layers": IntDistribution(0, 6),
    "epochs": IntDistribution(2, 8),
    "encoder_rate": FloatDistribution(2e-5, 5e-4, log=True),
    "head_steps": IntDistribution(20, 200, log=True),
    "recent_weight": FloatDistribution(0.5, 4.0, log=True),
    "dropout": FloatDistribution(0.0, 0.4),
    "weight_decay": FloatDistribution(1e-4, 0.1, log=True),
    "batch_rows": CategoricalDistribution((8, 16, 32)),
}
"""What is tried of each knob; an encoder with fewer layers learns with those that it has."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished trial: its knobs, the validation loss of each division that it came to, and its time."""

    knobs: dict[str, Any]
    losses: list[float]
    is_given_up: bool
    seconds: float

    @property
    def loss(self) -> float:
        """The mean over its divisions, of a given-up trial those that it came to."""
        return float(np.mean(self.losses))


Measure = Callable[[Knobs, int], float]
"""The validation loss of knobs on the division with this number."""


def automl(
    dataset: FrozenDataset,
    purpose: Purpose,
    search: Search,
    folder: Path,
    report: RunReport,
    place: Place,
    clock: Callable[[], float],
) -> Bundle:
    """Find knobs, train with them on a frozen dataset, and leave a sealed bundle in the empty `folder`.

    `place` keeps the trials while it looks; `clock` tells seconds.
    """
    report.begin("search", 0.01)
    seed = Knobs().seed
    labels, rows = label_names(dataset), dataset.splits["train"]

    def measure(knobs: Knobs, division: int) -> float:
        return validation_loss(rows, labels, purpose.base, replace(knobs, seed=seed + division))

    identity = json.dumps({"dataset": dataset.digest, "base": purpose.base_model, **asdict(search)}, sort_keys=True)
    kept = Kept(place, identity)
    trials = look(search, measure, kept, report, clock)
    report.attach(TRIALS, packed(identity, trials))
    best = best_of(trials)
    report.conclude(told(best, trials))
    found = {
        RECIPE: {
            "trials": len(trials),
            "given_up": sum(trial.is_given_up for trial in trials),
            "divisions": search.divisions,
            "validation_loss": round(best.loss, 4),
            "validation_loss_of_defaults": round(trials[0].loss, 4),
            "knobs": best.knobs,
        }
    }
    return transfer(dataset, replace(purpose, recipe=RECIPE), Knobs(**best.knobs), folder, report, found)


# --- The search -------------------------------------------------------------------------------------------------------


class Kept:
    """The finished trials of one search, in a place that outlives the machine."""

    def __init__(self, place: Place, identity: str) -> None:
        self._place = place
        self._identity = identity

    def read(self) -> list[Trial]:
        """The trials so far; none when the file is missing or belongs to another search."""
        try:
            known = json.loads(self._place.read(TRIALS))
        except NotFound:
            return []
        return [Trial(**body) for body in known["trials"]] if known["search"] == self._identity else []

    def write(self, trials: Sequence[Trial]) -> None:
        """Replace the trials."""
        self._place.write(TRIALS, packed(self._identity, trials))


def packed(identity: str, trials: Sequence[Trial]) -> bytes:
    """The table of a search's trials, as JSON."""
    body = {"search": identity, "trials": [asdict(trial) for trial in trials]}
    return (json.dumps(body, indent=1) + "\n").encode()


def look(search: Search, measure: Measure, kept: Kept, report: RunReport, clock: Callable[[], float]) -> list[Trial]:
    """Try knobs until there have been enough or time is up; the trials in their order, kept as they end."""
    trials = kept.read()
    began = clock() - sum(trial.seconds for trial in trials)
    while len(trials) < search.trials and (not trials or clock() - began < 60 * search.minutes):
        start = clock()
        knobs, losses, is_given_up = run_trial(search, trials, measure)
        trials.append(Trial(knobs, losses, is_given_up, round(clock() - start, 3)))
        kept.write(trials)
        share = max(len(trials) / search.trials, (clock() - began) / max(60 * search.minutes, 1e-9))
        report.epoch(len(trials), 0.01 + 0.6 * min(1.0, share), validation_loss=trials[-1].loss)
    return trials


def run_trial(search: Search, trials: Sequence[Trial], measure: Measure) -> tuple[dict[str, Any], list[float], bool]:
    """The next trial: its knobs, the losses that it came to, and whether it was given up."""
    study = study_of(search, trials)
    if not trials:
        study.enqueue_trial(defaults())
    trial = study.ask(dict(SPACE))
    knobs = replace(Knobs(), **trial.params)
    losses: list[float] = []
    for division in range(search.divisions):
        losses.append(measure(knobs, division))
        trial.report(float(np.mean(losses)), division)
        if division + 1 < search.divisions and trial.should_prune():
            return trial.params, losses, True
    return trial.params, losses, False


def study_of(search: Search, trials: Sequence[Trial]) -> optuna.Study:
    """A study that knows the trials so far, and whose next suggestion depends on nothing else."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(n_startup_trials=search.random_trials, seed=len(trials))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=search.random_trials)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    for trial in trials:
        study.add_trial(frozen(trial))
    return study


def frozen(trial: Trial) -> FrozenTrial:
    """A finished trial in Optuna's words."""
    means = {place: float(np.mean(trial.losses[: place + 1])) for place in range(len(trial.losses))}
    return optuna.create_trial(
        state=TrialState.PRUNED if trial.is_given_up else TrialState.COMPLETE,
        value=trial.loss,
        params=trial.knobs,
        distributions=dict(SPACE),
        intermediate_values=means,
    )


def defaults() -> dict[str, Any]:
    """The knobs of `transfer` as they are."""
    return {name: value for name, value in asdict(Knobs()).items() if name in SPACE}


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial of the lowest loss among those that were not given up; of equals, the first."""
    return min((trial for trial in trials if not trial.is_given_up), key=lambda trial: trial.loss)


def told(best: Trial, trials: Sequence[Trial]) -> str:
    """What came of the search, in a sentence."""
    if best is trials[0]:
        return f"None of {len(trials)} trials was better than the usual knobs (validation loss {best.loss:.4f})."
    usual = defaults()
    changed = ", ".join(f"{name} {_short(value)}" for name, value in best.knobs.items() if value != usual[name])
    return f"Validation loss {best.loss:.4f} instead of {trials[0].loss:.4f} after {len(trials)} trials: {changed}."


def _short(value: float) -> str:
    return f"{value:.3g}"


# --- What a trial measures --------------------------------------------------------------------------------------------


def validation_loss(rows: Sequence[Row], labels: list[str], base: str, knobs: Knobs) -> float:
    """The loss, on rows not learned from, of a classifier trained with these knobs; infinite where it diverges."""
    torch.manual_seed(knobs.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(base, knobs.max_tokens)
    learned_rows, validation_rows = divide(rows, knobs.validation_share, knobs.seed)
    learned = encode(learned_rows, labels, tokenizer, knobs.recent_weight)
    validation = encode(validation_rows, labels, tokenizer, Knobs().recent_weight)  # one yardstick for all trials
    classifier = Classifier(load_encoder(base), len(labels), knobs.dimensions, knobs.dropout).to(device)
    train_head(classifier, learned, knobs)
    train_layers(classifier, learned, validation, knobs, Silence(), (0.0, 1.0))
    loss = validate(classifier, validation)
    return loss if math.isfinite(loss) else math.inf
