"""A finished ONNX graph of anybody's: whether it can be served as it is, and what goes in and comes out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto

from pawl.bundle import Tensor
from pawl.errors import InvalidBundle, NotFound
from training.products import Feed

OPSETS = range(9, 22)
"""Versions of ONNX' own operators that are taken: older ones quantize badly, newer ones may not be served."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Whose operators onnxruntime brings along."""
DATATYPES: Mapping[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


def load_graph(path: Path) -> onnx.ModelProto:
    """The graph in a file, external data and all, once it has been checked; InvalidBundle says what is wrong."""
    if not path.is_file():
        raise NotFound(f"{path}: no such file")
    try:
        onnx.checker.check_model(str(path), full_check=True)  # by its path: larger than 2 GB it cannot be in memory
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise InvalidBundle(f"{path.name}: its external data is missing: {Path(error.filename).name}") from error
    except Exception as error:  # the checker's own type, protobuf's, and ValueError, under no common root
        raise InvalidBundle(f"{path.name} is no valid ONNX graph: {str(error).splitlines()[0]}") from error
    check_operators(model, path.name)
    return model


def check_operators(model: onnx.ModelProto, name: str) -> None:
    """InvalidBundle for operators that onnxruntime does not bring, or of a version that is not taken."""
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            raise InvalidBundle(
                f"{name} has operators of {opset.domain!r}: onnxruntime brings those of ONNX and its own"
            )
        if opset.domain in ("", "ai.onnx") and opset.version not in OPSETS:
            raise InvalidBundle(f"{name} is of opset {opset.version}: want {OPSETS.start} to {OPSETS.stop - 1}")


def signature(model: onnx.ModelProto, feed: Feed) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs in the protocol's words; `feed` is a sample of at least two rows.

    An output's size is open where the graph leaves it open, or where it follows the number of rows. InvalidBundle where
    the graph does not take rows one or many at a time.
    """
    taken = {each.name for each in model.graph.initializer}
    inputs = [_tensor(each) for each in model.graph.input if each.name not in taken]
    for tensor in inputs:
        if tensor.shape[:1] != [-1]:
            raise InvalidBundle(
                f"input {tensor.name!r} is of shape {tensor.shape}: its first dimension, the rows, must be open; "
                "export the graph with a dynamic one"
            )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    whole, single = (run(session, {name: array[:rows] for name, array in feed.items()}) for rows in (2, 1))
    declared = [_tensor(each) for each in model.graph.output]
    return inputs, [_observed(tensor, whole[tensor.name].shape, single[tensor.name].shape) for tensor in declared]


def run(session: ort.InferenceSession, feed: Feed) -> dict[str, np.ndarray[Any, Any]]:
    """The graph's outputs by name; InvalidBundle when it cannot compute with these inputs."""
    names = [each.name for each in session.get_outputs()]
    try:
        return dict(zip(names, (np.asarray(each) for each in session.run(names, dict(feed))), strict=True))
    except Exception as error:  # onnxruntime's own types, which share no root
        shapes = ", ".join(f"{name} {list(array.shape)} {array.dtype}" for name, array in feed.items())
        raise InvalidBundle(f"the graph cannot compute with {shapes}: {str(error).splitlines()[0]}") from error


def invented(inputs: Sequence[Tensor], rows: int = 2) -> Feed:
    """Rows of zeros for a graph whose data nobody gave; 8 values where a size is open."""
    types: dict[str, Any] = {"BOOL": bool, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": object}
    return {
        tensor.name: np.full(
            (rows, *(8 if size == -1 else size for size in tensor.shape[1:])),
            "" if tensor.datatype == "BYTES" else 0,
            types.get(tensor.datatype) or tensor.datatype.lower(),
        )
        for tensor in inputs
    }


def inputs_of(model: onnx.ModelProto) -> list[Tensor]:
    """What the graph takes, in the protocol's words."""
    taken = {each.name for each in model.graph.initializer}
    return [_tensor(each) for each in model.graph.input if each.name not in taken]


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type not in DATATYPES:
        raise InvalidBundle(
            f"{value.name!r} is no tensor of a type that can be served (for scikit-learn: zipmap=False)"
        )
    sizes = [each.dim_value if each.dim_value > 0 else -1 for each in kind.shape.dim]
    return Tensor(value.name, DATATYPES[kind.elem_type], sizes)


def _observed(tensor: Tensor, two: tuple[int, ...], one: tuple[int, ...]) -> Tensor:
    """An output whose declared sizes are corrected by what two rows and one row gave."""
    if len(two) != len(one) or two[:1] != (2,) or one[:1] != (1,):
        raise InvalidBundle(
            f"output {tensor.name!r} is of shape {list(two)} for two rows and {list(one)} for one: want a row for a row"
        )
    declared = tensor.shape if len(tensor.shape) == len(two) else [-1] * len(two)
    sizes = [size if size == a == b else -1 for size, a, b in zip(declared, two, one, strict=True)]
    return Tensor(tensor.name, tensor.datatype, [-1, *sizes[1:]])
