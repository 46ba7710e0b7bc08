"""Adversaries with a budget of questions: how little must change until the answer does.

Of texts, the words that matter most are misspelled one after the other (DeepWordBug, Gao et al. 2018; TextBugger, Li et
al. 2019). Of numbers, random signs of the whole reach are kept where they hurt (Square Attack's search, Andriushchenko
et al. 2020); then projected gradient descent (PGD, Madry et al. 2018) goes on from there, its gradient estimated from
answers (Ilyas et al. 2018), for quantized graphs and trees have none. All see the model's probabilities and nothing
else, as any client does.
"""

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pawl.perturbation import HOMOGLYPHS, NEIGHBOURS, chance_of

Floats = NDArray[np.float64]
Asked = TypeVar("Asked")
Score = Callable[[Sequence[str]], Floats]
"""Probabilities of texts, shape (texts, labels)."""
_WORDS = re.compile(r"\w+")
_FIRST_SHARE = 0.8
_PAIRS, _STEP, _PROBE = 4, 0.5, 0.5
"""Of the descent: pairs of answers an estimate; how long steps and probes are, as parts of the reach."""
_LEAST_CHANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Attacked(Generic[Asked]):
    """What an attack came to: the input that hurt most, whether the answer is wrong there, and what it cost."""

    found: Asked
    is_fooled: bool
    queries: int


def attack_text(text: str, true: int, score: Score, queries: int, share: float, seed: int) -> Attacked[str]:
    """Misspell up to a `share` of the words, those first whose absence costs the true label most.

    `score` is asked at most `queries` times. A text that is answered wrongly as it is needs no attack.
    """
    search = _Search(true, score, queries)
    least = search.ask(text)
    words = [found.span() for found in _WORDS.finditer(text)]
    order = [] if search.fooling is not None else search.most_important(text, words)
    chance, changes, found = chance_of(f"{seed} {text}"), list[tuple[int, str]](), text
    for place in order[: max(1, int(share * len(words)))]:
        change: tuple[int, str] | None = None
        for word in misspellings(text[slice(*words[place])], chance):
            if search.is_over:
                break
            spelled = _replaced(text, words, [*changes, (place, word)])
            cost = search.ask(spelled)
            if cost < least:
                least, found, change = cost, spelled, (place, word)
        if change:
            changes.append(change)
    if search.fooling is not None:
        return Attacked(search.fooling, True, search.asked)
    return Attacked(found, False, search.asked)


def misspellings(word: str, chance: random.Random) -> list[str]:
    r"""A word as a person still reads it: split, a letter left out, two swapped, a neighbouring key, a look-alike.

    >>> print(ascii(misspellings("refund", random.Random(2))))
    ['r efund', 'rfund', 'rfeund', 'rwfund', 'r\u0435fund']
    """
    found = list[str]()
    if len(word) > 2:
        place = chance.randrange(1, len(word) - 1)
        before, letter, after = word[:place], word[place], word[place + 1 :]
        beside = chance.choice(NEIGHBOURS.get(letter.lower(), letter))
        found += [f"{before} {letter}{after}", before + after]
        found += [before + after[:1] + letter + after[1:], before + beside + after]
    alike = [place for place, letter in enumerate(word) if letter.lower() in HOMOGLYPHS]
    if alike:
        place = chance.choice(alike)
        found.append(word[:place] + HOMOGLYPHS[word[place].lower()] + word[place + 1 :])
    return found


def attack_numbers(
    row: Floats, true: int, score: Callable[[Floats], Floats], queries: int, reach: Floats, seed: int
) -> Attacked[Floats]:
    """Move each value of a row by up to `reach`, shape (values,) as the row's, to cost the true label most.

    `score` takes rows, shape (rows, values), and gives probabilities, shape (rows, labels). Two attacks ask it at most
    `queries` times each: a search over signs, and where that has not fooled it, projected gradient descent.
    """
    chance, box = np.random.default_rng(seed), _Box(row, true, score, reach)
    box.ask(row)
    _turn_signs(box, chance, queries)
    _descend(box, chance, 2 * queries)
    return Attacked(box.found, box.is_fooled, box.asked)


class _Box:
    """Asks a model about rows within reach of one, and keeps the one that costs the true label most."""

    def __init__(self, row: Floats, true: int, score: Callable[[Floats], Floats], reach: Floats) -> None:
        self.row, self.reach = row, reach
        self._true = true
        self._score = score
        self._least = math.inf
        self.asked = 0
        self.found = row
        self.is_fooled = False

    def ask(self, row: Floats) -> float:
        """The logarithm of the true label's probability; a model that is fooled is asked no more."""
        if self.is_fooled:
            return 0.0
        told = self._score(row[None])[0]
        self.asked += 1
        self.is_fooled = bool(told.argmax() != self._true)
        if self.is_fooled or told[self._true] < self._least:
            self._least, self.found = float(told[self._true]), row
        return math.log(max(float(told[self._true]), _LEAST_CHANCE))

    def within(self, row: Floats) -> Floats:
        """The nearest row in reach."""
        return np.clip(row, self.row - self.reach, self.row + self.reach)


def _turn_signs(box: _Box, chance: np.random.Generator, queries: int) -> None:
    """Signs of the whole reach: most are drawn anew at once at first, in the end one at a time."""
    tried = signs = chance.choice((-1.0, 1.0), box.row.size)
    while not box.is_fooled and box.asked < queries:
        moved = box.row + tried * box.reach
        box.ask(moved)
        signs = tried if box.found is moved else signs
        count = max(1, round(box.row.size * _FIRST_SHARE * (1 - box.asked / queries)))
        tried = signs.copy()
        tried[chance.choice(box.row.size, count, replace=False)] *= -1


def _descend(box: _Box, chance: np.random.Generator, queries: int) -> None:
    """Steps against the gradient's signs, from what was found; answers on both sides of a row estimate it.

    What earlier steps told of it is kept, as momentum does (Dong et al. 2018).
    """
    at, gradient = box.found, np.zeros_like(box.row)
    while not box.is_fooled and box.asked + 2 * _PAIRS < queries:
        for way in chance.choice((-1.0, 1.0), (_PAIRS, at.size)):
            ahead, behind = (box.ask(box.within(at + side * _PROBE * box.reach * way)) for side in (1, -1))
            gradient += (ahead - behind) * way
        at = box.within(at - _STEP * box.reach * np.sign(gradient))
        box.ask(at)


class _Search:
    """Asks a model about texts within a budget, and keeps the first attack that fools it."""

    def __init__(self, true: int, score: Score, queries: int) -> None:
        self._true = true
        self._score = score
        self._queries = queries
        self.asked = 0
        self.fooling: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the model is fooled or nothing more may be asked."""
        return self.fooling is not None or self.asked >= self._queries

    def ask(self, text: str, is_attack: bool = True) -> float:
        """The true label's probability."""
        told = self._score([text])[0]
        self.asked += 1
        if is_attack and told.argmax() != self._true:
            self.fooling = text
        return float(told[self._true])

    def most_important(self, text: str, words: Sequence[tuple[int, int]]) -> list[int]:
        """Places of words, the one whose absence costs most first; no more are tried than the budget's half pays."""
        tried = words[: (self._queries - self.asked) // 2]
        costs = [self.ask(text[:start] + text[end:], is_attack=False) for start, end in tried]
        return np.argsort(costs, kind="stable").tolist()


def _replaced(text: str, words: Sequence[tuple[int, int]], changes: Sequence[tuple[int, str]]) -> str:
    """The text with some of its words replaced, by their places among them."""
    for place, word in sorted(changes, reverse=True):
        start, end = words[place]
        text = text[:start] + word + text[end:]
    return text
