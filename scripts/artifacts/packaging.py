"""`scripts/build-model SOURCE --name NAME`: somebody's own checkpoint as a bundle, to be served or to be released.

A decoder (Llama or Qwen2) becomes a text generator, another folder of Hugging Face's a text embedder. An ONNX file, or
what `package.module:factory` returns (a scikit-learn or LightGBM estimator, a torch module with example inputs),
becomes a model of tensors; the factory's code is run. The bundle lies in `DIR/NAME/VERSION`, the layout of the models
layer: copy it into one, or serve it with `scripts/serve`.
"""

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from artifacts.signing import local_key, sign_folder
from artifacts.target import ROOT, BuildError, code_revision
from pawl.errors import PawlError

MODELS = ROOT / ".pawl" / "models"
DECODERS = ("llama", "qwen2")
TENSOR_OPTIONS = ("data", "label", "quantize")
FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
# As `pawl.bundle` wants them; said here, before minutes of work rather than after.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
VERSION = re.compile(r"[1-9][0-9]{0,8}")


def main(arguments: Sequence[str]) -> int:
    """Package what the command line names; 1 with a message when that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        folder = build_model(options)
    except (BuildError, PawlError) as error:
        print(f"scripts/build-model: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"{folder}  {size:.1f} MB")
    return 0


def build_model(options: argparse.Namespace) -> Path:
    """The folder of the new, signed bundle; BuildError when there is one already or the names do not fit."""
    if not NAME.fullmatch(options.name):
        raise BuildError(f"--name {options.name!r}: use 1-48 of a-z, 0-9 and '-', not starting with '-'")
    if not VERSION.fullmatch(options.version):
        raise BuildError(f"--version {options.version!r}: use a whole number from 1")
    folder = options.output / options.name / options.version
    if folder.exists():
        raise BuildError(f"{folder} is there already, and bundles never change: take another --version")
    kind = options.kind or kind_of(options.source)
    command = [kind, options.source, "--model", options.name, "--version", options.version, "--output", str(folder)]
    command += ["--base-licence", options.licence, "--code", code_revision()]
    given = {name: getattr(options, name) for name in TENSOR_OPTIONS if getattr(options, name) is not None}
    if given and kind != "tensors":
        raise BuildError(f"--{next(iter(given))} is for models of tensors, and {options.source} is a {kind}")
    command += [word for name, value in given.items() for word in (f"--{name}", value)]
    from training.__main__ import main as train  # brings torch

    try:
        train(command, os.environ, time.time_ns() // 1_000_000)
        sign_folder(folder, local_key())
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def kind_of(source: str) -> str:
    """By its name, or by config.json; a name on the hub has to say it by --kind."""
    path = Path(source)
    if path.suffix == ".onnx" or FACTORY.fullmatch(source):
        return "tensors"
    if path.suffix == ".gguf" or any(path.glob("*.gguf")):
        return "generator"
    if not (path / "config.json").is_file():
        raise BuildError(
            f"{source!r} is no folder with config.json or a .gguf file, no .onnx file and no package.module:factory; "
            "for a name on the hub say --kind generator or --kind embedder"
        )
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    return "generator" if config.get("model_type") in DECODERS else "embedder"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/build-model", description="Package a model as a bundle.")
    parser.add_argument(
        "source",
        help="a Hugging Face folder, a name on the hub, a GGUF or ONNX file, or package.module:factory, which is run",
    )
    parser.add_argument("--name", required=True, help="the name it is to be served by")
    parser.add_argument("--version", default="1", help="a whole number; default: 1")
    parser.add_argument("--kind", choices=["generator", "embedder", "tensors"], help="default: by the source")
    parser.add_argument("--data", help="rows for a model of tensors (.npz, .csv, .parquet): they calibrate and judge")
    parser.add_argument("--label", help="the column of the data that holds the right answers")
    parser.add_argument(
        "--quantize", help="auto (default: the smallest that keeps the quality), float, int8, static, ..."
    )
    parser.add_argument("--output", type=Path, default=MODELS, help="default: .pawl/models")
    parser.add_argument("--licence", default="unknown", help="the checkpoint's licence, for the manifest")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
