import json
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.errors import IncompatibleProfiles
from pawl.joint import Axis, JointSketch
from pawl.numeric import BINS
from pawl.profile import CategorySketch, FloatSketch, NumericSketch, Profile

REFERENCE = Profile.of({"amount": [0.0, 100.0], "label": ["a", "b"]}, {"amount": (0.0, 100.0)})
EMBEDDED = [f"projection_{d}" for d in range(3)]

amounts = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf])
labels = st.none() | st.sampled_from(["a", "b", "c", "\u0142"])
tables = st.lists(st.tuples(amounts, labels), max_size=30)
Table = list[tuple[float | None, str | None]]


def _columns(rows: Table) -> dict[str, list[Any]]:
    return {"amount": [amount for amount, _ in rows], "label": [label for _, label in rows]}


def _empty(is_open: bool) -> Profile:
    return Profile.open() if is_open else Profile.like(REFERENCE)


def _counted(rows: Table, is_open: bool = False) -> Profile:
    profile = _empty(is_open)
    profile.update(_columns(rows), *((len(rows), 2 * len(rows)) if rows else (None, None)))
    return profile


def _merged(*profiles: Profile) -> Profile:
    """The profiles merged, those given left as they are."""
    whole = _empty(profiles[0].is_open)
    for profile in profiles:
        whole.merge(Profile.from_json(profile.to_json()))
    return whole


@pytest.mark.parametrize("is_open", [False, True])
@given(st.lists(tables, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_are_the_whole_bit_for_bit(
    is_open: bool, parts: list[Table], order: random.Random
) -> None:
    whole = _counted([row for rows in parts for row in rows], is_open)
    shuffled = [_counted(rows, is_open) for rows in order.sample(parts, len(parts))]
    cut = order.randint(0, len(parts))

    merged = _merged(_merged(_empty(is_open), *shuffled[:cut]), _merged(_empty(is_open), *shuffled[cut:]))

    whole.first_ms, whole.last_ms = merged.first_ms, merged.last_ms
    assert merged.to_json() == whole.to_json()


@given(tables)
def test_a_profile_survives_being_stored(rows: Table) -> None:
    profile = _counted(rows)

    assert Profile.from_json(profile.to_json()).to_json() == profile.to_json()


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
    sketch = Profile.of({"amount": values}).columns["amount"]

    assert isinstance(sketch, NumericSketch)
    assert (sketch.low, sketch.high) == pytest.approx((low, high))


def test_text_is_counted_as_categories_and_numbers_in_bins_over_the_range_given() -> None:
    profile = Profile.of({"label": [None, "a"], "tokens": [3, 4], "score": [0.5, 0.7]}, {"score": (0.0, 1.0)})

    kinds = {name: type(sketch) for name, sketch in profile.columns.items()}
    assert kinds == {"label": CategorySketch, "tokens": NumericSketch, "score": NumericSketch}
    score = profile.columns["score"]
    assert isinstance(score, NumericSketch)
    assert (score.low, score.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).standard_cauchy(20_000),
        np.random.default_rng(1).lognormal(0, 4, 20_000),
        np.repeat([0.0, 17.0], [19_990, 10]),
        np.array([-1.7e308, 0.0, 1.7e308]),
        np.linspace(1e15, 1e15 + 1, 9),
    ],
    ids=["heavy tails", "skewed", "almost constant", "as wide as floats are", "as narrow as floats are"],
)
def test_numbers_that_equal_bins_do_not_suit_are_counted_in_buckets(values: Any) -> None:
    assert isinstance(Profile.of({"amount": values}).columns["amount"], FloatSketch)


@pytest.mark.parametrize(
    "values",
    [np.random.default_rng(1).normal(0, 1, 20_000), np.arange(100), np.random.default_rng(1).exponential(1, 20_000)],
    ids=["normal", "whole", "exponential"],
)
def test_numbers_that_equal_bins_suit_are_counted_in_them(values: Any) -> None:
    sketch = Profile.of({"amount": values}).columns["amount"]

    assert isinstance(sketch, NumericSketch)
    assert sketch.counts[0] == sketch.counts[-1] == 0
    assert (sketch.rows, sketch.counts.size) == (values.size, BINS + 2)


def test_a_profile_like_another_has_its_bins_and_names_and_none_of_its_counts() -> None:
    empty = Profile.like(REFERENCE)
    label = empty.columns["label"]

    assert isinstance(label, CategorySketch)
    assert (empty.rows, label.known, label.counts) == (0, {"a", "b"}, {})
    empty.merge(REFERENCE)
    assert empty.to_json() == REFERENCE.to_json()


def test_a_merged_profile_covers_the_time_of_all_its_parts() -> None:
    profile = _merged(_counted([(1.0, "a")] * 5), _counted([(1.0, "a")] * 3), _counted([]))

    assert (profile.first_ms, profile.last_ms) == (3, 10)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Profile.of({"amount": [1.0]}, {"amount": (0.0, 100.0)}), "columns"),
        (
            Profile.of({"amount": [1.0, 2.0], "label": ["a", "b"]}, {"amount": (0.0, 99.0)}),
            r"bins over \[0.0, 100.0\] and \[0.0, 99.0\]",
        ),
        (
            Profile.of({"amount": ["x", "y"], "label": ["a", "b"]}),
            "column 'amount' is of two kinds: numeric and category",
        ),
        (
            Profile.of({"amount": [1.0], "label": [1.0]}, {"amount": (0.0, 100.0)}),
            "column 'label' is of two kinds: category and numeric",
        ),
        (Profile.of({"amount": [1.0, 2.0], "label": ["a", "c"]}, {"amount": (0.0, 100.0)}), "their names differ"),
    ],
)
def test_profiles_of_other_columns_bins_or_names_do_not_merge_not_even_in_part(other: Profile, message: str) -> None:
    for ours in (_counted([(1.0, "a")]), Profile.like(REFERENCE, is_open=True)):
        before = ours.to_json()
        if ours.is_open and message == "columns":
            continue

        with pytest.raises(IncompatibleProfiles, match=message):
            ours.merge(other)
        assert ours.to_json() == before


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

    for refuse in (profile.update, profile.require_fit):
        with pytest.raises(IncompatibleProfiles, match=message):
            refuse(columns)
    assert profile.to_json() == Profile.like(REFERENCE).to_json()


@pytest.mark.parametrize(
    ("columns", "column"),
    [
        ({"amount": ["12"], "label": ["a"]}, "amount"),
        ({"amount": [{}], "label": ["a"]}, "amount"),
        ({"amount": [10**400], "label": ["a"]}, "amount"),
        ({"amount": [1], "label": [["a"]]}, "label"),
    ],
)
def test_values_that_are_none_of_their_column_do_not_fit(columns: dict[str, Any], column: str) -> None:
    REFERENCE.require_fit({"amount": [None, 1, 2.5, math.nan, True], "label": [None, "a", "new", "", 3]})

    with pytest.raises(IncompatibleProfiles, match=f"column '{column}': want nothing but"):
        REFERENCE.require_fit(columns)


def test_an_open_profile_takes_columns_as_they_come() -> None:
    profile = Profile.open()
    profile.update({"tokens": [3, 4]})
    profile.update({"tokens": [5], "finish_reason": ["stop"]})
    profile.update({"finish_reason": ["length", None]})

    tokens, reason = profile.columns["tokens"], profile.columns["finish_reason"]
    assert isinstance(tokens, FloatSketch) and isinstance(reason, CategorySketch)
    assert (profile.rows, tokens.rows, tokens.mean) == (5, 3, 4.0)
    assert (reason.counts, reason.missing) == ({"stop": 1, "length": 1}, 3)
    assert tokens.missing == 2


def test_an_open_profile_like_a_reference_keeps_its_bins_beside_what_else_comes() -> None:
    parts = [Profile.like(REFERENCE, is_open=True) for _ in range(2)]
    parts[0].update({"amount": [5.0], "label": ["a"], "latency_ms": [7.5]})
    parts[1].update({"amount": [5.0], "label": ["c"]})

    recent = Profile.like(REFERENCE, is_open=True)
    for part in parts:
        recent.merge(part)

    assert sorted(recent.columns) == ["amount", "label", "latency_ms"]
    assert isinstance(recent.columns["amount"], NumericSketch)
    assert isinstance(recent.columns["latency_ms"], FloatSketch)
    assert (recent.rows, recent.columns["latency_ms"].rows, recent.columns["latency_ms"].missing) == (2, 1, 1)


@given(st.lists(st.tuples(tables, st.booleans(), st.booleans()), max_size=5), st.randoms(use_true_random=False))
def test_rows_that_came_without_a_column_miss_it_in_whatever_order_parts_are_merged(
    parts: list[tuple[Table, bool, bool]], order: random.Random
) -> None:
    """Each part lacks a column or two; one that lacks both has no rows."""
    profiles: list[Profile] = []
    for rows, has_amount, has_label in parts:
        profiles.append(Profile.open())
        kept = {"amount": has_amount, "label": has_label}
        profiles[-1].update({name: values for name, values in _columns(rows).items() if kept[name]})
    shuffled = order.sample(profiles, len(profiles))
    cut = order.randint(0, len(parts))

    whole = _merged(_empty(True), *profiles)
    merged = _merged(_empty(True), _merged(_empty(True), *shuffled[:cut]), _merged(_empty(True), *shuffled[cut:]))

    assert merged.to_json() == whole.to_json()
    for sketch in whole.columns.values():
        assert sketch.rows + sketch.missing == whole.rows == sum(profile.rows for profile in profiles)


def test_rows_counted_without_a_column_miss_it() -> None:
    profile = Profile.like(REFERENCE, is_open=True)
    profile.update({"amount": [5.0, 6.0]})
    profile.update({"label": ["a"]})

    assert (profile.columns["amount"].missing, profile.columns["label"].missing) == (1, 2)


def test_a_column_that_a_reference_has_nothing_but_missing_values_of_may_turn_out_to_be_of_any_kind() -> None:
    learned = Profile.open()
    learned.update({"amount": [1.0, 2.0], "note": [None, None]})
    for reference in (learned, Profile.of({"amount": [1.0, 2.0], "note": [None, None]})):
        recent = Profile.like(reference, is_open=True)
        recent.update({"amount": [3.0], "note": ["hello"]})

        assert isinstance(recent.columns["note"], CategorySketch)
    assert sorted(Profile.like(reference).columns) == ["amount", "note"]


def test_what_a_reference_tells_of_a_columns_kind_is_not_forgotten_while_values_are_missing() -> None:
    reference, text = Profile.open(), Profile.open()
    reference.update({"amount": [1.0, 2.0]})
    text.update({"amount": ["a"]})
    recent = Profile.like(reference, is_open=True)
    recent.update({"amount": [None]})

    with pytest.raises(IncompatibleProfiles, match="column 'amount' is of two kinds"):
        recent.merge(text)


def test_a_column_of_which_nothing_but_missing_values_has_come_is_of_any_kind() -> None:
    unknown, text = Profile.open(), Profile.open()
    unknown.update({"word": [None, None]})
    text.update({"word": ["a", None]})
    for ours, theirs in ((unknown, text), (text, unknown)):
        merged = Profile.from_json(ours.to_json())
        merged.merge(theirs)

        assert merged.columns["word"].missing == 3
        assert merged.columns["word"].rows == 1
    unknown.require_fit({"word": ["a"]})
    unknown.update({"word": ["a"]})
    assert (unknown.columns["word"].missing, unknown.columns["word"].rows) == (2, 1)


@pytest.mark.parametrize("is_open", [False, True])
def test_a_column_holds_numbers_or_names_and_not_both(is_open: bool) -> None:
    numbers, names = Profile.open(), Profile.open()
    numbers.update({"word": [1.0]})
    names.update({"word": ["a"]})
    numbers.is_open = is_open

    with pytest.raises(IncompatibleProfiles, match="column 'word' is of two kinds: float and category"):
        numbers.merge(names)
    with pytest.raises(IncompatibleProfiles, match="column 'word': want nothing but numbers"):
        numbers.require_fit({"word": ["a"]})


def test_a_stored_profile_of_another_schema_is_refused() -> None:
    with pytest.raises(IncompatibleProfiles, match="profile schema 1: want 2 or 3; train the model again"):
        Profile.from_json(json.dumps({**json.loads(REFERENCE.to_json()), "schema": 1}))


def test_numbers_are_counted_together_and_an_embedding_apart_from_them() -> None:
    generator = np.random.default_rng(1)
    names = ["length", "words", "confidence", *EMBEDDED]

    reference = Profile.of({name: generator.normal(size=50) for name in names} | {"label": ["a", "b"] * 25})

    assert {name: joint.names for name, joint in reference.joints.items()} == {
        "columns together": ("length", "words"),
        "embedding": tuple(EMBEDDED),
    }
    assert {joint.rows for joint in reference.joints.values()} == {50}


def test_a_profile_like_another_counts_on_its_axes_and_survives_being_stored() -> None:
    generator = np.random.default_rng(2)
    rows = {name: generator.normal(size=60) for name in EMBEDDED}
    reference = Profile.of(rows)
    whole, parts = Profile.like(reference), [Profile.like(reference) for _ in range(3)]
    whole.update(rows)
    for place, part in enumerate(parts):
        part.update({name: values[20 * place : 20 * place + 20].tolist() for name, values in rows.items()})
    merged = Profile.open()
    for part in reversed(parts):
        merged.merge(Profile.from_json(part.to_json()))

    merged.is_open = False
    assert merged.to_json() == whole.to_json()
    assert json.loads(whole.to_json())["joints"] == json.loads(reference.to_json())["joints"]


def test_a_profile_without_joint_sketches_is_read_and_written_as_before() -> None:
    stored = json.loads(REFERENCE.to_json())

    assert (stored["schema"], "joints" in stored) == (2, False)
    assert Profile.from_json(REFERENCE.to_json()).joints == {}


def test_what_was_counted_on_the_axes_of_another_reference_is_not_merged() -> None:
    references = [Profile.of({"length": [1.0, 2.0, 3.0 * n], "words": [1.0, n, 1.0]}) for n in (2.0, 5.0)]
    ours = Profile.like(references[0], is_open=True)
    theirs = Profile({}, rows=3, joints=references[1].joints)

    ours.merge(theirs)

    assert (ours.rows, ours.joints["columns together"].rows) == (3, 0)


@given(st.permutations([0, 1, 2, 3]), st.integers(1, 3))
def test_of_parts_on_different_axes_the_same_remain_whatever_the_order(order: list[int], cut: int) -> None:
    parts = [Profile.open() for _ in range(4)]
    for number, part in enumerate(parts):
        axes = [Axis(name, float(number // 2), 1.0) for name in ("length", "words")]
        part.joints["columns together"] = JointSketch.over(axes)
        rows = {"length": [1.0 * number, 2.0], "words": [0.5, 3.0]}
        part.update({name: rows[name] for name in (rows if number else ["length"])})
    shuffled = [parts[place] for place in order]

    merged = _merged(_merged(*shuffled[:cut]), _merged(*shuffled[cut:]))

    assert merged.to_json() == _merged(*parts).to_json()
    joint = merged.joints["columns together"]
    assert (joint.axes[0].centre, joint.rows, merged.rows) == (0.0, 2, 8)


def test_a_column_that_is_called_like_a_joint_sketch_stands_alone() -> None:
    reference = Profile.of({"embedding": [1.0, 2.0], "projection_0": [1.0, 2.0], "projection_1": [2.0, 1.0]})

    assert reference.joints == {}
