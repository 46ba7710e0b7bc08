"""Feedback screened: every vote is kept with a weight, or quarantined with its reason; none is ever dropped.

A quarantined vote can be reviewed by its evidence and restored by its id: a person's decision stands above all tests.
The same votes always give the same result, whatever their order.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pawl.collusion import collusion
from pawl.preferences import Known, pair_consensus
from pawl.raters import UNKNOWN, Codes, label_consensus
from pawl.repetition import repeats
from pawl.scores import score_consensus
from pawl.suspicion import Evidence, Finding, Flags, Policy, Reason, bursts, monotony, opposition, vouched
from pawl.votes import FIRST, SECOND, TIE, Item, Value, Vote, Votes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A vote that does not count until a person has looked at it, and why."""

    item: Vote
    reason: Reason
    evidence: Evidence


@dataclass(frozen=True, slots=True, eq=False)
class Screened:
    """All votes again: `weights`, shape (votes,), are 0 where quarantined, else the rater's trust, from 0 to 1.

    A vote of weight 0 may also be kept: its rater's votes tell nothing. `consensus` is what each item is by the votes
    that are kept, in the votes' own code, NaN where none is left; of a preference, FIRST, SECOND or TIE.
    `trust` has shape (raters,).
    """

    votes: Votes
    weights: Floats
    trust: Floats
    consensus: Floats
    findings: tuple[Finding, ...] = field(repr=False)

    @property
    def is_kept(self) -> Flags:
        """Which votes are not quarantined, shape (votes,)."""
        kept = np.ones(len(self.votes), bool)
        for finding in self.findings:
            kept[finding.votes] = False
        return kept

    def kept(self) -> Iterator[tuple[Vote, float]]:
        """Each vote that counts with its weight, ascending by id."""
        for index in np.flatnonzero(self.is_kept).tolist():
            yield self.votes.vote(index), float(self.weights[index])

    def quarantined(self) -> Iterator[Quarantined]:
        """Each vote that does not, finding by finding, ascending by id in each; no vote comes twice."""
        for finding in self.findings:
            for index in finding.votes.tolist():
                yield Quarantined(self.votes.vote(index), finding.reason, finding.evidence)


def screen(
    votes: Votes,
    policy: Policy | None = None,
    gold: Mapping[Item, Value] | None = None,
    restored: Set[str] = frozenset(),
) -> Screened:
    """Every vote with a weight, or with the reason for which it is quarantined.

    `gold` are true values of items: they hold whatever raters say, and who is right about them is not accused
    of monotony, opposition or collusion. `restored` are ids of votes that a person has looked at and let count.
    """
    rules, known = policy or Policy(), votes.known(gold or {})
    is_restored = np.fromiter((each in restored for each in votes.ids), bool, len(votes))
    screening = _Screening(votes, np.ones(len(votes), bool), is_restored)
    # Bursts first: words that do not count are nobody's last.
    screening.take(bursts(votes, screening.is_kept.copy(), rules))
    screening.take(repeats(votes, screening.is_kept.copy(), rules))
    consensus, _ = agreed(votes, screening.is_kept, known)
    is_vouched = vouched(votes, known, rules)
    is_left = screening.is_kept.copy()
    for test in (monotony, opposition, collusion):
        screening.take(test(votes, is_left, consensus, is_vouched, rules))
    consensus, trust = agreed(votes, screening.is_kept, known)
    weights = np.where(screening.is_kept, trust[votes.raters], 0.0)
    return Screened(votes, weights, trust, consensus, tuple(screening.findings))


def agreed(votes: Votes, is_kept: Flags, known: Floats) -> tuple[Floats, Floats]:
    """What each item is by the votes that are kept, shape (items,), and each rater's trust, shape (raters,)."""
    size, people = len(votes.item_names), len(votes.rater_names)
    items, raters, values = votes.items[is_kept], votes.raters[is_kept], votes.values[is_kept]
    if votes.kind == "score":
        found = score_consensus(items, raters, values, (size, people), known)
        return found.scores, found.trust
    if votes.kind == "preference":
        preferred, trust = _preferred(votes, is_kept, known)
        return np.where(np.isnan(known), preferred, known), trust
    truths = np.where(np.isnan(known), UNKNOWN, known).astype(np.int64)
    sizes = (size, people, votes.choices)
    labels = label_consensus(items, raters, values.astype(np.int64), sizes, truths)
    has_votes = (np.bincount(items, minlength=size) > 0) | (truths != UNKNOWN)
    return np.where(has_votes, labels.labels, np.nan), labels.trust


def _preferred(votes: Votes, is_kept: Flags, known: Floats) -> tuple[Floats, Floats]:
    """The better of each pair by the scores of all answers; what is known says what raters are worth."""
    pairs = [name for name in votes.item_names if isinstance(name, tuple)]
    answers = {name: place for place, name in enumerate(sorted({each for pair in pairs for each in pair}))}
    ends = np.array([[answers[first], answers[second]] for first, second in pairs], np.int64).reshape(-1, 2)
    winners, losers, is_tie = _games(ends[votes.items[is_kept]], votes.values[is_kept])
    is_known = ~np.isnan(known)
    gold = _games(ends[is_known], known[is_known]) if is_known.any() else None
    sizes = (len(answers), len(votes.rater_names))
    found = pair_consensus(winners, losers, votes.raters[is_kept], is_tie, sizes, gold)
    apart = found.scores[ends[:, 0]] - found.scores[ends[:, 1]]
    return np.where(apart > 0, FIRST, np.where(apart < 0, SECOND, TIE)).astype(float), found.trust


def _games(ends: Codes, values: Floats) -> Known:
    """Winners, losers and ties of comparisons, by the two answers of each, shape (games, 2), and which is better."""
    is_second = values == SECOND
    return np.where(is_second, ends[:, 1], ends[:, 0]), np.where(is_second, ends[:, 0], ends[:, 1]), values == TIE


@dataclass(slots=True, eq=False)
class _Screening:
    """Which votes are left, while findings take them one after the other: a vote has the reason found first."""

    votes: Votes
    is_kept: Flags
    is_restored: Flags
    findings: list[Finding] = field(default_factory=list[Finding])

    def take(self, found: Iterator[Finding]) -> None:
        for finding in found:
            taken = finding.votes[self.is_kept[finding.votes] & ~self.is_restored[finding.votes]]
            if taken.size:
                self.is_kept[taken] = False
                self.findings.append(Finding(taken, finding.reason, finding.evidence))
