"""The newest hours of a window by themselves: in the mix of a whole day a shift takes hours to show.

A look at a part of a window has that part of its share of `alpha`, since so many such parts lie in a window: all looks
together err no more often than the policy says. What the newest hours are like is compared with the same hours of
earlier weeks, or of earlier days while there are too few weeks, for a night differs from the day around it; where there
is neither, they are not judged by themselves.
"""

import math
from dataclasses import dataclass, replace

from drift.policy import DriftPolicy
from pawl.profile import Profile

_PARTS = (4, 16, 64)
_LONGEST_MS = 12 * 3_600_000


@dataclass(frozen=True, slots=True)
class Look:
    """What came since `since_ms`, to the end of the window, and which share of the window that is."""

    since_ms: int
    share: float
    recent: Profile


def begin(reference: Profile, since_ms: int, until_ms: int) -> list[Look]:
    """A look at each part of a window, the longest first, with nothing in it yet."""
    lengths = [(until_ms - since_ms) // part for part in _PARTS]
    return [
        Look(until_ms - length, length / (until_ms - since_ms), Profile.like(reference, is_open=True))
        for length in lengths
        if 0 < length <= _LONGEST_MS
    ]


def whole_policy(policy: DriftPolicy) -> DriftPolicy:
    """For the whole window beside looks at its parts: half of `alpha`."""
    return replace(policy, alpha=policy.alpha / 2)


def look_policy(policy: DriftPolicy, look: Look) -> DriftPolicy:
    """For a look: the part of the other half that it has a right to."""
    return replace(policy, alpha=policy.alpha / 2 / len(_PARTS) * look.share)


def by_columns_alone(policy: DriftPolicy) -> DriftPolicy:
    """Estimates of accuracy and error, which no `alpha` bounds, are no reason to alarm in so many looks."""
    return replace(policy, accuracy_drop=math.inf, error_rise=math.inf)
