"""Which feedback a dataset is made of, in a form small enough that a hundred thousand pieces fit a function."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pawl.corrected import corrected
from pawl.identity import unix_ms
from pawl.metrics import Metric
from pawl.narrowing import is_list
from pawl.tombstones import Tombstones, answer_uuid, subject_digest

LABEL, CORRECTION = "label", "correction"


@dataclass(frozen=True, slots=True)
class Selection:
    """A model's answers within a window, [since, until) in milliseconds, and the metrics that are learned from.

    `version` is the one that the next follows; answers of all versions are learned from.
    `graded` are those in which a generator's single answers get thumbs, by `retrain.thumbs`.
    """

    model: str
    version: str
    window_ms: tuple[int, int]
    metrics: frozenset[str] = frozenset({LABEL, CORRECTION})
    graded: Mapping[str, Metric] = field(default_factory=dict[str, Metric])


class Said(NamedTuple):
    """One rater's word on all rows of one answer.

    `subject` is the digest of whom the answer is about or for, where the feedback tells, and `pseudonyms` are what
    captured answers call them; `is_named` is whether the rater is a name that the feedback gives, and not the key that
    sent it.
    """

    feedback_id: str
    inference_id: str
    version: str
    metric: str
    rater: str
    labels: tuple[str, ...]
    given_ms: int
    subject: str
    pseudonyms: tuple[str, ...]
    is_named: bool


@dataclass(frozen=True, slots=True)
class Selected:
    """What was said, and how many pieces were left out for which reason."""

    said: list[Said]
    left_out: Counter[str] = field(default_factory=Counter[str])


def select(feedback: Iterable[Mapping[str, Any]], selection: Selection, erased: Tombstones) -> Selected:
    """The feedback that a dataset is made of, on answers of any version: what is right stays so, whichever was wrong.

    So nothing is lost that is said of a version while the next one is trained, or after that is live.
    """
    found = Selected([])
    for item in feedback:
        if item["metric"] not in selection.metrics:
            continue
        said = _said(item)
        if said is None:
            found.left_out["unreadable"] += 1
        elif erased.cover(answer_uuid(said.inference_id), said.subject, subject_digest(said.rater)):
            found.left_out["erased"] += 1
        else:
            found.said.append(said)
    return found


def labels_in(item: Mapping[str, Any]) -> list[str] | None:
    """The labels in a piece of feedback, one a row of its answer; None where a correction corrects something else."""
    if item["metric"] == CORRECTION:
        return corrected(item["value"], LABEL)
    told = item["value"]
    return told if is_list(told) and all(isinstance(each, str) for each in told) else None


def _said(item: Mapping[str, Any]) -> Said | None:
    labels, tags = labels_in(item), item["tags"]
    if labels is None:
        return None
    whose = tags.get("subject") or tags.get("user")
    return Said(
        item["feedback_id"],
        item["inference_id"],
        sys.intern(item["model_version"]),
        sys.intern(item["metric"]),
        sys.intern(item["rater"]),
        tuple(map(sys.intern, labels)),
        item["said_ms"] if "said_ms" in item else unix_ms(item["given_at"]),
        subject_digest(whose) if whose else "",
        tuple(map(sys.intern, item.get("subjects", ()))),
        "rater" in tags,
    )
