"""What people said of single answers of a generator: thumbs, and numbers in metrics that teach.

A number has no good and bad of its own: above the middle of all that was given in its metric it is a thumb up, below it
one down. What a metric calls better is what it declares: of `optimize: min`, little is good.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pawl.errors import InvalidReceipt
from pawl.identity import unix_ms
from pawl.metrics import Metric
from pawl.receipt import Receipt
from pawl.tombstones import Tombstones, answer_uuid, subject_digest

THUMBS_UP = "thumbs_up"


class Thumb(NamedTuple):
    """One rater's word on one answer: `value`, and else the fields of `retrain.comparisons.Opinion`."""

    feedback_id: str
    metric: str
    rater: str
    value: bool | float
    answer: str
    given_ms: int
    subject: str
    pseudonyms: tuple[str, ...]
    is_named: bool

    @property
    def answers(self) -> tuple[str, ...]:
        """The inference_id of the captured answer that it is about."""
        return (self.answer,)


@dataclass(frozen=True, slots=True)
class Thumbs:
    """What was said, and how many pieces were left out for which reason."""

    said: list[Thumb] = field(default_factory=list[Thumb])
    left_out: Counter[str] = field(default_factory=Counter[str])

    def take(self, item: Mapping[str, Any], metric: Metric, erased: Tombstones) -> None:
        """Take in a piece of feedback in a metric that grades, as the table keeps it."""
        thumb = thumb_in(item, metric)
        if thumb is None:
            self.left_out["unreadable"] += 1
        elif erased.cover(answer_uuid(thumb.answer), thumb.subject, subject_digest(thumb.rater)):
            self.left_out["erased"] += 1
        else:
            self.said.append(thumb)


def graded(metrics: Mapping[str, Metric], model: str) -> dict[str, Metric]:
    """The metrics in which a model's answers get thumbs: `thumbs_up`, and what is declared to teach.

    >>> sorted(graded({"thumbs_up": Metric("boolean"), "rating": Metric("float")}, "assistant"))
    ['thumbs_up']
    """
    return {
        name: metric
        for name, metric in metrics.items()
        if metric.type in ("boolean", "float")
        and metric.level != "episode"
        and (metric.teaches or name == THUMBS_UP)
        and (not metric.models or model in metric.models)
    }


def thumb_in(item: Mapping[str, Any], metric: Metric) -> Thumb | None:
    """The thumb in a piece of feedback; None where it is said of an episode, whose answers it does not tell apart."""
    answer, tags, value = item.get("inference_id", ""), item["tags"], item["value"]
    if not _fits(value, metric) or not _names_answer(answer):
        return None
    whose = tags.get("subject") or tags.get("user")
    return Thumb(
        item["feedback_id"],
        sys.intern(item["metric"]),
        sys.intern(item["rater"]),
        value,
        answer,
        item["said_ms"] if "said_ms" in item else unix_ms(item["given_at"]),
        subject_digest(whose) if whose else "",
        tuple(map(sys.intern, item.get("subjects", ()))),
        "rater" in tags,
    )


def _fits(value: Any, metric: Metric) -> bool:
    """Whether a value is of its metric's type, which may have been declared anew since."""
    return isinstance(value, bool) == (metric.type == "boolean") and isinstance(value, bool | int | float)


def _names_answer(answer: str) -> bool:
    try:
        Receipt.unproved(answer)
    except InvalidReceipt:
        return False
    return True
