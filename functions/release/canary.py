"""What to do with a candidate that answers a part of the traffic: plain facts in, one act and its reason out.

Harm stops it at once, proof lets it through the steps to the end, and when the longest time is over there is one last
look with a wider margin; what even that leaves open is the policy's to say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from pawl.errors import SettingsError
from pawl.sequential import CANDIDATE, LIVE, Comparison, threshold

Action = Literal["promote", "hold", "next_step", "roll_back", "ask"]
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class CanaryPolicy:
    """How a candidate gets from its first answers to all of them."""

    weights: tuple[float, ...] = (0.05, 0.25, 0.5)
    """The candidate's share of the traffic, step by step."""
    smallest_sample: int = 30
    """Answers that each arm must have before anything is proved."""
    step_hours: float = 1.0
    """The shortest time of a step, for what only shows under load."""
    longest_step_hours: float = 24.0
    """A step without harm ends after this time, proved or not."""
    longest_hours: float = 720.0
    """After this time there is one last look."""
    alpha: float = 0.05
    """The risk that a candidate worse by the margin is called proved; and the last look's."""
    harm_alpha: float = 0.05
    """The risk that a candidate which is worse in nothing is rolled back, over all figures together."""
    last_margin: float = 0.15
    """How much worse a candidate may be by the last look, which has few answers to go by."""
    otherwise: Literal["ask", "promote", "roll_back"] = "ask"
    """What follows when the last look proves nothing and there is no harm either."""

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip((0.0, *self.weights), (*self.weights, 1.0), strict=True))
        if not self.weights or not rising:
            raise SettingsError(f"weights {self.weights}: want rising shares between 0 and 1")
        if not 0 <= self.step_hours <= self.longest_step_hours <= self.longest_hours:
            raise SettingsError("want 0 <= step_hours <= longest_step_hours <= longest_hours")
        if not 0 < self.alpha < 0.5 or not 0 < self.harm_alpha < 0.5 or not 0 < self.last_margin < 1:
            raise SettingsError("want 0 < alpha < 0.5, 0 < harm_alpha < 0.5 and 0 < last_margin < 1")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of both arms, more being better; `must_prove` where no harm is not enough."""

    name: str
    comparison: Comparison
    must_prove: bool = True


@dataclass(frozen=True, slots=True)
class CanaryState:
    """Where a candidate stands; times in milliseconds since 1970, `step` an index into the policy's weights."""

    figures: Sequence[Figure]
    step: int
    began_ms: int
    step_began_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why in a sentence with its numbers."""

    action: Action
    because: str


def decide_canary(state: CanaryState, policy: CanaryPolicy, now_ms: int) -> Verdict:
    """Roll back at the first harm; promote what is proved from the last step; ask, by default, when time is up."""
    harmful = [each for each in state.figures if _is_harmful(each, policy, len(state.figures))]
    if harmful:
        return Verdict("roll_back", f"worse than live: {_told(harmful)}")
    proving = [each for each in state.figures if each.must_prove]
    unproved = [each for each in proving if not _is_proved(each, policy)]
    is_proved = bool(proving) and not unproved
    step_ms, is_last = now_ms - state.step_began_ms, state.step == len(policy.weights) - 1
    if is_proved and is_last and step_ms >= policy.step_hours * _HOUR_MS:
        return Verdict("promote", f"no worse than live by the margin: {_told(proving)}")
    if now_ms - state.began_ms >= policy.longest_hours * _HOUR_MS:
        return _last_look(proving, policy)
    if not is_last and step_ms >= (policy.step_hours if is_proved else policy.longest_step_hours) * _HOUR_MS:
        return Verdict("next_step", f"no harm at {policy.weights[state.step]:.0%}: {_told(state.figures)}")
    return Verdict("hold", f"not decided yet: {_told(unproved or state.figures)}")


def _last_look(proving: Sequence[Figure], policy: CanaryPolicy) -> Verdict:
    """One fixed-horizon test of each figure at the wider margin."""
    z = NormalDist().inv_cdf(1 - policy.alpha)
    left = [each for each in proving if not _is_enough(each, policy) or _lower(each, z) <= -policy.last_margin]
    if proving and not left:
        return Verdict("promote", f"time is up; not worse by {policy.last_margin:g} or more: {_told(proving)}")
    return Verdict(policy.otherwise, f"time is up, and nothing is proved or harmful: {_told(left) or 'no figure'}")


def _is_harmful(figure: Figure, policy: CanaryPolicy, figures: int) -> bool:
    return float(figure.comparison.harm_peak) >= threshold(policy.harm_alpha, figures)


def _is_proved(figure: Figure, policy: CanaryPolicy) -> bool:
    return _is_enough(figure, policy) and float(figure.comparison.proof_peak) >= threshold(policy.alpha)


def _is_enough(figure: Figure, policy: CanaryPolicy) -> bool:
    return bool(figure.comparison.rows.min() >= policy.smallest_sample)


def _lower(figure: Figure, z: float) -> float:
    return float(figure.comparison.difference - z * figure.comparison.standard_error)


def _told(figures: Sequence[Figure]) -> str:
    return "; ".join(_line(each.name, each.comparison) for each in figures)


def _line(name: str, comparison: Comparison) -> str:
    rows = comparison.rows
    proof, harm = (math.exp(min(float(log), 700.0)) for log in (comparison.proof_peak, comparison.harm_peak))
    return (
        f"{name} {float(comparison.difference):+.4f} on {rows[CANDIDATE]:.0f} answers against {rows[LIVE]:.0f} "
        f"(evidence of proof {proof:.3g}, of harm {harm:.3g})"
    )
