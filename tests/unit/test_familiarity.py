import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.unlike import batches_until_taken_back, outcome, table
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from pawl.sequential import Comparison
from release.familiarity import Familiarity, usual_ranges
from release.seen import Seen
from release.trial import FAMILIARITY, Trial, begin_trial

HUNDRED = np.arange(100) / 100


def profile_of(reference: Profile, **columns: object) -> Profile:
    profile = Profile.like(reference, is_open=True)
    profile.update({name: np.asarray(values) for name, values in columns.items()})
    return profile


def tally(reference: Profile, **columns: object) -> list[float]:
    return Seen.of([profile_of(reference, **columns)], usual_ranges(reference)).familiar.tolist()


def test_usual_is_where_ninety_five_of_a_hundred_values_lie_and_a_confidence_only_if_it_is_low() -> None:
    reference = Profile.of({"confidence": HUNDRED, "length": HUNDRED, "label": ["a"] * 100}, FEATURE_RANGES)

    found = usual_ranges(reference)

    assert list(found) == ["confidence", "length"]
    assert found["confidence"] == pytest.approx((0.05, 1.0), abs=1 / 4096)
    assert found["length"] == pytest.approx((0.02, 0.97), abs=1 / 4096)


@pytest.mark.parametrize("rows", [0, 29])
def test_a_reference_of_few_rows_tells_nothing(rows: int) -> None:
    assert usual_ranges(Profile.of({"length": HUNDRED[:rows]})) == {}


def test_a_reference_s_own_rows_are_as_familiar_as_was_asked_for() -> None:
    reference = Profile.of({"confidence": HUNDRED, "length": HUNDRED}, FEATURE_RANGES)

    rows, usual, _ = tally(reference, confidence=HUNDRED, length=HUNDRED)

    assert (rows, usual) == (100, pytest.approx(95.5))


def test_the_confidence_counts_as_much_as_all_inputs_together() -> None:
    reference = Profile.of({"confidence": HUNDRED, "a": HUNDRED, "b": HUNDRED}, FEATURE_RANGES)

    low = tally(reference, confidence=[0.0] * 10, a=[0.5] * 10, b=[0.5] * 10)
    far = tally(reference, confidence=[0.5] * 10, a=[9.0] * 10, b=[0.5] * 10)

    assert low == [10, 5.0, 5.0]
    assert far == [10, 7.5, 7.5]


def test_a_column_that_the_traffic_lacks_or_the_reference_is_left_out() -> None:
    reference = Profile.of({"a": HUNDRED, "b": HUNDRED})
    profile = Profile.open()
    profile.update({"a": [0.5, 9.0], "latency_ms": [1.0, 2.0]})

    assert Seen.of([profile], usual_ranges(reference)).familiar.tolist() == [2, 1.0, 1.0]
    assert Seen.of([profile], {}).familiar.tolist() == [0, 0, 0]


def test_counting_profile_by_profile_is_counting_all_at_once() -> None:
    reference = Profile.of({"confidence": HUNDRED, "length": HUNDRED}, FEATURE_RANGES)
    counted = Familiarity(usual_ranges(reference))
    for part in np.split(HUNDRED, 5):
        counted.count(profile_of(reference, confidence=part, length=part))

    assert counted.tally().tolist() == tally(reference, confidence=HUNDRED, length=HUNDRED)


def begun() -> Trial:
    return begin_trial(("triage", "2"), ("7", "arn:layer:2"), ("1", "1"), "{}", 0)


def test_versions_with_data_alike_are_never_told_apart_although_each_reference_is_a_small_sample() -> None:
    assert [batches_until_taken_back(seed, apart=0.0, batches=20) for seed in range(20)] == [0] * 20


def test_a_candidate_made_from_data_unlike_the_traffic_is_taken_back() -> None:
    found = [batches_until_taken_back(seed, apart=2.0) for seed in range(20)]

    assert 1 <= min(found) <= max(found) <= 3


def test_the_benchmark_tells_how_many_were_taken_back_and_after_how_many_answers() -> None:
    found = outcome(2.0, [0, 1, 3, 2])

    assert (found.taken_back, found.answers) == (0.75, 200.0)
    assert outcome(0.0, [0]).answers == 0.0
    assert table([found]).splitlines()[1].split() == ["2.0", "75.0%", "200"]


def test_a_trial_remembers_what_is_usual_to_either_version() -> None:
    usual = ({"confidence": (0.4, 1.0)}, {"confidence": (0.5, 1.0), "projection_0": (-1.9, 2.1)})
    item = replace(begun(), usual=usual).to_item()

    assert Trial.from_item(item).usual == usual
    assert "usual" not in item  # but beside what was counted, as JSON: a table holds no floats


def test_a_trial_that_was_stored_before_there_was_this_figure_goes_on_without_it() -> None:
    item = begun().to_item()
    counted = json.loads(item.pop("counted"))
    del counted["usual"], counted["comparisons"][FAMILIARITY]

    trial = Trial.from_item({**item, "counted": json.dumps(counted)})

    assert (trial.usual, FAMILIARITY in trial.comparisons) == ((), False)
    assert [figure.name for figure in trial.state().figures] == ["feedback", "answered", "speed", "agreement"]


def test_the_terms_say_how_much_less_familiar_is_too_much() -> None:
    trial = begin_trial(("triage", "2"), ("7", "arn"), ("1", "1"), '{"drift_tolerance": 0.3}', 0)

    assert trial.comparisons[FAMILIARITY].tolerance == 0.3
    assert isinstance(trial.comparisons[FAMILIARITY], Comparison)
