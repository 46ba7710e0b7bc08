"""A generator's scales apart from its graph: two bytes each in a file, four where they are multiplied by.

In the graph they are tensors in a file that no bundle has. `pawl.model.open_session` gives their values; whoever opens
the graph without them gets an error, for onnxruntime answers zeros where a product's scales are computed by nodes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors.numpy import save_file

from pawl.model import SCALES
from training.export import GRAPH

GIVEN = "given when it is opened"
"""The file in which the graph says that they lie."""


def leave(folder: Path, scales: Mapping[str, NDArray[np.float16]]) -> None:
    """Write the scales beside the graph in `folder`, and name them in it."""
    save_file(dict(scales), folder / SCALES)
    model = onnx.load(folder / GRAPH, load_external_data=False)
    model.graph.initializer.extend(_named(name, values) for name, values in scales.items())
    (folder / GRAPH).write_bytes(model.SerializeToString())


def _named(name: str, values: NDArray[np.float16]) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", GIVEN), ("offset", "0"), ("length", str(4 * values.size))):
        tensor.external_data.add(key=key, value=value)
    return tensor
