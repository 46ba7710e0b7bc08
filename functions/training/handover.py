"""What a recipe made, handed over: stored where it was asked for, the manifest last, and the run's end told.

The manifest's arrival announces the rest, so whatever dies before leaves no candidate.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pawl.bundle import MANIFEST, Bundle
from pawl.dataset import FrozenDataset, writing_order
from training.progress import RunReport
from training.storage import Place, copy_folder


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


def store_bundle(bundle: Bundle, output: Place) -> None:
    """Store a bundle that no run reports on."""
    copy_folder(bundle.path, output, but=MANIFEST)
    output.write(MANIFEST, (bundle.path / MANIFEST).read_bytes())


def copy_files(dataset: FrozenDataset, place: Place) -> None:
    """Store a dataset, its manifest last."""
    for name in writing_order(dataset.files):
        place.write(name, dataset.files[name])


def evaluations_of(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics as the job API lists them: one entry a split, as served."""
    served = metrics["int8"] if "int8" in metrics else {"holdout": metrics["served"]}
    return [{"split": split, **measured} for split, measured in served.items()]
