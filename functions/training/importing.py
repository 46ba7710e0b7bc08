"""Somebody's own model as a float graph: an ONNX file, or what a function of theirs returns.

`package.module:factory` is imported and called: its code runs here, with all that whoever builds the model may do. It
returns a fitted scikit-learn or LightGBM estimator (or one and sample rows of its input), or a torch module and example
inputs. Files that hold such objects are pickles, and are not read.
"""

import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pawl.errors import NotFound, UnsupportedRequest
from training.converters import know_estimators
from training.graphs import load_graph
from training.products import Feed

FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
OPSET = 17
ML_OPSET = 3
Answers = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Imported:
    """A float graph, and what is known of the model that it was made of.

    `answer` gives that model's own outputs, by the graph's names, for a feed; `feed` is a sample of its inputs.
    """

    graph: onnx.ModelProto
    made_of: str
    answer: Callable[[Feed], Answers] | None = None
    feed: Feed | None = None
    labels: tuple[str, ...] = ()
    module: nn.Module | None = None
    """Where it was one, the torch module, whose gradients an attack can follow."""


def open_source(source: str) -> Imported:
    """The model that `source` names; NotFound when there is none, UnsupportedRequest when it is of no known kind."""
    if FACTORY.fullmatch(source):
        return import_object(_call(source))
    if not source.endswith(".onnx"):
        raise UnsupportedRequest(f"{source!r}: want a file that ends in .onnx, or package.module:factory")
    return Imported(load_graph(Path(source)), "an ONNX graph")


def import_object(made: Any) -> Imported:
    """The float graph of what a factory returned."""
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(model, nn.Module):
        if example is None:
            raise UnsupportedRequest("a factory of a torch module must return the module and example inputs")
        return import_module(model, example)
    if hasattr(model, "predict") and hasattr(model, "fit"):
        return import_estimator(model, example)
    raise UnsupportedRequest(f"a factory returned {type(model).__name__}: want an estimator, or a module with inputs")


def import_module(module: nn.Module, example: Any, opset: int = OPSET) -> Imported:
    """A torch module's graph; inputs are named as `forward` names them, outputs `output`, or `output_0` and so on."""
    module = module.eval().requires_grad_(False).cpu()
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    names = list(inspect.signature(module.forward).parameters)[: len(inputs)]
    with torch.inference_mode():
        outputs = _named(module(*inputs))
    axes = {name: {0: "rows"} for name in (*names, *outputs)}
    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on tracing as such; the answers are compared afterwards
        path = str(Path(scratch) / "traced.onnx")
        torch.onnx.export(
            module,
            inputs,
            path,
            input_names=names,
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
        )
        graph = onnx.load(path)

    def answer(feed: Feed) -> Answers:
        with torch.inference_mode():
            return _named(module(*(torch.from_numpy(np.asarray(feed[name])) for name in names)))

    feed = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
    return Imported(graph, f"the torch module {type(module).__name__}", answer, feed, module=module)


def import_estimator(estimator: Any, example: Any = None, opset: int = OPSET) -> Imported:
    """An estimator's graph: one input `X`, or one for each column where the example is a table with named columns."""
    from skl2onnx import to_onnx

    know_estimators()
    if example is None:
        example = np.zeros((2, int(estimator.n_features_in_)), np.float32)
    is_table = hasattr(example, "columns")
    rows = example if is_table else np.asarray(example, np.float32)
    is_classifier = hasattr(estimator, "predict_proba")
    options = {id(estimator): {"zipmap": False}} if is_classifier else None
    graph: Any = to_onnx(estimator, rows[:1], options=options, target_opset={"": opset, "ai.onnx.ml": ML_OPSET})
    names = [each.name for each in graph.graph.output]

    def answer(feed: Feed) -> Answers:
        given = _table(feed, list(example.columns)) if is_table else feed["X"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LightGBM's, that an array has no names of columns
            said = [estimator.predict(given)] + ([estimator.predict_proba(given)] if is_classifier else [])
        return {name: np.asarray(each) for name, each in zip(names, said, strict=False)}

    classes: Sequence[Any] = getattr(estimator, "classes_", ())
    feed = _columns(rows) if is_table else {"X": rows}
    return Imported(graph, f"the estimator {type(estimator).__name__}", answer, feed, tuple(map(str, classes)))


def _call(source: str) -> Any:
    module, _, factory = source.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), factory)()
    except (ModuleNotFoundError, AttributeError) as error:
        raise NotFound(f"{source!r}: {error}") from error


def _named(outputs: Any) -> dict[str, NDArray[Any]]:
    if isinstance(outputs, Tensor):
        return {"output": outputs.numpy()}
    return {f"output_{i}": each.numpy() for i, each in enumerate(outputs)}


def _columns(table: Any) -> Feed:
    """A table's columns as the converter names and types them: numbers as float32, anything else as text."""
    found: dict[str, NDArray[Any]] = {}
    for name in table.columns:
        values = table[name].to_numpy()
        kind = values.dtype if values.dtype.kind in "iufb" else object
        found[name] = values.astype(kind).reshape(-1, 1)
    return found


def _table(feed: Feed, names: Sequence[str]) -> Any:
    import pandas

    return pandas.DataFrame({name: np.asarray(feed[name]).reshape(-1) for name in names})
