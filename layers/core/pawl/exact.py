"""Sums of floats that do not depend on their order: every bit is kept, so parts add up to exactly the whole.

A float64 is a whole number of units of 2^-1128, so a sum is one integer, at most some 2,200 bits long however many
values it holds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_UNIT = 1128
_SLICE = 35
_CHUNK = 1 << 17
# The power of two of the smallest float64; and where slices end, since the large number must be a float64 too.
_LOWEST = -1074
_TOP = 1000
_DOWN = 64
_MOST = float(np.finfo(np.float64).max)
# Beyond this a value's square is no float64 any more.
SQUARE_LIMIT = 1.3e154


@dataclass(slots=True)
class ExactMoments:
    """How many values, their sum and the sum of their squares, exactly (each square rounded to a float64 before).

    The relative error of the variance is about 2^-53 (1 + mean^2 / variance); it is infinite where a value's square is
    no float64, and squares below 1e-308 count as nothing.
    """

    rows: int = 0
    total: int = 0
    squares: int = 0

    def update(self, values: NDArray[np.float64]) -> None:
        """Add finite values, shape (rows,)."""
        for start in range(0, values.size, _CHUNK):
            part = values[start : start + _CHUNK]
            self.rows += part.size
            self.total += exact_sum(part)
            with np.errstate(over="ignore", under="ignore"):
                self.squares += exact_sum(np.minimum(part * part, _MOST))

    def merge(self, other: "ExactMoments") -> None:
        """Add what `other` has added."""
        self.rows += other.rows
        self.total += other.total
        self.squares += other.squares

    @property
    def mean(self) -> float:
        """The mean, rounded once; 0 of nothing."""
        return self.total / (self.rows << _UNIT) if self.rows else 0.0

    @property
    def deviations(self) -> float:
        """The sum of squared deviations from the mean."""
        if not self.rows:
            return 0.0
        above = self.rows * (self.squares << _UNIT) - self.total * self.total
        try:
            return max(0, above) / (self.rows << 2 * _UNIT)
        except OverflowError:
            return math.inf

    def to_list(self) -> list[int]:
        """Rows, then each sum as an odd number and its power of two."""
        return [self.rows, *_packed(self.total), *_packed(self.squares)]

    @classmethod
    def from_list(cls, raw: list[int]) -> "ExactMoments":
        """The moments that `to_list` wrote."""
        rows, total, total_exponent, squares, squares_exponent = raw
        return cls(rows, total << total_exponent, squares << squares_exponent)


def exact_sum(values: NDArray[np.float64]) -> int:
    """The sum of finite values, shape (rows,), 2^17 at most, in units of 2^-1128.

    Cuts the values into slices of 35 bits, from the highest down, by adding and taking away a number so large that its
    last bit is the slice's: the sum of a slice is a whole number below 2^52 (Rump, Ogita, Oishi 2008).
    """
    if values.size == 0:
        return 0
    _, top = math.frexp(max(abs(float(values.min())), abs(float(values.max()))))
    if top > _TOP:
        scaled = np.where(np.abs(values) >= 1.0, np.ldexp(values, -_DOWN), 0.0)
        return (exact_sum(scaled) << _DOWN) + exact_sum(np.where(np.abs(values) >= 1.0, 0.0, values))
    total, rest, part = 0, values, np.empty(values.size)
    while top > _LOWEST and rest.any():
        unit = max(top - _SLICE, _LOWEST)
        large = math.ldexp(1.5, unit + 52)
        np.add(rest, large, out=part)
        np.subtract(part, large, out=part)
        total += int(math.ldexp(float(part.sum()), -unit)) << (unit + _UNIT)
        rest = rest - part
        top = unit
    return total


def _packed(number: int) -> tuple[int, int]:
    exponent = (number & -number).bit_length() - 1 if number else 0
    return number >> exponent, exponent
