"""The benchmark of detection: its streams change where they say, and its table says what could not be had."""

import numpy as np

from benchmarks import delay
from benchmarks.concepts import CHANGE, ROWS, WARM_UP, errors, generators
from benchmarks.detection import Detection, summary, table


def test_a_learner_errs_more_where_the_concept_changes_and_nowhere_else() -> None:
    found = errors(generators()["LED"](1), 1)

    turn = CHANGE - WARM_UP
    before = float(np.mean(found["none"][:turn]))
    assert {len(each) for each in found.values()} == {ROWS - WARM_UP}
    assert found["abrupt"][:turn].tolist() == found["gradual"][:turn].tolist() == found["none"][:turn].tolist()
    assert abs(found["none"][turn:].mean() - before) < 0.03
    assert found["abrupt"][turn : turn + 500].mean() > before + 0.3
    assert before + 0.03 < found["gradual"][turn : turn + 500].mean() < found["abrupt"][turn : turn + 500].mean()


def test_the_table_says_what_is_missing_and_leaves_blank_what_there_is_not() -> None:
    lines = table([Detection("SEA, none", "adwin", None, 0.25, None, 1.0)], ["river is not installed"]).splitlines()

    assert lines[1].split() == ["SEA,", "none", "adwin", "-", "0.25", "-", "1"]
    assert lines[2] == "  missing: river is not installed"


def test_the_summary_means_over_streams_and_delays_over_those_where_a_change_was_found() -> None:
    found = [
        Detection("SEA, abrupt", "adwin", 1.0, 0.0, 200.0),
        Detection("LED, abrupt", "adwin", 0.0, 0.0, None),
        Detection("SEA, gradual", "adwin", 0.0, 0.0, None),
        Detection("SEA, none", "adwin", None, 0.25, None),
        Detection("LED, none", "adwin", None, 0.0, None),
        Detection("US census, employment", "CBPE", 0.5, 0.0, None),
    ]

    assert summary(found).splitlines()[1:] == [f"  {'adwin':<17}      0.5      200        0        -    0.125"]


def test_a_large_shift_of_much_traffic_is_found_by_the_next_check() -> None:
    assert delay.hours_until_found(4_000, 3.0, 0) == 0.25


def test_less_traffic_takes_longer_to_tell_a_smaller_shift() -> None:
    assert 0.25 < delay.hours_until_found(400, 0.5, 0) <= 1.5
