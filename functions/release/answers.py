"""What both contenders answer to the same rows: asked once, one row at a time as in production, for many gates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pawl.dataset import Row
from pawl.model import Model

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]
Score = Callable[[Sequence[str]], Floats]
"""A model's probabilities of texts, shape (texts, labels)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One model's answers to rows: the label given, its probability, and that of the true label, shape (rows,) each."""

    labels: tuple[str, ...]
    """Of all answers together, in the order of `given`'s codes."""
    given: Codes
    sure: Floats
    likelihood: Floats
    right: Bools

    @classmethod
    def of(cls, model: Model, rows: Sequence[Row]) -> Self:
        """The model's answers to the rows."""
        labels = tuple(model.manifest.labels)
        told = scoring(model)([row.text for row in rows])
        return cls.told(labels, told, [row.label for row in rows])

    @classmethod
    def told(cls, labels: tuple[str, ...], told: Floats, truth: Sequence[str]) -> Self:
        """Answers from probabilities, shape (rows, labels); a true label that is not known was given none."""
        is_true = np.array([[label == name for name in labels] for label in truth], bool).reshape(told.shape)
        given = told.argmax(1) if told.size else np.zeros(0, np.int64)
        rows = np.arange(len(told))
        return cls(labels, given, told[rows, given], (told * is_true).sum(1), is_true[rows, given])

    @property
    def accuracy(self) -> float:
        """The share of rows that are answered rightly."""
        return float(self.right.mean()) if self.right.size else 0.0


class Both(NamedTuple):
    """The same rows answered by both; rows with the same place in each array are the same row."""

    rows: Sequence[Row]
    new: Answers
    old: Answers

    @property
    def gains(self) -> Floats:
        """Right by the candidate less right by the live version: 1, 0 or -1 a row."""
        return self.new.right.astype(float) - self.old.right.astype(float)

    def and_also(self, other: "Both") -> "Both":
        """These rows and the other ones."""
        return Both([*self.rows, *other.rows], _joined(self.new, other.new), _joined(self.old, other.old))

    def where(self, chosen: Bools) -> "Both":
        """Only the rows that are chosen."""
        places = np.flatnonzero(chosen)
        return Both([self.rows[int(place)] for place in places], _some(self.new, places), _some(self.old, places))


def ask_both(candidate: Model, live: Model, rows: Sequence[Row], at_most: int) -> Both:
    """Both models' answers to the rows, of which there are no more than `at_most`."""
    chosen = sample(rows, at_most)
    return Both(chosen, Answers.of(candidate, chosen), Answers.of(live, chosen))


def scoring(model: Model) -> Score:
    """The model as a function from texts to probabilities, which asks one text at a time."""
    labels = len(model.manifest.labels)

    def score(texts: Sequence[str]) -> Floats:
        told: list[Any] = [model.predict({"text": [text]}).outputs["probabilities"][0] for text in texts]
        return np.array(told, np.float64).reshape(len(texts), labels)

    return score


def sample(rows: Sequence[Row], at_most: int) -> list[Row]:
    """No more than `at_most` of the rows, in their order."""
    return [rows[place] for place in places_of(rows, at_most)]


def places_of(rows: Sequence[Row], at_most: int) -> list[int]:
    """The places of no more than `at_most` rows, those whose texts' digests come first: whatever else there is."""
    places = range(len(rows))
    if len(rows) <= at_most:
        return list(places)
    digests = [blake2b(row.text.encode("utf-8", "surrogatepass")).digest() for row in rows]
    return sorted(sorted(places, key=digests.__getitem__)[:at_most])


def _joined(one: Answers, other: Answers) -> Answers:
    pairs = zip(_parts(one), _parts(other), strict=True)
    return Answers(one.labels, *(np.concatenate(pair) for pair in pairs))  # pyright: ignore[reportArgumentType]


def _some(answers: Answers, places: NDArray[np.intp]) -> Answers:
    return Answers(answers.labels, *(part[places] for part in _parts(answers)))  # pyright: ignore[reportArgumentType]


def _parts(answers: Answers) -> tuple[Codes, Floats, Floats, Bools]:
    return answers.given, answers.sure, answers.likelihood, answers.right
