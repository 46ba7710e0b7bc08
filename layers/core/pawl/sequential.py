"""Candidate against live while answers come in: tests that stay valid however often one looks at them.

Answers go to one of two arms at random, by weights that may change, and are told batch by batch, in the order in which
they came: of each arm a tally (`pawl.betting`). Answers are compared with those of the same block only, so a base rate
that moves for both arms, and weights that change meanwhile, deceive nobody. Within a block it should hold still: keep
batches short. A test is a small state, JSON by `to_dict`; leading axes are many tests at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.betting import PRIOR_ROWS, arms_gain, ceiling_gain, log_mixture
from pawl.errors import InvalidRecord, InvalidRequest
from pawl.narrowing import is_list

SCHEMA = 1
Floats = NDArray[np.float64]
CANDIDATE, LIVE = 0, 1
LEAST_ROWS = 3
"""A block is closed once it has so many answers of each arm; until then further batches join it."""
_PROOF_GAPS = (0.5, 1.0, 2.0, 4.0)
_HARM_GAPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_LARGEST_GAP = 0.8
_STATE = ("sums", "pending", "information", "difference_sum", "proof", "harm", "proof_peak", "harm_peak")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure between 0 and 1, more being better, of candidate and live; two tests in one.

    The proof is against "worse than live by `margin` or more", the harm against "worse than live by `tolerance` at
    most". `proof` and `harm` are the logs of each bettor's wealth, shape (..., bettors); the peaks, shape (...), the
    highest that the log of an e-value ever was. `sums` and `pending` are the tallies of closed blocks and of the open
    one, shape (..., 2, 3), candidate first. `information` is the sum of n m / (n + m) over blocks of n and m answers,
    and `difference_sum` that of the same times the difference of means.
    """

    margin: float
    tolerance: float
    sums: Floats
    pending: Floats
    information: Floats
    difference_sum: Floats
    proof: Floats
    harm: Floats
    proof_peak: Floats
    harm_peak: Floats

    @classmethod
    def start(cls, margin: float, tolerance: float = 0.0, shape: tuple[int, ...] = ()) -> Self:
        """Before the first answer; InvalidRequest unless 0 < margin < 1 and 0 <= tolerance < 1."""
        if not 0 < margin < 1 or not 0 <= tolerance < 1:
            raise InvalidRequest(f"margin {margin}, tolerance {tolerance}: want 0 < margin < 1 and 0 <= tolerance < 1")
        nothing, tallies = np.zeros(shape), np.zeros((*shape, 2, 3))
        proof, harm = np.zeros((*shape, len(_PROOF_GAPS))), np.zeros((*shape, len(_HARM_GAPS)))
        return cls(margin, tolerance, tallies, tallies, nothing, nothing, proof, harm, nothing, nothing)

    def update(self, batch: ArrayLike) -> Self:
        """After one more batch: its two tallies, shape (..., 2, 3), candidate first."""
        pending = self.pending + _checked(batch, self.pending.shape)
        return self._closed(pending, np.asarray((pending[..., 0] >= LEAST_ROWS).all(axis=-1)))

    def settle(self) -> Self:
        """Close the open block, since what comes next differs (other weights, a pause); one arm alone is dropped."""
        closed = self._closed(self.pending, np.ones(self.information.shape, bool))
        return replace(closed, pending=np.zeros_like(self.pending))

    def _closed(self, pending: Floats, is_full: NDArray[np.bool_]) -> Self:
        block = np.where(is_full[..., None, None], pending, 0.0)
        new, old = block[..., CANDIDATE, :], block[..., LIVE, :]
        before = self.sums[..., CANDIDATE, :], self.sums[..., LIVE, :]
        proof = self.proof + arms_gain(new, old, before, -self.margin, _gaps(_PROOF_GAPS, self.margin))
        harm = self.harm + arms_gain(old, new, (before[1], before[0]), self.tolerance, _gaps(_HARM_GAPS, self.margin))
        information, difference = _apart(new, old)
        return replace(
            self,
            sums=self.sums + block,
            pending=pending - block,
            information=self.information + information,
            difference_sum=self.difference_sum + difference * information,
            proof=proof,
            harm=harm,
            proof_peak=np.maximum(self.proof_peak, log_mixture(proof)),
            harm_peak=np.maximum(self.harm_peak, log_mixture(harm)),
        )

    @property
    def rows(self) -> Floats:
        """How many answers have come, shape (..., 2), candidate first."""
        return self.sums[..., 0] + self.pending[..., 0]

    @property
    def difference(self) -> Floats:
        """Candidate's mean less live's, compared within blocks (Mantel, Haenszel 1959); 0 before the first one."""
        return self.difference_sum / np.where(self.information > 0, self.information, 1.0)

    @property
    def standard_error(self) -> Floats:
        """Of `difference`, each arm by its own variance (Welch 1947); infinite before the first block.

        The smaller arm counts by the rows of the larger: pooled, a candidate that varies more would look too sure.
        """
        rows, total, squares = (self.sums[..., at] for at in range(3))
        spreads = (squares - total * total / np.maximum(rows, 1.0) + PRIOR_ROWS / 4) / (rows + PRIOR_ROWS)
        spread = (spreads * rows[..., ::-1]).sum(axis=-1) / np.maximum(rows.sum(axis=-1), 1.0)
        return np.sqrt(spread / np.where(self.information > 0, self.information, 1e-300))

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON holds it."""
        settings = {"schema": SCHEMA, "margin": self.margin, "tolerance": self.tolerance}
        return settings | {name: getattr(self, name).tolist() for name in _STATE}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote; InvalidRecord when it is another schema or of other shapes."""
        _require(raw, {"schema", "margin", "tolerance", *_STATE}, "comparison")
        start = cls.start(float(raw["margin"]), float(raw["tolerance"]))
        arrays = {name: _array(name, raw[name], getattr(start, name).shape) for name in _STATE}
        return replace(start, **arrays)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One figure between 0 and 1 of one arm against a fixed limit: the test is against "at most `limit`".

    For what has no second arm, such as the share of answers in which the two models disagree.
    """

    limit: float
    sums: Floats
    wealth: Floats
    peak: Floats

    @classmethod
    def start(cls, limit: float, shape: tuple[int, ...] = ()) -> Self:
        """Before the first answer; InvalidRequest unless 0 < limit < 1."""
        if not 0 < limit < 1:
            raise InvalidRequest(f"limit {limit}: want one between 0 and 1, exclusive")
        return cls(limit, np.zeros((*shape, 3)), np.zeros((*shape, len(_HARM_GAPS))), np.zeros(shape))

    def update(self, batch: ArrayLike) -> Self:
        """After one more batch: its tally, shape (..., 3)."""
        tally = _checked(batch, self.sums.shape)
        wealth = self.wealth + ceiling_gain(tally, self.limit, _gaps(_HARM_GAPS, self.limit / 2))
        peak = np.maximum(self.peak, log_mixture(wealth))
        return replace(self, sums=self.sums + tally, wealth=wealth, peak=peak)

    def to_dict(self) -> dict[str, Any]:
        """The test as JSON holds it."""
        arrays = {name: getattr(self, name).tolist() for name in ("sums", "wealth", "peak")}
        return {"schema": SCHEMA, "limit": self.limit} | arrays

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote; InvalidRecord when it is another schema or of other shapes."""
        _require(raw, {"schema", "limit", "sums", "wealth", "peak"}, "ceiling")
        start = cls.start(float(raw["limit"]))
        arrays = {name: _array(name, raw[name], getattr(start, name).shape) for name in ("sums", "wealth", "peak")}
        return replace(start, **arrays)


def threshold(alpha: float, tests: int = 1) -> float:
    """The log of the e-value that rejects at level `alpha`, when `tests` hypotheses share it (Bonferroni).

    >>> round(threshold(0.05), 4)
    2.9957
    """
    return math.log(tests / alpha)


def _gaps(multiples: Sequence[float], unit: float) -> Floats:
    return np.minimum(np.array(multiples) * unit, _LARGEST_GAP)


def _apart(new: Floats, old: Floats) -> tuple[Floats, Floats]:
    """n m / (n + m), and the difference of the means; 0 of a block that lacks an arm."""
    n, m = new[..., 0], old[..., 0]
    difference = new[..., 1] / np.maximum(n, 1.0) - old[..., 1] / np.maximum(m, 1.0)
    return n * m / np.maximum(n + m, 1.0), np.where((n > 0) & (m > 0), difference, 0.0)


def _checked(batch: ArrayLike, shape: tuple[int, ...]) -> Floats:
    tally = np.asarray(batch, float)
    if tally.shape != shape:
        raise InvalidRequest(f"a batch of shape {tally.shape}: want {shape}, each last axis rows, sum, sum of squares")
    rows, total, squares = np.moveaxis(tally, -1, 0)
    slack = 1e-9 * (1 + rows)
    if not ((squares >= -slack) & (squares <= total + slack) & (total <= rows + slack)).all():
        raise InvalidRequest("a tally whose values are not all between 0 and 1: scale them first")
    if not (total * total <= rows * squares + slack * (1 + rows)).all():
        raise InvalidRequest("a tally whose sum of squares is too small for its sum")
    return tally


def _require(raw: Mapping[str, Any], names: set[str], what: str) -> None:
    if set(raw) != names or raw["schema"] != SCHEMA:
        raise InvalidRecord(f"{what} of schema {raw.get('schema')!r}: want {SCHEMA} with {sorted(names)}")


def _array(name: str, value: Any, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(value, float) if is_list(value) or isinstance(value, int | float) else np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        raise InvalidRecord(f"{name}: want finite numbers of shape {shape}")
    return array
