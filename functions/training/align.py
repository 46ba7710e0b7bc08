"""The recipe for aligned text generators: a generator learns from comparisons which of its answers people prefer.

    base + parent's adapter -> tuned (`training.tuning`) -> merged -> graph in 4-bit blocks -> against the live bundle

Every run starts from the float base, since the served weights are rounded; what the live version had been taught lies
in its adapter (`training.ancestry`). The reference, and so the divergence that is reported, is the live version in
float. Read it from top to bottom; `align` at the end is its contents.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pawl.bundle import Bundle, Lineage, Manifest, open_bundle, seal
from pawl.errors import InvalidDataset
from pawl.examples import Prompt
from pawl.generator import TextGenerator
from pawl.likelihood import opposed, preferred
from pawl.pairset import PairDataset, PairRow
from pawl.reward import RewardModel
from training import contest, generator
from training.adapter import Weights, describe, merge, packed
from training.align_knobs import Knobs
from training.aligned_card import write_aligned_card
from training.ancestry import Ancestry, Base
from training.checkpoint import Checkpoint, open_checkpoint
from training.divergence import ESTIMATOR
from training.frontier import draw_frontier
from training.halves import precision_here
from training.origin import Origin
from training.progress import RunReport
from training.resume import Checkpoints, Keeper, processes
from training.trainers import taught
from training.tuning import Judge, Tuned, tune

CURVE = "alignment.png"
CONTINUED = "continued"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the run is for, and where its model comes from: everything that the data do not say."""

    name: str
    version: str
    run: str
    created_at: str
    base: Base
    parent: str | None = None
    code: str = "unknown"


@dataclass(frozen=True, slots=True)
class Aligned:
    """The sealed bundle, and the adapter's files to be kept beside it."""

    bundle: Bundle
    adapter: dict[str, bytes]


# --- Rows -------------------------------------------------------------------------------------------------------------


def held_out(dataset: PairDataset, method: str) -> list[PairRow]:
    """What nothing learns from and the method could, the newest first; InvalidDataset when it compares nothing."""
    rows = taught([*dataset.splits.get("recent", ()), *dataset.splits.get("holdout", ())], method)
    if not opposed(rows):
        raise InvalidDataset("no comparisons are held out: an aligned model needs some to be judged by")
    return rows


def prompts_of(rows: Sequence[PairRow], most: int) -> list[Prompt]:
    """The first different prompts."""
    different: dict[str, Prompt] = {repr(row.prompt): row.prompt for row in rows}
    return list(different.values())[:most]


def identity(dataset: PairDataset, purpose: Purpose, ancestry: Ancestry, knobs: Knobs, precision: str) -> str:
    """What a checkpoint must name to be taken up by this run: all that its weights follow from.

    `precision` is what the knob comes to on this machine (`training.halves`). A machine of another one starts afresh:
    it has no use for fp16's scale of gradients, nor would it end with the same weights. What that loses is no more than
    the minutes that this run has trained.
    """
    told = {
        "run": purpose.run,
        "dataset": dataset.digest,
        "base": purpose.base.name,
        "live": ancestry.live.digest,
        "judge": ancestry.judge.digest if ancestry.judge else None,
        "knobs": {**asdict(knobs), "precision": precision},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


# --- The merged model -------------------------------------------------------------------------------------------------


def write_merged(checkpoint: Checkpoint, adapter: Weights, folder: Path) -> None:
    """A Hugging Face folder of the base with the adapter in its weights, tokenizer and templates as they were."""
    model = checkpoint.model()
    merge(model, adapter)
    model.config.stored_as = f"{checkpoint.stored_as}, aligned in float32"
    model.save_pretrained(folder)
    for path in checkpoint.folder.iterdir():
        if path.name.startswith(("tokenizer", "generation_config", "chat_template")):
            shutil.copy(path, folder / path.name)


# --- Evaluation, as served --------------------------------------------------------------------------------------------


def judged(
    candidate: Bundle, live: Bundle, rows: Sequence[PairRow], judge: Judge | None, knobs: Knobs
) -> dict[str, Any]:
    """How the candidate does against the live bundle on held-out comparisons, both as they are served."""
    rules = contest.Rules(knobs.answer_tokens, knobs.temperature, knobs.seed)
    models = [TextGenerator(bundle, torch.get_num_threads()) for bundle in (candidate, live)]
    prompts = contest.fitting(models[0], prompts_of(rows, knobs.judged_prompts), knobs.answer_tokens)
    if not prompts:
        raise InvalidDataset("no held-out prompt leaves room for an answer within the model's context")
    ours, theirs = (contest.answers(model, prompts, rules) for model in models)
    fit = {repr(prompt) for prompt in prompts}
    pairs = opposed([row for row in rows if repr(row.prompt) in fit])[: knobs.judged_pairs]
    metrics: dict[str, Any] = {
        "against": f"models:/{live.manifest.name}/{live.manifest.version}",
        "prompts": len(prompts),
        "answer_tokens": [round(float(np.mean([len(each.tokens) for each in said])), 1) for said in (ours, theirs)],
        "pairs": len(pairs),
        "pairs_preferred": asdict(preferred(candidate, live, pairs, knobs.answer_tokens)),
    }
    if judge:
        metrics["win_rate"] = asdict(contest.compare(ours, theirs, prompts, judge))
    return metrics


def told_of(tuned: Tuned, rows: Sequence[PairRow], knobs: Knobs, judge: RewardModel | None) -> dict[str, Any]:
    """What the manifest says of the tuning; `thumbs_left_out` are those of `rows` that its method cannot learn from."""
    return {
        "method": knobs.method,
        "thumbs": sum(row.is_thumb for row in taught(rows, knobs.method)),
        "thumbs_left_out": len(rows) - len(taught(rows, knobs.method)),
        "beta": knobs.beta,
        "steps": tuned.steps,
        "best_step": tuned.best.step,
        "was_stopped": tuned.was_stopped,
        "reward": f"models:/{judge.manifest.name}/{judge.manifest.version}" if judge else "implicit margin",
        "looks": [asdict(look) for look in tuned.looks],
        "kl": {**{name: round(value, 5) for name, value in asdict(tuned.divergence).items()}, "estimator": ESTIMATOR},
    }


# --- The recipe -------------------------------------------------------------------------------------------------------


def align(
    dataset: PairDataset,
    purpose: Purpose,
    ancestry: Ancestry,
    knobs: Knobs,
    folder: Path,
    report: RunReport,
    checkpoints: Checkpoints,
    clock: Callable[[], float],
) -> Aligned | None:
    """Align on a frozen dataset and leave a sealed bundle in the empty `folder`; of several processes, the first."""
    rows = held_out(dataset, knobs.method)
    judge = ancestry.judge.rewards if ancestry.judge else None
    precision = precision_here(knobs.precision)
    report.note(precision=precision)
    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        checkpoint = open_checkpoint(purpose.base.source, place / "base")
        report.begin("tuning", 0.1)
        keeper = Keeper(checkpoints, clock, knobs.checkpoint_seconds, knobs.checkpoint_steps)
        resumed = checkpoints.fetch(place / CONTINUED)
        unseen = prompts_of(rows, knobs.judged_prompts)
        tuned = tune(
            checkpoint,
            ancestry.adapter,
            dataset.splits["train"],
            unseen,
            judge,
            knobs,
            place / "trained",
            report,
            keeper,
            resumed,
        )
        if not processes().is_main_process:
            return None
        report.attach(CURVE, draw_frontier(tuned.looks, tuned.best))

        report.begin("export", 0.7)
        write_merged(checkpoint, tuned.weights, place / "merged")
        origin = Origin(purpose.name, purpose.version, purpose.created_at, purpose.base.name, purpose.base.licence)
        made = generator.package(str(place / "merged"), origin, generator.Knobs(), folder).manifest

    report.begin("evaluation", 0.8)
    files = packed(tuned.weights)
    alignment = told_of(tuned, dataset.splits["train"], knobs, ancestry.judge) | {"precision": precision}
    served = judged(open_bundle(folder), ancestry.live, rows, judge, knobs)
    metrics = {**made.metrics, "alignment": alignment, "served": served, "adapter": describe(files)}
    about = described(made, dataset, purpose)
    write_aligned_card(folder / "card.md", about, metrics, dataset)
    return Aligned(seal(folder, **about, metrics=metrics), files)


def described(made: Manifest, dataset: PairDataset, purpose: Purpose) -> dict[str, Any]:
    """The manifest's fields less files and metrics: those of the packaged model, with where it comes from."""
    kept = ("name", "version", "kind", "created_at", "inputs", "outputs", "labels", "max_tokens", "quantization")
    lineage = Lineage(
        purpose.run,
        dataset.digest,
        purpose.parent,
        purpose.base.name,
        purpose.base.licence,
        purpose.code,
        dataset.lineage.get("traffic_window", []),
        dataset.lineage.get("feedback", 0),
        "align",
    )
    return {**{name: getattr(made, name) for name in kept}, "lineage": lineage}
