"""Whether to retrain, decided from plain facts: no clock, no client, so that every branch can be shown in a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Reason = Literal["drift", "feedback", "schedule", "person", "judge"]
REWARD, ALIGN = "reward", "align"
RECIPES: Mapping[str, tuple[str, ...]] = {
    "text-classifier": ("transfer", "recalibrate", "automl"),
    "text-generator": (REWARD, ALIGN),
}
"""What makes a new version of a kind of model; the first where no drift says which.

A generator learns from preferences in two runs: a reward model learns to judge its answers, and once that is released,
the generator is aligned with it. Where there are too few comparisons for a reward model, thumbs on single answers do:
the generator is aligned with them at once, by the one method that can (KTO, Ethayarajh et al. 2024).
"""
KTO = "kto"
TRAINED_BY: Mapping[str, frozenset[str]] = {
    "transfer": frozenset({"fine_tune_head", "full_retrain"}),
    "recalibrate": frozenset({"recalibrate_threshold", "recalibrate_confidences"}),
    "automl": frozenset({"automl"}),
    REWARD: frozenset({"rlhf"}),
}
"""The cures of a drift that each recipe is, or begins; an alignment follows its reward model and no drift."""
_LEARNED_FROM: Mapping[str, str] = {"text-classifier": "labelled answers", "text-generator": "compared answers"}


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a model when the question comes up; times in milliseconds since 1970.

    `labels` are answers that people labelled, of a generator pairs that they compared; `thumbs` its answers that they
    graded by themselves.
    """

    model: str
    kind: str
    live_version: str
    asked_because: Reason
    drift_is_open: bool
    labels: int
    active_run: str | None
    last_run_ended_ms: int | None
    cure: str = ""
    """What the drift check found sufficient; empty where drift is not what is asked about, or it said nothing."""
    judge: str = ""
    """The released reward model's version, if the generator was not aligned with it yet."""
    thumbs: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """When a run is worth its cost."""

    minimum_labels: int
    cooldown_hours: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`retrain` with a recipe, or `wait`; `because` is a sentence for a person."""

    action: Literal["retrain", "wait"]
    because: str
    recipe: str | None = None
    method: str = ""
    """How the recipe is to learn, where what there is leaves no choice; empty for its own way."""
    is_postponed: bool = False
    """Whether it waits for nothing but another run, or the time since: asked again later, it may be otherwise."""


def decide_retrain(state: State, policy: Policy, now_ms: int) -> Decision:
    """Retrain when there is a cause, enough to learn from, no run under way and the last one is long enough ago."""
    if state.kind not in RECIPES:
        return Decision("wait", f"no recipe trains a {state.kind}: {', '.join(RECIPES)} can be retrained")
    if state.active_run is not None:
        return postpone(f"run {state.active_run} is under way")
    if state.asked_because == "schedule" and not state.drift_is_open:
        return Decision("wait", "no drift is open")
    if state.asked_because == "judge" or (state.asked_because == "person" and state.judge):
        return _align(state)
    recipe = _recipe(state)
    if recipe is None:
        return Decision("wait", _other_cure(state))
    known, thumbs = f"{state.labels} {_LEARNED_FROM[state.kind]}", f"{state.thumbs} thumbs"
    is_few = state.labels < policy.minimum_labels
    if is_few and not (recipe == REWARD and state.labels + state.thumbs >= policy.minimum_labels):
        found = f"{known} and {thumbs}" if recipe == REWARD and state.thumbs else known
        return Decision("wait", f"{found}, a run needs {policy.minimum_labels}")
    if state.asked_because != "person" and (left := _cooldown_left(state, policy, now_ms)) > 0:
        return postpone(f"the last run ended too recently: {left:.1f} hours to wait")
    if is_few:
        few = f"{known}, too few for a reward model, and {thumbs}"
        return Decision("retrain", f"{state.asked_because}, with {few}: by {KTO}", ALIGN, KTO)
    return Decision("retrain", f"{state.asked_because}, with {known}", recipe)


def postpone(because: str) -> Decision:
    """To wait for another run, or until it is long enough ago."""
    return Decision("wait", because, is_postponed=True)


def decide_elsewhere(model: str) -> Decision:
    """What becomes of a model whose traffic is only watched here."""
    return Decision("wait", f"{model} is not served here: retrain it where it is served")


def _align(state: State) -> Decision:
    """Align with a reward model as soon as it is released: its own run has waited for feedback and the cool-down."""
    if ALIGN not in RECIPES[state.kind] or not state.judge:
        return Decision("wait", f"no reward model of {state.model} is released that it was not aligned with")
    return Decision("retrain", f"{state.asked_because}, with reward model {state.judge}", ALIGN)


def _recipe(state: State) -> str | None:
    """What to run: the recipe that is the drift's cure, None when there is no such; feedback and people ask for all."""
    recipes = RECIPES[state.kind]
    if not state.cure or state.asked_because not in ("drift", "schedule"):
        return recipes[0]
    return next((recipe for recipe in recipes if state.cure in TRAINED_BY.get(recipe, ())), None)


def _other_cure(state: State) -> str:
    """Why a drift's cure is none that a recipe gives."""
    if state.cure == "nothing":
        return "the drift asks for nothing but to be watched"
    wanted = state.cure.replace("_", " ")
    return f"the drift asks for {wanted}, which no recipe does yet: a person may start a run"


def _cooldown_left(state: State, policy: Policy, now_ms: int) -> float:
    """Hours until the cool-down is over; 0 or less when it is."""
    if state.last_run_ended_ms is None:
        return 0.0
    return policy.cooldown_hours - (now_ms - state.last_run_ended_ms) / 3_600_000
