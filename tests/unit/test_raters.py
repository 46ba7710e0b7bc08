"""Reliability of raters by their labels: exact where it can be said by hand, recovered where it was simulated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pawl.errors import TooLarge
from pawl.raters import UNKNOWN, LabelConsensus, label_consensus, prior_confusion

Codes = NDArray[np.int64]
Labels = tuple[Codes, Codes, Codes]
CAREFUL = [[0.9, 0.07, 0.03], [0.05, 0.9, 0.05], [0.1, 0.1, 0.8]]
LAZY = [[0.8, 0.1, 0.1], [0.75, 0.15, 0.1], [0.7, 0.1, 0.2]]
SWAPPING = [[0.1, 0.85, 0.05], [0.85, 0.1, 0.05], [0.05, 0.05, 0.9]]


def _crowd(seed: int, items: int, confusions: list[list[list[float]]]) -> tuple[Codes, Labels]:
    """True labels, and everybody's vote on every item."""
    generator = np.random.default_rng(seed)
    matrices = np.array(confusions)
    truths = generator.choice(matrices.shape[1], items)
    rows, raters = np.arange(items).repeat(len(confusions)), np.tile(np.arange(len(confusions)), items)
    upto = matrices[raters, truths[rows]].cumsum(axis=1)
    return truths, (rows, raters, (upto < generator.random(rows.size)[:, None]).sum(axis=1))


def _binary(accuracies: list[float]) -> list[list[list[float]]]:
    return [[[right, 1 - right], [1 - right, right]] for right in accuracies]


def _fit(votes: Labels, sizes: tuple[int, int, int], known: Codes | None = None) -> LabelConsensus:
    found = label_consensus(*votes, sizes, known)
    assert found.has_converged
    return found


def test_known_confusion_matrices_are_recovered() -> None:
    confusions = [CAREFUL, CAREFUL, CAREFUL, LAZY, SWAPPING]
    truths, votes = _crowd(1, 3000, confusions)

    found = _fit(votes, (3000, 5, 3))

    assert np.abs(found.confusion - confusions).max() < 0.04
    assert (found.labels == truths).mean() > 0.97


def test_a_rater_without_a_vote_is_as_the_prior_says() -> None:
    found = _fit((np.array([0, 1]), np.array([0, 0]), np.array([0, 1])), (2, 2, 2))

    assert found.confusion[1] == pytest.approx(prior_confusion(2) / 8)
    assert found.confusion[1, 0].tolist() == pytest.approx([0.6, 0.4])
    assert found.trust[1] == pytest.approx(0.2)


def test_trust_grows_with_right_votes_and_falls_with_wrong_ones() -> None:
    trusts = list[float]()
    for votes_of_ada in (0, 1, 5, 50):
        truths, (items, raters, labels) = _crowd(2, 50, _binary([0.95] * 6))
        is_counted = (raters > 0) | (items < votes_of_ada)
        labels = np.where(raters == 0, truths[items], labels)
        votes = (items[is_counted], raters[is_counted], labels[is_counted])
        trusts.append(float(_fit(votes, (50, 6, 2)).trust[0]))
    wrong = label_consensus(items, raters, np.where(raters == 0, 1 - truths[items], labels), (50, 6, 2)).trust[0]

    assert trusts == sorted(trusts) and trusts[0] == pytest.approx(0.2) and trusts[1] < 0.35 and trusts[-1] > 0.8
    assert wrong == 0


def test_who_guesses_or_always_says_the_same_is_worth_nothing_and_a_vote_of_the_opposite_is_read_as_such() -> None:
    truths, votes = _crowd(3, 2000, [*_binary([0.85, 0.85, 0.85, 0.5, 0.1]), [[0.0, 1.0], [0.0, 1.0]]])

    found = _fit(votes, (2000, 6, 2))

    assert found.trust[:3].min() > 0.6 and found.trust[3:].max() < 0.05
    assert found.confusion[4, 0, 1] == pytest.approx(0.9, abs=0.03)
    assert (found.labels == truths).mean() > 0.95


def test_adversaries_hurt_a_majority_much_more() -> None:
    truths, votes = _crowd(4, 1000, _binary([0.8, 0.8, 0.8, 0.8, 0.05, 0.05, 0.05]))
    majority = np.bincount(votes[0], weights=votes[2]) > 3.5

    found = _fit(votes, (1000, 7, 2))

    assert (majority == truths).mean() < 0.5
    assert (found.labels == truths).mean() > 0.95


def test_gold_items_stand_against_a_majority_that_is_wrong() -> None:
    """Of seven raters four share an error on every second item."""
    truths = np.tile([0, 0, 1, 1], 50)
    wrong = np.where(np.arange(200) % 2, 1 - truths, truths)
    items, raters = np.arange(200).repeat(7), np.tile(np.arange(7), 200)
    votes = (items, raters, np.where(raters < 4, wrong[items], truths[items]))
    gold = np.where(np.arange(200) < 20, truths, UNKNOWN)

    assert (_fit(votes, (200, 7, 2)).labels == truths).mean() == 0.5
    assert (_fit(votes, (200, 7, 2), gold).labels == truths).all()


def test_an_item_without_a_vote_has_the_shares_of_all_others() -> None:
    found = _fit((np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, 1, 1])), (3, 2, 2))

    assert found.beliefs[2] == pytest.approx(found.shares, abs=1e-3)
    assert found.shares.sum() == pytest.approx(1)


def test_more_raters_of_more_labels_than_memory_holds_are_refused() -> None:
    nothing = np.zeros(0, np.int64)

    with pytest.raises(TooLarge, match="want at most 1677 raters at once, or fewer labels"):
        label_consensus(nothing, nothing, nothing, (1, 10_000, 100))


@given(st.integers(0, 10_000))
def test_the_order_of_votes_and_the_names_of_raters_do_not_matter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    _, votes = _crowd(seed, 20, _binary([0.9, 0.7, 0.6, 0.3]))
    order, names = generator.permutation(80), generator.permutation(4)
    items, raters, labels = votes

    found = label_consensus(*votes, (20, 4, 2))
    again = label_consensus(items[order], names[raters[order]], labels[order], (20, 4, 2))

    assert again.beliefs == pytest.approx(found.beliefs, abs=1e-9)
    assert again.trust[names] == pytest.approx(found.trust, abs=1e-9)


def test_a_rater_who_is_always_right_makes_the_consensus_no_worse_on_average() -> None:
    before, after = list[float](), list[float]()
    for seed in range(20):
        truths, votes = _crowd(seed, 100, _binary([0.8, 0.7, 0.6, 0.6, 1.0]))
        known = votes[1] < 4
        fewer = tuple(each[known] for each in votes)
        before.append(float((label_consensus(*fewer, (100, 4, 2)).labels == truths).mean()))
        after.append(float((label_consensus(*votes, (100, 5, 2)).labels == truths).mean()))

    assert np.mean(after) > np.mean(before) + 0.05
