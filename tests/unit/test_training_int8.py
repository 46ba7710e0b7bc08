"""Int8 weights whose neighbours cannot saturate the 16-bit sums of a CPU without VNNI."""

import numpy as np
import pytest

from training.int8 import LIMIT, quantize_safely


def random_weight(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(7).standard_t(4, (rows, columns)).astype(np.float32)


def sixteen_bit_sums(inputs: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What VPMADDUBSW makes of uint8 inputs and int8 codes, and what is right."""
    products = inputs[:, None].astype(np.int64) * codes.astype(np.int64)
    pairs = products[0::2] + products[1::2]
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(0), pairs.sum(0)


@pytest.mark.parametrize("rows", [2, 7, 64, 385])
def test_no_pair_of_neighbours_is_above_the_limit(rows: int) -> None:
    codes, scales = quantize_safely(random_weight(rows, 33))
    sizes = np.abs(np.vstack([codes, np.zeros((rows % 2, 33), np.int8)]).astype(int))
    assert codes.shape == (rows, 33) and scales.shape == (33,)
    assert (sizes[0::2] + sizes[1::2]).max() <= LIMIT


def test_the_loudest_inputs_do_not_saturate() -> None:
    codes, _ = quantize_safely(random_weight(384, 64))
    saturated, right = sixteen_bit_sums(np.full(384, 255, np.uint8), codes)
    assert np.array_equal(saturated, right)


def test_the_scale_costs_less_than_half_the_range_would() -> None:
    weight = random_weight(384, 64)
    codes, scales = quantize_safely(weight)
    halved_scale = np.abs(weight).max(0) / 63
    halved = np.rint(weight / halved_scale) * halved_scale
    assert np.square(codes * scales - weight).sum() < 0.6 * np.square(halved - weight).sum()


def test_a_column_without_weights_stays_zero() -> None:
    codes, scales = quantize_safely(np.zeros((4, 2), np.float32))
    assert not codes.any() and np.isfinite(scales).all() and (scales > 0).all()
