"""A reward network as the int8 graph that is served, by the passes of `training.export`.

An encoder's attention is fused; a decoder's graph is left as torch traces it, with the causal mask spelled out.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor

from pawl.errors import InvalidBundle
from training import int8
from training.classifier import pad
from training.export import GRAPH, INPUTS, SAMPLE, WEIGHTS, fuse, optimize, trace
from training.judge import Base, Served
from training.smoothing import smooth

OUTPUTS = ["reward", "projection"]
TOLERANCE = 1e-3
"""The largest difference from torch, as a share of the rewards' spread, that the float graph may show."""


@dataclass(frozen=True, slots=True)
class ExportedJudge:
    """Bytes of the float graph and of the served one with its weights."""

    float_bytes: int
    int8_bytes: int

    def quantization(self) -> dict[str, object]:
        """What the manifest says of it."""
        return {
            "method": "dynamic",
            "weights": "int8",
            "activations": "uint8",
            "per_channel": True,
            "smoothed": True,
            "optimized_for": "any CPU",
            "onnxruntime": ort.__version__,
        }


def export_judge(base: Base, ids: list[list[int]], folder: Path) -> ExportedJudge:
    """Write the served graph of a judge, which is on the CPU and in evaluation mode, into `folder`.

    `ids` are token id rows like those to come. InvalidBundle when the float graph disagrees with torch.
    """
    served = Served(base.judge)
    ends = sorted(ids, key=len)
    example = pad([ends[-1], ends[0], ends[len(ends) // 2]], torch.device("cpu"))
    with TemporaryDirectory() as scratch:
        traced, fused, quantized = (Path(scratch) / f"{stage}.onnx" for stage in ("traced", "fused", "quantized"))
        trace(smooth(served, ids[:SAMPLE]), example, OUTPUTS, traced)
        if base.is_decoder:
            traced.rename(fused)
        else:
            fuse(served.encoder.config, traced, fused)
        _compare(served, example, fused)
        int8.quantize(fused, quantized, _floats(fused))
        optimize(quantized, folder / GRAPH)
        float_bytes = fused.stat().st_size
    return ExportedJudge(float_bytes, sum((folder / name).stat().st_size for name in (GRAPH, WEIGHTS)))


def _floats(graph: Path) -> list[str]:
    """The products outside the base: score and projection."""
    names = [node.name for node in onnx.load(graph).graph.node if node.op_type in ("MatMul", "Gemm")]
    floats = [name for name in names if "/encoder/" not in name]
    return [*floats, *(f"{name}_MatMul" for name in floats)]


def _compare(served: Served, example: tuple[Tensor, Tensor], path: Path) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {name: tensor.numpy() for name, tensor in zip(INPUTS, example, strict=True)}
    with torch.inference_mode():
        wanted = served(*example)
    for name, want in zip(OUTPUTS, wanted, strict=True):
        (got,) = session.run([name], feed)
        apart = float(np.abs(got - want.numpy()).max())
        scale = max(1.0, float(want.abs().max()))
        if apart > TOLERANCE * scale:
            raise InvalidBundle(f"{GRAPH}: {name} of the float graph is off from torch by {apart:.2g}")
