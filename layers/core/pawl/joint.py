"""What several columns have to do with each other, as sums alone: small, mergeable, without a single row.

Values are put on axes that a reference has fixed: less their centre, in units of their spread, cut at 4 of them either
way and rounded to a 64th, so that all sums are of whole numbers: parts merged in whatever order are the same, bit for
bit, as one look at the whole. A column of names is 1 where it has its commonest one. A row without a value on every
axis is not counted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pawl.categories import CategorySketch
from pawl.floats import FloatSketch
from pawl.numeric import NumericSketch
from pawl.packing import pack, unpack

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Values = Sequence[Any] | NDArray[Any]
LIMIT = 32
"""The most columns of a sketch: its size and its cost grow with their square."""
STEPS = 64
"""Into so many steps a unit of spread is divided."""
_REACH = 4.0
_WIDEST = 1e150
_MISSING = 0.05
_RARE = 0.1
_LONGEST = 100
# Fourth powers of at most 2^8, so many of them, are whole numbers that a float64 sums without rounding.
_CHUNK = 1 << 13
_LOOKED_AT = 4096


class Axis(NamedTuple):
    """A column, what counts as its middle, and as a unit; of a column of names, the one that counts as 1."""

    name: str
    centre: float
    unit: float
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.value else self.name


@dataclass(slots=True)
class JointSketch:
    """Sums over rows of the values on each axis, shape (axes,), of their products by two, and of these squared.

    `products` and `squares` have shape (axes, axes). Rounding takes a 50,000th of a unit from a variance.
    """

    axes: tuple[Axis, ...]
    rows: int
    sums: Integers
    products: Integers
    squares: Integers

    @classmethod
    def over(cls, axes: Iterable[Axis]) -> Self:
        """An empty sketch over these axes."""
        kept = tuple(axes)
        size = len(kept)
        flat = np.zeros((3, size, size), np.int64)
        return cls(kept, 0, flat[0, 0].copy() if size else np.zeros(0, np.int64), flat[1], flat[2])

    def empty(self) -> "JointSketch":
        """A sketch over the same axes with nothing counted."""
        return JointSketch.over(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the axes."""
        return tuple(axis.name for axis in self.axes)

    def only(self, places: Sequence[int]) -> "JointSketch":
        """What was counted on some of the axes, by their places."""
        chosen, block = list(places), np.ix_(places, places)
        axes = tuple(self.axes[place] for place in chosen)
        return JointSketch(axes, self.rows, self.sums[chosen], self.products[block], self.squares[block])

    def update(self, columns: Mapping[str, Values]) -> None:
        """Count rows, every column of shape (rows,); without one of the columns, none of them."""
        if not all(axis.name in columns for axis in self.axes):
            return
        given = [_numbers(columns[axis.name], axis) for axis in self.axes]
        for start in range(0, given[0].size, _CHUNK):
            placed = _placed([column[start : start + _CHUNK] for column in given], self.axes)
            self.rows += placed.shape[1]
            self.sums += placed.sum(axis=1).astype(np.int64)
            self.products += (placed @ placed.T).astype(np.int64)
            np.multiply(placed, placed, out=placed)
            self.squares += (placed @ placed.T).astype(np.int64)

    def comes_before(self, other: "JointSketch") -> bool:
        """Which of two to keep where their axes differ: one that counted anything, then the one with the lower axes."""
        return (not self.rows, self.axes) < (not other.rows, other.axes)

    def merge(self, other: "JointSketch") -> None:
        """Add what `other` counted, if its axes are the same; else nothing: the sums would be of other things."""
        if self.axes == other.axes:
            self.rows += other.rows
            self.sums += other.sums
            self.products += other.products
            self.squares += other.squares

    def mean(self) -> Floats:
        """The mean on each axis, shape (axes,), in units."""
        return self.sums / (self.rows * STEPS)

    def covariance(self) -> Floats:
        """The covariance of the axes, shape (axes, axes), in units squared."""
        mean = self.mean()
        return self.products / (self.rows * STEPS**2) - np.outer(mean, mean)

    def correlation(self) -> Floats:
        """The correlation of the axes, shape (axes, axes); NaN where a column does not change."""
        covariance = self.covariance()
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(np.outer(deviation, deviation) > 0, covariance / np.outer(deviation, deviation), np.nan)

    def product_variance(self) -> Floats:
        """The variance over rows of the products by two, shape (axes, axes): how sure their mean is."""
        mean = self.products / (self.rows * STEPS**2)
        return np.maximum(self.squares / (self.rows * STEPS**4) - mean * mean, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The sketch as JSON holds it: of symmetric sums one half."""
        half = np.triu_indices(len(self.axes))
        return {
            "axes": [list(axis) if axis.value else list(axis)[:3] for axis in self.axes],
            "rows": self.rows,
            "sums": _packed(self.sums),
            "products": _packed(self.products[half]),
            "squares": _packed(self.squares[half]),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The sketch that `to_dict` wrote."""
        axes = tuple(Axis(name, float(centre), float(unit), *value) for name, centre, unit, *value in raw["axes"])
        size = len(axes)
        products, squares = (_whole(_unpacked(raw[name], size * (size + 1) // 2), size) for name in _SYMMETRIC)
        return cls(axes, raw["rows"], _unpacked(raw["sums"], size), products, squares)


def mean_discrepancy(reference: JointSketch, recent: JointSketch) -> float:
    """The squared maximum mean discrepancy of two samples on the same axes, unbiased (Gretton et al. 2012).

    The kernel is (x·y + 1)²: its features are the columns and their products by two, whose sums are here, so no row is
    needed. 0 on average for samples of one distribution, and below 0 by chance. At least two rows of each.
    """
    across = 2 * (reference.sums / STEPS) @ (recent.sums / STEPS)
    across += (reference.products / STEPS**2 * (recent.products / STEPS**2)).sum()
    return _alike(reference) + _alike(recent) - 2 * float(across) / (reference.rows * recent.rows)


def _alike(sketch: JointSketch) -> float:
    """The mean of the kernel, less its constant, over all pairs of two different rows."""
    sums, products = sketch.sums / STEPS, sketch.products / STEPS**2
    themselves = 2 * np.trace(products) + (sketch.squares / STEPS**4).sum()
    return float(2 * sums @ sums + np.square(products).sum() - themselves) / (sketch.rows * (sketch.rows - 1))


def axes_of(sketches: Mapping[str, NumericSketch | FloatSketch | CategorySketch]) -> list[Axis]:
    """The axes of columns that change, told from their counts; those that often miss a value have none.

    Nor have names of which none is had by a tenth of the rows, or one by all but a tenth.
    """
    found = (_axis(name, sketch) for name, sketch in sketches.items())
    return [axis for axis in found if axis is not None]


def most_tied(axes: Iterable[Axis], columns: Mapping[str, Values]) -> list[Axis]:
    """Of more than LIMIT axes those whose columns are most correlated with another one, in the order given."""
    every = list(axes)
    if len(every) <= LIMIT:
        return every
    step = -(-len(columns[every[0].name]) // _LOOKED_AT)
    placed = _placed([_numbers(columns[axis.name][::step], axis) for axis in every], every)
    deviation = placed.std(axis=1)
    placed = (placed - placed.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, np.inf)[:, None]
    ties = np.abs(placed @ placed.T)
    np.fill_diagonal(ties, 0.0)
    chosen = np.sort(np.argsort(-ties.max(axis=1), kind="stable")[:LIMIT])
    return [every[place] for place in chosen.tolist()]


_SYMMETRIC = ("products", "squares")


def _axis(name: str, sketch: NumericSketch | FloatSketch | CategorySketch) -> Axis | None:
    """From quantiles, which outliers do not move; then moved and scaled so that the cut values have variance 1."""
    rows = sketch.rows
    if rows < 2 or sketch.missing > _MISSING * (rows + sketch.missing):
        return None
    if isinstance(sketch, CategorySketch):
        return _axis_of_names(name, sketch, rows)
    at, shares = np.clip(sketch.positions(), -_WIDEST, _WIDEST), sketch.counts / rows
    low, middle, high = (sketch.quantile(share) for share in (0.16, 0.5, 0.84))
    unit = high / 2 - low / 2 or float(np.abs(at - middle).dot(shares))
    if not 0 < unit < _WIDEST:
        return None
    cut = np.clip((at - middle) / unit, -_REACH, _REACH)
    mean = float(cut.dot(shares))
    deviation = math.sqrt(max(0.0, float(np.square(cut - mean).dot(shares))))
    return Axis(name, _short(middle + mean * unit), _short(unit * deviation)) if deviation else None


def _axis_of_names(name: str, sketch: CategorySketch, rows: int) -> Axis | None:
    value, count = next(iter(sketch.top(1)), ("", 0))
    share = count / rows
    is_telling = value and len(value) <= _LONGEST and _RARE <= share <= 1 - _RARE
    return Axis(name, _short(share), _short(math.sqrt(share * (1 - share))), value) if is_telling else None


def _numbers(values: Values, axis: Axis) -> NDArray[Any]:
    """A column as numbers: of names, whether each is the axis' own, NaN where there is none."""
    if not axis.value:
        return np.asarray(values)
    return np.array([math.nan if each is None or each != each else str(each) == axis.value for each in values], float)


def _placed(columns: list[NDArray[Any]], axes: Iterable[Axis]) -> Floats:
    """Values on their axes in whole steps, shape (axes, rows), rows that lack one left out."""
    rows = columns[0].size
    placed, is_whole = np.empty((len(columns), rows)), np.ones(rows, np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, column, out in zip(axes, columns, placed, strict=True):
            np.subtract(column.astype(np.float64, copy=False), axis.centre, out=out)
            np.multiply(out, STEPS / axis.unit, out=out)
            if not math.isfinite(float(out.sum())):
                is_whole &= np.isfinite(column.astype(np.float64, copy=False))
        np.clip(placed, -_REACH * STEPS, _REACH * STEPS, out=placed)
    np.rint(placed, out=placed)
    return placed if is_whole.all() else np.ascontiguousarray(placed[:, is_whole])


def _short(number: float) -> float:
    """So exact it need not be, but it is written beside every batch."""
    return float(f"{number:.5g}")


def _packed(numbers: Integers) -> str:
    """Whole numbers of either sign: 0, -1, 1, -2 as 0, 1, 2, 3."""
    return pack(((numbers << 1) ^ (numbers >> 63)).view(np.uint64))


def _unpacked(text: str, size: int) -> Integers:
    numbers = unpack(text, size)
    return ((numbers >> 1) & (2**63 - 1)) ^ -(numbers & 1)


def _whole(half: Integers, size: int) -> Integers:
    full = np.zeros((size, size), np.int64)
    full[np.triu_indices(size)] = half
    return np.triu(full) + np.triu(full, 1).T
