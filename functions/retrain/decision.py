"""Whether to retrain, decided from plain facts: no clock, no client, so that every branch can be shown in a test."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["drift", "feedback", "schedule", "person"]


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a model when the question comes up; times in milliseconds since 1970."""

    model: str
    live_version: str
    asked_because: Reason
    drift_is_open: bool
    labels: int
    active_run: str | None
    last_run_ended_ms: int | None


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


def decide_retrain(state: State, policy: Policy, now_ms: int) -> Decision:
    """Retrain when there is a cause, enough to learn from, no run under way and the last one is long enough ago."""
    if state.active_run is not None:
        return Decision("wait", f"run {state.active_run} is under way")
    if state.asked_because == "schedule" and not state.drift_is_open:
        return Decision("wait", "no drift is open")
    if state.labels < policy.minimum_labels:
        return Decision("wait", f"{state.labels} labelled answers, a run needs {policy.minimum_labels}")
    if state.asked_because != "person" and (left := _cooldown_left(state, policy, now_ms)) > 0:
        return Decision("wait", f"the last run ended too recently: {left:.1f} hours to wait")
    return Decision("retrain", f"{state.asked_because}, with {state.labels} labelled answers", "transfer")


def _cooldown_left(state: State, policy: Policy, now_ms: int) -> float:
    """Hours until the cool-down is over; 0 or less when it is."""
    if state.last_run_ended_ms is None:
        return 0.0
    return policy.cooldown_hours - (now_ms - state.last_run_ended_ms) / 3_600_000
