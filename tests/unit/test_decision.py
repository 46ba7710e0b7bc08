from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.decision import Decision, Policy, State, decide_elsewhere, decide_retrain, postpone

HOUR_MS = 3_600_000
NOW = 1_700_000_000_000
POLICY = Policy(minimum_labels=50, cooldown_hours=6.0)
READY = State("triage", "text-classifier", "3", "drift", True, 50, None, None)
CHATTY = replace(READY, model="assistant", kind="text-generator")

states = st.builds(
    State,
    st.just("triage"),
    st.sampled_from(["text-classifier", "text-generator", "text-embedder"]),
    st.just("3"),
    st.sampled_from(["drift", "feedback", "schedule", "person", "judge"]),
    st.booleans(),
    st.integers(0, 100),
    st.none() | st.just("run-1"),
    st.none() | st.integers(NOW - 12 * HOUR_MS, NOW),
    st.sampled_from(["", "nothing", "recalibrate_threshold", "full_retrain", "rlhf"]),
    st.sampled_from(["", "2"]),
)


@pytest.mark.parametrize("reason", ["drift", "feedback", "schedule", "person"])
def test_a_cause_with_enough_labels_and_nothing_in_the_way_is_a_reason_to_retrain(reason: str) -> None:
    decision = decide_retrain(replace(READY, asked_because=reason), POLICY, NOW)

    assert decision == Decision("retrain", f"{reason}, with 50 labelled answers", "transfer")


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        (
            {"kind": "text-embedder"},
            "no recipe trains a text-embedder: text-classifier, text-generator can be retrained",
        ),
        ({"active_run": "run-1"}, "run run-1 is under way"),
        ({"active_run": "run-1", "asked_because": "person"}, "run run-1 is under way"),
        ({"asked_because": "schedule", "drift_is_open": False}, "no drift is open"),
        ({"labels": 49}, "49 labelled answers, a run needs 50"),
        ({"labels": 49, "asked_because": "person"}, "49 labelled answers, a run needs 50"),
        ({"last_run_ended_ms": NOW - 4 * HOUR_MS}, "the last run ended too recently: 2.0 hours to wait"),
    ],
)
def test_what_stands_in_the_way_is_said(changes: dict[str, object], because: str) -> None:
    decision = decide_retrain(replace(READY, **changes), POLICY, NOW)

    is_in_the_way = because.startswith(("run ", "the last run"))
    assert decision == Decision("wait", because, is_postponed=is_in_the_way)


@pytest.mark.parametrize("reason", ["drift", "schedule"])
@pytest.mark.parametrize(
    ("cure", "because"),
    [
        ("nothing", "the drift asks for nothing but to be watched"),
        ("rlhf", "the drift asks for rlhf, which no recipe does yet: a person may start a run"),
    ],
)
def test_a_drift_whose_cure_no_recipe_is_waits_and_says_which(reason: str, cure: str, because: str) -> None:
    assert decide_retrain(replace(READY, asked_because=reason, cure=cure), POLICY, NOW) == Decision("wait", because)


@pytest.mark.parametrize("reason", ["drift", "schedule"])
@pytest.mark.parametrize(
    ("cure", "recipe"),
    [
        ("", "transfer"),
        ("fine_tune_head", "transfer"),
        ("full_retrain", "transfer"),
        ("recalibrate_threshold", "recalibrate"),
        ("recalibrate_confidences", "recalibrate"),
        ("automl", "automl"),
    ],
)
def test_a_drift_gets_the_recipe_that_its_cure_asks_for(reason: str, cure: str, recipe: str) -> None:
    decision = decide_retrain(replace(READY, asked_because=reason, cure=cure), POLICY, NOW)

    assert decision == Decision("retrain", f"{reason}, with 50 labelled answers", recipe)


@pytest.mark.parametrize("reason", ["feedback", "person"])
@pytest.mark.parametrize("cure", ["nothing", "recalibrate_threshold", "automl"])
def test_feedback_and_people_are_a_cause_of_their_own_whatever_cure_a_drift_asks_for(reason: str, cure: str) -> None:
    assert decide_retrain(replace(READY, asked_because=reason, cure=cure), POLICY, NOW).recipe == "transfer"


@pytest.mark.parametrize("reason", ["drift", "feedback", "person"])
def test_only_the_schedule_asks_for_an_open_drift(reason: str) -> None:
    state = replace(READY, asked_because=reason, drift_is_open=False)

    assert decide_retrain(state, POLICY, NOW).action == "retrain"


@pytest.mark.parametrize(("ago_ms", "action"), [(6 * HOUR_MS - 1, "wait"), (6 * HOUR_MS, "retrain")])
def test_the_cool_down_ends_to_the_millisecond(ago_ms: int, action: str) -> None:
    assert decide_retrain(replace(READY, last_run_ended_ms=NOW - ago_ms), POLICY, NOW).action == action


def test_a_person_need_not_wait_for_the_cool_down() -> None:
    state = replace(READY, asked_because="person", last_run_ended_ms=NOW)

    assert decide_retrain(state, POLICY, NOW).action == "retrain"


@given(states)
def test_no_run_starts_beside_another_or_with_too_little_to_learn_from(state: State) -> None:
    decision = decide_retrain(state, POLICY, NOW)

    if decision.action == "retrain":
        assert state.kind != "text-embedder" and state.active_run is None
        assert state.labels >= POLICY.minimum_labels or (decision.recipe == "align" and state.judge)
        asks = state.asked_because in ("drift", "schedule") and state.cure == "recalibrate_threshold"
        classifiers = {"recalibrate" if asks else "transfer"}
        assert decision.recipe in (classifiers if state.kind == "text-classifier" else {"reward", "align"})
    else:
        assert decision.recipe is None and decision.because


@given(states)
def test_waiting_longer_never_turns_a_run_down(state: State) -> None:
    if decide_retrain(state, POLICY, NOW).action == "retrain":
        assert decide_retrain(state, POLICY, NOW + HOUR_MS).action == "retrain"


@pytest.mark.parametrize(
    ("changes", "recipe"),
    [
        ({"asked_because": "feedback"}, "reward"),
        ({"asked_because": "person"}, "reward"),
        ({"cure": "rlhf"}, "reward"),
        ({"asked_because": "schedule", "cure": "rlhf"}, "reward"),
        ({"asked_because": "feedback", "judge": "2"}, "reward"),
    ],
)
def test_a_generators_preferences_go_to_its_reward_model_first(changes: dict[str, object], recipe: str) -> None:
    state = replace(CHATTY, **changes)

    decision = decide_retrain(state, POLICY, NOW)

    assert decision == Decision("retrain", f"{state.asked_because}, with 50 compared answers", recipe)


@pytest.mark.parametrize("reason", ["judge", "person"])
def test_a_generator_is_aligned_with_a_released_reward_model_at_once(reason: str) -> None:
    state = replace(CHATTY, asked_because=reason, judge="2", labels=0, last_run_ended_ms=NOW)

    assert decide_retrain(state, POLICY, NOW) == Decision("retrain", f"{reason}, with reward model 2", "align")


@pytest.mark.parametrize(
    ("state", "because"),
    [
        (CHATTY, "no reward model of assistant is released that it was not aligned with"),
        (replace(READY, judge="2"), "no reward model of triage is released that it was not aligned with"),
    ],
)
def test_a_released_reward_model_waits_for_nobody_who_cannot_use_it(state: State, because: str) -> None:
    assert decide_retrain(replace(state, asked_because="judge"), POLICY, NOW) == Decision("wait", because)


def test_a_released_reward_model_waits_for_a_run_that_is_under_way() -> None:
    state = replace(CHATTY, asked_because="judge", judge="2", active_run="run-1")

    assert decide_retrain(state, POLICY, NOW) == postpone("run run-1 is under way")


@pytest.mark.parametrize("cure", ["nothing", "full_retrain", "automl"])
def test_a_generators_drift_that_preferences_do_not_cure_waits(cure: str) -> None:
    assert decide_retrain(replace(CHATTY, cure=cure), POLICY, NOW).action == "wait"


def test_a_generator_with_too_few_comparisons_waits_and_says_how_many_it_has() -> None:
    decision = decide_retrain(replace(CHATTY, asked_because="feedback", labels=12), POLICY, NOW)

    assert decision == Decision("wait", "12 compared answers, a run needs 50")


def test_thumbs_align_a_generator_by_kto_where_comparisons_are_too_few_for_a_reward_model() -> None:
    state = replace(CHATTY, asked_because="feedback", labels=12, thumbs=38)

    assert decide_retrain(state, POLICY, NOW) == Decision(
        "retrain",
        "feedback, with 12 compared answers, too few for a reward model, and 38 thumbs: by kto",
        "align",
        "kto",
    )
    assert decide_retrain(replace(state, labels=50), POLICY, NOW).recipe == "reward"
    too_few = decide_retrain(replace(state, thumbs=37), POLICY, NOW)
    assert too_few == Decision("wait", "12 compared answers and 37 thumbs, a run needs 50")
    assert decide_retrain(replace(state, last_run_ended_ms=NOW), POLICY, NOW).action == "wait"


def test_thumbs_on_a_classifiers_answers_are_no_labels() -> None:
    decision = decide_retrain(replace(READY, labels=12, thumbs=500), POLICY, NOW)

    assert decision == Decision("wait", "12 labelled answers, a run needs 50")


def test_a_model_that_is_only_watched_here_is_left_to_where_it_is_served() -> None:
    assert decide_elsewhere("churn") == Decision("wait", "churn is not served here: retrain it where it is served")
