"""The error to expect of a profile is that of its rows, whatever kind of sketch has counted them."""

import json
from typing import Any

import numpy as np
import pytest

from pawl.errors import IncompatibleProfiles
from pawl.expectation import Cuts, ExpectedError
from pawl.losses import GROUPS
from pawl.profile import Profile


def _columns(seed: int, rows: int, oldest: float = 60.0) -> tuple[dict[str, list[Any]], list[float], list[float]]:
    """What is asked, answered and right: the older, the worse, and worst for one fuel."""
    generator = np.random.default_rng(seed)
    age = generator.uniform(0, oldest, rows)
    fuel = generator.choice(["oil", "gas", "wood"], rows, p=[0.5, 0.4, 0.1])
    doors = generator.integers(2, 6, rows).astype(float)
    right = 10 + doors
    said = right + (1 + 0.1 * age + 5 * (fuel == "wood")) * generator.choice([-1.0, 1.0], rows)
    return {"age": age.tolist(), "fuel": fuel.tolist(), "doors": doors.tolist()}, said.tolist(), right.tolist()


def _open(columns: dict[str, list[Any]]) -> Profile:
    profile = Profile.open()
    profile.update(columns)
    return profile


@pytest.mark.parametrize("profiled", [Profile.of, _open], ids=["bins", "buckets"])
def test_the_error_of_a_window_that_has_moved_is_what_it_turns_out_to_be(profiled: Any) -> None:
    known = ExpectedError.learn(*_columns(1, 8000))
    columns, said, right = _columns(2, 3000, oldest=20.0)

    found = known.estimate(profiled(columns))

    real = float(np.abs(np.subtract(said, right)).mean())
    assert found.value == pytest.approx(real, rel=0.03)
    assert found.value < 0.8 * known.losses.mean
    assert found.low < real < found.high


def test_a_profile_of_the_labelled_rows_has_their_mean_error() -> None:
    columns, said, right = _columns(3, 4000)
    columns["age"][::10] = [None] * 400
    columns["fuel"][::7] = [None] * len(columns["fuel"][::7])

    found = ExpectedError.learn(columns, said, right).estimate(_open(columns))

    assert found.value == pytest.approx(np.abs(np.subtract(said, right)).mean(), rel=1e-9)
    assert found.uncovered == 0.0


def test_whole_numbers_fall_into_the_bins_that_their_rows_fell_into() -> None:
    columns, said, right = _columns(4, 4000)
    reference = Profile.of(columns)
    known = ExpectedError.learn(columns, said, right)

    for name in columns:
        counted = known.cuts[name].counts(reference.columns[name])
        rows = np.bincount(known.cuts[name].codes(columns[name]), minlength=known.cuts[name].bins)
        assert np.abs(counted - rows).sum() <= 0.01 * 4000, name
    assert (known.cuts["doors"].counts(reference.columns["doors"])[:4] > 0).all()


def test_a_column_has_few_bins_and_a_constant_one_has_one() -> None:
    assert Cuts.of(np.arange(10_000.0).tolist()).bins <= GROUPS + 1
    assert Cuts.of([7.0] * 50).edges == ()
    assert Cuts.of([None, None]).bins == 2
    assert Cuts.of([f"name {n}" for n in range(100)]).bins == GROUPS + 1


def test_names_that_no_labelled_row_had_are_uncovered() -> None:
    columns, said, right = _columns(5, 2000)
    known = ExpectedError.learn(columns, said, right)
    moved = {**columns, "fuel": ["hydrogen"] * 500 + columns["fuel"][500:]}

    assert known.estimate(_open(moved)).uncovered == pytest.approx(0.25)


def test_what_is_expected_survives_json() -> None:
    columns, said, right = _columns(6, 500)
    known = ExpectedError.learn(columns, said, right)

    again = ExpectedError.from_dict(json.loads(json.dumps(known.to_dict())))

    assert again.estimate(_open(columns)) == known.estimate(_open(columns))


def test_a_profile_without_a_column_or_with_one_of_another_kind_is_refused() -> None:
    columns, said, right = _columns(7, 200)
    known = ExpectedError.learn(columns, said, right)

    with pytest.raises(IncompatibleProfiles, match="no column fuel"):
        known.estimate(_open({"age": [1.0], "doors": [2.0]}))
    with pytest.raises(IncompatibleProfiles, match="names where"):
        known.estimate(_open({**columns, "age": ["old"] * 200}))
    with pytest.raises(IncompatibleProfiles, match="numbers where"):
        known.estimate(_open({**columns, "fuel": [1.0] * 200}))
