"""How often one model's answers beat another's, and between which bounds that share lies.

Wilson's interval (1927) stays within 0 and 1 and holds for small samples and for shares near the ends. A tie is half a
win; as that makes a share vary less than wins and losses alone would, the interval is on the safe side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class WinRate:
    """The share of wins, and its bounds at a confidence; counts of wins, losses and ties."""

    rate: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    confidence: float = 0.95


def win_rate(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> WinRate:
    """How often a score of ours is above theirs in the same place.

    >>> win_rate([1, 2, 3, 0], [1, 1, 1, 1])
    WinRate(rate=0.625, low=0.2248, high=0.9056, wins=2, losses=1, ties=1, confidence=0.95)
    """
    wins = sum(a > b for a, b in zip(ours, theirs, strict=True))
    losses = sum(a < b for a, b in zip(ours, theirs, strict=True))
    ties = len(ours) - wins - losses
    rate = (wins + ties / 2) / len(ours)
    low, high = wilson(rate, len(ours), confidence)
    return WinRate(round(rate, 4), round(low, 4), round(high, 4), wins, losses, ties, confidence)


def wilson(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The bounds of a share that was observed among `count`.

    >>> [round(bound, 4) for bound in wilson(0.5, 100)]
    [0.4038, 0.5962]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = share + z * z / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return (centre - reach) / scale, (centre + reach) / scale
