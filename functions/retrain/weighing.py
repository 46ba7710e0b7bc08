"""Which answers are better by all raters together, how sure that is, and which votes wait for a person to look at them.

A rater who is right with chance (1 + t) / 2, which is what a trust of t means, moves the log odds of a pair by
2 artanh t. So raters add up to a belief p that one answer is better, and the pair's weight is 2p - 1 = tanh(sum of
artanh t): a single rater's own trust, more where others agree, nothing where they cancel out.

Raters have scales of their own for how much better an answer is, from 0 to 1 or to 100. So a margin is told in what its
rater usually gives, their median, and is at most MOST_MARGIN: Llama 2's reward model learned from margins of 0 to 3 in
its own log odds (Touvron et al. 2023), where larger ones would outweigh all that nobody gave one for.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import median

from pawl.identity import isoformat
from pawl.pairset import MOST_MARGIN
from pawl.quarantine import Entry
from pawl.screening import Quarantined, Screened, screen
from pawl.tombstones import answer_uuid
from pawl.votes import Item, Value, Vote, Votes
from retrain.answers import Compared
from retrain.comparisons import Better, Opinion
from retrain.consensus import feedback_of
from retrain.trust import Trust

_SUREST = 0.999
"""No number of raters makes a belief infinite."""
LEAST = 1e-6
"""What is less sure than this is disputed."""


@dataclass(frozen=True, slots=True)
class Preferred:
    """That one text is better than another, each by its key; `margin` is what raters who say so give it."""

    better: str
    worse: str
    weight: float
    margin: float | None


@dataclass(frozen=True, slots=True)
class Weighed:
    """What is preferred, pairs without a better answer by reason, and votes set aside by reason."""

    preferred: list[Preferred]
    without: Counter[str]
    suspicious: Counter[str]
    quarantined: list[Entry]
    raters: frozenset[str]


def weigh(compared: Compared, said: Iterable[Opinion], trust: Trust, restored: Set[str]) -> Weighed:
    """Screen the votes and weigh each pair by those that are left; gold pairs are as they are known."""
    votes, margins = compared.votes, usual_margins(compared)
    let = {vote.id for vote in votes if vote.rater in trust.trusted or feedback_of(vote) in restored}
    screened = screen(Votes.of("preference", votes), trust.policy, compared.gold, let)
    kept: dict[Item, list[tuple[Vote, float]]] = {}
    for vote, weight in screened.kept():
        kept.setdefault(vote.item, []).append((vote, weight))
    preferred, without = list[Preferred](), Counter[str]()
    for item in screened.votes.item_names:
        found = _preferred(item, kept.get(item, []), compared.gold, margins)
        if isinstance(found, Preferred):
            preferred.append(found)
        else:
            without[found] += 1
    suspicious = Counter(str(each.reason) for each in screened.quarantined())
    return Weighed(preferred, without, suspicious, _entries(screened, said), frozenset(screened.votes.rater_names))


def usual_margins(compared: Compared) -> dict[str, float]:
    """By how much each vote that tells a margin finds its text better, in what its rater usually tells."""
    told: dict[str, list[float]] = {}
    for vote in compared.votes:
        if vote.id in compared.margins:
            told.setdefault(vote.rater, []).append(compared.margins[vote.id])
    usual = {rater: median(margins) for rater, margins in told.items()}
    return {
        vote.id: min(compared.margins[vote.id] / usual[vote.rater], MOST_MARGIN)
        for vote in compared.votes
        if vote.id in compared.margins
    }


def belief(trusts: Sequence[float]) -> float:
    """How sure one answer is better, from -1 to 1, by the trust of those who say so and less that of the others.

    >>> round(belief([0.8]), 4), round(belief([0.8, 0.8]), 4), belief([0.8, -0.8])
    (0.8, 0.9756, 0.0)
    """
    return math.tanh(sum(math.atanh(max(-_SUREST, min(_SUREST, trust))) for trust in trusts))


def _preferred(
    item: Item, votes: Sequence[tuple[Vote, float]], gold: Mapping[Item, Value], margins: Mapping[str, float]
) -> Preferred | str:
    """The better text of a pair, or why there is none."""
    first, second = item
    if not votes:
        return "quarantined"
    if item in gold:
        known = gold[item]
        return "tie" if known is None else _certain(str(known), second if known == first else first, votes, margins)
    if not any(weight for _, weight in votes):
        return "untrusted"
    as_good = sum(weight for vote, weight in votes if vote.value is None)
    if as_good >= sum(weight for vote, weight in votes if vote.value is not None):
        return "tie"
    sure = belief([weight if vote.value == first else -weight for vote, weight in votes if vote.value is not None])
    if abs(sure) < LEAST:
        return "disputed"
    better, worse = (first, second) if sure > 0 else (second, first)
    return Preferred(better, worse, round(abs(sure), 6), _margin(better, votes, margins))


def _certain(better: str, worse: str, votes: Sequence[tuple[Vote, float]], margins: Mapping[str, float]) -> Preferred:
    return Preferred(better, worse, 1.0, _margin(better, votes, margins))


def _margin(better: str, votes: Sequence[tuple[Vote, float]], margins: Mapping[str, float]) -> float | None:
    """The mean of the margins given by those who prefer this text, weighted by their trust."""
    told = [(margins[vote.id], weight) for vote, weight in votes if vote.value == better and vote.id in margins]
    total = sum(weight for _, weight in told)
    return sum(margin * weight for margin, weight in told) / total if total else None


def _entries(screened: Screened, said: Iterable[Opinion]) -> list[Entry]:
    """Each piece of feedback with a vote in quarantine once, by the reason found first; texts are never copied."""
    found = dict[str, Quarantined]()
    for each in screened.quarantined():
        found.setdefault(feedback_of(each.item), each)
    entries = list[Entry]()
    for each in said:
        if quarantined := found.get(each.feedback_id):
            why = quarantined.evidence
            newest = max(each.answers, key=answer_uuid)
            who = (each.feedback_id, newest, each.rater, each.metric, [_shown(better, each) for better in each.told])
            entries.append(Entry(*who, isoformat(each.given_ms), quarantined.reason, why.words, why.number, why.limit))
    return sorted(entries, key=lambda entry: (entry.reason, entry.given_at, entry.feedback_id))


def _shown(better: Better, opinion: Opinion) -> str:
    """What was said without any text: answers by their uuids, texts only as such."""
    if opinion.beside:
        return (
            "their own text" if opinion.is_own else "a text as good as another" if better.is_tie else "one of two texts"
        )
    first, second = answer_uuid(better.first), answer_uuid(better.second)
    return f"{first} as good as {second}" if better.is_tie else f"{first} better than {second}"
