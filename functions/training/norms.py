"""Layer norms in the form that onnxruntime computes fastest on a CPU.

Its fusions end in SkipLayerNormalization, whose kernel goes through a row value by value: with a third of its time the
same sum is added by vectors and normalized by LayerNormalization. The parts are the ones it would fuse again, so
`training.export.optimize` forbids it that.
"""

import onnx
from onnx import helper

FUSED = "SkipLayerNormalization"
FUSION = "SkipLayerNormFusion"
"""What onnxruntime's optimizer calls the rewrite that would undo this one."""


def split_norms(graph: onnx.GraphProto) -> None:
    """Put sums and a LayerNormalization in the place of each fused one whose sum nobody else reads, in place."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        is_plain = node.op_type == FUSED and not any(node.output[1:])
        nodes.extend(_parts(node) if is_plain else [node])
    del graph.node[:]
    graph.node.extend(nodes)


def _parts(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The bias is added first: onnxruntime takes it into the product before it."""
    first, skipped, scale, shift, bias = [*node.input, "", ""][:5]
    parts: list[onnx.NodeProto] = []
    if bias:
        biased = f"{node.output[0]}.biased"
        parts.append(helper.make_node("Add", [first, bias], [biased], name=biased))
        first = biased
    added = f"{node.output[0]}.sum"
    parts.append(helper.make_node("Add", [first, skipped], [added], name=added))
    inputs = [added, scale, *([shift] if shift else [])]
    epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-12)
    return [*parts, helper.make_node("LayerNormalization", inputs, [node.output[0]], name=node.name, epsilon=epsilon)]
