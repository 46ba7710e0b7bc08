"""A regression's error before any label has come (DLE): what was learned of errors, over a window's own columns.

Like accuracy told from confidences it sees what a shift of the inputs does, and no changed meaning of the same inputs.
"""

import math
from dataclasses import dataclass

from drift.policy import DriftPolicy
from pawl.errors import IncompatibleProfiles
from pawl.expectation import ExpectedError
from pawl.losses import BAND
from pawl.profile import Profile


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """The mean absolute error to expect of recent answers, with a band of three standard errors, and the reference's.

    `uncovered` is the largest share of a column's rows where no labelled row was: nothing is known of errors there.
    """

    error: float
    low: float
    high: float
    reference: float
    uncovered: float
    has_risen: bool


def estimate_error(
    reference: Profile, recent: Profile, known: ExpectedError | None, policy: DriftPolicy
) -> ErrorEstimate | None:
    """By the columns of both; None where nothing is known of errors, or a column is gone."""
    if known is None:
        return None
    try:
        before, now = known.estimate(reference), known.estimate(recent)
    except IncompatibleProfiles:
        return None
    error = known.losses.deviation * math.sqrt(1 / recent.rows + 1 / known.losses.rows)
    low, high = max(0.0, now.value - BAND * error), now.value + BAND * error
    has_risen = low > before.value and now.value >= before.value * (1 + policy.error_rise)
    figures = (float(f"{each:.5g}") for each in (now.value, low, high, before.value))
    return ErrorEstimate(*figures, uncovered=round(now.uncovered, 4), has_risen=has_risen)
