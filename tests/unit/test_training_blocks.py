"""Weights in blocks: what they stand for, and which errors are made up for."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.blocks import DOMAIN, Rewriter, Scheme, is_exact, packed, quantize

RANDOM = np.random.default_rng(4)
WEIGHT = RANDOM.normal(0, 0.1, (6, 96)).astype(np.float32)


@pytest.mark.parametrize(("bits", "share"), [(4, 1 / 15), (8, 1 / 255)])
def test_a_weight_is_off_by_half_a_step_at_most(bits: int, share: float) -> None:
    values = quantize(WEIGHT, Scheme(bits, 32)).values()
    blocks = WEIGHT.reshape(6, 3, 32)
    steps = (np.maximum(blocks.max(-1), 0) - np.minimum(blocks.min(-1), 0)) * share
    assert np.all(np.abs(values - WEIGHT).reshape(6, 3, 32) <= 0.501 * steps[..., None])


def test_searched_ranges_leave_less_error_than_whole_ones() -> None:
    whole, searched = (quantize(WEIGHT, Scheme(4, 32, search=search)).values() for search in (False, True))
    assert np.square(searched - WEIGHT).sum() < np.square(whole - WEIGHT).sum()


def test_weights_that_were_four_bit_blocks_come_back_with_their_offsets() -> None:
    steps, least = RANDOM.uniform(0.01, 0.1, (2, 6, 3, 1))
    was = (RANDOM.integers(0, 16, (6, 3, 32)) * steps - least * 7).astype(np.float32)
    was[..., 0], was[..., 1] = -least[..., 0] * 7, 15 * steps[..., 0] - least[..., 0] * 7  # each block's ends
    weight = was.reshape(6, 96)
    assert is_exact(weight, Scheme(4, 32))
    assert not is_exact(WEIGHT, Scheme(4, 32))
    values = quantize(weight, Scheme(4, 32, minima=True)).values()
    offsets = values[:, 96:99]  # one for each block, stored beside the matrix
    whole = values[:, :96] + np.repeat(offsets, 32, axis=1)
    plain = quantize(weight, Scheme(4, 32)).values()
    assert np.square(whole - weight).sum() < 0.05 * np.square(plain - weight).sum()


def test_what_the_rounding_of_the_loudest_channels_left_out_is_stored_beside_them() -> None:
    loudest = np.array([3, 40, 77])
    values = quantize(WEIGHT, Scheme(4, 32, spare=3), loudest).values()
    whole = values[:, loudest] + values[:, 96:99]
    assert np.abs(whole - WEIGHT[:, loudest]).max() < 0.1 * np.abs(values[:, loudest] - WEIGHT[:, loudest]).max()


def test_a_last_block_that_is_not_full_is_filled_with_zeros() -> None:
    blocks = quantize(WEIGHT[:, :70], Scheme(4, 32))
    assert blocks.codes.shape == (6, 3, 32)
    assert np.all(blocks.values()[:, 70:] == 0)


def test_four_bit_codes_share_bytes_the_first_in_the_low_half() -> None:
    assert packed(np.array([[1, 2, 15]], np.uint8), 4).tolist() == [[0x21, 0x0F]]
    assert packed(np.array([[1, 200]], np.uint8), 8).tolist() == [[1, 200]]


# --- In the graph -----------------------------------------------------------------------------------------------------


def products(columns: int, scheme: Scheme, widths: tuple[int, ...] = (48, 24)) -> tuple[list[np.ndarray], ...]:
    """What one input gives by several weights, in float and in blocks; a few of its channels are far the loudest."""
    random = np.random.default_rng(columns)
    rows = random.normal(0, 1, (5, columns)).astype(np.float32)
    rows[:, random.permutation(columns)[:6]] *= 30
    weights = [random.normal(0, 0.1, (columns, width)).astype(np.float32) for width in widths]
    names = [f"weight{number}" for number in range(len(widths))]
    outputs = [f"out{number}" for number in range(len(widths))]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", name], [out]) for name, out in zip(names, outputs, strict=True)],
        "products",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None) for out in outputs],
        [numpy_helper.from_array(weight, name) for weight, name in zip(weights, names, strict=True)],
    )
    rewriter = Rewriter(graph, scheme, scheme, {name: np.square(rows).mean(0) for name in names})
    rewriter.rewrite()
    graph.initializer.extend(numpy_helper.from_array(each.astype(np.float32), n) for n, each in rewriter.scales.items())
    sets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [rows @ weight for weight in weights], [np.asarray(each) for each in session.run(outputs, {"rows": rows})]


def error(columns: int, scheme: Scheme) -> float:
    """Relative to the float products, all together."""
    wanted, got = (np.concatenate(each, axis=1) for each in products(columns, scheme))
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("columns", [160, 172, 16])
def test_products_of_one_input_are_those_of_each_weight_by_itself(columns: int) -> None:
    wanted, got = products(columns, Scheme(8, 32))
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)


@pytest.mark.parametrize("scheme", [Scheme(4, 32, spare=32, search=True), Scheme(4, 32, minima=True)])
def test_further_columns_never_make_a_product_worse(scheme: Scheme) -> None:
    """They begin with a block of their own, so a matrix whose last block is not full goes without them."""
    plain = Scheme(4, 32, search=True)
    assert error(320, scheme) < 0.9 * error(320, Scheme(4, 32))
    for columns in (172, 16):
        assert error(columns, scheme) == pytest.approx(error(columns, plain))
