"""A tiny text generator in a real bundle: a Llama of two layers with random weights, the same ones every time.

Its graph has the names, operators and cache of the graphs that training packages from real checkpoints, by default with
weights that are not quantized. What it says means nothing, yet every text is the same for the same prompt and seed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from pawl.bundle import Bundle, Lineage, Tensor, seal

MODEL = "parrot"
CONTEXT = 1024
LAYERS, HEADS, KV_HEADS, HEAD_SIZE, WIDE = 2, 4, 2, 16, 96
BLOCK = 32
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a parrot.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SAID = (
    "the parrot says that the weather is fine and the parcel is on its way",
    'an answer is {"name": "parrot", "age": 12, "colours": ["green", "red"], "is_alive": true}',
    "un café près de la forêt, s'il vous plaît; größer, schöner, weiter",
    "猫は鳥が好きです。鳥は猫が好きではありません。 🦜🦜 🌲",
)


def seal_generator(
    folder: Path,
    version: str = "1",
    name: str = MODEL,
    seed: int = 0,
    is_pruned: bool = True,
    is_quantized: bool = False,
    is_spoilt: bool = False,
    template: str | None = TEMPLATE,
    words: Sequence[str] = (),
) -> Bundle:
    """The bundle in `folder`, made there.

    `is_pruned`: logits of the last token alone, as packaged graphs have them; `is_quantized`: weights in 4 bits, as
    they have too; `is_spoilt`: the logits are no numbers; `words`: tokens besides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(list(words))
    model = _graph(tokenizer.get_vocab_size(), seed, is_pruned, is_spoilt)
    if is_quantized:
        _quantize(model.graph)
    onnx.save(
        model, str(folder / "model.onnx"), save_as_external_data=True, location="model.onnx.data", size_threshold=64
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    (folder / "generation.json").write_text(json.dumps(GENERATION), encoding="utf-8")
    (folder / "card.md").write_text("# A parrot\n", encoding="utf-8")
    return seal(
        folder,
        name=name,
        version=version,
        kind="text-generator",
        created_at="2026-07-14T09:00:00.000Z",
        inputs=[Tensor("text", "BYTES", [-1])],
        outputs=[Tensor("text", "BYTES", [-1]), Tensor("finish_reason", "BYTES", [-1])],
        labels=[],
        max_tokens=CONTEXT,
        quantization={},
        metrics={},
        lineage=Lineage(f"run-{version}", "none", None, "none", "Apache-2.0", "tests"),
    )


GENERATION: dict[str, Any] = {
    "schema": 1,
    "layers": LAYERS,
    "kv_heads": KV_HEADS,
    "head_size": HEAD_SIZE,
    "context": CONTEXT,
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "eos_ids": [0, 2],
}


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer of a few hundred tokens, with three special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=448,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for text in SAID for _ in range(4)], trainer)
    return tokenizer


def _graph(vocabulary: int, seed: int, is_pruned: bool, is_spoilt: bool) -> onnx.ModelProto:
    """Embedding, layers of grouped-query attention with rotary positions and a gated feed-forward part, head."""
    random = np.random.default_rng(seed)
    width = HEADS * HEAD_SIZE
    weights = {
        "model.embed_tokens.weight": random.normal(0, 1, (vocabulary, width)),
        "lm_head.MatMul.weight": random.normal(0, 0.3, (width, vocabulary)),
        "one": np.array([1]),
        "last": np.array(-1),
        "row": np.array(1),
        **_rotary(),
    }
    if is_spoilt:
        weights["lm_head.MatMul.weight"][:] = np.nan
    nodes = [
        helper.make_node("ReduceSum", ["attention_mask", "one"], ["tokens"], keepdims=0),
        helper.make_node("Sub", ["tokens", "one"], ["tokens_less_one"]),
        helper.make_node("Cast", ["tokens_less_one"], ["seqlens_k"], to=TensorProto.INT32),
        helper.make_node("Shape", ["attention_mask"], ["mask_shape"]),
        helper.make_node("Gather", ["mask_shape", "row"], ["width_of_mask"], axis=0),
        helper.make_node("Cast", ["width_of_mask"], ["total"], to=TensorProto.INT32),
        helper.make_node("Gather", ["model.embed_tokens.weight", "input_ids"], ["hidden_0"]),
    ]
    for layer in range(LAYERS):
        nodes += _layer(layer, random, weights)
    nodes.append(_norm(f"hidden_{LAYERS}", "final_norm", weights))
    pruned = [
        helper.make_node("Gather", ["final_norm.out", "last"], ["last_hidden"], axis=1),
        helper.make_node("Unsqueeze", ["last_hidden", "one"], ["head_input"]),
    ]
    nodes += pruned if is_pruned else [helper.make_node("Identity", ["final_norm.out"], ["head_input"])]
    nodes.append(helper.make_node("MatMul", ["head_input", "lm_head.MatMul.weight"], ["logits"]))
    tensors = [numpy_helper.from_array(_typed(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, MODEL, *_borders(vocabulary), tensors)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _layer(layer: int, random: np.random.Generator, weights: dict[str, Any]) -> list[onnx.NodeProto]:
    width, name = HEADS * HEAD_SIZE, f"model.layers.{layer}"
    shapes = {
        "qkv": (width, (HEADS + 2 * KV_HEADS) * HEAD_SIZE),
        "o": (width, width),
        "gate": (width, WIDE),
        "up": (width, WIDE),
        "down": (WIDE, width),
    }
    weights |= {f"{name}.{part}": random.normal(0, 2 / np.sqrt(s[0]), s) for part, s in shapes.items()}
    cache = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
    attention = helper.make_node(
        "GroupQueryAttention",
        [f"{name}.qkv.out", "", "", *cache, "seqlens_k", "total", "cos_cache", "sin_cache"],
        [f"{name}.attention", f"present.{layer}.key", f"present.{layer}.value"],
        domain="com.microsoft",
        num_heads=HEADS,
        kv_num_heads=KV_HEADS,
        scale=HEAD_SIZE**-0.5,
        do_rotary=1,
    )
    return [
        _norm(f"hidden_{layer}", f"{name}.input_norm", weights),
        helper.make_node("MatMul", [f"{name}.input_norm.out", f"{name}.qkv"], [f"{name}.qkv.out"]),
        attention,
        helper.make_node("MatMul", [f"{name}.attention", f"{name}.o"], [f"{name}.o.out"]),
        helper.make_node("Add", [f"hidden_{layer}", f"{name}.o.out"], [f"{name}.middle"]),
        _norm(f"{name}.middle", f"{name}.post_norm", weights),
        helper.make_node("MatMul", [f"{name}.post_norm.out", f"{name}.gate"], [f"{name}.gate.out"]),
        helper.make_node("MatMul", [f"{name}.post_norm.out", f"{name}.up"], [f"{name}.up.out"]),
        helper.make_node("Sigmoid", [f"{name}.gate.out"], [f"{name}.sigmoid"]),
        helper.make_node("Mul", [f"{name}.gate.out", f"{name}.sigmoid"], [f"{name}.silu"]),
        helper.make_node("Mul", [f"{name}.silu", f"{name}.up.out"], [f"{name}.gated"]),
        helper.make_node("MatMul", [f"{name}.gated", f"{name}.down"], [f"{name}.down.out"]),
        helper.make_node("Add", [f"{name}.middle", f"{name}.down.out"], [f"hidden_{layer + 1}"]),
    ]


def _norm(source: str, name: str, weights: dict[str, Any]) -> onnx.NodeProto:
    weights[name] = np.ones(HEADS * HEAD_SIZE)
    return helper.make_node("SimplifiedLayerNormalization", [source, name], [f"{name}.out"], epsilon=1e-6, axis=-1)


def _quantize(graph: onnx.GraphProto) -> None:
    """Every multiplication by weights in place to one by symmetric blocks of 32 weights in 4 bits."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "MatMul":
            name = node.input[1]
            weight = numpy_helper.to_array(tensors[name]).T
            blocks = weight.reshape(len(weight), -1, BLOCK)
            scales = np.abs(blocks).max(axis=2, keepdims=True) / 7
            levels = np.clip(np.round(blocks / scales) + 8, 0, 15).astype(np.uint8)
            packed = levels[:, :, 0::2] | levels[:, :, 1::2] << 4
            graph.initializer.remove(tensors[name])
            graph.initializer.append(numpy_helper.from_array(packed, f"{name}_Q4"))
            graph.initializer.append(numpy_helper.from_array(scales[:, :, 0].astype(np.float32), f"{name}_scales"))
            attributes = {"N": len(weight), "K": weight.shape[1], "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
            inputs = [node.input[0], f"{name}_Q4", f"{name}_scales"]
            made = helper.make_node("MatMulNBits", inputs, list(node.output), domain="com.microsoft", **attributes)
            node.CopyFrom(made)


def _rotary() -> dict[str, Any]:
    angles = np.outer(np.arange(CONTEXT), 10_000.0 ** (-np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE))
    return {"cos_cache": np.cos(angles), "sin_cache": np.sin(angles)}


def _typed(value: Any) -> Any:
    return value.astype(np.int64 if value.dtype.kind == "i" else np.float32)


def _borders(vocabulary: int) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    whole, part = ["batch_size", "total_sequence_length"], ["batch_size", "sequence_length"]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, part),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, whole),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", "logits_length", vocabulary])]
    for kind in ("key", "value"):
        for layer in range(LAYERS):
            sizes = ["batch_size", KV_HEADS, "past_sequence_length", "kv_cache_dim"]
            name = f"past_key_values.{layer}.{kind}"
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes))
            sizes = ["batch_size", KV_HEADS, "total_sequence_length", "kv_cache_dim"]
            outputs.append(helper.make_tensor_value_info(f"present.{layer}.{kind}", TensorProto.FLOAT, sizes))
    return inputs, outputs
