"""Sketches: any split of the rows, merged in any order, is bit for bit one look at all; sizes and errors are bound."""

import json
import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pawl.categories import BUCKETS, CategorySketch
from pawl.categories import LIMIT as NAMES
from pawl.errors import IncompatibleProfiles
from pawl.exact import ExactMoments, exact_sum
from pawl.floats import LIMIT, FloatSketch, keys_of, middles
from pawl.numeric import BINS, NumericSketch, can_divide
from pawl.packing import pack, unpack
from pawl.stats import kolmogorov_smirnov

Sketch = NumericSketch | FloatSketch | CategorySketch
any_floats = st.none() | st.floats() | st.integers(-(2**53), 2**53) | st.sampled_from([0.0, -0.0, 5e-324, -1.7e308])
KINDS: dict[str, tuple[Callable[[], Sketch], st.SearchStrategy[Any]]] = {
    "bins": (lambda: NumericSketch.between(-3.0, 7.5), any_floats | st.floats(-4, 8)),
    "buckets": (FloatSketch, any_floats),
    "names": (CategorySketch, st.none() | st.text(max_size=3) | st.text("a", min_size=110, max_size=130)),
    "known names": (lambda: CategorySketch.knowing("abc"), st.none() | st.sampled_from("abcdefgh\u0142")),
}


def _text(sketch: Sketch) -> str:
    return json.dumps(sketch.to_dict(), sort_keys=True)


def _counted(kind: str, rows: Sequence[Any] | NDArray[Any]) -> Sketch:
    sketch = KINDS[kind][0]()
    sketch.update(rows)
    return sketch


def _stored(sketch: Any) -> Any:
    return type(sketch).from_dict(json.loads(_text(sketch)))


def _merged(parts: Sequence[Any], order: random.Random) -> Sketch:
    """The parts merged as a random tree, each taken from where it was stored."""
    left = [_stored(part) for part in parts]
    while len(left) > 1:
        order.shuffle(left)
        left[0].merge(left.pop())
    return left[0]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_parts_merged_in_any_order_are_the_whole_bit_for_bit(kind: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(KINDS[kind][1], max_size=40))
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=4))
    edges = [0, *sorted(cuts), len(rows)]
    order = random.Random(data.draw(st.integers(0, 1000)))
    parts = [_counted(kind, rows[start:end]) for start, end in pairwise(edges)]
    whole = _counted(kind, order.sample(rows, len(rows)))

    assert _text(_merged(parts, order)) == _text(whole)


@pytest.mark.parametrize("seed", range(6))
def test_parts_of_more_different_values_than_fit_are_the_whole_too(seed: int) -> None:
    generator, order = np.random.default_rng(seed), random.Random(seed)
    values = generator.normal(0, 1, 12_000) * 10.0 ** generator.integers(-300, 300, 12_000)
    values[:4000] = generator.integers(0, 50, 4000)
    cuts = np.sort(generator.integers(0, 12_000, 5))
    names = generator.zipf(1.3, 12_000).astype(str)

    for kind, rows in (("buckets", values), ("bins", values), ("names", names)):
        parts = [_counted(kind, part) for part in np.split(rows, cuts)]
        assert _text(_merged(parts, order)) == _text(_counted(kind, generator.permutation(rows)))


@pytest.mark.parametrize(
    ("kind", "rows", "most"),
    [
        ("bins", np.random.default_rng(1).normal(0, 2, 400_000), 12_000),
        ("buckets", np.random.default_rng(2).integers(-(2**63), 2**63 - 1, 400_000).view(float), 60_000),
        ("names", [f"{'name' * 40} {n}" for n in range(30_000)], 160_000),
    ],
)
def test_the_size_of_a_sketch_is_bound_whatever_it_has_seen(kind: str, rows: Any, most: int) -> None:
    sketch = _counted(kind, rows)
    size = len(_text(sketch))
    for _ in range(3):
        sketch.merge(_stored(sketch))  # type: ignore[arg-type]

    assert size < most
    assert len(_text(sketch)) < 1.5 * size


@pytest.mark.parametrize("kind", ["bins", "buckets"])
@pytest.mark.parametrize(
    ("rows", "missing", "zeros", "least", "most"),
    [
        ([math.nan, math.inf, -math.inf, None], 4, 0, None, None),
        ([0.0, -0.0, 0, math.nan], 1, 3, 0.0, 0.0),
        ([5e-324, -5e-324], 0, 0, -5e-324, 5e-324),
        ([1.7e308, -1.7e308], 0, 0, -1.7e308, 1.7e308),
        ([2**53, 3], 0, 0, 3.0, 2.0**53),
        ([True, False], 0, 1, 0.0, 1.0),
        ([], 0, 0, None, None),
    ],
)
def test_whatever_a_float_can_be_is_counted(
    kind: str, rows: list[Any], missing: int, zeros: int, least: float | None, most: float | None
) -> None:
    sketch = _counted(kind, rows)

    assert isinstance(sketch, NumericSketch | FloatSketch)
    assert (sketch.rows, sketch.missing, sketch.zeros) == (len(rows) - missing, missing, zeros)
    assert (sketch.minimum, sketch.maximum) == (least, most)


@pytest.mark.parametrize("kind", ["bins", "buckets"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, np.bool_, np.float16])
def test_an_array_of_any_numbers_counts_as_the_list_of_them(kind: str, dtype: Any) -> None:
    rows = np.random.default_rng(3).integers(0, 7, 1000).astype(dtype)

    assert _text(_counted(kind, rows)) == _text(_counted(kind, rows.tolist()))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30))
def test_an_exact_sum_keeps_every_bit(values: list[float]) -> None:
    assert Fraction(exact_sum(np.array(values, float)), 2**1128) == sum(map(Fraction, values))


def test_moments_of_many_rows_are_those_of_fractions() -> None:
    values = np.random.default_rng(4).lognormal(0, 4, 5000)
    moments = ExactMoments()
    moments.update(values)
    exact = [Fraction(value) for value in values.tolist()]
    mean = sum(exact) / len(exact)

    assert moments.mean == float(mean)
    assert moments.deviations == pytest.approx(float(sum((each - mean) ** 2 for each in exact)), rel=1e-12)


@given(st.lists(st.integers(0, 2**62), max_size=20))
def test_packed_numbers_come_back(numbers: list[int]) -> None:
    assert unpack(pack(np.array(numbers, np.int64)), len(numbers)).tolist() == numbers


@pytest.mark.parametrize("text", ["", "u3:eJw=", "u1:!", "u1:AAAA", pack(np.arange(3))])
def test_text_that_was_not_packed_so_is_refused(text: str) -> None:
    with pytest.raises(IncompatibleProfiles, match="packed counts"):
        unpack(text, 2)


# --- Equal bins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "place"),
    [(-0.001, 0), (-1e30, 0), (0.0, 1), (0.999, 1), (1.0, 2), (BINS, BINS), (BINS + 0.001, BINS + 1), (1e30, BINS + 1)],
)
def test_a_value_is_counted_in_its_bin_and_one_outside_at_the_edge(value: float, place: int) -> None:
    sketch = NumericSketch.between(0, BINS)
    sketch.update([value])

    assert np.flatnonzero(sketch.counts).tolist() == [place]


def test_the_ks_distance_of_a_million_normal_values_is_exact_to_a_ten_thousandth() -> None:
    generator = np.random.default_rng(5)
    old, new = np.sort(generator.normal(0, 1, 1_000_000)), np.sort(generator.normal(0.01, 1.01, 1_000_000))
    sketches = [NumericSketch.spanning(old), NumericSketch.spanning(old)]
    for sketch, values in zip(sketches, (old, new), strict=True):
        sketch.update(values)
    both = np.concatenate((old, new))
    exact = np.abs(np.searchsorted(old, both, "right") - np.searchsorted(new, both, "right")).max() / 1_000_000

    distance, _ = kolmogorov_smirnov(sketches[0].counts, sketches[1].counts)

    assert 0 <= exact - distance <= 0.0001


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_mean_and_deviation_are_those_of_the_values_and_not_of_the_bins(scale: float) -> None:
    values = np.random.default_rng(1).normal(50, 3, 10_000) * scale
    sketch = NumericSketch.between(20 * scale, 80 * scale)
    sketch.update(values)

    assert abs(sketch.mean - values.mean()) < 60 * scale / 2**20
    assert sketch.variance() == pytest.approx(values.var(ddof=1), rel=1e-5)


def test_values_outside_the_range_count_in_full_for_mean_and_deviation() -> None:
    values = np.concatenate((np.random.default_rng(1).uniform(0, 1, 1000), [250.0, -99.5, 1e4]))
    sketch = NumericSketch.between(0, 1)
    sketch.update(values)

    assert sketch.mean == pytest.approx(values.mean(), abs=1e-6)
    assert sketch.variance() == pytest.approx(values.var(ddof=1), rel=1e-6)
    assert sketch.outside.rows == 3


@pytest.mark.parametrize(("values", "variance"), [([], 0.0), ([5.0], 0.0), ([1.0, 3.0], 2.0), ([50.0, 54.0], 8.0)])
def test_the_variance_of_fewer_than_two_values_is_zero(values: list[float], variance: float) -> None:
    sketch = NumericSketch.between(0, 10)
    sketch.update(values)

    assert sketch.variance() == pytest.approx(variance, abs=1e-4)


@given(st.lists(st.floats(-2, 12), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_in_bins_is_off_by_half_a_bin_at_most(values: list[float], share: float) -> None:
    sketch = NumericSketch.between(0, 10)
    sketch.update(values)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]

    assert sketch.quantile(share) == pytest.approx(exact, abs=5 / BINS + 1e-9) or not 0 <= exact <= 10


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (-1.7e308, 1.7e308), (1e9, 1e9 + 1e-7), (0.0, 5e-324)]
)
def test_a_range_without_room_for_bins_is_refused(low: float, high: float) -> None:
    assert not can_divide(low, high)
    with pytest.raises(IncompatibleProfiles, match="want a range"):
        NumericSketch.between(low, high)


# --- Buckets ----------------------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 52))
def test_a_bucket_holds_its_middle_and_is_narrow(value: float, level: int) -> None:
    values = np.array([value + 0.0])
    keys = keys_of(values, level)
    middle = middles(keys, level)

    assert keys_of(middle, level) == keys
    assert abs(middle[0] - value) <= abs(value) * 2.0 ** -(level + 1) + 2.3e-308


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_buckets_are_in_the_order_of_their_values(one: float, other: float) -> None:
    low, high = sorted((one + 0.0, other + 0.0))

    for level in (0, 7, 52):
        assert keys_of(np.array([low]), level) <= keys_of(np.array([high]), level)


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal": lambda generator, rows: generator.normal(0, 1, rows),
    "heavy tail": lambda generator, rows: generator.standard_cauchy(rows),
    "lognormal": lambda generator, rows: generator.lognormal(0, 8, rows),
    "seconds since 1970": lambda generator, rows: 1.7e9 + generator.uniform(0, 1e6, rows),
    "tiny": lambda generator, rows: generator.normal(0, 1e-200, rows),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_quantile_in_buckets_keeps_its_relative_error(name: str) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(6), 50_000)
    sketch = FloatSketch()
    sketch.update(values)
    shares = [0.0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999, 1.0]
    exact = np.quantile(values, shares, method="inverted_cdf")

    errors = np.abs([sketch.quantile(share) for share in shares] - exact) / np.abs(exact)

    assert sketch.keys.size <= LIMIT
    assert errors.max() <= 2.0 ** -(sketch.level + 1)
    assert sketch.mean == pytest.approx(values.mean(), rel=1e-9)
    assert sketch.variance() == pytest.approx(values.var(ddof=1), rel=1e-6)


def test_a_narrow_column_far_from_zero_keeps_more_bits() -> None:
    levels: dict[str, int] = {}
    for name in ("normal", "seconds since 1970"):
        sketch = FloatSketch()
        sketch.update(DISTRIBUTIONS[name](np.random.default_rng(6), 50_000))
        levels[name] = sketch.level

    assert levels["normal"] <= 8
    assert levels["seconds since 1970"] >= 20


def test_few_different_values_are_kept_apart_exactly() -> None:
    sketch = FloatSketch()
    sketch.update(np.arange(LIMIT) * 0.1)

    assert (sketch.level, sketch.keys.size) == (52, LIMIT)
    assert sketch.positions().tolist() == (np.arange(LIMIT) * 0.1).tolist()
    sketch.update([-1.0])
    assert sketch.level < 52


def test_every_exponent_of_either_sign_fits() -> None:
    sketch = FloatSketch()
    sketch.update(np.random.default_rng(7).integers(-(2**63), 2**63 - 1, 300_000).view(float))

    assert (sketch.level, sketch.keys.size) == (0, 4094)
    assert int(sketch.counts.sum()) == sketch.rows


def test_a_constant_has_no_variance_and_huge_values_an_infinite_one() -> None:
    constant, huge = FloatSketch(), FloatSketch()
    constant.update([1e200] * 5)
    huge.update([1e200, -1e200])

    assert (constant.variance(), constant.mean, constant.quantile(0.3)) == (0.0, 1e200, 1e200)
    assert huge.variance() == math.inf
    assert math.isnan(FloatSketch().quantile(0.5))


# --- Names ------------------------------------------------------------------------------------------------------------


def test_a_reference_keeps_the_names_seen_most_often() -> None:
    rows = [f"rare {n:05d}" for n in range(5000)] + [f"often {n:03d}" for n in range(600)] * 3
    random.Random(1).shuffle(rows)

    sketch = CategorySketch.of([*rows, None])

    assert sketch.known is not None and len(sketch.known) == NAMES
    assert {f"often {n:03d}" for n in range(600)} <= sketch.known
    assert {f"rare {n:05d}" for n in range(400)} <= sketch.known
    assert (sketch.rows, sketch.others, sketch.missing) == (6800, 4600, 1)
    assert sketch.distinct == pytest.approx(5600, rel=0.2)


def test_names_that_a_reference_does_not_know_fall_into_buckets() -> None:
    sketch = CategorySketch.knowing(["billing", "outage"])
    sketch.update(["billing", "tariff", "meter", "tariff"])

    assert sketch.counts == {"billing": 1}
    assert (sketch.others, sketch.distinct, np.count_nonzero(sketch.buckets)) == (3, 3, 2)
    assert sketch.top(5) == [("billing", 1)]


def test_names_are_kept_one_by_one_until_there_are_too_many() -> None:
    sketch = CategorySketch()
    sketch.update([f"name {n}" for n in range(NAMES)])
    assert (len(sketch.counts), sketch.level, sketch.others) == (NAMES, 0, 0)

    sketch.update(["one more"])

    assert sketch.level == 1
    assert 400 < len(sketch.counts) < 600
    assert sketch.rows == NAMES + 1


@pytest.mark.parametrize("distinct", [1500, 80_000])
def test_how_many_names_there_were_is_told_to_a_fifth(distinct: int) -> None:
    sketch = CategorySketch()
    sketch.update([str(n) for n in range(distinct)])

    assert sketch.distinct == pytest.approx(distinct, rel=0.2)
    assert len(sketch.counts) <= NAMES


def test_sketches_that_know_other_names_do_not_merge() -> None:
    for other in (CategorySketch(), CategorySketch.knowing("b")):
        with pytest.raises(IncompatibleProfiles, match="their names differ"):
            CategorySketch.knowing("a").merge(other)
    with pytest.raises(IncompatibleProfiles, match="want at most 1000"):
        CategorySketch.knowing(map(str, range(1001)))


@settings(max_examples=30)
@given(st.text(min_size=121, max_size=300))
def test_a_long_name_is_kept_short_and_apart_from_its_like(name: str) -> None:
    sketch = CategorySketch()
    sketch.update([name, name + "!", name])

    assert sorted(sketch.counts.values()) == [1, 2]
    assert max(map(len, sketch.counts)) == 120


def test_a_bucket_is_the_same_in_every_process() -> None:
    sketch = CategorySketch.knowing([])
    sketch.update(["refund"])

    assert np.flatnonzero(sketch.buckets).tolist() == [217]
    assert sketch.buckets.size == BUCKETS
