"""A verified bundle opened for prediction: one code for serving, for the gates and for the reference profile.

Needs onnxruntime, which the serving layer and the training image bring; each kind of model is a module of its own,
imported when a bundle of that kind is opened.

A session opens a graph that was optimized when it was built, with its weights mapped from the file: no optimizer runs
here. One thread by default: with a share of one CPU, more threads only make the slow answers slower.
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import onnxruntime as ort

from pawl.bundle import Bundle, Manifest
from pawl.errors import InvalidBundle, PawlError, UnsupportedRequest

Array = np.ndarray[Any, np.dtype[Any]]
Column = Sequence[Any] | Array
"""A tensor's values, the rows first: texts as a list, numbers as a list or an array."""
Features = dict[str, list[Any]]
Parameter = str | float | bool

SCALES = "scales.safetensors"
"""The file with the scales of a graph's blocks, which the graph itself lacks."""
KINDS: Mapping[str, tuple[str, str]] = {
    "text-classifier": ("pawl.classifier", "TextClassifier"),
    "text-embedder": ("pawl.embedder", "TextEmbedder"),
    "text-generator": ("pawl.generator", "TextGenerator"),
    "reward-model": ("pawl.reward", "RewardModel"),
    "tensors": ("pawl.tensors", "TensorModel"),
}


class Run(NamedTuple):
    """The run of a model that gave an answer, and maybe others: `executions` is 1 for one of them, 0 for the others."""

    ns: int
    executions: int


class Answer(NamedTuple):
    """A model's answer: `outputs` by tensor name, and what the profile counts of it.

    `features` is computed when called, once the reply is on its way: columns by name, one entry a row. `parameters` are
    what the reply says of the answer as a whole. `run` is told where the answer may have waited for it or shared it.
    """

    outputs: dict[str, Column]
    features: Callable[[], Features]
    parameters: Mapping[str, str] = MappingProxyType({})
    run: Run | None = None


class Model(Protocol):
    """What every kind of model offers."""

    manifest: Manifest
    digest: str

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        """The answer to a batch: each input a column of the same number of rows."""
        ...


def open_model(bundle: Bundle) -> Model:
    """The model in a bundle; UnsupportedRequest when its kind is not served here."""
    if bundle.manifest.kind not in KINDS:
        raise UnsupportedRequest(f"model kind {bundle.manifest.kind!r}: this server offers {', '.join(KINDS)}")
    module, kind = KINDS[bundle.manifest.kind]
    try:
        return getattr(importlib.import_module(module), kind)(bundle)
    except PawlError:
        raise
    except Exception as error:  # tokenizers raises Exception itself, onnxruntime a dozen types under no common root
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        raise InvalidBundle(f"{name} cannot be opened: {type(error).__name__}") from error


def open_session(path: str, threads: int = 1) -> ort.InferenceSession:
    """A CPU session over an already optimized graph, and the scales that lie beside it where it has them."""
    options: Any = ort.SessionOptions()  # pyright: ignore[reportUnknownVariableType]
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if scales := _read_scales(os.path.join(os.path.dirname(path), SCALES)):
        values: Any = [ort.OrtValue.ortvalue_from_numpy(each) for each in scales.values()]
        options.add_external_initializers(list(scales), values)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _read_scales(path: str) -> dict[str, Array]:
    """The scales of a generator's weights by name, as float32; none where there is no such file.

    The file is what https://github.com/huggingface/safetensors describes: the length of a header, the header as JSON
    with each tensor's shape and place, and the tensors, here of float16.
    """
    if not os.path.isfile(path):
        return {}
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        values = np.frombuffer(file.read(), np.float16).astype(np.float32)
    return {name: values[_part(about)].reshape(about["shape"]) for name, about in header.items()}


def _part(about: Mapping[str, Any]) -> slice:
    start, end = about["data_offsets"]
    return slice(start // 2, end // 2)
