"""What to do with a candidate that answers a part of the traffic: plain facts in, one act and its reason out.

Harm stops it at once, proof lets it through the steps to the end, and what is open when the longest time is over is the
policy's to say: it may have set a wider margin for one last look, which lets through what is worse by less.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from pawl.sequential import CANDIDATE, LIVE, Ceiling, Comparison, threshold
from release.terms import CanaryPolicy

Action = Literal["promote", "hold", "next_step", "roll_back", "ask"]
LAST_SHARE = 0.8
"""The last look's level as a share of alpha: among a few hundred answers the normal distribution promises a little too
much, and 5.7 of 100 candidates worse by the margin passed at the whole of it (`scripts/bench release`)."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of both arms, more being better; `must_prove` where no harm is not enough."""

    name: str
    comparison: Comparison
    must_prove: bool = True


@dataclass(frozen=True, slots=True)
class Excess:
    """A figure of the candidate alone, less being better, against the limit that it must not exceed."""

    name: str
    ceiling: Ceiling


@dataclass(frozen=True, slots=True)
class CanaryState:
    """Where a candidate stands; times in milliseconds since 1970, `step` an index into the policy's weights."""

    figures: Sequence[Figure]
    step: int
    began_ms: int
    step_began_ms: int
    limited: Sequence[Excess] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why in a sentence with its numbers."""

    action: Action
    because: str


def decide_canary(state: CanaryState, policy: CanaryPolicy, now_ms: int) -> Verdict:
    """Roll back at the first harm; promote what is proved from the last step; ask, by default, when time is up."""
    if found := _harm(state, policy):
        return Verdict("roll_back", found)
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


def decide_shadow(state: CanaryState, rows: int, policy: CanaryPolicy, now_ms: int) -> Verdict:
    """What to do with a candidate whose answers nobody sees: roll it back, go on waiting, or let it answer people.

    `rows` is how many copies it has answered. Without any it is let go on all the same once the longest time of a step
    is over: a shadow finds harm, and proves nothing.
    """
    if found := _harm(state, policy):
        return Verdict("roll_back", found)
    hours = (now_ms - state.step_began_ms) / _HOUR_MS
    is_enough = rows >= policy.smallest_sample and hours >= policy.step_hours
    if is_enough or hours >= policy.longest_step_hours:
        return Verdict("next_step", f"no harm in {rows} answers that nobody saw")
    return Verdict("hold", f"{rows} answers that nobody saw, of {policy.smallest_sample}")


def _harm(state: CanaryState, policy: CanaryPolicy) -> str:
    """What is worse, in a sentence; empty where nothing is."""
    tests = len(state.figures) + len(state.limited)
    harmful = [each for each in state.figures if _is_harmful(each, policy, tests)]
    beyond = [each for each in state.limited if float(each.ceiling.peak) >= threshold(policy.harm_alpha, tests)]
    told = [_told(harmful)] if harmful else []
    return f"worse than live: {'; '.join([*told, *map(_limit_line, beyond)])}" if harmful or beyond else ""


def _limit_line(each: Excess) -> str:
    rows, total, _ = each.ceiling.sums.tolist()
    return f"{each.name} {total / max(rows, 1):.4f} on {rows:.0f} answers, more than {each.ceiling.limit:g}"


def _last_look(proving: Sequence[Figure], policy: CanaryPolicy) -> Verdict:
    """One fixed-horizon test of each figure at the wider margin, where there is one."""
    z = NormalDist().inv_cdf(1 - LAST_SHARE * policy.alpha)
    left = [each for each in proving if not _is_enough(each, policy) or _lower(each, z) <= -policy.last_margin]
    if policy.last_margin and proving and not left:
        return Verdict("promote", f"time is up; not worse by {policy.last_margin:g} or more: {_told(proving)}")
    return Verdict(policy.otherwise, f"time is up, and nothing is proved or harmful: {_told(proving)}")


def _is_harmful(figure: Figure, policy: CanaryPolicy, figures: int) -> bool:
    return float(figure.comparison.harm_peak) >= threshold(policy.harm_alpha, figures)


def _is_proved(figure: Figure, policy: CanaryPolicy) -> bool:
    return _is_enough(figure, policy) and float(figure.comparison.proof_peak) >= threshold(policy.alpha)


def _is_enough(figure: Figure, policy: CanaryPolicy) -> bool:
    return bool(figure.comparison.rows.min() >= policy.smallest_sample)


def _lower(figure: Figure, z: float) -> float:
    return float(figure.comparison.difference - z * figure.comparison.standard_error)


def _told(figures: Sequence[Figure]) -> str:
    """The figures that have any answers."""
    told = [_line(each.name, each.comparison) for each in figures if each.comparison.rows.any()]
    return "; ".join(told) or "no answers yet"


def _line(name: str, comparison: Comparison) -> str:
    rows = comparison.rows
    proof, harm = (math.exp(min(float(log), 700.0)) for log in (comparison.proof_peak, comparison.harm_peak))
    return (
        f"{name} {float(comparison.difference):+.4f} on {rows[CANDIDATE]:.0f} answers against {rows[LIVE]:.0f} "
        f"(evidence of proof {proof:.3g}, of harm {harm:.3g})"
    )
