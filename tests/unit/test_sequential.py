"""Tests that may be looked at after every batch: their levels by simulation, their arithmetic by hand."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.betting import arms_gain, log_gain, scaled, tally_of
from pawl.errors import InvalidRecord, InvalidRequest
from pawl.sequential import Ceiling, Comparison, threshold

SEEDS = 500
LIMIT = threshold(0.05)


def _stream(candidate: float, live: float, *, weight: float, rows: int, batches: int, drift: float = 0.0) -> Comparison:
    """Comparisons of SEEDS seeds at a margin of 0.05, after batches in which both rates swing by `drift`."""
    generator = np.random.default_rng(7)
    found = Comparison.start(0.05, shape=(SEEDS,))
    for batch in range(batches):
        moved = drift * math.sin(12 * batch / batches)
        new = generator.binomial(rows, weight, SEEDS)
        hits, old_hits = generator.binomial(new, candidate + moved), generator.binomial(rows - new, live + moved)
        arms = [np.stack([new, hits, hits], -1), np.stack([rows - new, old_hits, old_hits], -1)]
        found = found.update(np.stack(arms, -2))
    return found


@pytest.mark.parametrize("weight", [0.05, 0.5])
@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_looking_after_every_batch_calls_a_worse_candidate_proved_at_most_at_the_level(
    weight: float, drift: float
) -> None:
    found = _stream(0.65, 0.7, weight=weight, rows=20, batches=100, drift=drift)

    assert (found.proof_peak >= LIMIT).mean() <= 0.05


@pytest.mark.parametrize("weight", [0.05, 0.5])
@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_looking_after_every_batch_calls_an_equal_candidate_harmful_at_most_at_the_level(
    weight: float, drift: float
) -> None:
    found = _stream(0.7, 0.7, weight=weight, rows=20, batches=100, drift=drift)

    assert (found.harm_peak >= LIMIT).mean() <= 0.05


def test_an_equal_candidate_is_proved_and_a_much_worse_one_found_out_in_nearly_every_run() -> None:
    equal = _stream(0.8, 0.8, weight=0.5, rows=40, batches=150)
    worse = _stream(0.6, 0.8, weight=0.5, rows=20, batches=30)

    assert (equal.proof_peak >= LIMIT).mean() >= 0.95
    assert (worse.harm_peak >= LIMIT).mean() >= 0.95


@given(
    rate=st.floats(0.01, 0.99),
    rows=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    past=st.lists(st.booleans(), max_size=20),
    shift=st.floats(-0.3, 0.3),
)
def test_the_mean_gain_under_the_hypothesis_is_at_most_one(
    rate: float, rows: tuple[int, int], past: list[bool], shift: float
) -> None:
    other = rate - shift
    if not 0 <= other <= 1:
        return
    before = tally_of(past)
    total = np.zeros(3)
    for hits in itertools.product(range(rows[0] + 1), range(rows[1] + 1)):
        chance = math.prod(
            math.comb(n, k) * p**k * (1 - p) ** (n - k) for n, k, p in zip(rows, hits, (rate, other), strict=True)
        )
        up, down = (np.array([n, k, k], float) for n, k in zip(rows, hits, strict=True))
        total += chance * np.exp(arms_gain(up, down, (before, before), shift, np.array([0.01, 0.2, 0.8])))
    assert (total <= 1 + 1e-9).all()


@given(st.lists(st.floats(0, 1), max_size=20), st.floats(0, 1), st.floats(-0.7, 0.7))
def test_a_gain_by_tallies_is_never_above_the_gain_by_values(values: list[float], center: float, bet: float) -> None:
    exact = sum(math.log1p(bet * (value - center)) for value in values)

    assert log_gain(tally_of(values), np.array(center), np.array([bet]))[0] <= exact + 1e-7


def test_a_gain_of_zeros_and_ones_is_exact() -> None:
    gain = log_gain(tally_of([1, 1, 0]), np.array(0.5), np.array([0.4]))

    assert gain[0] == pytest.approx(2 * math.log(1.2) + math.log(0.8), abs=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms())
def test_the_order_within_a_batch_changes_nothing(values: list[bool], random: object) -> None:
    assert tally_of(values).tolist() == tally_of(sorted(values)).tolist()


def _batch(*counts: int) -> list[list[int]]:
    new, hits, old, old_hits = counts
    return [[new, hits, hits], [old, old_hits, old_hits]]


def test_a_block_waits_until_both_arms_have_three_answers() -> None:
    first = Comparison.start(0.05).update(_batch(2, 1, 40, 30))
    second = first.update(_batch(1, 1, 0, 0))

    assert (float(first.information), first.rows.tolist()) == (0.0, [2.0, 40.0])
    assert float(second.information) == pytest.approx(3 * 40 / 43)
    assert float(second.difference) == pytest.approx(2 / 3 - 30 / 40)


def test_batches_joined_into_one_never_hold_less_information() -> None:
    parts = Comparison.start(0.05).update(_batch(5, 4, 20, 15)).update(_batch(10, 8, 10, 7))
    whole = Comparison.start(0.05).update(_batch(15, 12, 30, 22))

    assert float(parts.information) == pytest.approx(5 * 20 / 25 + 10 * 10 / 20)
    assert float(parts.information) < float(whole.information) == pytest.approx(15 * 30 / 45)


def test_a_base_rate_that_moves_with_the_weights_is_no_difference() -> None:
    found = Comparison.start(0.05).update(_batch(10, 9, 190, 171)).update(_batch(100, 50, 100, 50))

    assert float(found.difference) == pytest.approx(0.0)


def test_settling_closes_a_small_block_and_drops_a_single_arm() -> None:
    found = Comparison.start(0.05).update(_batch(1, 1, 2, 1)).settle()
    alone = Comparison.start(0.05).update(_batch(0, 0, 9, 5)).settle()

    assert float(found.information) == pytest.approx(2 / 3)
    assert (float(alone.information), float(alone.proof_peak)) == (0.0, 0.0)


def test_a_comparison_goes_on_from_its_json_as_if_nothing_had_happened() -> None:
    found = Comparison.start(0.05, 0.01).update(_batch(9, 8, 20, 15)).update(_batch(1, 0, 1, 1))
    again = Comparison.from_dict(json.loads(json.dumps(found.to_dict())))

    assert again.to_dict() == found.to_dict()
    assert again.update(_batch(9, 1, 9, 8)).to_dict() == found.update(_batch(9, 1, 9, 8)).to_dict()


def test_a_state_of_another_schema_or_shape_is_refused() -> None:
    raw = Comparison.start(0.05).to_dict()

    with pytest.raises(InvalidRecord, match="schema 2"):
        Comparison.from_dict(raw | {"schema": 2})
    with pytest.raises(InvalidRecord, match="harm"):
        Comparison.from_dict(raw | {"harm": [0.0]})


@pytest.mark.parametrize("batch", [_batch(1, 2, 1, 1), [[1, 1, 1]], _batch(-1, 0, 1, 0)])
def test_a_batch_that_cannot_be_is_refused(batch: list[list[int]]) -> None:
    with pytest.raises(InvalidRequest):
        Comparison.start(0.05).update(batch)


def test_what_is_better_when_smaller_is_turned_round() -> None:
    assert scaled([10, 3, 3], 1, 0).tolist() == [10.0, 7.0, 7.0]
    assert scaled(tally_of([0.25, 0.5]) * [1, 4, 16], 0, 4).tolist() == tally_of([0.25, 0.5]).tolist()


def test_a_share_at_its_limit_is_called_beyond_it_at_most_at_the_level_and_one_far_above_always() -> None:
    generator = np.random.default_rng(3)
    at, above = Ceiling.start(0.2, (SEEDS,)), Ceiling.start(0.2, (SEEDS,))
    for _ in range(100):
        few, many = generator.binomial(10, 0.2, SEEDS), generator.binomial(10, 0.4, SEEDS)
        at = at.update(np.stack([np.full(SEEDS, 10), few, few], -1))
        above = above.update(np.stack([np.full(SEEDS, 10), many, many], -1))

    assert (at.peak >= LIMIT).mean() <= 0.05
    assert (above.peak >= LIMIT).all()


def test_a_ceiling_goes_on_from_its_json() -> None:
    found = Ceiling.start(0.2).update([10, 4, 4])

    assert Ceiling.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict() == found.to_dict()
