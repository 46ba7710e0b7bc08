"""Layer norms taken apart: the same numbers, by nodes that onnxruntime computes faster."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.norms import FUSED, split_norms


def graph_of(inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    generator = np.random.default_rng(5)
    tensors = {name: generator.standard_normal(8).astype(np.float32) for name in inputs[2:] if name}
    node = helper.make_node(FUSED, inputs, outputs, name="norm", domain="com.microsoft", epsilon=1e-3)
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "tokens", 8]) for name in ("x", "skip")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name]
    made = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph([node], "norms", borders, ends, made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(model: onnx.ModelProto) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    generator = np.random.default_rng(6)
    feed = {name: generator.standard_normal((1, 3, 8)).astype(np.float32) for name in ("x", "skip")}
    return np.asarray(session.run(["y"], feed)[0])


@pytest.mark.parametrize(
    ("inputs", "operators"),
    [
        (["x", "skip", "scale", "shift", "bias"], ["Add", "Add", "LayerNormalization"]),
        (["x", "skip", "scale", "shift"], ["Add", "LayerNormalization"]),
        (["x", "skip", "scale", "", "bias"], ["Add", "Add", "LayerNormalization"]),
    ],
)
def test_the_parts_of_a_norm_give_what_it_gave(inputs: list[str], operators: list[str]) -> None:
    model = graph_of(inputs, ["y"])
    wanted = run(model)

    split_norms(model.graph)

    assert [node.op_type for node in model.graph.node] == operators
    assert np.abs(run(model) - wanted).max() < 1e-6


def test_a_norm_whose_sum_is_used_elsewhere_stays_whole() -> None:
    model = graph_of(["x", "skip", "scale", "shift"], ["y", "", "", "sum"])
    split_norms(model.graph)
    assert [node.op_type for node in model.graph.node] == [FUSED]
