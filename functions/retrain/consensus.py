"""What the labels are by all raters together, and which votes do not count until a person has looked at them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from pawl.identity import isoformat
from pawl.quarantine import Entry
from pawl.screening import Quarantined, Screened, screen
from pawl.votes import Item, Value, Vote, Votes
from retrain.selection import Said
from retrain.trust import Trust


@dataclass(frozen=True, slots=True)
class Agreed:
    """The label of each text by its key, and each text that got none with the reason; votes set aside by reason."""

    labels: dict[str, str]
    without: dict[str, str]
    suspicious: Counter[str]
    quarantined: list[Entry]
    raters: int


def agree(
    votes: Sequence[Vote], said: Iterable[Said], gold: Mapping[Item, Value], trust: Trust, restored: Set[str]
) -> Agreed:
    """Screen the votes and take each text's label from those that are left, weighted by what their raters are worth.

    `gold` are labels that are known by text, `restored` ids of feedback that a person let count.
    """
    let = {vote.id for vote in votes if vote.rater in trust.trusted or feedback_of(vote) in restored}
    screened = screen(Votes.of("label", votes), trust.policy, gold, let)
    tallies: dict[Item, dict[str, float]] = {}
    for vote, weight in screened.kept():
        tally = tallies.setdefault(vote.item, {})
        tally[str(vote.value)] = tally.get(str(vote.value), 0.0) + weight
    consensus = _consensus(screened)
    labels: dict[str, str] = {}
    without: dict[str, str] = {}
    for item in screened.votes.item_names:
        tally = tallies.get(item, {})
        if any(tally.values()):
            labels[str(item)] = _label(tally, consensus[item])
        else:
            without[str(item)] = "untrusted" if tally else "quarantined"
    suspicious = Counter(each.reason for each in screened.quarantined())
    raters = len(screened.votes.rater_names)
    return Agreed(labels, without, Counter(suspicious), _entries(screened, said), raters)


def feedback_of(vote: Vote) -> str:
    """The id of the feedback that a vote is part of."""
    return vote.id.partition("#")[0]


def _consensus(screened: Screened) -> dict[Item, str]:
    names = screened.votes.label_names
    return {
        item: str(names[int(code)])
        for item, code in zip(screened.votes.item_names, screened.consensus.tolist(), strict=True)
        if code == code
    }


def _label(tally: Mapping[str, float], consensus: str) -> str:
    """The consensus if anybody said so of this very text, else what most trust is behind: never a label of nobody's."""
    return consensus if tally.get(consensus) else max(sorted(tally), key=lambda label: tally[label])


def _entries(screened: Screened, said: Iterable[Said]) -> list[Entry]:
    """Each piece of feedback with a vote in quarantine once, by the reason found first."""
    found = dict[str, Quarantined]()
    for each in screened.quarantined():
        found.setdefault(feedback_of(each.item), each)
    entries = list[Entry]()
    for each in said:
        if quarantined := found.get(each.feedback_id):
            why = quarantined.evidence
            who = (each.feedback_id, each.inference_id, each.rater, each.metric, list(each.labels))
            when = isoformat(each.given_ms)
            entries.append(Entry(*who, when, quarantined.reason, why.words, why.number, why.limit))
    return sorted(entries, key=lambda entry: (entry.reason, entry.given_at, entry.feedback_id))
