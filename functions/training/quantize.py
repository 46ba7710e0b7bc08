"""The ways a float graph's weights can be stored, by name: the step of the export between fusing and optimizing.

    float    as they are
    int8     weights int8 with a scale per output, activations uint8 with a scale found at each run
    static   the same, but the activations' scales come from sample inputs; weights have 7 bits, which no CPU saturates
    int4     products in 4-bit blocks, whatever else there is as in `int8`
    mixed    as `int4`, the products that bear it worst in 8-bit blocks, as few as will do (`training.sensitivity`)

`int8` and `static` need less time than `float` where a CPU multiplies bytes, the blocks fewer bytes to read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from training import int8
from training.products import FOUR, Feed, products, store_products, without_gemm
from training.sensitivity import spend

MULTIPLYING = ("Conv", "Gemm", "MatMul")


class Feeds(CalibrationDataReader):
    """Sample inputs, one after the other, as the quantizer asks for them."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._rest: Iterator[Feed] = iter(feeds)

    def get_next(self) -> dict[str, Any]:
        """The next sample; None, which the quantizer's signature does not own up to, when there is none."""
        feed = next(self._rest, None)
        return feed if feed is None else dict(feed)  # pyright: ignore[reportReturnType]


def quantize(way: str, source: Path, path: Path, feeds: Sequence[Feed], floats: Sequence[str] = ()) -> None:
    """Write the float graph `source` to `path` by one of `WAYS`; the nodes named in `floats` keep their weights.

    `feeds` are samples of the graph's inputs, which `static` and `mixed` look at.
    """
    WAYS[way](source, path, feeds, floats)


def store_rest(model: onnx.ModelProto, path: Path, floats: Sequence[str]) -> None:
    """Write `model` to `path` with what is still float in it as int8, save the nodes named in `floats`."""
    with TemporaryDirectory() as scratch:
        partly = Path(scratch) / "partly.onnx"
        onnx.save(model, partly)
        int8.quantize(partly, path, [*floats, *(f"{name}_MatMul" for name in floats)])


def _keep(source: Path, path: Path, feeds: Sequence[Feed], floats: Sequence[str]) -> None:
    copyfile(source, path)


def _dynamic(source: Path, path: Path, feeds: Sequence[Feed], floats: Sequence[str]) -> None:
    store_rest(without_gemm(source), path, floats)


def _static(source: Path, path: Path, feeds: Sequence[Feed], floats: Sequence[str]) -> None:
    """Convolutions and products by sample inputs, then what knows no such form, as fused attention, by each input."""
    whole = onnx.load(source)
    _say_types(whole.graph)
    with TemporaryDirectory() as scratch:
        partly = Path(scratch) / "static.onnx"
        quantize_static(
            whole,
            partly,
            Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(MULTIPLYING),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(floats),
        )
        model = onnx.load(partly)
        done = [node.name for node in model.graph.node if node.op_type in MULTIPLYING]
        store_rest(model, path, [*floats, *done])


def _say_types(graph: onnx.GraphProto) -> None:
    """Say of what is multiplied that it is float: of what fused nodes give, nobody else can tell."""
    known = {each.name for each in (*graph.input, *graph.output, *graph.value_info, *graph.initializer)}
    for node in graph.node:
        if node.op_type in MULTIPLYING:
            names = [each for each in (node.input[0], node.output[0]) if each not in known]
            known.update(names)
            graph.value_info.extend(helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, None) for each in names)


def _blocks(source: Path, path: Path, feeds: Sequence[Feed], floats: Sequence[str]) -> None:
    model = without_gemm(source)
    kept = [*floats, *(f"{name}_MatMul" for name in floats)]
    store_products(model.graph, {node.name: FOUR for node in products(model.graph, kept)})
    store_rest(model, path, floats)


def _mixed(source: Path, path: Path, feeds: Sequence[Feed], floats: Sequence[str]) -> None:
    model = without_gemm(source)
    kept = [*floats, *(f"{name}_MatMul" for name in floats)]
    store_products(model.graph, spend(model, [node.name for node in products(model.graph, kept)], feeds))
    store_rest(model, path, floats)


WAYS: Mapping[str, Callable[[Path, Path, Sequence[Feed], Sequence[str]], None]] = {
    "float": _keep,
    "int8": _dynamic,
    "static": _static,
    "int4": _blocks,
    "mixed": _mixed,
}
