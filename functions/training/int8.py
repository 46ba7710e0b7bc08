"""Int8 weights that give the same answer on every CPU.

Without VNNI instructions (older x86, some of Lambda's hosts) onnxruntime multiplies uint8 inputs by int8 weights with
VPMADDUBSW, which adds two neighbouring products in 16 bits and saturates: a graph that is right on the machine that
made it is then silently wrong on the one that serves it. A pair of weights (2k, 2k + 1) of a column is safe when their
magnitudes sum to 128 at most, as 255 x 128 < 2^15. Halving all weights (the quantizer's `reduce_range`) costs a bit
everywhere; here each column gets the scale with the least squared error under that limit.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

LIMIT = 128
"""The largest sum of two neighbours' magnitudes that cannot saturate."""
STEPS = 16
"""Scales tried for each column, from the finest that holds its largest weight to one that holds its largest pair."""


def quantize(source: Path, path: Path, floats: list[str] | None = None) -> None:
    """Write the float graph `source` to `path` with int8 weights, a scale per output; the nodes `floats` stay float."""
    quantize_dynamic(
        source,
        path,
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=floats or [],
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    weights = {tensor.name: tensor for tensor in onnx.load(source).graph.initializer}
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, weight in weights.items():
        codes = tensors.get(f"{name}_quantized")
        if codes is None or codes.data_type != onnx.TensorProto.INT8 or len(codes.dims) != 2:
            continue
        scales = tensors[f"{name}_scale"]
        safe, scale = quantize_safely(numpy_helper.to_array(weight))
        codes.CopyFrom(numpy_helper.from_array(safe, codes.name))
        scales.CopyFrom(numpy_helper.from_array(scale, scales.name))
    onnx.save(model, path)


def quantize_safely(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes (inputs, outputs) and scales (outputs,) of a weight (inputs, outputs), no column's pair above the limit."""
    rows = len(weight)
    padded = np.vstack([weight, np.zeros((rows % 2, weight.shape[1]), np.float32)])
    sizes = np.abs(padded)
    finest = sizes.max(0) / np.float32(127)
    coarsest = np.maximum(finest, (sizes[0::2] + sizes[1::2]).max(0) / np.float32(LIMIT - 1))
    codes = np.zeros(padded.shape, np.int8)
    scales = np.ones(weight.shape[1], np.float32)
    least = np.full(weight.shape[1], np.inf, np.float32)
    for share in np.linspace(0, 1, STEPS, dtype=np.float32):
        scale = finest + share * (coarsest - finest)
        scale[scale == 0] = 1
        tried = _fit_pairs(np.rint(padded / scale))
        error = np.square(tried * scale - padded).sum(0)
        is_better = error < least
        least[is_better], scales[is_better] = error[is_better], scale[is_better]
        codes[:, is_better] = tried[:, is_better]
    return codes[:rows], scales


def _fit_pairs(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Codes (an even number, outputs), each pair's excess over the limit taken from both while the smaller lasts."""
    sizes = np.abs(codes)
    first, second = sizes[0::2], sizes[1::2]
    excess = np.maximum(first + second - LIMIT, 0)
    cut = np.minimum(np.floor(excess / 2), np.minimum(first, second))
    is_first = first >= second
    sizes[0::2] -= np.where(is_first, excess - cut, cut)
    sizes[1::2] -= np.where(is_first, cut, excess - cut)
    return np.copysign(sizes, codes)
