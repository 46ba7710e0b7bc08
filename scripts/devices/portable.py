"""The model for phones and small machines: one file in onnxruntime's own format, and what a minimal runtime must hold.

The graph was optimized when the bundle was built, for any CPU, and is taken over as it is. The folder is a bundle
again, signed by this machine: any tool that checks bundles checks it, and its manifest names what it is made of.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from artifacts.signing import local_key, sign_folder
from artifacts.target import BuildError
from devices.source import Source
from inference.tensors import DTYPES
from pawl.bundle import EVIDENCE, Bundle, Manifest, Tensor, seal
from pawl.classifier import feed_of
from pawl.model import open_session

GRAPH, OPERATORS = "model.ort", "operators.config"
KINDS = ("text-classifier", "text-embedder", "tensors")
_TAKEN = ("tokenizer.json", "reference.json", "card.md")
_SAMPLES = 8


def write_portable(source: Source, folder: Path) -> Bundle:
    """Fill `folder` with the signed bundle of a model of `KINDS`; BuildError when it then answers otherwise."""
    manifest = source.bundle.manifest
    for name in _TAKEN:
        if name in manifest.files:
            (folder / name).write_bytes((source.bundle.path / name).read_bytes())
    _convert(source.bundle.path / "model.onnx", folder / GRAPH)
    _list_operators(folder / GRAPH, folder / OPERATORS)
    _require_equal(source.bundle, folder / GRAPH)
    bundle = seal(folder, **_about(manifest))
    evidence = source.bundle.path / EVIDENCE
    if evidence.exists():
        (folder / EVIDENCE).write_bytes(evidence.read_bytes())
    sign_folder(folder, local_key())
    return bundle


def _about(manifest: Manifest) -> dict[str, Any]:
    about = {name: getattr(manifest, name) for name in asdict(manifest) if name not in ("files", "schema")}
    lineage = replace(manifest.lineage, parent=f"models:/{manifest.name}/{manifest.version}")
    return {**about, "quantization": {**manifest.quantization, "format": "ort"}, "lineage": lineage}


def _convert(graph: Path, path: Path) -> None:
    options: Any = ort.SessionOptions()  # pyright: ignore[reportUnknownVariableType]
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def _list_operators(graph: Path, path: Path) -> None:
    """The reduced operator config: which operators a runtime for this file must have, and for which types."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves closing the graph to the garbage collector
        create_config_from_models([graph], path, enable_type_reduction=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("#")]  # comments name a folder of this machine
    path.write_text("\n".join([f"# Operators and types of {graph.name}", *kept, ""]), encoding="utf-8")


def _require_equal(bundle: Bundle, path: Path) -> None:
    """BuildError unless the new file answers exactly as the bundle does, on its card's lines or on numbers."""
    sessions: list[Any] = [open_session(str(file)) for file in (bundle.path / "model.onnx", path)]
    for feed in _samples(bundle):
        ours, theirs = (session.run(None, dict(feed)) for session in sessions)
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True)):
            raise BuildError(f"{path.name} does not answer as {bundle.manifest.name} {bundle.manifest.version} does")


def _samples(bundle: Bundle) -> Iterator[Mapping[str, Any]]:
    if bundle.manifest.kind == "tensors":
        for value in range(_SAMPLES):
            yield {tensor.name: _filled(tensor, value) for tensor in bundle.manifest.inputs}
        return
    tokenizer: Any = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
    tokenizer.enable_truncation(bundle.manifest.max_tokens)
    tokenizer.no_padding()
    lines = (bundle.path / "card.md").read_text(encoding="utf-8").split("\n")
    for line in filter(str.strip, lines[: 4 * _SAMPLES]):
        yield feed_of(tokenizer.encode(line).ids)


def _filled(tensor: Tensor, value: int) -> Any:
    shape = [2 if size == -1 else size for size in tensor.shape]
    if tensor.datatype == "BYTES":
        return np.full(shape, str(value), object)
    return np.full(shape, value, DTYPES[tensor.datatype])
