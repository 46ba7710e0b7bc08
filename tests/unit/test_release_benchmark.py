"""The benchmark of releases: its fixed-horizon figure is scipy's, and its outcomes are those of the decision."""

import random

import pytest
from scipy.stats import norm

from benchmarks import tampering
from benchmarks.release import FEW, MARGIN, PATIENT, POLICY, SLOW, Outcome, Scenario, fixed_horizon, simulate, table
from pawl.bundle import Bundle
from pawl.signing import read_trust


def test_the_fixed_horizon_sample_has_its_power_and_one_answer_less_each_has_not() -> None:
    each = fixed_horizon(MARGIN) // 2

    powers = [norm.sf(norm.isf(0.05) - MARGIN / (2 * 0.8 * 0.2 / n) ** 0.5) for n in (each, each - 1)]
    assert powers[0] >= 0.9 > powers[1]


def test_every_seed_ends_in_a_verdict_and_a_much_worse_candidate_in_a_rollback() -> None:
    found = simulate(Scenario("10 a day", -0.6, *SLOW), 20)

    assert found.promoted + found.rolled_back + found.asked == pytest.approx(1.0)
    assert found.rolled_back == 1.0
    assert found.answers < 300


@pytest.mark.parametrize("difference", [-0.05, -0.1, -0.15])
def test_ten_answers_a_day_promote_no_more_of_the_worse_than_the_terms_allow(difference: float) -> None:
    assert simulate(Scenario(FEW, difference, *SLOW), 200).promoted <= POLICY.alpha


def test_ten_answers_a_day_tell_equal_from_worse_where_the_policy_has_the_patience() -> None:
    equal, worse = (simulate(Scenario(FEW, by, *SLOW, policy=PATIENT), 200) for by in (0.0, -MARGIN))

    assert equal.promoted >= 0.9
    assert worse.promoted <= POLICY.alpha


def test_the_same_seeds_have_the_same_outcome() -> None:
    scenario = Scenario("10 a day", 0.0, *SLOW)

    assert simulate(scenario, 5) == simulate(scenario, 5)


def test_the_table_has_a_line_for_each_scenario() -> None:
    outcome = Outcome(Scenario("10 a day", -0.15, *SLOW), 0.25, 0.5, 0.25, 1234.0)

    assert table([outcome]).splitlines()[1].split() == ["10", "a", "day", "-0.15", "25.0%", "50.0%", "25.0%", "1,234"]


def test_every_changed_byte_of_a_signed_bundle_is_refused() -> None:
    assert tampering.refused(100) == 100


def test_a_change_that_is_not_noticed_is_not_counted(sealed: Bundle) -> None:
    """Without a signature nobody looks at a file that the manifest does not name."""
    (sealed.path / "evidence.json").write_bytes(b"[]" * 1000)

    assert 0 < tampering.refusals(sealed.path, read_trust("", allow_unsigned=True), random.Random(1), 100) < 100
