"""Whether a candidate answers better, or no worse: each gate on rows of which it is known who has them right."""

import math
from dataclasses import replace

import pytest
from tests.unit.contenders import ROWS, FakeModel, both_of

from pawl.bundle import Manifest
from pawl.dataset import Row
from pawl.testing import mcnemar_loss
from release.answers import Answers, ask_both
from release.policy import GatePolicy
from release.quality import (
    broken_gate,
    calibration_gate,
    corrections,
    holdout_gate,
    learned_gate,
    mended_gate,
    recent_gate,
    slices_gate,
    sureness_gate,
)

POLICY = GatePolicy()


@pytest.mark.parametrize(
    ("wrong", "passed"), [(0, True), (10, True), (12, True), (14, True), (15, False), (100, False)]
)
def test_up_to_two_points_and_a_standard_error_may_be_lost_on_the_holdout(
    manifest: Manifest, wrong: int, passed: bool
) -> None:
    gate = holdout_gate(both_of(manifest, wrong, 10), POLICY)

    assert (gate.name, gate.passed) == ("holdout", passed)
    assert gate.measured == f"accuracy {1 - wrong / 100:.4f} on 100 rows"
    error = math.sqrt(abs(wrong - 10)) / 100
    assert gate.wanted == (
        f"at least {0.88 - error:.4f}: the live version's 0.9000 less 0.02 and {error:.4f} that may be chance"
    )
    assert (gate.value, gate.threshold) == (round(1 - wrong / 100, 4), round(0.88 - error, 4))


def test_a_loss_on_many_rows_is_no_chance(manifest: Manifest) -> None:
    assert not holdout_gate(both_of(manifest, 13, 10, 100 * ROWS), POLICY).passed


def test_the_evidence_holds_the_paired_difference_with_its_interval_and_what_chance_would_do(
    manifest: Manifest,
) -> None:
    gate = holdout_gate(both_of(manifest, lambda text: text in ("text 1", "text 2", "text 3"), 1), POLICY)

    low, high = gate.evidence.pop("interval")
    assert low < -0.02 < high
    assert gate.evidence == {
        "rows": 100,
        "live": 0.99,
        "difference": -0.02,
        "lost": 3,
        "won": 1,
        "p_lost_by_chance": mcnemar_loss(3, 1),
    }


@pytest.mark.parametrize(("wrong", "passed"), [(9, True), (10, False), (11, False)])
def test_where_live_has_much_of_recent_traffic_wrong_as_good_is_not_enough(
    manifest: Manifest, wrong: int, passed: bool
) -> None:
    gate = recent_gate(both_of(manifest, wrong, 10), POLICY)

    assert (gate.name, gate.passed) == ("recent", passed)
    assert gate.wanted == "above the live version's 0.9000"


@pytest.mark.parametrize(
    ("wrong", "old_wrong", "passed"), [(0, 0, True), (1, 0, True), (2, 0, False), (9, 9, True), (11, 9, False)]
)
def test_where_live_has_recent_traffic_all_but_right_as_good_will_do(
    manifest: Manifest, wrong: int, old_wrong: int, passed: bool
) -> None:
    gate = recent_gate(both_of(manifest, wrong, old_wrong), POLICY)

    assert gate.passed == passed
    assert gate.wanted.startswith(f"at least {gate.threshold:.4f}: the live version's {1 - old_wrong / 100:.4f}")


@pytest.mark.parametrize(("rows", "passed"), [(0, True), (9, True), (10, False)])
def test_too_few_recent_rows_ask_for_nothing(manifest: Manifest, rows: int, passed: bool) -> None:
    both = both_of(manifest, 100, 0, ROWS[:rows])

    assert recent_gate(both, POLICY).passed == sureness_gate(both, POLICY).passed == passed


def _in_channels(*channels: str) -> list[Row]:
    return [replace(row, slices={"channel": channels[n % len(channels)]}) for n, row in enumerate(ROWS)]


def _wrong_in(rows: list[Row], channel: str, count: int) -> list[str]:
    return [row.text for row in rows if row.slices["channel"] == channel][:count]


@pytest.mark.parametrize(("lost", "passed"), [(0, True), (6, True), (7, False), (25, False)])
def test_a_slice_that_surely_loses_more_than_its_margin_refuses_however_the_rest_does(
    manifest: Manifest, lost: int, passed: bool
) -> None:
    rows = _in_channels("app", "chat", "email", "voice")
    wrong = _wrong_in(rows, "voice", lost)
    mended = _wrong_in(rows, "app", 25)

    gate = slices_gate(both_of(manifest, wrong.__contains__, mended.__contains__, rows), POLICY)

    assert gate.passed == passed
    assert gate.evidence["channel=app"] == [25, 1.0, 0.0]
    if not passed:
        assert gate.measured == f"channel=voice loses {lost / 25:.4f}"


def test_a_loss_within_the_margin_passes_however_sure_it_is(manifest: Manifest) -> None:
    rows = 100 * _in_channels("app", "voice")
    wrong = _wrong_in(rows, "voice", 2)

    assert slices_gate(both_of(manifest, wrong.__contains__, 0, rows), POLICY).passed


def test_small_slices_are_not_judged(manifest: Manifest) -> None:
    rows = [replace(row, slices={"channel": "voice"}) if n < 19 else row for n, row in enumerate(ROWS)]

    gate = slices_gate(both_of(manifest, 19, 0, rows), POLICY)

    assert (gate.passed, gate.measured) == (True, "no slice is large enough")


@pytest.mark.parametrize(("mended", "passed"), [(0, False), (1, True), (40, True)])
def test_of_the_live_versions_mistakes_a_share_must_be_right_now(manifest: Manifest, mended: int, passed: bool) -> None:
    still = [row.text for row in ROWS[: 40 - mended]]

    gate = mended_gate(both_of(manifest, still.__contains__, 40), POLICY)

    assert (gate.name, gate.value, gate.passed) == ("mended", mended / 40, passed)
    assert gate.evidence["rows"] == 40


def test_who_has_made_few_mistakes_need_not_mend_any(manifest: Manifest) -> None:
    assert mended_gate(both_of(manifest, 9, 9), POLICY).measured == "9 rows"
    assert not mended_gate(both_of(manifest, 35, 35), POLICY).passed


@pytest.mark.parametrize(("learned", "passed"), [(0, False), (4, False), (10, True), (20, True)])
def test_what_people_corrected_and_was_trained_on_must_be_right_now(
    manifest: Manifest, learned: int, passed: bool
) -> None:
    still = [row.text for row in ROWS[: 20 - learned]]

    gate = learned_gate(both_of(manifest, still.__contains__, 20), POLICY)

    assert (gate.name, gate.value, gate.passed) == ("learned", learned / 20, passed)


def test_corrections_are_the_rows_of_traffic() -> None:
    rows = [Row("one", "a"), Row("two", "a", source="traffic")]

    assert corrections(rows) == rows[1:]


@pytest.mark.parametrize(("broken", "passed"), [(0, True), (10, True), (18, False)])
def test_of_the_live_versions_right_answers_few_may_be_wrong_now(manifest: Manifest, broken: int, passed: bool) -> None:
    gate = broken_gate(both_of(manifest, broken, 0), POLICY)

    assert (gate.value, gate.passed) == (broken / 100, passed)


def test_a_live_version_that_is_never_right_leaves_nothing_to_break(manifest: Manifest) -> None:
    assert broken_gate(both_of(manifest, 100, 100), POLICY).passed


@pytest.mark.parametrize(
    ("wrong", "sure", "passed"),
    [
        (20, 0.8, True),  # as right as it says
        (20, 0.9, True),  # as the live version
        (20, 0.95, True),  # a little surer
        (20, 0.999, False),  # far too sure
        (60, 0.9, False),  # wrong and sure
    ],
)
def test_a_candidate_must_not_surely_know_less_how_sure_to_be(
    manifest: Manifest, wrong: int, sure: float, passed: bool
) -> None:
    gate = calibration_gate(both_of(manifest, wrong, 20, sure=(sure, 0.9)), POLICY)

    assert (gate.name, gate.passed) == ("calibration", passed)


def test_the_same_answers_have_no_difference_in_log_loss_or_calibration(manifest: Manifest) -> None:
    gate = calibration_gate(both_of(manifest, 20, 20), POLICY)

    assert gate.measured == (
        "log loss 0.5448, +0.0000 (0.0000 to 0.0000); calibration error +0.0000 (0.0000 to 0.0000)"
    )


@pytest.mark.parametrize(
    ("wrong", "sure", "passed"),
    [
        (25, 0.75, True),  # as right as ever, and it knows
        (25, 0.99, False),  # surer than before
        (25, 0.9, False),  # no truer
        (26, 0.75, False),  # truer, at the cost of an answer
        (20, 0.8, True),
    ],
)
def test_a_recalibrated_candidate_must_know_better_how_sure_to_be_and_lose_no_answer(
    manifest: Manifest, wrong: int, sure: float, passed: bool
) -> None:
    gate = sureness_gate(both_of(manifest, wrong, 25, sure=(sure, 0.9)), POLICY)

    assert (gate.name, gate.passed) == ("calibration", passed)
    assert gate.measured.startswith(f"accuracy {1 - wrong / 100:.4f}, log loss ")
    assert gate.wanted == (
        "log loss below the live version's, accuracy not below: "
        "accuracy 0.7500, log loss 0.6547, calibration error 0.1500"
    )


def test_a_label_that_the_model_does_not_know_was_given_no_probability(manifest: Manifest) -> None:
    labels = ("billing", "meter")

    answers = Answers.told(labels, both_of(manifest, 0, 0).new.sure.reshape(-1, 2)[:1], ["outage"])

    assert (answers.likelihood.tolist(), answers.right.tolist()) == ([0.0], [False])


def test_of_too_many_rows_the_same_ones_are_asked_whatever_their_order(manifest: Manifest) -> None:
    chosen = ask_both(FakeModel(manifest), FakeModel(manifest), ROWS, 10).rows
    again = ask_both(FakeModel(manifest), FakeModel(manifest), ROWS[::-1], 10).rows

    assert len(chosen) == 10
    assert {row.text for row in chosen} == {row.text for row in again}
