"""Rows with labels, predictions and what is known of them, the same for NannyML and for those who compare with it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

Integers = NDArray[np.int64]
Values = NDArray[np.float64]
ROWS, WINDOW = 20_000, 8_000
"""Labelled rows to learn from, and those of the window that quality is estimated of."""
AGES = 20
"""Ages in `priced` are whole numbers below it."""


class Binary(NamedTuple):
    """Two labels, 0 and 1: the predicted one, the stated probability of 1, and the true one."""

    guess: Integers
    probability: Values
    truth: Integers


class Ternary(NamedTuple):
    """Three labels: the predicted one, each one's probability, shape (rows, 3), and the true one."""

    guess: Integers
    probabilities: Values
    truth: Integers


class Priced(NamedTuple):
    """A regression: two features, what was predicted and what was true."""

    age: Integers
    fuel: Integers
    guess: Values
    truth: Values


def binary(seed: int, rows: int, shift: float = 0.0) -> Binary:
    """Of an overconfident classifier; `shift` moves the inputs, not what they mean."""
    generator = np.random.default_rng(seed)
    score = generator.normal(shift, 1.5, rows)
    truth = (generator.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
    stated = 1 / (1 + np.exp(-2 * score))
    return Binary((stated >= 0.5).astype(np.int64), stated, truth)


def ternary(seed: int, rows: int, spread: float = 1.0) -> Ternary:
    """Of a calibrated classifier; the smaller the spread, the harder the inputs."""
    generator = np.random.default_rng(seed)
    chances = np.exp(generator.normal(0, 1.5 * spread, (rows, 3)))
    chances /= chances.sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    return Ternary(chances.argmax(axis=1), chances, truth)


def priced(seed: int, rows: int, oldest: int = AGES) -> Priced:
    """Errors that grow with age and with the last of three fuels; `oldest` bounds the age."""
    generator = np.random.default_rng(seed)
    age, fuel = generator.integers(0, oldest, rows), generator.integers(0, 3, rows)
    guess = 100.0 - 3 * age + 5 * fuel
    losses = (1 + 0.2 * age + 2 * (fuel == 2)) * generator.exponential(1, rows)
    return Priced(age, fuel, guess, guess + losses * generator.choice([-1.0, 1.0], rows))


def two_labels() -> tuple[Binary, Binary]:
    """Labelled rows, and a window whose inputs have shifted."""
    return binary(2, ROWS), binary(3, WINDOW, 0.6)


def three_labels() -> tuple[Ternary, Ternary]:
    """Labelled rows, and a window of harder inputs."""
    return ternary(5, ROWS), ternary(6, WINDOW, 0.5)


def prices() -> tuple[Priced, Priced]:
    """Labelled rows, and a window of younger ones only."""
    return priced(1, ROWS), priced(2, WINDOW, 8)


def tumours() -> tuple[Binary, Binary]:
    """Real rows: scikit-learn's breast cancers, told apart by two measurements, learnt on the first hundred of them."""
    data = load_breast_cancer()
    order = np.random.default_rng(7).permutation(data.target.size)
    features, truth = data.data[order][:, :2], data.target[order].astype(np.int64)
    means, deviations = (
        np.array([each(features[:100][truth[:100] == label], axis=0) for label in (0, 1)]) for each in (np.mean, np.std)
    )
    densities = (-0.5 * ((features[:, None] - means) / deviations) ** 2 - np.log(deviations)).sum(axis=2)
    probability = 1 / (1 + np.exp(densities[:, 0] - densities[:, 1]))
    found = Binary((probability >= 0.5).astype(np.int64), probability, truth)
    return Binary(*(each[100:369] for each in found)), Binary(*(each[369:] for each in found))
