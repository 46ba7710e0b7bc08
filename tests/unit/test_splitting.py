"""Sides of new rows: nobody is on both, whoever is on one stays there, and about a quarter is held out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.dataset import Row
from retrain.splitting import RECENT_SHARE, Belonging, held_out, is_held_out_by_text

NOTHING: dict[str, list[Row]] = {"train": [], "holdout": []}


def _rows(sizes: dict[str, int], is_rater: bool = False) -> list[Belonging]:
    return [Belonging(f"{who} {n}", (who,), is_rater) for who, size in sizes.items() for n in range(size)]


def _sides(rows: list[Belonging], inherited: dict[str, list[Row]] = NOTHING) -> dict[str, set[bool | None]]:
    """On which sides everybody is; None is among them where a row of theirs was left out."""
    found = dict[str, set[bool | None]]()
    for row, is_out in zip(rows, held_out(rows, inherited), strict=True):
        for name in row.names:
            found.setdefault(name, set()).add(is_out)
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
    mixed = [*_rows(sizes, is_rater=True), Belonging("of ada", ("ada",))]
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


def test_who_asked_is_on_one_side_with_everybody_whom_feedback_names() -> None:
    asked = [Belonging(f"alice {n}", (f"customer {n}", "alice") if n % 2 else ("alice",)) for n in range(20)]
    others = _rows({f"other {n}": 4 for n in range(20)})

    sides = _sides([*asked, *others])

    assert all(sides[name] == {True} for row in asked for name in row.names)
    assert sum(True in each for name, each in sides.items() if name.startswith("other")) == 1  # 24 of 100 rows in all


def test_a_row_whose_people_the_parent_has_on_different_sides_is_left_out() -> None:
    inherited = {"train": [Row("a", "x", subject="ada")], "recent": [Row("b", "x", subject="bob", people=("bo",))]}
    rows = [Belonging("1", ("ada", "eve")), Belonging("2", ("eve", "bo")), Belonging("3", ("bob", "dan"))]

    assert held_out(rows, inherited) == [False, None, True]


def test_one_who_is_on_both_sides_already_binds_nobody_and_is_on_one_from_now_on() -> None:
    both = {"train": [Row("a", "x", subject="c1", people=("ada",))], "recent": [Row("b", "x", subject="ada")]}

    sides = _sides([*_rows({"ada": 6, "bob": 3, "carl": 20}), Belonging("new", ("c1", "c2"))], both)

    assert sides["ada"] in ({True}, {False})
    assert sides["c2"] == {False}


PEOPLE = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=3).map(tuple), max_size=30)


@given(PEOPLE, PEOPLE)
def test_whoever_is_on_a_side_stays_there_in_the_next_dataset(
    first: list[tuple[str, ...]], later: list[tuple[str, ...]]
) -> None:
    inherited: dict[str, list[Row]] = {"train": [], "recent": []}
    for names in first, later:
        rows = [Belonging(f"{'earlier' if names is first else 'later'} {n}", each) for n, each in enumerate(names)]
        for row, is_out in zip(rows, held_out(rows, inherited), strict=True):
            if is_out is not None:
                side = inherited["recent" if is_out else "train"]
                inherited = {**inherited, "recent" if is_out else "train": [*side, Row(row.key, "x", people=row.names)]}

    trained, kept = ({name for row in inherited[side] for name in row.people} for side in ("train", "recent"))
    assert not trained & kept
