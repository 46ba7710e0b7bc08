"""Which products of a graph are given more bits: those that spoil the output, and no more than need them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.products import EIGHT, FOUR, products
from training.sensitivity import rank, schemes_of, spend


def two_products() -> onnx.ModelProto:
    """y = (x . fine) + (x . coarse): four bits hold `coarse`, of few values, exactly, and `fine` not at all well."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(-7, 8, (64, 16)).astype(np.float32)
    coarse[::32], coarse[1::32] = -7, 8
    fine = (generator.standard_normal((64, 16)) ** 3 * 20).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "coarse"], ["a"], name="easy"),
        helper.make_node("MatMul", ["x", "fine"], ["b"], name="hard"),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        for name, width in (("x", 64), ("y", 16))
    ]
    weights = [numpy_helper.from_array(coarse, "coarse"), numpy_helper.from_array(fine, "fine")]
    graph = helper.make_graph(nodes, "two", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def samples() -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(2)
    return [{"x": generator.standard_normal((2, 64)).astype(np.float32)} for _ in range(8)]


def test_the_product_that_spoils_the_output_most_comes_first() -> None:
    model, feeds = two_products(), samples()
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    wanted = [(feed["x"] @ weights["coarse"] + feed["x"] @ weights["fine"]).astype(np.float64) for feed in feeds]
    assert rank(model, ["easy", "hard"], feeds, wanted) == ["hard", "easy"]


def test_only_the_product_that_needs_them_is_given_eight_bits() -> None:
    model = two_products()
    assert spend(model, [node.name for node in products(model.graph)], samples(), 1e-4) == {"hard": EIGHT, "easy": FOUR}


def test_the_first_of_the_ranked_are_given_eight_bits() -> None:
    assert schemes_of(["b", "a", "c"], 1) == {"b": EIGHT, "a": FOUR, "c": FOUR}
