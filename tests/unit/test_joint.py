"""Joint sketches: exact whatever the parts, and as good as the rows."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pawl.joint import LIMIT, STEPS, Axis, JointSketch, axes_of, mean_discrepancy, most_tied
from pawl.profile import FloatSketch, NumericSketch, Profile

AXES = (Axis("amount", 10.0, 2.0), Axis("age", 40.0, 12.5))

numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
tables = st.lists(st.tuples(numbers, numbers), max_size=20)
Table = list[tuple[float | None, float | None]]


def _counted(rows: Table) -> JointSketch:
    sketch = JointSketch.over(AXES)
    columns = {axis.name: np.array([row[place] for row in rows], float) for place, axis in enumerate(AXES)}
    sketch.update(columns)
    return sketch


def _rows(seed: int, rows: int) -> dict[str, NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    covariance = [[1.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 1.0]]
    return dict(zip("abc", generator.multivariate_normal([5, -3, 0], covariance, rows).T, strict=True))


@given(st.lists(tables, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_are_the_whole_bit_for_bit(parts: list[Table], order: random.Random) -> None:
    merged = JointSketch.over(AXES)
    for rows in order.sample(parts, len(parts)):
        merged.merge(JointSketch.from_dict(json.loads(json.dumps(_counted(rows).to_dict()))))

    assert merged.to_dict() == _counted([row for rows in parts for row in rows]).to_dict()


def test_rows_in_one_piece_and_one_by_one_make_the_same_sums() -> None:
    rows = _rows(1, 20_000)
    axes = axes_of({name: _sketch(values) for name, values in rows.items()})
    whole, single = JointSketch.over(axes), JointSketch.over(axes)

    whole.update(rows)
    for place in range(0, 20_000, 97):
        single.update({name: values[place : place + 97] for name, values in rows.items()})

    assert whole.to_dict() == single.to_dict()


def test_means_and_covariances_are_those_of_the_rows() -> None:
    rows = _rows(2, 30_000)
    sketch = JointSketch.over(axes_of({name: _sketch(values) for name, values in rows.items()}))
    sketch.update(rows)

    values = np.stack([(rows[axis.name] - axis.centre) / axis.unit for axis in sketch.axes])
    assert sketch.mean() == pytest.approx(values.mean(axis=1), abs=0.002)
    assert sketch.covariance() == pytest.approx(np.cov(values), abs=0.005)
    assert sketch.correlation() == pytest.approx(np.corrcoef(values), abs=0.002)
    products = values[:, None] * values
    assert sketch.product_variance() == pytest.approx(products.var(axis=2), rel=0.02, abs=0.02)
    assert np.diag(sketch.covariance()) == pytest.approx(np.ones(3), abs=0.01)


def test_a_row_without_a_value_on_every_axis_is_not_counted() -> None:
    sketch = _counted([(1.0, None), (float("nan"), 2.0), (float("inf"), 2.0), (12.0, 40.0)])

    assert (sketch.rows, sketch.sums.tolist()) == (1, [64, 0])


def test_rows_without_one_of_the_columns_are_not_counted() -> None:
    sketch = JointSketch.over(AXES)
    sketch.update({"amount": [1.0, 2.0]})

    assert sketch.rows == 0


def test_an_outlier_counts_no_more_than_four_units() -> None:
    assert _counted([(1e300, -1e300)]).sums.tolist() == [256, -256]


@pytest.mark.parametrize("kind", [NumericSketch, FloatSketch])
def test_a_heavy_tail_does_not_stretch_the_unit(kind: type) -> None:
    values = np.random.default_rng(3).standard_t(1, 10_000)
    sketch = NumericSketch.between(-500, 500) if kind is NumericSketch else FloatSketch()
    sketch.update(values)

    (axis,) = axes_of({"t": sketch})

    assert abs(axis.centre) < 0.15
    assert 1.5 < axis.unit < 3.5


def test_columns_that_never_change_or_often_miss_a_value_have_no_axis() -> None:
    often_missing = np.where(np.arange(100) % 10 == 0, np.nan, np.arange(100))
    rows = {"flat": np.ones(100), "spotty": often_missing, "rare": (np.arange(100) == 7) * 1.0}

    axes = axes_of({name: _sketch(values) for name, values in rows.items()})

    assert [axis.name for axis in axes] == ["rare"]


def test_a_column_of_names_is_looked_at_by_whether_it_has_its_commonest_one() -> None:
    names = [None, *["Oslo", "Rome", "Oslo", "Oslo", "Bergen", "Rome"] * 5] * 9
    columns = {"city": names, "age": [float(n % 8) for n in range(len(names))]}
    profile = Profile.of(columns)

    joint = profile.joints["columns together"]

    assert [str(axis) for axis in joint.axes] == ["city=Oslo", "age"]
    assert joint.axes[0].centre == pytest.approx(0.5, abs=0.02)
    assert np.diag(joint.covariance()) == pytest.approx([1, 1], abs=0.02)
    assert joint.rows == 270
    assert JointSketch.from_dict(json.loads(json.dumps(joint.to_dict()))).axes == joint.axes


def test_names_that_are_all_rare_or_all_but_one_have_no_axis() -> None:
    rare, same, long = [str(n % 20) for n in range(100)], ["a"] * 95 + ["b"] * 5, ["x" * 101, "y"] * 50

    profile = Profile.of({"rare": rare, "same": same, "long": long, "age": [1.0, 2.0] * 50, "size": [1.0, 3.0] * 50})

    assert profile.joints["columns together"].names == ("age", "size")


def test_of_many_columns_those_are_kept_that_have_to_do_with_each_other() -> None:
    generator = np.random.default_rng(4)
    columns = {f"c{n:03}": generator.normal(size=3000) for n in range(100)}
    columns["c090"] = columns["c011"] * 0.5 + columns["c090"]

    reference = Profile.of(columns)

    kept = reference.joints["columns together"].names
    assert len(kept) == LIMIT
    assert {"c011", "c090"} <= set(kept)
    assert list(kept) == sorted(kept)
    few = [Axis("a", 0.0, 1.0)]
    assert most_tied(few, {}) == few


def _sketch(values: NDArray[np.float64]) -> FloatSketch:
    sketch = FloatSketch()
    sketch.update(values)
    return sketch


def _sampled(rows: NDArray[np.float64]) -> JointSketch:
    sketch = JointSketch.over(Axis(name, 0.0, 1.0) for name in "abc")
    sketch.update(dict(zip("abc", rows.T, strict=True)))
    return sketch


def test_the_mean_discrepancy_from_sums_is_that_of_the_rows() -> None:
    generator = np.random.default_rng(3)
    drawn = (generator.normal(size=(300, 3)), generator.normal(0.3, 1.2, size=(200, 3)))
    old, new = (np.rint(np.clip(rows, -4, 4) * STEPS) / STEPS for rows in drawn)
    within, among, across = ((a @ b.T + 1) ** 2 for a, b in ((old, old), (new, new), (old, new)))
    alike = [(kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in (within, among)]

    found = mean_discrepancy(*map(_sampled, drawn))

    assert found == pytest.approx(sum(alike) - 2 * across.mean(), rel=1e-9)
    assert found > 1


def test_the_mean_discrepancy_of_one_distribution_is_nought_on_average() -> None:
    generator = np.random.default_rng(4)
    found = [mean_discrepancy(*(_sampled(generator.normal(size=(n, 3))) for n in (200, 100))) for _ in range(200)]

    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(200))
    assert min(found) < 0 < max(found)


def test_some_axes_of_a_sketch_are_what_a_sketch_over_them_counts() -> None:
    rows = np.random.default_rng(5).normal(size=(50, 3))
    whole, part = _sampled(rows), JointSketch.over([Axis("a", 0.0, 1.0), Axis("c", 0.0, 1.0)])
    part.update({"a": rows[:, 0], "c": rows[:, 2]})

    assert whole.only([0, 2]).to_dict() == part.to_dict()
