"""A graph's products with a constant matrix, where most of a network's weights are, and how blocks replace them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.onnx_model import ONNXModel

from training.blocks import Scheme
from training.precision import store_product

Feed = Mapping[str, NDArray[Any]]
"""A graph's inputs by name."""
FOUR = Scheme(bits=4, block=32, search=True)
EIGHT = Scheme(bits=8, block=32)
SMALLEST = 32
"""Rows a product's weight must have to be stored in blocks."""


def products(graph: onnx.GraphProto, floats: Sequence[str] = ()) -> list[onnx.NodeProto]:
    """The nodes that multiply by a constant matrix which is large enough for blocks."""
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2 and tensor.dims[0] >= SMALLEST}
    kept = set(floats)
    return [
        node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices and node.name not in kept
    ]


def store_products(graph: onnx.GraphProto, schemes: Mapping[str, Scheme]) -> None:
    """Put the products named in `schemes` in blocks, in place."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in products(graph):
        if node.name in schemes:
            store_product(graph, weights, node, schemes[node.name])
            weights = {tensor.name: tensor for tensor in graph.initializer}


def without_gemm(source: Path) -> onnx.ModelProto:
    """The graph with every Gemm as a product and a sum, which is what can be quantized."""
    model = ONNXModel(onnx.load(source))
    model.replace_gemm_with_matmul()
    return model.model
