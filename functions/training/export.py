"""From a trained classifier to the graph that is served: fused, quantized, optimized ahead of time, weights apart.

All optimizing happens here, so that a cold start only maps the weights. The fused attention takes each row's length
instead of a mask: the served graph wants padding on the right, as `pawl.model` pads.
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
from training import int8
from training.classifier import Classifier, pad
from training.norms import FUSION, split_norms
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


def export(classifier: Classifier, ids: list[list[int]], folder: Path) -> Exported:
    """Write the served graph of `classifier`, which is on the CPU and in evaluation mode, into `folder`.

    `ids` are token id rows like those to come, of different lengths. The graph takes any shape. InvalidBundle when its
    float form disagrees with torch.
    """
    ends = sorted(ids, key=len)
    example = pad([ends[-1], ends[0], ends[len(ends) // 2]], torch.device("cpu"))
    with TemporaryDirectory() as scratch:
        traced, fused, quantized = (Path(scratch) / f"{stage}.onnx" for stage in ("traced", "fused", "quantized"))
        trace(smooth(classifier, ids[:SAMPLE]), example, OUTPUTS, traced)
        fuse(classifier.encoder.config, traced, fused)
        difference = _difference(classifier, example, fused)
        floats = _quantize(fused, quantized)
        optimize(quantized, folder / GRAPH)
        float_bytes = fused.stat().st_size
    if difference > TOLERANCE:
        raise InvalidBundle(f"{GRAPH}: the float graph is off from torch by {difference:.2g}, want {TOLERANCE} at most")
    int8_bytes = sum((folder / name).stat().st_size for name in (GRAPH, WEIGHTS))
    return Exported(
        float_bytes,
        int8_bytes,
        difference,
        {
            "method": "dynamic",
            "weights": "int8",
            "activations": "uint8",
            "per_channel": True,
            "smoothed": True,
            "float_nodes": floats,
            "optimized_for": "any CPU",
            "onnxruntime": ort.__version__,
        },
    )


def trace(network: nn.Module, example: tuple[Tensor, Tensor], outputs: list[str], path: Path) -> None:
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
            opset_version=OPSET,
            dynamo=False,
        )


def fuse(config: PretrainedConfig, source: Path, path: Path) -> None:
    """Attention and activations each as one node, layer norms in the parts that are fastest."""
    fused = optimizer.optimize_model(
        str(source), "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size, opt_level=0
    )
    fused.model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # the quantizer asks for it
    split_norms(fused.model.graph)
    fused.save_model_to_file(str(path))


def _quantize(source: Path, path: Path) -> list[str]:
    """Weights to int8, a scale for each output channel; head and projection stay float. Returns those kept float."""
    floats = [
        node.name
        for node in onnx.load(source).graph.node
        if node.op_type in ("MatMul", "Gemm") and not node.name.startswith(("/encoder/", "Attention"))
    ]
    int8.quantize(source, path, [*floats, *(f"{name}_MatMul" for name in floats)])
    return floats


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
