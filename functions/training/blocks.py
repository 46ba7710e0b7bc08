"""A decoder's weights in blocks of a few bits, as onnxruntime's MatMulNBits and GatherBlockQuantized read them.

A block of 32 or 64 weights of one row shares a scale and a zero point: w = scale * (code - zero). Four bits are coarse,
and two kinds of further columns, beside those of the matrix and in the same blocks, make up for it where it matters:

- `minima`. The zero must be a whole number, so a block's offset is hit only by chance. What is missing is stored, and
  multiplied by the sum of the input's block: weights that were 4-bit blocks before (GGUF's Q4_1) lose nearly nothing.
- `spare`. A few channels of the input carry most of its energy. For those, what the rounding left out is stored too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

DOMAIN = "com.microsoft"
INT8_ACTIVATIONS = 4
"""MatMulNBits' accuracy level: activations are rounded to int8, block by block, and multiplied in integers."""
SHRINKS = (1.0, 0.94, 0.88, 0.82)
"""Shares of a block's range that a search for the best scale tries, at either end."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a matrix is stored: bits of a weight, weights of a block, and what is done about the rounding."""

    bits: int
    block: int
    minima: bool = False
    """Each block's offset is stored exactly."""
    spare: int = 0
    """Channels with the most energy whose weights are stored a second time, as what the first left out."""
    search: bool = False
    """Each block's range is the one of the least error, not that of its weights."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A quantized matrix: codes (rows, blocks, block) and zeros (rows, blocks) below 2**bits, scales (rows, blocks)."""

    codes: Bytes
    scales: Floats
    zeros: Bytes
    bits: int

    def values(self) -> Floats:
        """The weights that the blocks stand for, shape (rows, blocks * block)."""
        centred = self.codes.astype(np.float32) - self.zeros[..., None]
        return (centred * self.scales[..., None]).reshape(len(self.codes), -1)


def quantize(weight: Floats, scheme: Scheme, loudest: NDArray[np.int64] | None = None) -> Blocks:
    """The blocks of `weight`, shape (rows, columns); missing columns of the last block are zeros.

    `loudest` are the columns that are stored a second time, shape (spare,).
    """
    rows, columns = weight.shape
    blocks = -(-columns // scheme.block)
    padded = np.pad(weight, ((0, 0), (0, blocks * scheme.block - columns))).reshape(rows, blocks, scheme.block)
    whole = Scheme(scheme.bits, scheme.block)
    if scheme.minima:
        main = _round_exactly(padded, scheme.bits)
        offsets = padded.min(-1) + main.zeros * main.scales  # (rows, blocks): what whole zeros leave out
        return _side_by_side(main, quantize(offsets, whole))
    main = _search(padded, scheme.bits) if scheme.search else _round(padded, whole.bits, 1.0, 1.0)
    if loudest is None:
        return main
    return _side_by_side(main, quantize((weight - main.values()[:, :columns])[:, loudest], whole))


def is_exact(weight: Floats, scheme: Scheme) -> bool:
    """Whether `weight`, shape (rows, columns), is what such blocks gave before: rounding leaves it as it is."""
    rows, columns = weight.shape
    if columns % scheme.block:
        return False
    blocks = np.ascontiguousarray(weight).reshape(rows, -1, scheme.block)
    low = blocks.min(-1, keepdims=True)
    steps = np.maximum((blocks.max(-1, keepdims=True) - low) / np.float32(2**scheme.bits - 1), np.float32(1e-12))
    codes = (blocks - low) / steps
    return bool(np.abs(codes - np.rint(codes)).max() < 0.01)


def _side_by_side(one: Blocks, other: Blocks) -> Blocks:
    codes = np.concatenate([one.codes, other.codes], axis=1)
    scales = np.concatenate([one.scales, other.scales], axis=1)
    return Blocks(codes, scales, np.concatenate([one.zeros, other.zeros], axis=1), one.bits)


def _round(blocks: Floats, bits: int, low_share: float, high_share: float) -> Blocks:
    """Each block's codes over a share of its range, which zero is part of."""
    top = 2**bits - 1
    low = np.minimum(blocks.min(-1), 0) * np.float32(low_share)
    high = np.maximum(blocks.max(-1), 0) * np.float32(high_share)
    scales = np.maximum((high - low) / np.float32(top), np.float32(1e-12))
    zeros = np.clip(np.rint(-low / scales), 0, top)
    codes = np.clip(np.rint(blocks / scales[..., None]) + zeros[..., None], 0, top)
    return Blocks(codes.astype(np.uint8), scales, zeros.astype(np.uint8), bits)


def _round_exactly(blocks: Floats, bits: int) -> Blocks:
    """Each block's codes counted from its least weight; the zero is the whole number nearest to where 0 lies."""
    top = 2**bits - 1
    low = blocks.min(-1)
    scales = np.maximum((blocks.max(-1) - low) / np.float32(top), np.float32(1e-12))
    codes = np.clip(np.rint((blocks - low[..., None]) / scales[..., None]), 0, top)
    zeros = np.clip(np.rint(-low / scales), 0, top)
    return Blocks(codes.astype(np.uint8), scales, zeros.astype(np.uint8), bits)


def _search(blocks: Floats, bits: int) -> Blocks:
    """The best of several ranges for each block, by squared error."""
    best: tuple[Any, ...] = ()
    for low_share in SHRINKS:
        for high_share in SHRINKS:
            tried = _round(blocks, bits, low_share, high_share)
            error = np.square(tried.values().reshape(blocks.shape) - blocks).sum(-1)
            if not best:
                best = (error, tried.codes, tried.scales, tried.zeros)
                continue
            wins = error < best[0]
            np.copyto(best[0], error, where=wins)
            np.copyto(best[1], tried.codes, where=wins[..., None])
            np.copyto(best[2], tried.scales, where=wins)
            np.copyto(best[3], tried.zeros, where=wins)
    return Blocks(best[1], best[2], best[3], bits)


def packed(values: Bytes, bits: int) -> Bytes:
    """Values below 2**bits along the last axis as bytes, the first in the low bits; an odd last one is alone."""
    if bits == 8:
        return values
    values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, values.shape[-1] % 2)])
    return values[..., ::2] | (values[..., 1::2] << np.uint8(4))


# --- In the graph -----------------------------------------------------------------------------------------------------


class Rewriter:
    """Puts blocks in the place of a decoder graph's matrices; `head` is for the last one and the embedding.

    `energies`: by a weight's name, the mean square of each channel of its input; needed where a scheme has spares.

    A step of one token is so short that what each node costs by itself counts: matrices of one input become one, and a
    gate is one node. `scales` are not in the graph (`training.scales`).
    """

    def __init__(self, graph: onnx.GraphProto, body: Scheme, head: Scheme, energies: Mapping[str, Floats]) -> None:
        self._graph, self._body, self._head, self._energies = graph, body, head, dict(energies)
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.scales: dict[str, NDArray[np.float16]] = {}
        self._stored: dict[str, list[str]] = {}
        self._inputs: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def rewrite(self) -> None:
        """Quantize every multiplication by a weight and the embedding, which may be the head's weight turned over."""
        nodes = list(self._graph.node)
        turned = {
            node.output[0]: node.input[0]
            for node in nodes
            if node.op_type == "Transpose" and node.input[0] in self._shapes
        }
        products: dict[str, list[onnx.NodeProto]] = {}  # by their input
        for node in nodes:
            if node.op_type == "MatMul" and node.input[1] in self._shapes:
                products.setdefault(node.input[0], []).append(node)
        sigmoids = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Sigmoid"}
        gates = {
            node.output[0]: node.input[1]
            for node in nodes
            if node.op_type == "Mul" and sigmoids.get(node.input[1]) == node.input[0]
        }
        for node in nodes:
            output = node.output[0]
            if node.op_type == "MatMul" and node.input[1] in self._shapes:
                if output == products[node.input[0]][0].output[0]:
                    self._multiply(products[node.input[0]])
            elif node.op_type == "Gather" and node.input[0] in {*turned, *self._shapes}:
                self._look_up(node, turned.get(node.input[0]))
            elif output in gates:
                self._append("QuickGelu", [node.input[0]], output, alpha=1.0)
            elif output not in {*turned, *gates.values()}:
                self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.initializer[:]
        self._graph.initializer.extend(self._weights.values())

    def _scheme(self, columns: int, is_head: bool) -> Scheme:
        """How a matrix is stored: without further columns where these would not begin with a block of their own."""
        scheme = self._head if is_head else self._body
        is_whole = columns % scheme.block == 0 and columns >= scheme.spare
        if is_whole or not (scheme.minima or scheme.spare):
            return scheme
        return replace(scheme, minima=False, spare=0, search=True)

    def _multiply(self, nodes: list[onnx.NodeProto]) -> None:
        """The products of one input by several weights, as one product that is split."""
        outputs = [node.output[0] for node in nodes]
        name = self._joined([node.input[1] for node in nodes])
        columns, rows = self._shapes[name]
        scheme = self._scheme(columns, "logits" in outputs)
        stored = self._store(name, scheme)
        source, columns = self._widened(nodes[0].input[0], columns, name, scheme)
        sizes = {"K": columns, "N": rows, "bits": scheme.bits, "block_size": scheme.block}
        output = outputs[0] if len(outputs) == 1 else f"{name}.products"
        self._append("MatMulNBits", [source, *stored], output, accuracy_level=INT8_ACTIVATIONS, **sizes)
        if len(outputs) > 1:
            widths = self._constant(f"{name}.widths", np.array([self._shapes[node.input[1]][1] for node in nodes]))
            self._nodes.append(helper.make_node("Split", [output, widths], outputs, name=f"{name}.split", axis=-1))

    def _joined(self, names: list[str]) -> str:
        """The name of several weights of one input, side by side; of a single one its own."""
        if len(names) == 1:
            return names[0]
        whole = np.concatenate([numpy_helper.to_array(self._weights.pop(name)) for name in names], axis=1)
        joined = self._constant("+".join(names), whole)
        self._shapes[joined] = whole.shape
        if names[0] in self._energies:
            self._energies[joined] = self._energies[names[0]]
        return joined

    def _look_up(self, node: onnx.NodeProto, turned: str | None) -> None:
        """Rows of the embedding: of the head's own blocks where the two are one matrix, further columns cut off."""
        table, output = turned or node.input[0], node.output[0]
        width = self._shapes[table][0 if turned else 1]
        scheme = self._scheme(width, is_head=True)
        codes, scales, zeros = self._store(table, scheme, is_turned=turned is not None)
        _, blocks, block_bytes = self._weights[codes].dims
        flat, whole = f"{codes}.flat", f"{output}.whole"
        shape = self._constant(f"{flat}.shape", np.array([0, blocks * block_bytes]))
        self._nodes.append(helper.make_node("Reshape", [codes, shape], [flat], name=flat))
        sizes = {"bits": scheme.bits, "block_size": scheme.block, "gather_axis": 0, "quantize_axis": 1}
        inputs = [flat, node.input[1], scales, zeros]
        if blocks * scheme.block == width:
            self._append("GatherBlockQuantized", inputs, output, **sizes)
            return
        self._append("GatherBlockQuantized", inputs, whole, **sizes)
        bounds = {"from": 0, "to": width, "axis": -1}
        ends = [self._constant(f"{whole}.{name}", np.array([bound])) for name, bound in bounds.items()]
        self._nodes.append(helper.make_node("Slice", [whole, *ends], [output], name=output))

    def _widened(self, source: str, columns: int, name: str, scheme: Scheme) -> tuple[str, int]:
        """`source` with what the further columns of a weight are multiplied by; made once for all that need it."""
        made, width = source, columns
        if scheme.minima:
            width = columns + -(-columns // scheme.block)
            made = self._once(f"{source}.with_sums", lambda new: self._add_sums(source, columns, scheme.block, new))
        elif scheme.spare:
            width = columns + scheme.spare
            made = self._once(f"{source}.with_loudest", lambda new: self._add_loudest(source, name, scheme.spare, new))
        return made, width

    def _once(self, name: str, make: Callable[[str], None]) -> str:
        if name not in self._inputs:
            make(name)
            self._inputs[name] = name
        return name

    def _add_sums(self, source: str, columns: int, block: int, name: str) -> None:
        marks = np.repeat(np.eye(-(-columns // block), dtype=np.float32), block, axis=0)[:columns]
        weight = self._constant(f"sums_of_{columns}_by_{block}", marks)
        self._nodes += [
            helper.make_node("MatMul", [source, weight], [f"{source}.sums"], name=f"{source}.sums"),
            helper.make_node("Concat", [source, f"{source}.sums"], [name], name=name, axis=-1),
        ]

    def _add_loudest(self, source: str, weight: str, spare: int, name: str) -> None:
        places = self._constant(f"{source}.loudest.places", self._loudest(weight, spare))
        loudest = f"{source}.loudest"
        self._nodes += [
            helper.make_node("Gather", [source, places], [loudest], name=loudest, axis=-1),
            helper.make_node("Concat", [source, loudest], [name], name=name, axis=-1),
        ]

    def _loudest(self, weight: str, spare: int) -> NDArray[np.int64]:
        return np.sort(np.argsort(-self._energies[weight], kind="stable")[:spare])

    def _store(self, name: str, scheme: Scheme, is_turned: bool = True) -> list[str]:
        """The names of a weight's codes, scales and zeros, which take its place; `is_turned`: it is (columns, rows)."""
        if name not in self._stored:
            weight = numpy_helper.to_array(self._weights.pop(name))
            loudest = self._loudest(name, scheme.spare) if scheme.spare and name in self._energies else None
            blocks = quantize(np.ascontiguousarray(weight.T if is_turned else weight), scheme, loudest)
            self.scales[f"{name}.scales"] = blocks.scales.astype(np.float16)
            codes, zeros = (
                self._constant(f"{name}.{part}", packed(values, scheme.bits))
                for part, values in (("codes", blocks.codes), ("zeros", blocks.zeros))
            )
            self._stored[name] = [codes, f"{name}.scales", zeros]
        return self._stored[name]

    def _append(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=DOMAIN, **attributes))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._weights:
            self._weights[name] = numpy_helper.from_array(value, name)
        return name
