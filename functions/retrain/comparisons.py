"""What people said of a generator's answers by comparing them, in a form small enough for a hundred thousand pieces.

A preference or a ranking names answers by their inference_ids, or as texts beside the inference_id that they answer. A
demonstration or a correction is a comparison too: the rater's own text is better than the one that was given.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

from pawl.compared import pair_of
from pawl.corrected import TEXT, corrected
from pawl.errors import InvalidReceipt
from pawl.identity import unix_ms
from pawl.narrowing import is_list, is_object
from pawl.receipt import Receipt
from pawl.tombstones import Tombstones, answer_uuid, subject_digest

PREFERENCE, RANKING, DEMONSTRATION, CORRECTION = "preference", "ranking", "demonstration", "correction"
METRICS = frozenset({PREFERENCE, RANKING, DEMONSTRATION, CORRECTION})
"""The metrics that compare a generator's answers."""


class Better(NamedTuple):
    """That one answer is better than another, or as good as it; each by its inference_id or text."""

    first: str
    second: str
    is_tie: bool = False
    margin: float | None = None


class Opinion(NamedTuple):
    """One rater's word on some answers.

    `beside` is the inference_id that texts answer; empty where answers have their own. `pair` tells the comparison from
    all others. `is_own`: the better text is the rater's. `subject` is the digest of whom it is about or for, where the
    feedback tells, and `pseudonyms` are what captured answers call them; `is_named` is whether the rater is a name that
    the feedback gives, and not the key that sent it.
    """

    feedback_id: str
    metric: str
    rater: str
    told: tuple[Better, ...]
    beside: str
    pair: str
    given_ms: int
    subject: str
    pseudonyms: tuple[str, ...]
    is_named: bool
    is_own: bool

    @property
    def answers(self) -> tuple[str, ...]:
        """The inference_ids of the captured answers that it is about, in the order named."""
        named = (name for each in self.told for name in (each.first, each.second))
        return (self.beside,) if self.beside else tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class Opinions:
    """What was said, and how many pieces were left out for which reason."""

    said: list[Opinion] = field(default_factory=list[Opinion])
    left_out: Counter[str] = field(default_factory=Counter[str])

    def take(self, item: Mapping[str, Any], erased: Tombstones) -> None:
        """Take in a piece of feedback in one of METRICS, as the table keeps it, on an answer of any version.

        What was better stays so, whichever version said it.
        """
        opinion = opinion_in(item)
        if opinion is None:
            self.left_out["unreadable"] += 1
        elif _is_erased(opinion, erased):
            self.left_out["erased"] += 1
        else:
            self.said.append(opinion)


def opinion_in(item: Mapping[str, Any]) -> Opinion | None:
    """The opinion in a piece of feedback in one of METRICS; None where it compares no answers."""
    told, tags, beside = _told(item), item["tags"], item.get("inference_id", "")
    if told is None:
        return None
    whose = tags.get("subject") or tags.get("user")
    found = Opinion(
        item["feedback_id"],
        sys.intern(item["metric"]),
        sys.intern(item["rater"]),
        told,
        beside,
        pair_of(item["sk"]),
        item["said_ms"] if "said_ms" in item else unix_ms(item["given_at"]),
        subject_digest(whose) if whose else "",
        tuple(map(sys.intern, item.get("subjects", ()))),
        "rater" in tags,
        item["metric"] in (DEMONSTRATION, CORRECTION),
    )
    return found if _names_answers(found.answers) else None


def _told(item: Mapping[str, Any]) -> tuple[Better, ...] | None:
    """What a piece of feedback says; the answer given is `""` beside a text of the rater's own."""
    metric, value = item["metric"], item["value"]
    if metric == PREFERENCE and is_object(value):
        if "tie" in value:
            first, second = value["tie"]
            return (Better(first, second, is_tie=True),)
        return (Better(value["chosen"], value["rejected"], margin=value.get("margin")),)
    if metric == RANKING and is_list(value):
        return tuple(_ranked(value))
    own = value if metric == DEMONSTRATION else _corrected(value)
    return (Better(own, ""),) if isinstance(own, str) and "inference_id" in item else None


def _ranked(value: Sequence[Mapping[str, Any]]) -> Iterator[Better]:
    for one, other in combinations(sorted(value, key=lambda each: each["rank"]), 2):
        yield Better(one["value"], other["value"], is_tie=one["rank"] == other["rank"])


def _corrected(value: Any) -> str | None:
    """The text that should have been put out; None where a correction corrects something else, or several texts."""
    told = corrected(value, TEXT)
    return told[0] if told is not None and len(told) == 1 else None


def _names_answers(answers: Sequence[str]) -> bool:
    try:
        for each in answers:
            Receipt.unproved(each)
    except InvalidReceipt:
        return False
    return True


def _is_erased(opinion: Opinion, erased: Tombstones) -> bool:
    subjects = (opinion.subject, subject_digest(opinion.rater))
    return any(erased.cover(answer_uuid(each), *subjects) for each in opinion.answers)
