"""From a trained classifier to the graph that is served: fused, quantized, optimized ahead of time, weights apart.

All optimizing happens here, so that a cold start only maps the weights. The fused attention takes each row's length
instead of a mask: the served graph wants rows without padding, or padded on the right.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.transformers import optimizer
from torch import Tensor, nn
from transformers import PretrainedConfig

from pawl.errors import InvalidBundle
from training.classifier import Classifier, pad
from training.norms import FUSION, split_norms
from training.products import Feed
from training.quantize import quantize
from training.smoothing import smooth

GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
INPUTS = ["input_ids", "attention_mask"]
OUTPUTS = ["probabilities", "projection"]
OPSET = 17
TOLERANCE = 1e-4
"""The largest difference from torch that the float graph's probabilities and projections may show."""
SAMPLE = 128
"""Rows that the smoothing looks at."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What the export came to: bytes of the float graph and of the served one with its weights, and how it was made."""

    float_bytes: int
    int8_bytes: int
    float_difference: float
    quantization: dict[str, object]


def export(classifier: Classifier, ids: list[list[int]], folder: Path, way: str = "int8") -> Exported:
    """Write the served graph of `classifier`, which is on the CPU and in evaluation mode, into `folder`.

    `ids` are token id rows like those to come, of different lengths; `way` is how the weights are stored
    (`training.quantize`). The graph takes any shape. InvalidBundle when its float form disagrees with torch.
    """
    with TemporaryDirectory() as scratch:
        fused = Path(scratch) / "fused.onnx"
        difference = write_floats(classifier, ids, fused)
        served_bytes = write_served(fused, ids, folder, way)
        return Exported(fused.stat().st_size, served_bytes, difference, described(fused, way))


def write_floats(classifier: Classifier, ids: list[list[int]], path: Path) -> float:
    """Write the smoothed and fused float graph; how far it is off from torch. InvalidBundle when that is too far."""
    ends = sorted(ids, key=len)
    example = pad([ends[-1], ends[0], ends[len(ends) // 2]], torch.device("cpu"))
    traced = path.with_suffix(".traced")
    trace(smooth(classifier, ids[:SAMPLE]), example, OUTPUTS, traced)
    fuse(classifier.encoder.config, traced, path)
    traced.unlink()
    difference = _difference(classifier, example, path)
    if difference > TOLERANCE:
        raise InvalidBundle(f"{GRAPH}: the float graph is off from torch by {difference:.2g}, want {TOLERANCE} at most")
    return difference


def write_served(floats: Path, ids: list[list[int]], folder: Path, way: str) -> int:
    """Write a float graph as it is served, its weights stored by `way`, into `folder`; its bytes."""
    with TemporaryDirectory() as scratch:
        quantized = Path(scratch) / "quantized.onnx"
        quantize(way, floats, quantized, feeds(ids[:SAMPLE]), float_nodes(floats))
        optimize(quantized, folder / GRAPH)
    return sum((folder / name).stat().st_size for name in (GRAPH, WEIGHTS))


def feeds(ids: list[list[int]]) -> list[Feed]:
    """Token id rows, each as the graph takes it."""
    return [{"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64)} for row in ids]


def float_nodes(graph: Path) -> list[str]:
    """The products outside the encoder, head and projection, whose weights stay float."""
    return [
        node.name
        for node in onnx.load(graph).graph.node
        if node.op_type in ("MatMul", "Gemm") and not node.name.startswith(("/encoder/", "Attention"))
    ]


def described(floats: Path, way: str) -> dict[str, object]:
    """What the manifest says of a graph's weights."""
    return {
        "method": "static" if way == "static" else "dynamic",
        "weights": way if way in ("float", "int4", "mixed") else "int8",
        "activations": "float" if way == "float" else "uint8",
        "per_channel": True,
        "smoothed": True,
        "float_nodes": float_nodes(floats),
        "optimized_for": "any CPU",
        "onnxruntime": ort.__version__,
    }


def trace(
    network: nn.Module, example: tuple[Tensor, Tensor], outputs: list[str], path: Path, opset: int = OPSET
) -> None:
    """The graph as torch sees it. Not by dynamo: onnxruntime's fusions do not know the graphs that it makes."""
    axes = {name: {0: "rows", 1: "tokens"} for name in INPUTS} | {name: {0: "rows"} for name in outputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on tracing as such; `_difference` proves the graph right
        torch.onnx.export(
            network,
            example,
            str(path),
            input_names=INPUTS,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
        )


def fuse(config: PretrainedConfig, source: Path, path: Path) -> None:
    """Attention and activations each as one node, layer norms in the parts that are fastest."""
    size = getattr(config, "attention_width", config.hidden_size)  # less where heads were pruned
    fused = optimizer.optimize_model(
        str(source), "bert", num_heads=config.num_attention_heads, hidden_size=size, opt_level=0
    )
    fused.model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # the quantizer asks for it
    split_norms(fused.model.graph)
    fused.save_model_to_file(str(path))


def optimize(source: Path, path: Path) -> None:
    """What a session would do at its start, done once: every rewrite that suits any CPU, weights in a file to map."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=[FUSION])


def _difference(classifier: Classifier, example: tuple[Tensor, Tensor], path: Path) -> float:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {name: tensor.numpy() for name, tensor in zip(INPUTS, example, strict=True)}
    with torch.inference_mode():
        wanted = classifier(*example)
    return max(
        float(np.abs(got - want.numpy()).max()) for got, want in zip(session.run(OUTPUTS, feed), wanted, strict=True)
    )
