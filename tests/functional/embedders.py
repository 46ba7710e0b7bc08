"""A tiny text embedder in a real bundle: the mean of its words' vectors, made one long, by a graph of six nodes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pawl.bundle import Bundle, Lineage, Tensor, seal

MODEL = "compass"
VECTORS = {
    "[PAD]": (0, 0, 0),
    "[UNK]": (0, 0, 1),
    "[CLS]": (0, 0, 0),
    "north": (0, 3, 0),
    "south": (0, -3, 0),
    "east": (3, 0, 0),
    "west": (-3, 0, 0),
}


def seal_embedder(folder: Path, version: str = "1", tokenizer: Tokenizer | None = None, vectors: Any = None) -> Bundle:
    """The bundle in `folder`, made there: `north` is (0, 1, 0), `east` (1, 0, 0), and `north east` lies between.

    With another tokenizer, `vectors` are those of its ids, shape (ids, 3).
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_graph(list(VECTORS.values()) if vectors is None else vectors), str(folder / "model.onnx"))
    (tokenizer or _tokenizer()).save(str(folder / "tokenizer.json"))
    (folder / "card.md").write_text("# A compass\n", encoding="utf-8")
    return seal(
        folder,
        name=MODEL,
        version=version,
        kind="text-embedder",
        created_at="2026-07-14T09:00:00.000Z",
        inputs=[Tensor("text", "BYTES", [-1])],
        outputs=[Tensor("embedding", "FP32", [-1, 3])],
        labels=[],
        max_tokens=16,
        quantization={},
        metrics={},
        lineage=Lineage(f"run-{version}", "none", None, "none", "Apache-2.0", "tests"),
    )


def _graph(vectors: Any) -> onnx.ModelProto:
    constants: dict[str, Any] = {
        "vectors": np.array(vectors, np.float32),
        "last": np.array([2]),
        "rows": np.array([1]),
    }
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Gather", ["vectors", "input_ids"], ["each"]),
        helper.make_node("Mul", ["each", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "rows"], ["projection"], keepdims=0),
        helper.make_node("LpNormalization", ["projection"], ["embedding"], axis=-1, p=2),
    ]
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in ("embedding", "projection")]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, MODEL, ids, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VECTORS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    return tokenizer
