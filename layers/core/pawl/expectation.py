"""The error to expect of a regression's answers, told from a profile alone: `pawl.losses` over the columns' own bins.

It is learned where labelled rows are at hand, and kept beside the reference profile as a small JSON. The bins are cut
halfway between two values, so that a sketch's counts, which know values only nearly, fall where the rows did.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import IncompatibleProfiles
from pawl.losses import GROUPS, LossEstimate, LossModel
from pawl.profile import CategorySketch, Profile, Sketch

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cuts:
    """The bins of a column: between `edges`, ascending, or by `names` with one for all others; the last, missing."""

    edges: tuple[float, ...] = ()
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Bins of about as many rows each, GROUPS at most, or of the most frequent names."""
        known = [value for value in values if value is not None]
        if any(isinstance(value, str) for value in known):
            found = sorted(Counter(map(str, known)).items(), key=lambda each: (-each[1], each[0]))
            return cls(names=tuple(name for name, _ in found[: GROUPS - 1]))
        numbers = np.asarray(known, float)
        distinct, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
        if not distinct.size:
            return cls()
        upto: Codes = np.cumsum(counts, dtype=np.int64)
        places: Codes = np.searchsorted(upto, np.arange(1, GROUPS) * (float(upto[-1]) / GROUPS))
        ends = np.unique(places)
        ends = ends[ends < distinct.size - 1]
        return cls(edges=tuple((distinct[ends] / 2 + distinct[ends + 1] / 2).tolist()))

    @property
    def bins(self) -> int:
        """How many there are."""
        return (len(self.edges) if self.names is None else len(self.names)) + 2

    def codes(self, values: Sequence[Any]) -> Codes:
        """The bin of each value, shape (rows,)."""
        if self.names is not None:
            places = {name: place for place, name in enumerate(self.names)}
            others = len(self.names)
            return np.array([self.bins - 1 if v is None else places.get(str(v), others) for v in values], np.int64)
        numbers = np.asarray(values, float)
        return np.where(np.isfinite(numbers), np.searchsorted(self.edges, numbers, "right"), self.bins - 1)

    def counts(self, sketch: Sketch) -> Floats:
        """The rows of a sketch in each bin, shape (bins,); IncompatibleProfiles when it is of the other kind."""
        found = np.zeros(self.bins)
        if isinstance(sketch, CategorySketch):
            if self.names is None:
                raise IncompatibleProfiles("names where the error was learned by numbers")
            found[: len(self.names)] = [sketch.counts.get(name, 0) for name in self.names]
            found[len(self.names)] = sketch.rows - found.sum()
        elif self.names is not None:
            raise IncompatibleProfiles("numbers where the error was learned by names")
        else:
            places = np.searchsorted(self.edges, sketch.positions(), "right")
            found[:-1] = np.bincount(places, sketch.counts, minlength=self.bins - 1)
        found[-1] = sketch.missing
        return found


@dataclass(frozen=True, slots=True)
class ExpectedError:
    """How large the absolute error is for which values of which column."""

    cuts: Mapping[str, Cuts]
    losses: LossModel

    @classmethod
    def learn(cls, columns: Mapping[str, Sequence[Any]], answers: ArrayLike, targets: ArrayLike) -> Self:
        """From labelled rows: what a profile counts of them, what was answered and what was right, (rows,) each."""
        cuts = {name: Cuts.of(values) for name, values in columns.items()}
        codes = {name: cuts[name].codes(values) for name, values in columns.items()}
        losses = np.abs(np.asarray(answers, float) - np.asarray(targets, float))
        return cls(cuts, LossModel.fit(codes, losses, {name: each.bins for name, each in cuts.items()}))

    def estimate(self, profile: Profile) -> LossEstimate:
        """The mean absolute error of the rows that a profile has counted; IncompatibleProfiles without a column."""
        if gone := [name for name in self.cuts if name not in profile.columns]:
            raise IncompatibleProfiles(f"no column {', '.join(gone)}, by which the error was learned")
        return self.losses.estimate({name: each.counts(profile.columns[name]) for name, each in self.cuts.items()})

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        cuts = {
            name: {"edges": list(each.edges)} if each.names is None else {"names": list(each.names)}
            for name, each in self.cuts.items()
        }
        return {"cuts": cuts, "losses": self.losses.to_dict()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        cuts = {
            name: Cuts(names=tuple(each["names"])) if "names" in each else Cuts(tuple(each["edges"]))
            for name, each in raw["cuts"].items()
        }
        return cls(cuts, LossModel.from_dict(raw["losses"]))
