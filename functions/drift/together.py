"""What no single column shows: columns that no longer go together as they did, and an embedding that lies elsewhere.

Columns and their products by two are the features of the kernel (x·y + 1)², so its maximum mean discrepancy is known
from their sums. Each mean is tested by itself, by its own variance over rows, which holds whatever the distribution and
tells what has changed; p-values are corrected for the number of these tests (Bonferroni), and once more with columns.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drift.policy import DriftPolicy
from pawl.gaussian import expected_frechet_distance, frechet_distance
from pawl.joint import JointSketch, mean_discrepancy
from pawl.profile import EMBEDDING, TOGETHER, Profile
from pawl.testing import normal_survival

Floats = NDArray[np.float64]
LEAST_ROWS = 50
"""Of fewer rows a mean of products is not near enough to a normal variable."""
_HALF_NORMAL_MEAN = math.sqrt(2 / math.pi)


@dataclass(frozen=True, slots=True)
class Tie:
    """Two columns and their correlation, or one and its mean or variance in units of its spread, before and now."""

    columns: tuple[str, ...]
    measure: Literal["correlation", "mean", "variance"]
    before: float
    now: float

    @property
    def sentence(self) -> str:
        """What it is of, in words."""
        about = {"correlation": "correlation of ", "mean": "mean of ", "variance": "variance of "}[self.measure]
        return about + " and ".join(self.columns)


@dataclass(frozen=True, slots=True)
class Change:
    """A joint sketch's comparison; `effect` is beyond chance and 1 at its limit, `tie` is what changed most surely.

    `discrepancy` is the squared maximum mean discrepancy, about 0 for samples of one distribution.
    """

    name: str
    measure: Literal["correlation", "frechet"]
    distance: float
    effect: float
    p_value: float
    tie: Tie
    discrepancy: float


def changes(reference: Profile, recent: Profile, policy: DriftPolicy) -> list[Change]:
    """Every joint sketch that both profiles have rows of, over the same axes, compared."""
    found: list[Change] = []
    for name, measure in ((TOGETHER, _correlations), (EMBEDDING, _embedding)):
        old, new = reference.joints.get(name), recent.joints.get(name)
        if old is None or new is None or old.axes != new.axes or min(old.rows, new.rows) < LEAST_ROWS:
            continue
        kept = [place for place, axis in enumerate(old.axes) if axis.name not in policy.ignored_columns]
        if len(kept) > 1 and name not in policy.ignored_columns:
            found.append(measure(old.only(kept), new.only(kept), policy))
    return found


def _correlations(old: JointSketch, new: JointSketch, policy: DriftPolicy) -> Change:
    """The pair of columns whose correlation has changed most, of those that have changed beyond chance if any has."""
    first, second = np.triu_indices(len(old.axes), 1)
    moved = np.abs(np.nan_to_num(new.correlation() - old.correlation()))[first, second]
    errors = _errors(old, new)[first, second]
    p_values = _p_values((new.covariance() - old.covariance())[first, second], errors)
    spread = np.sqrt(np.outer(np.diag(old.covariance()), np.diag(old.covariance())))[first, second]
    beyond = moved - _HALF_NORMAL_MEAN * np.divide(errors, spread, out=np.zeros_like(errors), where=spread > 0)
    is_sure = p_values < policy.alpha
    best = int(np.argmax(np.where(is_sure, beyond, -1.0))) if is_sure.any() else int(np.argmin(p_values))
    tie = _tie(old, new, int(first[best]), int(second[best]))
    effect = max(0.0, float(beyond[best])) / policy.correlation_limit
    return Change(
        TOGETHER,
        "correlation",
        round(float(moved[best]), 4),
        round(effect, 4),
        float(p_values[best]),
        tie,
        _discrepancy(old, new),
    )


def _embedding(old: JointSketch, new: JointSketch, policy: DriftPolicy) -> Change:
    """The Frechet distance a direction beyond chance, and the mean or product that has changed most surely."""
    size = len(old.axes)
    apart = frechet_distance(old.mean(), old.covariance(), new.mean(), new.covariance())
    beyond = apart - expected_frechet_distance(old.covariance(), old.rows, new.rows)
    first, second = np.triu_indices(size)
    variances = (old.rows * np.diag(old.covariance()) + new.rows * np.diag(new.covariance())) / (old.rows + new.rows)
    mean_errors = np.sqrt(np.maximum(variances, 0.0) * (1 / old.rows + 1 / new.rows))
    moved = np.concatenate((new.mean() - old.mean(), (new.covariance() - old.covariance())[first, second]))
    errors = np.concatenate((mean_errors, _errors(old, new)[first, second]))
    p_values = _p_values(moved, errors)
    surest = int(np.argmax(np.divide(np.abs(moved), errors, out=np.zeros_like(errors), where=errors > 0)))
    if surest < size:
        before, now = (round(float(each.mean()[surest]), 4) for each in (old, new))
        tie = Tie((str(old.axes[surest]),), "mean", before, now)
    else:
        tie = _tie(old, new, int(first[surest - size]), int(second[surest - size]))
    distance, effect = (math.sqrt(max(0.0, each) / size) for each in (apart, beyond))
    limited = round(effect / policy.embedding_limit, 4)
    return Change(
        EMBEDDING, "frechet", round(distance, 4), limited, float(p_values[surest]), tie, _discrepancy(old, new)
    )


def _discrepancy(old: JointSketch, new: JointSketch) -> float:
    return round(mean_discrepancy(old, new), 4)


def _tie(old: JointSketch, new: JointSketch, first: int, second: int) -> Tie:
    """A pair and its correlation, or one column and its variance."""
    is_pair = first != second
    names = tuple(str(old.axes[place]) for place in dict.fromkeys((first, second)))
    shown = (np.nan_to_num(each.correlation()) if is_pair else each.covariance() for each in (old, new))
    before, now = (round(float(each[first, second]), 4) for each in shown)
    return Tie(names, "correlation" if is_pair else "variance", before, now)


def _errors(old: JointSketch, new: JointSketch) -> Floats:
    """The standard error of each product's change, were both samples of one distribution; shape (axes, axes)."""
    pooled = (old.rows * old.product_variance() + new.rows * new.product_variance()) / (old.rows + new.rows)
    return np.sqrt(pooled * (1 / old.rows + 1 / new.rows))


def _p_values(moved: Floats, errors: Floats) -> Floats:
    """Two-sided, corrected for their number; what never changes in either sample has not moved."""
    z = np.divide(np.abs(moved), errors, out=np.zeros_like(errors), where=errors > 0)
    return np.minimum(1.0, z.size * np.array([2 * normal_survival(each) for each in z.tolist()]))
