import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.errors import IncompatibleProfiles
from pawl.profile import BINS, CATEGORY_LIMIT, OTHER, CategorySketch, NumericSketch, Profile

REFERENCE = Profile.of({"amount": [0.0, 100.0], "label": ["a", "b"]}, {"amount": (0.0, 100.0)})

amounts = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf])
labels = st.none() | st.sampled_from(["a", "b", "c", "\u0142"])
tables = st.lists(st.tuples(amounts, labels), max_size=30)
Table = list[tuple[float | None, str | None]]


def _columns(rows: Table) -> dict[str, list[Any]]:
    return {"amount": [amount for amount, _ in rows], "label": [label for _, label in rows]}


def _counted(*tables: Table) -> Profile:
    """One profile that has counted all tables one after another."""
    profile = Profile.like(REFERENCE)
    for rows in tables:
        profile.update(_columns(rows), *((len(rows), 2 * len(rows)) if rows else (None, None)))
    return profile


def _merged(*profiles: Profile) -> Profile:
    """The profiles merged, those given left as they are."""
    whole = Profile.like(REFERENCE)
    for profile in profiles:
        whole.merge(Profile.from_json(profile.to_json()))
    return whole


def _counts(profile: Profile) -> Any:
    amount, label = profile.columns["amount"], profile.columns["label"]
    assert isinstance(amount, NumericSketch) and isinstance(label, CategorySketch)
    span = (profile.rows, profile.first_ms, profile.last_ms)
    return span, amount.counts.tolist(), amount.missing, label.counts, label.missing


def _moments(profile: Profile) -> tuple[float, float]:
    amount = profile.columns["amount"]
    assert isinstance(amount, NumericSketch)
    return amount.mean, amount.variance()


@given(tables, tables)
def test_merging_is_commutative(one: Table, other: Table) -> None:
    ahead, back = _merged(_counted(one), _counted(other)), _merged(_counted(other), _counted(one))

    assert _counts(ahead) == _counts(back)
    assert _moments(ahead) == pytest.approx(_moments(back), rel=1e-9, abs=1e-6)


@given(tables, tables, tables)
def test_merging_is_associative(one: Table, two: Table, three: Table) -> None:
    first, second, third = _counted(one), _counted(two), _counted(three)
    left, right = _merged(_merged(first, second), third), _merged(first, _merged(second, third))

    assert _counts(left) == _counts(right)
    assert _moments(left) == pytest.approx(_moments(right), rel=1e-9, abs=1e-6)


@given(tables, tables)
def test_merged_parts_count_what_one_look_at_the_whole_counts(one: Table, other: Table) -> None:
    parts, whole = _merged(_counted(one), _counted(other)), Profile.like(REFERENCE)
    whole.update(_columns(one + other))
    whole.first_ms, whole.last_ms = parts.first_ms, parts.last_ms

    assert _counts(parts) == _counts(whole)
    assert _moments(parts) == pytest.approx(_moments(whole), rel=1e-9, abs=1e-6)


def test_mean_and_variance_are_those_of_the_values_and_not_of_the_bins() -> None:
    values = np.random.default_rng(1).normal(50, 3, 10_000)
    sketch = NumericSketch.between(0, 100)

    for part in np.split(values, 10):
        sketch.update(part)

    assert sketch.mean == pytest.approx(values.mean(), rel=1e-12)
    assert sketch.variance() == pytest.approx(values.var(ddof=1), rel=1e-12)


@pytest.mark.parametrize(("values", "variance"), [([], 0.0), ([5.0], 0.0), ([1.0, 3.0], 2.0)])
def test_the_variance_of_fewer_than_two_values_is_zero(values: list[float], variance: float) -> None:
    sketch = NumericSketch.between(0, 10)
    sketch.update(values)

    assert sketch.variance() == variance


@pytest.mark.parametrize(
    ("value", "place"),
    [(-0.001, 0), (-1e30, 0), (0.0, 1), (0.999, 1), (1.0, 2), (BINS - 0.001, BINS), (BINS, BINS + 1), (1e30, BINS + 1)],
)
def test_a_value_is_counted_in_its_bin_and_one_outside_at_the_edge(value: float, place: int) -> None:
    sketch = NumericSketch.between(0, BINS)
    sketch.update([value])

    assert np.flatnonzero(sketch.counts).tolist() == [place]


def test_missing_values_are_counted_apart() -> None:
    profile = _counted([(None, None), (math.nan, "a"), (math.inf, "a"), (1.0, "a")])

    amount, label = profile.columns["amount"], profile.columns["label"]
    assert (profile.rows, amount.rows, amount.missing, label.rows, label.missing) == (4, 1, 3, 3, 1)


def test_a_reference_spans_its_values_with_a_tenth_to_spare() -> None:
    sketch = Profile.of({"amount": [10.0, 20.0]}).columns["amount"]

    assert isinstance(sketch, NumericSketch)
    assert (sketch.low, sketch.high) == (9.0, 21.0)


@pytest.mark.parametrize(
    ("values", "low", "high"), [([5.0, 5.0], 4.5, 5.5), ([0.0], -0.1, 0.1), ([math.nan], -0.1, 1.1)]
)
def test_a_column_that_never_varies_has_bins_with_a_width(values: list[float], low: float, high: float) -> None:
    sketch = NumericSketch.spanning(values)

    assert (sketch.low, sketch.high) == pytest.approx((low, high))


def test_text_is_counted_as_categories_and_numbers_in_bins_over_the_range_given() -> None:
    profile = Profile.of({"label": [None, "a"], "tokens": [3, 4], "score": [0.5, 0.7]}, {"score": (0.0, 1.0)})

    kinds = {name: type(sketch) for name, sketch in profile.columns.items()}
    assert kinds == {"label": CategorySketch, "tokens": NumericSketch, "score": NumericSketch}
    score = profile.columns["score"]
    assert isinstance(score, NumericSketch)
    assert (score.low, score.high) == (0.0, 1.0)


def test_a_profile_like_another_has_its_bins_and_none_of_its_counts() -> None:
    empty = Profile.like(REFERENCE)

    assert _counts(empty) == ((0, None, None), [0] * (BINS + 2), 0, {}, 0)
    empty.merge(REFERENCE)
    assert _counts(empty) == _counts(REFERENCE)


@given(tables)
def test_a_profile_survives_being_stored(rows: Table) -> None:
    profile = _counted(rows)

    thawed = Profile.from_json(profile.to_json())

    assert _counts(thawed) == _counts(profile)
    assert _moments(thawed) == _moments(profile)
    assert thawed.to_json() == profile.to_json()


def test_a_merged_profile_covers_the_time_of_all_its_parts() -> None:
    profile = _merged(_counted([(1.0, "a")] * 5), _counted([(1.0, "a")] * 3), _counted([]))

    assert (profile.first_ms, profile.last_ms) == (3, 10)


def test_categories_beyond_the_limit_are_counted_together() -> None:
    names = [f"name {n:04d}" for n in range(CATEGORY_LIMIT + 5)]
    random.Random(1).shuffle(names)
    sketch = CategorySketch()

    sketch.update(names)
    sketch.update([names[0], names[-1]])

    assert len(sketch.counts) == CATEGORY_LIMIT + 1
    assert (sketch.counts[names[0]], sketch.counts[OTHER]) == (2, 6)
    assert sketch.rows == CATEGORY_LIMIT + 7


def test_no_row_is_lost_when_full_category_sketches_merge() -> None:
    one, other = CategorySketch(), CategorySketch()
    one.update([f"one {n}" for n in range(CATEGORY_LIMIT + 5)])
    other.update([f"other {n}" for n in range(CATEGORY_LIMIT + 7)])

    one.merge(other)

    assert one.rows == 2 * CATEGORY_LIMIT + 12
    assert one.counts[OTHER] == CATEGORY_LIMIT + 12


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Profile.of({"amount": [1.0]}, {"amount": (0.0, 100.0)}), "columns"),
        (
            Profile.of({"amount": [1.0], "label": ["a"]}, {"amount": (0.0, 99.0)}),
            r"bins over \[0.0, 100.0\] and \[0.0, 99.0\]",
        ),
        (Profile.of({"amount": ["x"], "label": ["a"]}), "column 'amount' is numeric in one"),
        (Profile.of({"amount": [1.0], "label": [1.0]}, {"amount": (0.0, 100.0)}), "column 'label' is numeric in one"),
    ],
)
def test_profiles_of_other_columns_or_bins_do_not_merge(other: Profile, message: str) -> None:
    with pytest.raises(IncompatibleProfiles, match=message):
        Profile.like(REFERENCE).merge(other)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"amount": [1.0]}, r"columns \['amount'\]: want \['amount', 'label'\]"),
        ({"amount": [1.0], "label": ["a"], "new": [1]}, "columns"),
        ({"amount": [1.0], "label": ["a", "b"]}, r"different lengths \[1, 2\]"),
    ],
)
def test_rows_of_other_columns_are_refused_and_nothing_is_counted(columns: dict[str, Any], message: str) -> None:
    profile = Profile.like(REFERENCE)

    with pytest.raises(IncompatibleProfiles, match=message):
        profile.update(columns)
    assert profile.to_json() == Profile.like(REFERENCE).to_json()


def test_a_stored_profile_of_another_schema_is_refused() -> None:
    with pytest.raises(IncompatibleProfiles, match="profile schema 2: want 1"):
        Profile.from_json(REFERENCE.to_json().replace('"schema":1', '"schema":2'))
