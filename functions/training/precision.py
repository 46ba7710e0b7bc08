"""Where an encoder's fused graph needs more than plain int8, put in before the rest is quantized.

Plain int8 gives a whole matrix' input one scale. The feed-forward layers' second matrices, and in the lower half of the
layers the first ones too, get 8-bit blocks instead (`training.blocks`), whose input has a scale for each block; the
attention's input is divided channel by channel by what it reaches, as `training.smoothing` does elsewhere.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from training.blocks import DOMAIN, INT8_ACTIVATIONS, Floats, Scheme, packed, quantize

SCHEME = Scheme(bits=8, block=128)


def refine(graph: onnx.GraphProto, wide: int, largest: list[Floats]) -> None:
    """Change the graph of an encoder whose feed-forward layers are `wide`, in place.

    `largest` is the largest magnitude that sample texts bring to each channel of each attention's input, by layer,
    shape (hidden,); an empty list leaves the attentions as they are.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    attentions = [node for node in graph.node if node.op_type == "Attention"]
    if len(attentions) == len(largest):
        for node, loudness in zip(attentions, largest, strict=True):
            _smooth(graph, weights, node, loudness)
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    first = [node for node in products if weights[node.input[1]].dims[1] == wide]
    second = [node for node in products if weights[node.input[1]].dims[0] == wide]
    for node in [*first[: len(first) // 2], *second]:
        store_product(graph, weights, node, SCHEME)


def _smooth(
    graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto], attention: onnx.NodeProto, largest: Floats
) -> None:
    """Divide an attention's input by `largest`, shape (hidden,), and multiply its weights' rows by it."""
    weight = weights[attention.input[1]]
    factors = np.where(largest > 0, largest, np.float32(1))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * factors[:, None], weight.name))
    inverse, smoothed = f"{attention.name}.inverse", f"{attention.name}.smoothed"
    graph.initializer.append(numpy_helper.from_array(1 / factors, inverse))
    place = list(graph.node).index(attention)
    graph.node.insert(place, helper.make_node("Mul", [attention.input[0], inverse], [smoothed], name=smoothed))
    attention.input[0] = smoothed


def store_product(
    graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto], product: onnx.NodeProto, scheme: Scheme
) -> None:
    """Put blocks in the place of a product's weight, which is one of the graph's `weights` by name."""
    source, name = product.input
    weight = numpy_helper.to_array(weights[name])
    blocks = quantize(np.ascontiguousarray(weight.T), scheme)
    codes, zeros = (packed(each, scheme.bits) for each in (blocks.codes, blocks.zeros))
    parts = {"codes": codes, "scales": blocks.scales, "zeros": zeros}
    graph.initializer.remove(weights[name])
    graph.initializer.extend(numpy_helper.from_array(part, f"{name}.{kind}") for kind, part in parts.items())
    product.CopyFrom(
        helper.make_node(
            "MatMulNBits",
            [source, *(f"{name}.{kind}" for kind in parts)],
            list(product.output),
            name=product.name,
            domain=DOMAIN,
            K=weight.shape[0],
            N=weight.shape[1],
            bits=scheme.bits,
            block_size=scheme.block,
            accuracy_level=INT8_ACTIVATIONS,
        )
    )
