"""A tiny reward model in a real bundle: every token is worth so much, and an answer what its dialogue's tokens are."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.functional.generators import make_tokenizer
from tokenizers import Tokenizer

from pawl.bundle import Bundle, Lineage, Tensor, seal
from pawl.reward import LAYOUT, Layout

DIMENSIONS = 2


def seal_reward(
    folder: Path, name: str, version: str, dataset: str, worth: Mapping[str, float], licence: str = "Apache-2.0"
) -> Bundle:
    """The bundle in `folder`, made there; `worth` are texts and what each of their tokens adds to a reward."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    onnx.save(_graph(_table(tokenizer, worth)), str(folder / "model.onnx"))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / LAYOUT).write_text(Layout((1,), (1,), (2,)).to_json())
    return seal(
        folder,
        name=name,
        version=version,
        kind="reward-model",
        created_at="2026-07-14T09:00:00.000Z",
        inputs=[Tensor("prompt", "BYTES", [-1]), Tensor("completion", "BYTES", [-1])],
        outputs=[Tensor("reward", "FP32", [-1])],
        labels=[],
        max_tokens=128,
        quantization={"temperature": 1.0},
        metrics={},
        lineage=Lineage(f"run-{name}-{version}", dataset, None, "none", licence, "tests", recipe="reward"),
    )


def _table(tokenizer: Tokenizer, worth: Mapping[str, float]) -> np.ndarray:
    """What each token is worth, shape (tokens,); of the others, too little to matter, but never the same twice."""
    table = np.random.default_rng(0).normal(0, 1e-3, tokenizer.get_vocab_size()).astype(np.float32)
    for text, value in worth.items():
        table[tokenizer.encode(text).ids] = value
    return table


def _graph(table: np.ndarray) -> onnx.ModelProto:
    """The sum of the tokens' worth, and a projection of nothing."""
    constants = {"table": table, "rows": np.array([1]), "zeros": np.zeros((1, DIMENSIONS), np.float32)}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["each", "mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "rows"], ["reward"], keepdims=0),
        helper.make_node("ReduceSum", ["masked", "rows"], ["column"], keepdims=1),
        helper.make_node("MatMul", ["column", "zeros"], ["projection"]),
    ]
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info("reward", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("projection", TensorProto.FLOAT, ["n", DIMENSIONS]),
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "judge", ids, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
