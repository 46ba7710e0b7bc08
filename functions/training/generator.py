"""The recipe for text generators: a decoder's checkpoint as the graph that is served, its weights in 4-bit blocks.

onnxruntime-genai's builder writes the float graph, whose attention shares one buffer between past and present; the
blocks are put in here (`training.blocks`), for the builder's own 4 bits change every third next token of a small model.

    checkpoint -> float graph -> blocks -> measured beside the float model -> bundle
"""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper
from torch import nn
from transformers import PreTrainedModel

from pawl.bundle import Bundle, seal
from pawl.bundle import Tensor as Signature
from pawl.dataset import Row
from pawl.errors import InvalidBundle
from pawl.model import SCALES
from training import scales, starter
from training.blocks import Rewriter, Scheme, is_exact
from training.card import write_generator_card
from training.checkpoint import Checkpoint, open_checkpoint
from training.export import GRAPH, WEIGHTS
from training.likeness import Cache, Floats, compare, float_scores, served_scores
from training.origin import Origin

KIND = "text-generator"
EXACT = Scheme(bits=4, block=32, minima=True)
ROUNDED = Scheme(bits=4, block=32, spare=32, search=True)
SERVED_BEYOND = 1024
"""Bytes from which a weight lies in the file that is mapped."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned. The defaults are measured: `scripts/bench quantization`."""

    body: Scheme | None = None
    """How the layers' matrices are stored; None: exactly if they were 4-bit blocks before, else rounded."""
    head: Scheme = ROUNDED
    """How the embedding and the head are stored, which in most small models are one matrix."""
    context: int = 4096
    """Most tokens of prompt and text together, where the model knows positions as far."""
    sample_tokens: int = 512
    """Tokens of text whose activations show which channels are loud."""
    measured_tokens: int = 384
    """Tokens of another text by which the served graph is compared with the float model."""


def package(source: str, origin: Origin, knobs: Knobs, folder: Path, text: str | None = None) -> Bundle:
    """Leave a sealed bundle of the decoder that `source` names in the empty `folder`.

    `text` is what its likeness to the float model is measured on; starter rows that nothing was fitted to unless given.
    """
    rows = starter.split(starter.read_rows(starter.ROWS.read_text(encoding="utf-8").splitlines()))
    with TemporaryDirectory() as scratch:
        checkpoint = open_checkpoint(source, Path(scratch))
        context = min(knobs.context, checkpoint.positions)
        floats = build_graph(checkpoint, Path(scratch) / "graph")
        model = checkpoint.model()
        loud = energies(model, tokens_of(checkpoint, rows.train, knobs.sample_tokens))
        body = store(floats, folder, knobs, context, loud)
        write_tokens(checkpoint, folder, context)
        ids = tokens_of(checkpoint, text or rows.holdout, min(knobs.measured_tokens, context))
        metrics = measure(model, folder / GRAPH, checkpoint.cache, ids)
        float_bytes = sum(path.stat().st_size for path in floats.parent.glob(f"{GRAPH}*"))
    served_bytes = sum((folder / name).stat().st_size for name in (GRAPH, WEIGHTS, SCALES))
    metrics["bytes_ratio"] = round(served_bytes / float_bytes, 4)
    about: dict[str, Any] = {
        "name": origin.name,
        "version": origin.version,
        "kind": KIND,
        "created_at": origin.created_at,
        "inputs": [Signature("text", "BYTES", [-1])],
        "outputs": [Signature("text", "BYTES", [-1]), Signature("finish_reason", "BYTES", [-1])],
        "labels": [],
        "max_tokens": context,
        "quantization": {
            "method": "weights in blocks",
            "source": checkpoint.stored_as,
            "body": asdict(body),
            "head": asdict(knobs.head),
            "scales": "float16",
            "activations": "int8",
            "optimized_for": "any CPU",
            "onnxruntime": ort.__version__,
        },
        "lineage": origin.lineage(),
    }
    write_generator_card(folder / "card.md", about, metrics)
    return seal(folder, **about, metrics=metrics)


def build_graph(checkpoint: Checkpoint, folder: Path) -> Path:
    """The float graph of a checkpoint, as onnxruntime-genai's builder writes it; logits of the last token alone."""
    from onnxruntime_genai.models import builder  # takes seconds, and prints what it does

    cache = folder / "cache"
    where = ("checkpoint", str(checkpoint.folder), str(folder), "fp32", "cpu", str(cache))
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            options = builder.parse_extra_options(*where, ["prune_lm_head=true", "hf_token=false"])
            builder.create_model(*where, **options)
        except Exception as error:  # whatever a checkpoint may lack, under no common root
            raise InvalidBundle(
                f"{checkpoint.folder.name}: onnxruntime-genai's builder gave up: {type(error).__name__}: {error}"
            ) from error
    return folder / GRAPH


def energies(model: PreTrainedModel, ids: Sequence[int]) -> dict[str, Floats]:
    """The mean square of each input channel of each matrix over a text, by the matrix' name in the builder's graph."""
    found: dict[str, Floats] = {}

    def watch(name: str, layer: nn.Linear) -> "torch.utils.hooks.RemovableHandle":
        def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            energy = inputs[0].flatten(0, -2).square().mean(0).numpy()
            for own in (name, name.replace("q_proj", "qkv_proj")):
                found[f"{own.replace('self_attn', 'attn')}.MatMul.weight"] = energy

        return layer.register_forward_pre_hook(look)

    hooks = [watch(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    float_scores(model, ids)
    for hook in hooks:
        hook.remove()
    return found


def store(floats: Path, folder: Path, knobs: Knobs, context: int, loud: Mapping[str, Floats]) -> Scheme:
    """Write the float graph with its weights in blocks and as many positions as are served; how the body is stored."""
    model = onnx.load(floats)
    body = knobs.body or (EXACT if _were_blocks(model.graph) else ROUNDED)
    rewriter = Rewriter(model.graph, body, knobs.head, loud)
    rewriter.rewrite()
    for tensor in model.graph.initializer:
        if tensor.name in ("cos_cache", "sin_cache"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:context], tensor.name))
    del model.metadata_props[:]
    onnx.save(model, folder / GRAPH, save_as_external_data=True, location=WEIGHTS, size_threshold=SERVED_BEYOND)
    scales.leave(folder, rewriter.scales)
    return body


def _were_blocks(graph: onnx.GraphProto) -> bool:
    """Whether the layers' matrices are what 4-bit blocks gave, as those of a dequantized checkpoint."""
    layers = [tensor for tensor in graph.initializer if tensor.name.endswith("_proj.MatMul.weight")]
    return all(is_exact(numpy_helper.to_array(tensor).T, EXACT) for tensor in layers[:: max(1, len(layers) // 8)])


def write_tokens(checkpoint: Checkpoint, folder: Path, context: int) -> None:
    """Write the tokenizer, the chat template if there is one, and what `pawl.generator` must know of the graph."""
    checkpoint.tokenizer.no_truncation()
    checkpoint.tokenizer.no_padding()
    checkpoint.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    if checkpoint.chat_template:
        (folder / "chat_template.jinja").write_text(checkpoint.chat_template, encoding="utf-8")
    generation = {
        "schema": 1,
        "layers": checkpoint.cache.layers,
        "kv_heads": checkpoint.cache.kv_heads,
        "head_size": checkpoint.cache.head_size,
        "context": context,
        "bos_token": checkpoint.bos_token,
        "eos_token": checkpoint.eos_token,
        "eos_ids": checkpoint.eos_ids,
    }
    (folder / "generation.json").write_text(json.dumps(generation, indent=1) + "\n", encoding="utf-8")


def measure(model: PreTrainedModel, graph: Path, cache: Cache, ids: Sequence[int]) -> dict[str, Any]:
    """How like the float model the served graph is on a text, and how fast it goes on, on one thread."""
    served, seconds = served_scores(graph, cache, ids)
    if not np.isfinite(served).all():
        raise InvalidBundle(f"{GRAPH}: its scores are not all finite numbers")
    likeness = compare(float_scores(model, ids), served, ids)
    return {**asdict(likeness), "decode_tokens_per_s": round(1 / seconds, 1), "decode_threads": 1}


def tokens_of(checkpoint: Checkpoint, text: str | Sequence[Row], count: int) -> list[int]:
    """The first tokens of a text, or of rows' texts one after the other."""
    whole = text if isinstance(text, str) else "\n".join(row.text for row in text)
    return checkpoint.tokenizer.encode(whole, add_special_tokens=False).ids[:count]
