"""What about votes is suspicious, each finding with a reason in words and a number: pure functions of votes.

Being of another opinion is not suspicious, nor is having few votes. Tests on raters are adjusted together (Benjamini,
Hochberg 1995): of those accused at most a share of the policy's `risk` only guessed, and where nobody does worse than
guess, `risk` is the chance that anybody is accused.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from pawl.errors import SettingsError
from pawl.raters import UNKNOWN, Codes, sums
from pawl.testing import benjamini_hochberg, normal_survival
from pawl.votes import Votes

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Reason = Literal["duplicate", "superseded", "contradiction", "burst", "monotony", "against all", "collusion"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is believed of a person; a screening quarantines what goes beyond.

    A person votes at most `burst_votes` times in any `burst_s` seconds: one a second. Asked again, they say something
    else on a share of `unsteady` of the items, or less. Two raters of `least_common` items or more agree on at most
    `excess` more of them than their own ways of voting explain. `risk` is what chance may do to all raters together.
    """

    burst_votes: int = 60
    burst_s: float = 60.0
    unsteady: float = 0.25
    least_common: int = 10
    excess: float = 0.25
    risk: float = 0.01

    def __post_init__(self) -> None:
        for name in ("unsteady", "risk"):
            if not 0 < getattr(self, name) < 1:
                raise SettingsError(f"policy's {name} is {getattr(self, name)}: want more than 0 and less than 1")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why votes are suspicious: in words, and the number that says so beside what it may be at most or at least.

    `raters` are all whom it is about, ascending.
    """

    words: str
    number: float
    limit: float
    raters: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """Suspicious votes, as ascending indices, with their reason and the evidence."""

    votes: Codes
    reason: Reason
    evidence: Evidence


@dataclass(frozen=True, slots=True, eq=False)
class Ownership:
    """Which votes are whose, so that one rater's are found without a look at all others."""

    order: Codes
    starts: Codes

    @classmethod
    def of(cls, votes: Votes, is_counted: Flags) -> Self:
        """Of the votes that count, shape (votes,)."""
        counted = np.flatnonzero(is_counted)
        order = counted[np.argsort(votes.raters[counted], kind="stable")]
        return cls(order, np.searchsorted(votes.raters[order], np.arange(len(votes.rater_names) + 1)))

    def votes(self, raters: Sequence[int]) -> Codes:
        """The votes of these raters, as ascending indices."""
        return np.sort(np.concatenate([self.order[self.starts[each] : self.starts[each + 1]] for each in raters]))


def bursts(votes: Votes, is_kept: Flags, policy: Policy) -> Iterator[Finding]:
    """Votes of one rater, more than `burst_votes` of them within `burst_s`; those of unknown time are not judged.

    Votes at the very same time count once: they came in one request, which does not tell when each was made up.
    """
    timed = np.flatnonzero(is_kept & ~np.isnan(votes.at))
    order = timed[np.lexsort((timed, votes.at[timed], votes.raters[timed]))]
    edges = np.flatnonzero(np.diff(votes.raters[order], prepend=-1, append=-1))
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if end - start > policy.burst_votes:
            yield from _burst(votes, order[start:end], policy)


def opposition(votes: Votes, is_kept: Flags, consensus: Floats, is_vouched: Flags, policy: Policy) -> Iterator[Finding]:
    """Raters who say the opposite of what all others say: fewer agreements than a guess has, beyond chance.

    `consensus` holds each item's value in the votes' code, shape (items,). Scores agree by correlation.
    """
    told = np.flatnonzero(is_kept & ~np.isnan(consensus[votes.items]))
    found, chance, z = (_correlation if votes.kind == "score" else _agreement)(votes, told, consensus)
    adjusted, own = benjamini_hochberg([normal_survival(-each) for each in z.tolist()]), Ownership.of(votes, is_kept)
    for rater in np.flatnonzero((np.array(adjusted) < policy.risk) & ~is_vouched).tolist():
        name, measure = votes.rater_names[rater], "correlation" if votes.kind == "score" else "agreement"
        words = f"rater {name} says the opposite of the others: {measure} {found[rater]:.2f} with them, "
        words += f"{chance[rater]:.2f} would be chance"
        evidence = Evidence(words, float(found[rater]), float(chance[rater]), (name,))
        yield Finding(own.votes([rater]), "against all", evidence)


def monotony(votes: Votes, is_kept: Flags, consensus: Floats, is_vouched: Flags, policy: Policy) -> Iterator[Finding]:
    """Raters who say the same of everything, of `least_common` items or more, where others hardly ever would.

    How likely others are to say so is counted over the items of each consensus, which is in the votes' code, shape
    (items,); items for which the rater's word is the consensus tell nothing.
    """
    truth = votes.steps(consensus)
    told = np.flatnonzero(is_kept & (truth[votes.items] != UNKNOWN))
    raters, people, choices = votes.raters[told], len(votes.rater_names), votes.choices
    said, true = votes.steps(votes.values[told]), truth[votes.items[told]]
    crowd = np.bincount(true * choices + said, minlength=choices**2).reshape(choices, choices) + 1 / choices
    likely = np.log(crowd / crowd.sum(axis=1, keepdims=True))
    counts, totals = np.bincount(raters, minlength=people), sums(raters, said.astype(float), people)
    spread = sums(raters, (said * np.maximum(counts, 1)[raters] - totals[raters]) ** 2.0, people)
    chance = np.exp(sums(raters, np.where(said == true, 0.0, likely[true, said]), people))
    chance[(spread > 0) | (counts < policy.least_common)] = 1.0
    adjusted, own = benjamini_hochberg(chance.tolist()), Ownership.of(votes, is_kept)
    for rater in np.flatnonzero((np.array(adjusted) < policy.risk) & ~is_vouched).tolist():
        name = votes.rater_names[rater]
        words = f"rater {name} says the same in all {counts[rater]} votes, by chance {chance[rater]:.1g} in others"
        evidence = Evidence(words, float(chance[rater]), policy.risk, (name,))
        yield Finding(own.votes([rater]), "monotony", evidence)


def vouched(votes: Votes, gold: Floats, policy: Policy) -> Flags:
    """Raters whom gold items prove right more often than chance would, shape (raters,): a minority that is right.

    `gold` holds true values in the votes' code, shape (items,), NaN where unknown; a score is right within a step.
    """
    people = len(votes.rater_names)
    told = np.flatnonzero(~np.isnan(gold[votes.items]))
    right = _is_right(votes, told, gold)
    rights, counts = sums(votes.raters[told], right, people), np.bincount(votes.raters[told], minlength=people)
    chance = {"score": 3 / votes.choices, "label": 1 / votes.choices, "preference": 1 / 2}[votes.kind]
    found = np.zeros(people, bool)
    for rater in np.flatnonzero(counts).tolist():
        found[rater] = binomial_survival(round(rights[rater]), int(counts[rater]), chance) < policy.risk
    return found


def binomial_survival(hits: int, tries: int, chance: float) -> float:
    """P(X >= hits), exactly.

    >>> binomial_survival(2, 2, 0.5)
    0.25
    """
    terms = (
        math.lgamma(tries + 1)
        - math.lgamma(k + 1)
        - math.lgamma(tries - k + 1)
        + k * math.log(chance)
        + (tries - k) * math.log1p(-chance)
        for k in range(hits, tries + 1)
    )
    return min(1.0, sum(map(math.exp, terms)))


def _burst(votes: Votes, order: Codes, policy: Policy) -> Iterator[Finding]:
    at = votes.at[order]
    ends = np.searchsorted(at, at + policy.burst_s, side="right")
    upto = np.cumsum(np.diff(at, prepend=-np.inf) > 0)
    counts = upto[ends - 1] - upto + 1
    if counts.max() <= policy.burst_votes:
        return
    edges = np.zeros(at.size + 1, np.int64)
    for start in np.flatnonzero(counts > policy.burst_votes).tolist():
        edges[start] += 1
        edges[ends[start]] -= 1
    name = votes.rater_names[int(votes.raters[order[0]])]
    words = (
        f"rater {name} gives {counts.max()} votes within {policy.burst_s:g} s; a person at most {policy.burst_votes}"
    )
    evidence = Evidence(words, float(counts.max()), float(policy.burst_votes), (name,))
    yield Finding(np.sort(order[np.cumsum(edges[:-1]) > 0]), "burst", evidence)


def _correlation(votes: Votes, told: Codes, consensus: Floats) -> tuple[Floats, Floats, Floats]:
    """Each rater's correlation with the consensus, what chance is, and its standard score, shape (raters,) each."""
    people, raters = len(votes.rater_names), votes.raters[told]
    counts = np.maximum(1, np.bincount(raters, minlength=people))
    centred = list[Floats]()
    for values in (votes.values[told], consensus[votes.items[told]]):
        centred.append(values - (sums(raters, values, people) / counts)[raters])
    said, true = centred
    both, squares = sums(raters, said * true, people), sums(raters, said**2, people) * sums(raters, true**2, people)
    found = np.divide(both, np.sqrt(squares), out=np.zeros(people), where=squares > 0)
    return found, np.zeros(people), found * np.sqrt(counts - 1)


def _agreement(votes: Votes, told: Codes, consensus: Floats) -> tuple[Floats, Floats, Floats]:
    """Each rater's share of votes that are the consensus, what it would be by chance, and its standard score."""
    people, choices, raters = len(votes.rater_names), votes.choices, votes.raters[told]
    said, true = votes.values[told].astype(np.int64), consensus[votes.items[told]].astype(np.int64)
    counts = np.maximum(1, np.bincount(raters, minlength=people))
    shares = [
        np.bincount(raters * choices + codes, minlength=people * choices).reshape(people, choices) / counts[:, None]
        for codes in (said, true)
    ]
    chance = (shares[0] * shares[1]).sum(axis=1)
    found = sums(raters, (said == true).astype(float), people) / counts
    error = np.sqrt(chance * (1 - chance) / counts)
    return found, chance, np.divide(found - chance, error, out=np.zeros(people), where=error > 0)


def _is_right(votes: Votes, told: Codes, gold: Floats) -> Floats:
    said, true = votes.steps(votes.values[told]), votes.steps(gold[votes.items[told]])
    return (np.abs(said - true) <= (votes.kind == "score")).astype(float)
