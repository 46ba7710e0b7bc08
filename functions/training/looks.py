"""Over-optimization: what is looked at while a model is aligned, and which look was the best.

A reward, or the loss on the pairs trained on, is a proxy: pushed far enough, it rises while what people prefer falls
(Gao, Schulman, Hilton 2022). Gold is what nothing trains on: how surely the policy, by its own likelihoods, prefers
the chosen answers of held-out pairs. A look is better only when gold has not fallen by more than its standard error
from the highest that was seen: from the best one, it could slide by as much again and again.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """The policy at one step. KL in nats against the reference; `gold` and `gold_accuracy` are shares."""

    step: int
    reward: float
    """The judge's mean reward of sampled answers; without a judge, the mean implicit margin on pairs trained on."""
    gold: float
    gold_error: float
    gold_accuracy: float
    kl_per_token: float
    kl_per_answer: float
    kl_error: float
    answer_tokens: float


def gold(margins: Floats, weights: Floats) -> tuple[float, float, float]:
    """How surely held-out pairs are preferred as people do: mean chance, its standard error, share preferred at all.

    `margins` (pairs,) are beta times the difference of both answers' log ratios to the reference: the log odds that
    DPO gives the chosen one (Rafailov et al. 2023). A margin of nothing counts half.

    >>> gold(np.zeros(4), np.ones(4))
    (0.5, 0.0, 0.5)
    """
    chances = 0.5 * (1 + np.tanh(margins / 2))
    shares = weights / weights.sum()
    mean = float(shares @ chances)
    error = math.sqrt(float(np.square(shares) @ np.square(chances - mean)))
    return mean, error, float(shares @ (0.5 * (np.sign(margins) + 1)))


def is_better(new: Look, best: Look, highest: Look, most_kl: float) -> bool:
    """Whether the policy is to be kept as it is at `new` rather than at `best`; never beyond `most_kl` an answer.

    `highest` is the look with the most gold of those so far that may be kept.
    """
    if new.kl_per_answer > most_kl or has_fallen(new, highest):
        return False
    return new.reward > best.reward or new.gold > best.gold + best.gold_error


def is_over_optimized(new: Look, best: Look, highest: Look) -> bool:
    """Whether the reward has risen since the best look while gold is lower than it was at its highest."""
    return new.reward > best.reward and has_fallen(new, highest)


def has_fallen(new: Look, highest: Look) -> bool:
    """Whether gold is lower than at its highest by more than chance would have it."""
    return new.gold < highest.gold - max(highest.gold_error, new.gold_error)
