"""Which raters can be believed, and what is true if they can: labels and booleans (Dawid, Skene 1979).

Each item has one true label and each rater a confusion matrix; both are found together by expectation maximization. A
rater's rows start from pseudo-votes, so that one with few labels is neither trusted nor damned: PRIOR_VOTES of them,
PRIOR_RIGHT of which are right, the defaults of the R package rater (Pullin, Gurrin, Vukcevic 2023).

The model takes raters to err independently, given the truth. A majority that shares its errors is believed, unless
enough items are known to show who is right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.errors import TooLarge

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
UNKNOWN = -1
PRIOR_VOTES = 8.0
PRIOR_RIGHT = 0.6
# Pseudo-items a label, by the same source.
PRIOR_ITEMS = 3.0
ROUNDS = 200
# When no item's belief moves by more in a round, the fit has converged.
TOLERANCE = 1e-4
# 128 MiB a copy of all confusion matrices, of which the fit holds three.
LARGEST_CONFUSION = 2**24


@dataclass(frozen=True, slots=True)
class LabelConsensus:
    """What is true by all raters together, and how each of them errs.

    `beliefs`: the probability of each label, shape (items, labels). `confusion`: how a rater names each true label,
    shape (raters, labels true, labels named), rows summing to 1. `shares`: how common each label is, shape (labels,).
    """

    beliefs: Floats
    confusion: Floats
    shares: Floats
    rounds: int
    has_converged: bool

    @property
    def labels(self) -> Codes:
        """The likeliest label of each item, shape (items,); the first of equals."""
        return self.beliefs.argmax(axis=1)

    @property
    def trust(self) -> Floats:
        """How far a rater's votes depend on the truth, from 0 to 1, shape (raters,).

        Youden's J, or informedness for more labels than two: 1 for who is always right, 0 for who guesses or always
        says the same, whatever the shares of the labels (Raykar, Yu 2012). Who says the opposite gets 0, not less.
        """
        labels = self.shares.size
        right = np.trace(self.confusion, axis1=1, axis2=2)
        return np.maximum(0.0, (right - 1) / max(1, labels - 1))


def label_consensus(
    items: Codes, raters: Codes, labels: Codes, sizes: tuple[int, int, int], known: Codes | None = None
) -> LabelConsensus:
    """Fit Dawid and Skene's model to votes, each an index of its item, its rater and its label; shape (votes,) each.

    `sizes` are how many items, raters and labels there are. `known` holds true labels, shape (items,), UNKNOWN where
    they are not: by these alone raters are judged at first, and by all items then. TooLarge when confusion matrices
    would not fit the memory.

    >>> found = label_consensus(np.array([0, 0, 0]), np.array([0, 1, 2]), np.array([1, 1, 0]), (1, 3, 2))
    >>> found.labels.tolist(), found.trust.round(2).tolist()
    ([1], [0.2, 0.2, 0.17])
    """
    _require_room(sizes)
    size, people, kinds = sizes
    cells = raters * kinds + labels
    truths = np.full(size, UNKNOWN) if known is None else known
    beliefs = _fixed(_vote_shares(items, labels, size, kinds), truths)
    rounds, moved = 0, np.inf
    # From vote shares a majority that is wrong would prove itself right: start from what gold says of raters.
    begin = truths[items] != UNKNOWN if (truths != UNKNOWN).any() else slice(None)
    confusion, shares = _raters(items[begin], cells[begin], beliefs, people)
    while rounds < ROUNDS and moved > TOLERANCE:
        updated = _fixed(_beliefs(items, cells, confusion, shares, size), truths)
        moved = float(np.abs(updated - beliefs).max(initial=0.0))
        beliefs, rounds = updated, rounds + 1
        confusion, shares = _raters(items, cells, beliefs, people)
    return LabelConsensus(beliefs, confusion, shares, rounds, moved <= TOLERANCE)


def prior_confusion(labels: int) -> Floats:
    """The pseudo-votes of a rater of whom nothing is known, shape (labels true, labels named)."""
    wrong = PRIOR_VOTES * (1 - PRIOR_RIGHT) / max(1, labels - 1)
    return np.full((labels, labels), wrong) + (PRIOR_VOTES * PRIOR_RIGHT - wrong) * np.eye(labels)


def sums(places: Codes, values: Floats, size: int) -> Floats:
    """Values summed by their place, shape (size,)."""
    return np.bincount(places, weights=values, minlength=size).astype(np.float64, copy=False)


def _require_room(sizes: tuple[int, int, int]) -> None:
    _, people, kinds = sizes
    if people * kinds * kinds > LARGEST_CONFUSION:
        most = LARGEST_CONFUSION // (kinds * kinds)
        raise TooLarge(f"{people} raters of {kinds} labels: want at most {most} raters at once, or fewer labels")


def _vote_shares(items: Codes, labels: Codes, size: int, kinds: int) -> Floats:
    counts = np.bincount(items * kinds + labels, minlength=size * kinds).reshape(size, kinds) + 1 / kinds
    return counts / counts.sum(axis=1, keepdims=True)


def _fixed(beliefs: Floats, truths: Codes) -> Floats:
    is_known = truths != UNKNOWN
    beliefs[is_known] = np.eye(beliefs.shape[1])[truths[is_known]]
    return beliefs


def _raters(items: Codes, cells: Codes, beliefs: Floats, people: int) -> tuple[Floats, Floats]:
    """The M step: confusion matrices and the labels' shares, given what is believed of the items."""
    size, kinds = beliefs.shape
    counts = np.empty((people, kinds, kinds))
    for truth in range(kinds):
        counts[:, truth] = sums(cells, beliefs[items, truth], people * kinds).reshape(people, kinds)
    counts += prior_confusion(kinds)
    counts /= counts.sum(axis=2, keepdims=True)
    return counts, (beliefs.sum(axis=0) + PRIOR_ITEMS) / (size + kinds * PRIOR_ITEMS)


def _beliefs(items: Codes, cells: Codes, confusion: Floats, shares: Floats, size: int) -> Floats:
    """The E step: the probability of each label of each item, given how raters err."""
    found = np.empty((size, shares.size))
    for truth, share in enumerate(shares):
        told = np.log(confusion[:, truth]).ravel()
        found[:, truth] = np.log(share) + sums(items, told[cells], size)
    found -= found.max(axis=1, keepdims=True)
    np.exp(found, out=found)
    found /= found.sum(axis=1, keepdims=True)
    return found
