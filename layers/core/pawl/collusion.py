"""Groups of raters who agree with each other far more than they would by each of their own ways of voting.

Two independent raters err alike by chance only: on an item of known consensus they agree with the chance that their
confusion matrices give. Only pairs that leave the consensus together are compared, since who repeats the truth together
does no harm; so the cost grows with the votes that deviate, not with the pairs of raters.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pawl.raters import PRIOR_VOTES, UNKNOWN, Codes
from pawl.suspicion import Evidence, Finding, Flags, Ownership, Policy
from pawl.testing import normal_survival
from pawl.votes import Votes

Floats = NDArray[np.float64]
# Where more raters than so many deviate from an item's consensus in the same way, the item is disputed, and no plot.
LARGEST_DEVIATION = 200


def collusion(votes: Votes, is_kept: Flags, consensus: Floats, is_vouched: Flags, policy: Policy) -> Iterator[Finding]:
    """Groups of raters who agree on at least `excess` more of their common items than independent raters would.

    `consensus` holds each item's value in the votes' code, NaN where there is none, shape (items,); scores are compared
    in steps of their scale. Vouched raters, shape (raters,), are in no group. Groups are what such pairs connect;
    the `risk` is shared by all pairs that have an item in common (Bonferroni), since one wrong link joins two groups.
    """
    crowd, own = _Crowd.of(votes, is_kept, consensus), Ownership.of(votes, is_kept)
    limit = policy.risk / max(1.0, crowd.pairs)
    beyond, links = dict[int, float](), list[tuple[int, int]]()
    for pair in crowd.candidates(max(2, policy.least_common // 2)):
        common, excess, z = crowd.compare(*pair)
        is_close = common >= policy.least_common and excess > policy.excess and normal_survival(z) < limit
        if is_close and not is_vouched[list(pair)].any():
            links.append(pair)
            beyond |= {rater: max(beyond.get(rater, 0.0), excess) for rater in pair}
    for members in connected(links):
        names = tuple(votes.rater_names[rater] for rater in members)
        least = min(beyond[rater] for rater in members)
        words = f"{len(names)} raters agree with each other on {least:.0%} more items than their ways of voting explain"
        yield Finding(own.votes(members), "collusion", Evidence(words, least, policy.excess, names))


def connected(links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The groups that links connect, each ascending, by their first member.

    >>> connected([(5, 7), (1, 2), (2, 7)])
    [[1, 2, 5, 7]]
    """
    group = dict[int, list[int]]()
    for link in links:
        joined = sorted({member for end in link for member in group.get(end, [end])})
        for member in joined:
            group[member] = joined
    return sorted({tuple(members): members for members in group.values()}.values())


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Votes by rater, then item, as codes; `starts` is where each rater's begin, and how each names each consensus."""

    raters: Codes
    items: Codes
    codes: Codes
    truths: Codes
    starts: Codes
    confusion: Floats
    pairs: float

    @classmethod
    def of(cls, votes: Votes, is_kept: Flags, consensus: Floats) -> Self:
        truth = votes.steps(consensus)
        told = np.flatnonzero(is_kept & (truth[votes.items] != UNKNOWN))
        told = told[np.lexsort((votes.items[told], votes.raters[told]))]
        raters, items, people = votes.raters[told], votes.items[told], len(votes.rater_names)
        codes, truths = votes.steps(votes.values[told]), truth[items]
        starts = np.searchsorted(raters, np.arange(people + 1))
        crowds = np.bincount(items).astype(float)
        pairs = min(people * (people - 1) / 2, float((crowds * (crowds - 1)).sum()) / 2)
        return cls(
            raters, items, codes, truths, starts, _confusion(raters, truths, codes, people, votes.choices), pairs
        )

    def candidates(self, least: int) -> list[tuple[int, int]]:
        """Pairs of raters who leave the consensus together, the same way, on at least so many items; ascending."""
        people, kinds = self.starts.size - 1, self.confusion.shape[1]
        deviating = np.flatnonzero(self.codes != self.truths)
        groups = self.items[deviating] * kinds + self.codes[deviating]
        order = np.argsort(groups, kind="stable")
        groups, raters = groups[order], self.raters[deviating][order]
        _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
        is_small = counts[places] <= LARGEST_DEVIATION
        groups, raters = groups[is_small], raters[is_small]
        found = np.zeros(0, np.int64)
        for lag in range(1, int(counts[counts <= LARGEST_DEVIATION].max(initial=0))):
            same = groups[lag:] == groups[:-lag]
            found = np.concatenate((found, raters[:-lag][same] * people + raters[lag:][same]))
        keys, together = np.unique(found, return_counts=True)
        return [divmod(key, people) for key in keys[together >= least].tolist()]

    def compare(self, one: int, other: int) -> tuple[int, float, float]:
        """How many items two raters have in common, their excess of agreement as a share of these, and its z-score."""
        left, right = (slice(self.starts[each], self.starts[each + 1]) for each in (one, other))
        common, i, j = np.intersect1d(self.items[left], self.items[right], assume_unique=True, return_indices=True)
        truths = self.truths[left][i]
        expected = (self.confusion[one, truths] * self.confusion[other, truths]).sum(axis=1)
        beyond = float((self.codes[left][i] == self.codes[right][j]).sum() - expected.sum())
        error = math.sqrt(float((expected * (1 - expected)).sum()))
        return common.size, beyond / max(1, common.size), beyond / error if error else 0.0


def _confusion(raters: Codes, truths: Codes, codes: Codes, people: int, kinds: int) -> Floats:
    """How each rater names each consensus, shape (raters, true, named); few votes lean on how everybody does."""
    cells = (raters * kinds + truths) * kinds + codes
    counts = np.bincount(cells, minlength=people * kinds * kinds).reshape(people, kinds, kinds).astype(float)
    crowd = counts.sum(axis=0) + 1 / kinds
    counts += PRIOR_VOTES * crowd / crowd.sum(axis=1, keepdims=True)
    return counts / counts.sum(axis=2, keepdims=True)
