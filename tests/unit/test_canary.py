from dataclasses import replace
from typing import Any

import pytest

from pawl.errors import SettingsError
from pawl.sequential import Comparison
from release.canary import CanaryState, Figure, decide_canary
from release.terms import CanaryPolicy

HOUR = 3_600_000
POLICY = CanaryPolicy()


def _comparison(new: int, hits: int, old: int, old_hits: int, batches: int = 1) -> Comparison:
    found = Comparison.start(0.05)
    for _ in range(batches):
        found = found.update([[new, hits, hits], [old, old_hits, old_hits]])
    return found


EQUAL = _comparison(100, 80, 100, 80, 40)
WORSE = _comparison(20, 10, 20, 16, 20)
FEW = _comparison(15, 12, 15, 12, 2)
SLOW = _comparison(5, 4, 5, 4, 30)


def _state(comparison: Comparison, step: int = 2, **changes: Any) -> CanaryState:
    return replace(CanaryState([Figure("thumbs_up", comparison)], step, 0, 0), **changes)


def test_harm_rolls_back_at_once_at_any_step() -> None:
    verdict = decide_canary(_state(WORSE, 0), POLICY, 1)

    assert verdict.action == "roll_back"
    assert verdict.because.startswith("worse than live: thumbs_up -0.3000 on 400 answers against 400 (")


def test_harm_in_a_guarded_figure_outweighs_proof_in_another() -> None:
    figures = [Figure("thumbs_up", EQUAL), Figure("errors", WORSE, must_prove=False)]

    assert decide_canary(_state(EQUAL, figures=figures), POLICY, 10 * HOUR).action == "roll_back"


@pytest.mark.parametrize(
    ("step", "hours", "action"), [(2, 1, "promote"), (2, 0.9, "hold"), (0, 1, "next_step"), (1, 0.9, "hold")]
)
def test_what_is_proved_still_goes_through_every_step(step: int, hours: float, action: str) -> None:
    assert decide_canary(_state(EQUAL, step), POLICY, int(hours * HOUR)).action == action


@pytest.mark.parametrize(("step", "hours", "action"), [(0, 23, "hold"), (0, 24, "next_step"), (2, 24, "hold")])
def test_what_is_not_proved_moves_on_after_the_longest_time_of_a_step(step: int, hours: int, action: str) -> None:
    assert decide_canary(_state(FEW, step), POLICY, hours * HOUR).action == action


def test_what_few_answers_leave_open_a_person_decides() -> None:
    verdict = decide_canary(_state(SLOW), POLICY, 720 * HOUR)

    assert verdict.action == "ask"
    assert verdict.because.startswith("time is up, and nothing is proved or harmful: thumbs_up +0.0000 on 150 answers")


def test_a_last_look_promotes_what_is_not_worse_by_the_wider_margin_that_an_operator_has_set() -> None:
    verdict = decide_canary(_state(SLOW), replace(POLICY, last_margin=0.15), 720 * HOUR)

    assert verdict.action == "promote"
    assert verdict.because.startswith("time is up; not worse by 0.15 or more: thumbs_up +0.0000 on 150 answers")


@pytest.mark.parametrize("otherwise", ["ask", "promote", "roll_back"])
def test_what_the_last_look_leaves_open_is_the_policys_to_say(otherwise: Any) -> None:
    policy = replace(POLICY, otherwise=otherwise, last_margin=0.15)

    assert decide_canary(_state(FEW), policy, 720 * HOUR).action == otherwise


def test_without_any_answer_a_person_is_asked() -> None:
    assert decide_canary(_state(Comparison.start(0.05)), POLICY, 720 * HOUR).action == "ask"


def test_no_sample_below_the_smallest_proves_anything() -> None:
    policy = replace(POLICY, smallest_sample=4001)

    assert decide_canary(_state(EQUAL), policy, HOUR).action == "hold"


@pytest.mark.parametrize(
    "changes",
    [{"weights": ()}, {"weights": (0.5, 0.25)}, {"weights": (1.0,)}, {"alpha": 0.5}, {"step_hours": 25.0}],
)
def test_a_policy_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="want"):
        replace(POLICY, **changes)
