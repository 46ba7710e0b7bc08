"""Which feedback a dataset is made of, in a form small enough that a hundred thousand pieces fit a function."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pawl.compared import pair_of
from pawl.identity import unix_ms
from pawl.metrics import Metric
from pawl.narrowing import is_list, is_object
from pawl.tombstones import Tombstones, answer_uuid, subject_digest

LABEL, CORRECTION = "label", "correction"
_PAIRS = ("preference", "ranking")


@dataclass(frozen=True, slots=True)
class Selection:
    """A model's answers within a window, [since, until) in milliseconds, and the metrics that are learned from.

    `graded` are those in which a generator's single answers get thumbs, by `retrain.thumbs`.
    """

    model: str
    version: str
    window_ms: tuple[int, int]
    metrics: frozenset[str] = frozenset({LABEL, CORRECTION})
    graded: Mapping[str, Metric] = field(default_factory=dict[str, Metric])


class Learnable(NamedTuple):
    """How much there is to learn from: answers that people labelled, or pairs that they compared; and thumbs."""

    labels: int
    thumbs: int


class Said(NamedTuple):
    """One rater's word on all rows of one answer.

    `subject` is the digest of whom the answer is about or for, where the feedback tells; `is_named` is whether the
    rater is a name that the feedback gives, and not the key that sent it.
    """

    feedback_id: str
    inference_id: str
    version: str
    metric: str
    rater: str
    labels: tuple[str, ...]
    given_ms: int
    subject: str
    is_named: bool


@dataclass(frozen=True, slots=True)
class Selected:
    """What was said, and how many pieces were left out for which reason."""

    said: list[Said]
    left_out: Counter[str] = field(default_factory=Counter[str])


def select(
    feedback: Iterable[Mapping[str, Any]], selection: Selection, restored: Set[str], erased: Tombstones
) -> Selected:
    """The feedback that a dataset is made of: on the selection's version, or restored by a person on any.

    An earlier version's feedback was learned from before this one was live; what was in quarantine then was not.
    """
    found = Selected([])
    for item in feedback:
        if item["metric"] not in selection.metrics:
            continue
        if item["model_version"] != selection.version and item["feedback_id"] not in restored:
            continue
        said = _said(item)
        if said is None:
            found.left_out["unreadable"] += 1
        elif erased.cover(answer_uuid(said.inference_id), said.subject, subject_digest(said.rater)):
            found.left_out["erased"] += 1
        else:
            found.said.append(said)
    return found


def count_learnable(feedback: Iterable[Mapping[str, Any]], selection: Selection) -> Learnable:
    """How many answers people have labelled, pairs compared, answers graded, whether they will be believed or not.

    Each counts once, whoever speaks of it how often; feedback on other versions than the selection's was counted then.
    """
    labels, thumbs = set[str](), set[str]()
    for item in feedback:
        if item["model_version"] != selection.version:
            continue
        answer = str(item["sk"]).partition("#")[0]
        if item["metric"] in selection.metrics:
            labels.add(pair_of(item["sk"]) if item["metric"] in _PAIRS else answer)
        elif item["metric"] in selection.graded and "inference_id" in item:
            thumbs.add(answer)
    return Learnable(len(labels), len(thumbs))


def _said(item: Mapping[str, Any]) -> Said | None:
    labels, tags = _labels(item["value"]), item["tags"]
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
        "rater" in tags,
    )


def _labels(value: Any) -> list[str] | None:
    """The labels in a label's or a correction's value; None where a correction corrects something else."""
    told = value.get("outputs") if is_object(value) else value
    return told if is_list(told) and all(isinstance(each, str) for each in told) else None
