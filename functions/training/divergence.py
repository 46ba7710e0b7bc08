"""How far an aligned model has moved from its reference, estimated from what it says itself.

Schulman's estimator k3 (2020, "Approximating KL divergence"): for a token drawn from the policy with r = reference /
policy, r - 1 - log r is never negative and has the divergence as its mean; so has its sum over an answer, by the chain
rule. The answers must be drawn at temperature 1 with nothing cut off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ESTIMATOR = "Schulman's k3 on the policy's own samples, temperature 1"


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL(policy || reference) in nats: a token's mean, an answer's mean, and the standard error of the latter."""

    per_token: float
    per_answer: float
    error: float
    answers: int


def divergence(policy: Sequence[Floats], reference: Sequence[Floats]) -> Divergence:
    """The divergence from log probabilities of the same sampled tokens under both, one array (tokens,) an answer.

    >>> same = [np.log([0.5, 0.25]), np.log([0.125])]
    >>> divergence(same, same)
    Divergence(per_token=0.0, per_answer=0.0, error=0.0, answers=2)
    """
    each = [_k3(ours, theirs) for ours, theirs in zip(policy, reference, strict=True)]
    answers = np.array([tokens.sum() for tokens in each])
    error = float(answers.std(ddof=1)) / math.sqrt(len(answers)) if len(answers) > 1 else 0.0
    tokens = sum(len(one) for one in each)
    return Divergence(float(answers.sum()) / max(1, tokens), float(answers.mean()), error, len(answers))


def _k3(policy: Floats, reference: Floats) -> Floats:
    ratio = reference - policy
    return np.expm1(ratio) - ratio
