"""Sides of new rows: nobody is on both, whoever is on one stays there, and about a quarter is held out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.dataset import Row
from retrain.splitting import RECENT_SHARE, Belonging, held_out, is_held_out_by_text

NOTHING: dict[str, list[Row]] = {"train": [], "holdout": []}


def _rows(sizes: dict[str, int], is_rater: bool = False) -> list[Belonging]:
    return [Belonging(f"{who} {n}", who, is_rater) for who, size in sizes.items() for n in range(size)]


def _sides(rows: list[Belonging], inherited: dict[str, list[Row]] = NOTHING) -> dict[str, set[bool]]:
    found = dict[str, set[bool]]()
    for row, is_out in zip(rows, held_out(rows, inherited), strict=True):
        found.setdefault(row.subject, set()).add(is_out)
    return found


def test_a_text_of_nobody_goes_by_its_own_digest_whatever_else_there_is() -> None:
    rows = [Belonging(f"text {n}") for n in range(2000)]
    alone = [held_out([row], NOTHING)[0] for row in rows]

    assert held_out([*rows, *_rows({"ada": 50})], NOTHING)[:2000] == alone == [is_held_out_by_text(r.key) for r in rows]
    assert sum(alone) == pytest.approx(500, abs=60)


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 40), min_size=4, max_size=30))
def test_nobody_is_on_both_sides_and_no_more_than_a_quarter_is_held_out(sizes: dict[str, int]) -> None:
    sides = _sides(_rows(sizes))

    assert all(len(each) == 1 for each in sides.values())
    held = sum(sizes[who] for who, each in sides.items() if True in each)
    assert held <= RECENT_SHARE * sum(sizes.values())
    # Whoever is trained on would not have fitted: nobody is left out of the held-out side for nothing.
    left = RECENT_SHARE * sum(sizes.values()) - held
    assert all(sizes[who] > left for who, each in sides.items() if False in each)


def test_a_subject_stays_where_the_parent_has_them() -> None:
    inherited = {"train": [Row("a", "x", subject="ada")], "holdout": [], "recent": [Row("b", "x", subject="bob")]}

    sides = _sides(_rows({"ada": 1, "bob": 500, "carl": 10}), inherited)

    assert sides == {"ada": {False}, "bob": {True}, "carl": {False}}


def test_a_subject_with_more_than_the_share_is_trained_on_and_a_rater_goes_by_texts() -> None:
    sizes = {"ada": 100, "bob": 4, "carl": 4}

    assert _sides(_rows(sizes))["ada"] == {False}
    assert _sides(_rows(sizes, is_rater=True))["ada"] == {True, False}
    mixed = [*_rows(sizes, is_rater=True), Belonging("of ada", "ada")]
    assert _sides(mixed)["ada"] == {False}


def test_a_rater_whose_rows_went_by_their_texts_goes_on_by_texts() -> None:
    rows = _rows({"ada": 40}, is_rater=True)
    first = held_out(rows, NOTHING)
    inherited = dict(NOTHING, recent=[])
    for row, is_out in zip(rows, first, strict=True):
        inherited["recent" if is_out else "train"] = [
            *inherited["recent" if is_out else "train"],
            Row(row.key, "x", subject="ada"),
        ]

    assert held_out(rows, inherited) == first == [is_held_out_by_text(row.key) for row in rows]
