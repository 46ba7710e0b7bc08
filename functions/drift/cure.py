"""The cheapest thing that would suffice, and what it costs: rules over plain facts, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from drift.attribution import DriftKind
from pawl.limits import DRIFTED_SHARE

Action = Literal[
    "nothing",
    "recalibrate_threshold",
    "recalibrate_confidences",
    "fine_tune_head",
    "full_retrain",
    "rlhf",
    "automl",
]
HOURS: Mapping[Action, float] = {
    "nothing": 0.0,
    "recalibrate_threshold": 0.1,
    "recalibrate_confidences": 0.1,
    "fine_tune_head": 0.25,
    "full_retrain": 1.0,
    "rlhf": 4.0,
    "automl": 8.0,
}
"""How long a cure typically keeps a training instance, its start included, which is all but seconds of a
recalibration; what needs none costs nothing worth naming."""
_TRIES = 2


@dataclass(frozen=True, slots=True)
class Facts:
    """What the choice depends on.

    `is_harmed`: accuracy, estimated or labelled, has fallen, or an estimated error has risen. `is_miscalibrated`: only
    the confidences are off. `moved_share`: of the columns that describe the question. `has_moved_labels`: answers are
    given in other shares than before. `cures_tried`: how many trainings drift has caused lately, without an end to it.
    """

    kind: DriftKind
    is_generator: bool
    is_harmed: bool
    is_miscalibrated: bool
    moved_share: float
    has_moved_labels: bool
    cures_tried: int


@dataclass(frozen=True, slots=True)
class Cure:
    """What to do, why, and what it would cost in USD."""

    action: Action
    because: str
    estimated_cost_usd: float


def choose_cure(facts: Facts, instance_hour_usd: float) -> Cure:
    """The first rule that fits, cheapest first among those that would suffice."""
    action, because = _rule(facts)
    return Cure(action, because, round(HOURS[action] * instance_hour_usd, 4))


def _rule(facts: Facts) -> tuple[Action, str]:
    if facts.kind == "quality":
        return "nothing", "The data are broken at their source: mend that; a model trained on them learns the fault."
    if not facts.is_harmed:
        return _harmless(facts)
    if facts.cures_tried >= _TRIES:
        return "automl", f"{facts.cures_tried} trainings have not ended it: look for another model or other features."
    if facts.is_generator:
        return "rlhf", "The questions have changed and the answers suffer: learn from what people preferred."
    if facts.kind == "concept":
        return "fine_tune_head", "The questions are what they were, their answers are not: the head must learn anew."
    if facts.kind == "data" and facts.moved_share >= DRIFTED_SHARE:
        return "full_retrain", f"{facts.moved_share:.0%} of the inputs have moved and answers suffer: all must learn."
    return "fine_tune_head", "Few of the inputs have moved and the answers suffer: the head can follow."


def _harmless(facts: Facts) -> tuple[Action, str]:
    if facts.is_miscalibrated:
        return "recalibrate_confidences", "Answers are as right as ever, but the confidences no longer say how right."
    if facts.kind == "prediction" and facts.has_moved_labels:
        return (
            "recalibrate_threshold",
            "The questions look as before, but some answers are given more often: adjust where one begins.",
        )
    if facts.kind == "none":
        return "nothing", "Nothing has moved."
    return "nothing", "The answers have not suffered, as far as can be told without labels, or by them: watch it."
