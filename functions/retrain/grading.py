"""Which single answers are good or bad by all raters together, how sure that is, and which thumbs wait in quarantine.

Raters are screened in each metric by itself, as those of labels are. One who speaks in several metrics of the same
answer speaks once, by the mean; different raters add up as they do on pairs (`retrain.weighing`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple

from pawl.identity import isoformat
from pawl.metrics import Metric
from pawl.quarantine import Entry
from pawl.screening import Quarantined, Screened, screen
from pawl.votes import Vote, Votes
from retrain.answers import Rated
from retrain.consensus import feedback_of
from retrain.thumbs import Thumb
from retrain.trust import Trust
from retrain.weighing import LEAST, belief


class Liked(NamedTuple):
    """That a text, by its key, is a good answer or a bad one."""

    text: str
    is_good: bool
    weight: float


@dataclass(frozen=True, slots=True)
class Graded:
    """What is good or bad, texts that are neither by reason, thumbs set aside by reason, and who spoke."""

    liked: list[Liked]
    without: Counter[str]
    suspicious: Counter[str]
    quarantined: list[Entry]
    raters: frozenset[str]


def grade(
    rated: Rated, said: Iterable[Thumb], metrics: Mapping[str, Metric], trust: Trust, restored: Set[str]
) -> Graded:
    """Screen the thumbs of each metric and weigh each text by those that are left."""
    kept: dict[str, dict[str, list[float]]] = {}
    suspicious, found = Counter[str](), dict[str, Quarantined]()
    for metric, votes in sorted(rated.votes.items()):
        screened = _screened(metrics[metric], votes, trust, restored)
        for vote, sign in _signed(screened, metrics[metric]):
            kept.setdefault(str(vote.item), {}).setdefault(vote.rater, []).append(sign)
        for each in screened.quarantined():
            suspicious[str(each.reason)] += 1
            found.setdefault(feedback_of(each.item), each)
    liked, without = list[Liked](), Counter[str]()
    for text in sorted({str(vote.item) for votes in rated.votes.values() for vote in votes}):
        verdict = _liked(text, kept.get(text, {}))
        if isinstance(verdict, Liked):
            liked.append(verdict)
        else:
            without[verdict] += 1
    raters = frozenset(vote.rater for votes in rated.votes.values() for vote in votes)
    return Graded(liked, without, suspicious, _entries(found, said), raters)


def _screened(metric: Metric, votes: Sequence[Vote], trust: Trust, restored: Set[str]) -> Screened:
    let = {vote.id for vote in votes if vote.rater in trust.trusted or feedback_of(vote) in restored}
    return screen(Votes.of("label" if metric.type == "boolean" else "score", votes), trust.policy, None, let)


def _signed(screened: Screened, metric: Metric) -> list[tuple[Vote, float]]:
    """Each vote that counts with its rater's trust, negative where it says bad; 0 for a number in the middle."""
    kept = list(screened.kept())
    middle = 0.5 if metric.type == "boolean" or not kept else median(float(vote.value or 0.0) for vote, _ in kept)
    way = -1 if metric.optimize == "min" else 1
    return [(vote, way * weight * _side(float(vote.value or 0.0) - middle)) for vote, weight in kept]


def _side(above: float) -> int:
    return (above > 0) - (above < 0)


def _liked(text: str, raters: Mapping[str, Sequence[float]]) -> Liked | str:
    """What a text is by all who spoke of it, or why it is neither good nor bad."""
    if not raters:
        return "quarantined"
    signs = [fmean(signs) for signs in raters.values()]
    if not any(signs):
        return "untrusted"
    sure = belief(signs)
    return Liked(text, sure > 0, round(abs(sure), 6)) if abs(sure) >= LEAST else "disputed"


def _entries(found: Mapping[str, Quarantined], said: Iterable[Thumb]) -> list[Entry]:
    """Each thumb in quarantine once, by the reason found first."""
    entries = list[Entry]()
    for each in said:
        if quarantined := found.get(each.feedback_id):
            why, when = quarantined.evidence, isoformat(each.given_ms)
            who = (each.feedback_id, each.answer, each.rater, each.metric, each.value)
            entries.append(Entry(*who, when, quarantined.reason, why.words, why.number, why.limit))
    return sorted(entries, key=lambda entry: (entry.reason, entry.given_at, entry.feedback_id))
