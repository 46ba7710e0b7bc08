"""Rules that change letters and words, and adversaries that search with a budget."""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest

from pawl.attack import attack_numbers, attack_text, misspellings
from pawl.perturbation import RULES, perturbed, slip

TEXT = "Hello, I can't find my invoice from yesterday. Can you send it again, please?"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_changes_a_text_in_the_same_way_each_time(rule: str) -> None:
    changed = perturbed(TEXT, rule, seed=1)

    assert changed != TEXT
    assert changed == perturbed(TEXT, rule, seed=1)
    assert rule in ("unpunctuated", "shouted", "reworded", "spaced") or changed != perturbed(TEXT, rule, seed=2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("text", ["", " ", "?", "ok", "日本語のテキスト", "\ud800", "a b", "i'm"], ids=ascii)
def test_no_rule_stumbles_over_a_strange_text(rule: str, text: str) -> None:
    assert isinstance(perturbed(text, rule, seed=1), str)


def test_each_rule_does_what_it_is_called() -> None:
    assert perturbed(TEXT, "shouted", 1) == TEXT.upper()
    assert perturbed(TEXT, "unpunctuated", 1).startswith("hello i can't find my invoice from yesterday can you send")
    reworded = "Hello, I can not find my invoice from the day before today. Could you send it once more, kindly?"
    assert perturbed(TEXT, "reworded", 1) == reworded
    assert TEXT in perturbed(TEXT, "framed", 1)
    assert perturbed(TEXT, "spaced", 1).replace(" ", "") == TEXT.replace(" ", "")


def test_a_contraction_is_opened_once_and_not_closed_again() -> None:
    assert perturbed("I'm sure it is not", "reworded", 1) == "I am sure it's not"


@pytest.mark.parametrize("word", ["bus", "parcel", "Straßenbahn"])
def test_a_slip_leaves_the_last_letter_and_changes_the_length_by_one_at_most(word: str) -> None:
    for seed in range(50):
        slipped = slip(word, random.Random(seed))
        assert abs(len(slipped) - len(word)) <= 1
        assert slipped[-1] == word[-1]


def test_misspellings_are_other_words_that_share_letters() -> None:
    for found in misspellings("parcel", random.Random(3)):
        assert found != "parcel"
        assert len(set(found) & set("parcel")) >= 4


class Spotter:
    """A model of two labels that knows a few words and counts what it is asked."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        hits = [sum(word in self.known for word in text.split()) for text in texts]
        sure = np.array([0.4 + 0.2 * hit for hit in hits])
        return np.stack([1 - sure, sure], axis=1)


def test_the_word_that_matters_is_misspelled_first() -> None:
    spotter = Spotter(["refund"])

    done = attack_text("where is the refund that you promised", 1, spotter, queries=40, share=0.2, seed=1)

    assert done.is_fooled
    assert "refund" not in done.found.split()
    assert [word for word in done.found.split() if word in ["where", "is", "the", "that", "you", "promised"]] == (
        ["where", "is", "the", "that", "you", "promised"]
    )
    assert done.queries == len(spotter.asked) <= 40


def test_several_words_are_misspelled_where_one_is_not_enough() -> None:
    done = attack_text("refund of the invoice", 1, Spotter(["refund", "invoice"]), queries=60, share=0.5, seed=1)

    assert done.is_fooled
    assert not {"refund", "invoice"} & set(done.found.split())


def test_no_more_words_are_changed_than_may_be() -> None:
    words = ["refund", "invoice", "bill", "payment"]

    done = attack_text(" ".join(words), 1, Spotter(words), queries=200, share=0.25, seed=1)

    assert not done.is_fooled
    assert sum(word in words for word in done.found.split()) == 3


@pytest.mark.parametrize("queries", [1, 2, 5, 9])
def test_an_attack_asks_no_more_than_its_budget(queries: int) -> None:
    words = ["refund", "invoice", "bill", "payment"]
    spotter = Spotter(words)

    done = attack_text(" ".join(words), 1, spotter, queries=queries, share=1, seed=1)

    assert len(spotter.asked) == done.queries <= queries


def test_what_is_answered_wrongly_needs_no_attack() -> None:
    done = attack_text("good morning", 1, Spotter(["refund"]), queries=40, share=1, seed=1)

    assert (done.is_fooled, done.queries, done.found) == (True, 1, "good morning")


def test_a_text_without_a_word_is_asked_for_its_importance_and_is_no_attack() -> None:
    def counts_words(texts: Sequence[str]) -> np.ndarray:
        return np.array([[0.1, 0.9] if len(text.split()) > 2 else [0.9, 0.1] for text in texts])

    done = attack_text("lamp stays dark", 1, counts_words, queries=40, share=1, seed=1)

    assert not done.is_fooled


def _linear(weights: np.ndarray) -> object:
    def score(rows: np.ndarray) -> np.ndarray:
        sure = 1 / (1 + np.exp(-rows @ weights))
        return np.stack([1 - sure, sure], axis=1)

    return score


def test_numbers_are_moved_against_the_weights_within_their_reach() -> None:
    weights = np.array([3.0, -2.0, 1.0, 0.5, -0.1])
    row = np.array([0.5, 0.1, 0.3, 0.2, 0.0])
    reach = np.full(5, 0.3)

    done = attack_numbers(row, 1, _linear(weights), 60, reach, seed=1)

    assert done.is_fooled and (row - 0.3 * np.sign(weights)) @ weights < 0
    assert np.all(np.abs(done.found - row) <= reach + 1e-12)
    assert done.queries <= 120


def test_numbers_too_far_from_the_border_hold() -> None:
    weights = np.array([3.0, -2.0, 1.0])
    row = np.array([2.0, -1.0, 1.0])

    done = attack_numbers(row, 1, _linear(weights), 80, np.full(3, 0.3), seed=1)

    assert not done.is_fooled
    assert 80 < done.queries <= 160
    assert done.found == pytest.approx(row - 0.3 * np.sign(weights))


def test_a_hole_between_the_corners_of_the_reach_is_found_by_descent() -> None:
    row, reach = np.zeros(4), np.full(4, 0.3)
    hole = np.array([0.15, -0.15, 0.15, 0.0])

    def score(rows: np.ndarray) -> np.ndarray:
        wrong = np.exp(-((rows - hole) ** 2).sum(axis=1) / 0.06)
        return np.stack([wrong, 1 - wrong], axis=1)

    corners = np.array(list(itertools.product((-0.3, 0.3), repeat=4)))
    assert (score(corners).argmax(axis=1) == 1).all() and score(row[None]).argmax() == 1
    done = attack_numbers(row, 1, score, 60, reach, seed=1)

    assert done.is_fooled and 60 < done.queries <= 120
    assert np.all(np.abs(done.found - row) <= reach)
