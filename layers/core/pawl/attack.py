"""Adversaries with a budget of questions: how little must change until the answer does.

Of texts, the words that matter most are misspelled one after the other (DeepWordBug, Gao et al. 2018; TextBugger, Li et
al. 2019). Of numbers, random signs of a fixed size are kept where they hurt (Square Attack's search over coordinates,
Andriushchenko et al. 2020). Both see the model's probabilities and nothing else, as any client does.
"""

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

    `score` takes rows, shape (rows, values), and gives probabilities, shape (rows, labels). At first most signs are
    drawn anew at once, in the end one at a time.
    """
    chance = np.random.default_rng(seed)
    told = score(row[None])[0]
    signs, least, found = chance.choice((-1.0, 1.0), row.size), float(told[true]), row
    for asked in range(1, queries):
        if told.argmax() != true:
            return Attacked(found, True, asked)
        tried = signs.copy()
        if asked > 1:
            count = max(1, round(row.size * _FIRST_SHARE * (1 - asked / queries)))
            tried[chance.choice(row.size, count, replace=False)] *= -1
        moved = row + tried * reach
        answer = score(moved[None])[0]
        if answer[true] < least or answer.argmax() != true:
            signs, least, found, told = tried, float(answer[true]), moved, answer
    return Attacked(found, bool(told.argmax() != true), queries)


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
