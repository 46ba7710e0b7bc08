"""Models that take and give tensors as they are: any ONNX graph, its inputs and outputs named in the manifest.

What the profile counts are the tensors that always have the same, at most `WIDTH`, values a row: a column a value. The
manifest decides which they are, never the answer, since all answers of a version must have the same columns.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, cast

import numpy as np

from pawl.bundle import Bundle, Manifest, Tensor
from pawl.errors import InvalidBundle, InvalidRequest
from pawl.model import Answer, Array, Column, Features, Parameter, open_session

KIND = "tensors"
WIDTH = 64
"""The most values a row of a tensor that become columns of the profile."""
DATATYPES: Mapping[str, str] = {
    "BOOL": "tensor(bool)",
    "UINT8": "tensor(uint8)",
    "UINT16": "tensor(uint16)",
    "UINT32": "tensor(uint32)",
    "UINT64": "tensor(uint64)",
    "INT8": "tensor(int8)",
    "INT16": "tensor(int16)",
    "INT32": "tensor(int32)",
    "INT64": "tensor(int64)",
    "FP16": "tensor(float16)",
    "FP32": "tensor(float)",
    "FP64": "tensor(double)",
    "BYTES": "tensor(string)",
}
"""The protocol's datatypes in onnxruntime's words."""
NUMPY: Mapping[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
"""The datatypes of numbers in numpy's; texts stay lists."""


class TensorModel:
    """A graph served as it is; the first dimension of every tensor is the batch, where it is open."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        self._session = open_session(str(bundle.path / "model.onnx"), threads)
        session: Any = self._session
        _compare("input", self.manifest.inputs, session.get_inputs())
        _compare("output", self.manifest.outputs, session.get_outputs())
        self._names = [tensor.name for tensor in self.manifest.outputs]

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        """The graph's outputs by name; InvalidRequest when it cannot compute with these shapes."""
        feed = {name: _array(column) for name, column in inputs.items()}
        try:
            results = cast("list[Array]", self._session.run(self._names, feed))
        except Exception as error:  # onnxruntime's own types, which share no root
            raise InvalidRequest(
                f"{self.manifest.name} cannot compute with inputs of these shapes: "
                + ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
            ) from error
        outputs = dict(zip(self._names, results, strict=True))
        return Answer({**outputs}, lambda: features_of(self.manifest, {**feed, **outputs}))


def _array(column: Column) -> Array:
    return column if isinstance(column, np.ndarray) else np.array(column, object)


def features_of(manifest: Manifest, tensors: Mapping[str, Array]) -> Features:
    """Each value of a row as a column of its own; None where a tensor has other rows than the inputs have."""
    batched = [tensor for tensor in manifest.inputs if tensor.shape[:1] == [-1]]
    rows = len(tensors[batched[0].name]) if batched else 1
    features: Features = {}
    for tensor in [*manifest.inputs, *manifest.outputs]:
        sizes = tensor.shape[1:] if batched else tensor.shape
        if (batched and tensor.shape[:1] != [-1]) or -1 in sizes or prod(sizes) > WIDTH:
            continue
        values = tensors[tensor.name]
        flat = values.reshape(rows, prod(sizes)).T.tolist() if values.size == rows * prod(sizes) else None
        for i in range(prod(sizes)):
            features[tensor.name if prod(sizes) == 1 else f"{tensor.name}_{i}"] = flat[i] if flat else [None] * rows
    return features


def _compare(what: str, declared: list[Tensor], found: Sequence[Any]) -> None:
    """InvalidBundle unless the manifest says of the graph's tensors what the graph itself says."""
    kinds = {argument.name: argument.type for argument in found}
    for tensor in declared:
        if kinds.get(tensor.name) != DATATYPES.get(tensor.datatype):
            raise InvalidBundle(
                f"model.onnx: {what} {tensor.name!r} is {kinds.get(tensor.name)}, the manifest says {tensor.datatype}"
            )
    for name in kinds:
        if what == "input" and all(tensor.name != name for tensor in declared):
            raise InvalidBundle(f"model.onnx: input {name!r} is not in the manifest")
