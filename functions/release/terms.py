"""How a candidate gets from its first answers to all of them: what `models/<model>/canary.json` in the bucket may say.

What the file leaves out keeps its default, and a model without a file gets all of them. Times are long on purpose: what
has few answers takes days to be proved, and the proof itself ends as soon as the answers allow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeGuard

from pawl.errors import SettingsError
from pawl.narrowing import is_list, is_object

FILE = "canary.json"
LEAST_LOOK_S = 60.0
Scale = tuple[float, float]
"""The worst and the best value of a metric, in this order: [1, 0] where less is better."""


def _scales() -> dict[str, Scale]:
    return {"thumbs_up": (0.0, 1.0), "label": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class CanaryPolicy:
    """The terms on which a candidate is let through, held, or taken back."""

    at_once: bool = False
    """Whether what has passed its gates answers everything at once, without a canary."""
    shadow: bool = False
    """Whether the candidate first answers copies of the traffic that nobody sees."""
    shadow_per_minute: int = 60
    """The most copies a minute."""
    weights: tuple[float, ...] = (0.05, 0.25, 0.5)
    """The candidate's share of the traffic, step by step."""
    smallest_sample: int = 30
    """Answers that each arm must have before anything is proved."""
    step_hours: float = 1.0
    """The shortest time of a step, for what only shows under load."""
    longest_step_hours: float = 24.0
    """A step without harm ends after this time, proved or not."""
    longest_hours: float = 720.0
    """After this time it ends: by the last look where the terms have one, else as they say."""
    look_seconds: float = LEAST_LOOK_S
    """The shortest time between two looks."""
    alpha: float = 0.05
    """The risk that a candidate worse by the margin is called proved; and the last look's, at its own margin."""
    harm_alpha: float = 0.05
    """The risk that a candidate which is worse in nothing is rolled back, over all figures together."""
    margin: float = 0.05
    """How much worse by feedback is too much, on its scale from 0 to 1."""
    last_margin: float = 0.0
    """How much worse a candidate may be by the last look, where it has few answers to go by; 0 for no such look."""
    otherwise: Literal["ask", "promote", "roll_back"] = "ask"
    """What follows when time is up, nothing is proved and there is no harm either."""
    another: Literal["wait", "supersede"] = "wait"
    """What the next candidate of the model does while one is in its canary."""
    metrics: Mapping[str, Scale] = field(default_factory=_scales)
    """The metrics of feedback that count, each with its worst and its best value. A label counts as right or wrong."""
    feedback_minutes: float = 60.0
    """Feedback counts that was given within so long of its answer."""
    collect_minutes: float = 10.0
    """Traffic is looked at when it is so old: by then it has been collected."""
    slow_ratio: float = 2.0
    """An answer is slow that takes so many times as long as 95 of 100 of the live version's."""
    slow_tolerance: float = 0.05
    """So much more of the candidate's answers may be slow."""
    failure_tolerance: float = 0.01
    """So much more of the candidate's invocations may fail."""
    disagreement_limit: float = 0.5
    """So large a share of the candidate's answers may differ from the live version's."""
    drift_tolerance: float = 0.1
    """So much less familiar may the traffic be to the candidate, by what each version was made with."""
    rollback_depth: int = 3
    """So many earlier versions of a model stay deployed, to go back to."""

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip((0.0, *self.weights), (*self.weights, 1.0), strict=True))
        if not self.weights or not rising:
            raise SettingsError(f"weights {self.weights}: want rising shares between 0 and 1")
        if not 0 <= self.step_hours <= self.longest_step_hours <= self.longest_hours:
            raise SettingsError("want 0 <= step_hours <= longest_step_hours <= longest_hours")
        if not 0 < self.alpha < 0.5 or not 0 < self.harm_alpha < 0.5 or not 0 <= self.last_margin < 1:
            raise SettingsError("want 0 < alpha < 0.5, 0 < harm_alpha < 0.5 and 0 <= last_margin < 1")
        if not 0 < self.margin < 1 or not 0 < self.disagreement_limit < 1 or self.rollback_depth < 1:
            raise SettingsError("want 0 < margin < 1, 0 < disagreement_limit < 1 and rollback_depth >= 1")
        for name in ("slow_tolerance", "failure_tolerance", "drift_tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"want 0 <= {name} < 1")
        for name, (worst, best) in self.metrics.items():
            if worst == best:
                raise SettingsError(f"metrics.{name}: want the worst and the best value, which differ")

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """The policy in a file; SettingsError names a field that is unknown or of the wrong type."""
        try:
            raw: object = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{FILE}: want a JSON object, got what is no JSON: {error}") from error
        if not is_object(raw):
            raise SettingsError(f"{FILE}: want an object with the fields of a canary's policy")
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise SettingsError(f"{FILE}: no field {', '.join(unknown)}: want some of {', '.join(sorted(known))}")
        default = cls()
        return cls(**{name: _typed(name, value, getattr(default, name)) for name, value in raw.items()})


_CHOICES = {"otherwise": ("ask", "promote", "roll_back"), "another": ("wait", "supersede")}


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value as the field holds it."""
    if name in _CHOICES and value in _CHOICES[name]:
        return value
    if isinstance(default, bool) and isinstance(value, bool):
        return value
    if name == "weights" and is_list(value) and all(_is_number(each) for each in value):
        return tuple(float(each) for each in value)
    if name == "metrics" and is_object(value):
        return {metric: _scale(metric, span) for metric, span in value.items()}
    is_numeric = isinstance(default, int | float) and not isinstance(default, bool)
    if is_numeric and _is_number(value) and value >= 0 and (isinstance(default, float) or value == int(value)):
        return type(default)(value)
    raise SettingsError(f"{FILE}: {name}={value!r}: want {_CHOICES.get(name) or f'something like {default!r}'}")


def _scale(metric: str, span: Any) -> Scale:
    if is_list(span) and len(span) == 2 and all(_is_number(each) for each in span):
        return float(span[0]), float(span[1])
    raise SettingsError(f"{FILE}: metrics.{metric}={span!r}: want [worst, best]")


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
