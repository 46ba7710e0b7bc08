"""What the profiles of one version and a window of time tell of its answers; of each profile only sums are kept."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.profile import CategorySketch, FloatSketch, NumericSketch, Profile
from release.familiarity import Familiarity, Ranges

Floats = NDArray[np.float64]
_LATENCY, _LABEL = "latency_ms", "label"
_COUNTED_LABELS = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """Latencies, shape (values,), with their counts; labels; and the tally of how familiar the rows were."""

    values: Floats
    counts: Floats
    labels: Mapping[str, int]
    familiar: Floats

    @classmethod
    def of(cls, profiles: Iterable[Profile], usual: Ranges) -> "Seen":
        """Of any number of profiles; `usual` is where the version's reference has most of its values."""
        pairs: list[tuple[Floats, Floats]] = [(np.zeros(0), np.zeros(0))]
        labels: defaultdict[str, int] = defaultdict(int)
        familiarity = Familiarity(usual)
        for profile in profiles:
            familiarity.count(profile)
            pairs.append(numbers(profile, _LATENCY))
            column = profile.columns.get(_LABEL)
            if isinstance(column, CategorySketch):
                for name, count in column.top(_COUNTED_LABELS):
                    labels[name] += count
        values, counts = (np.concatenate(each) for each in zip(*pairs, strict=True))
        return cls(values, counts, dict(labels), familiarity.tally())

    @property
    def rows(self) -> int:
        """How many latencies there are."""
        return int(self.counts.sum())

    def not_above(self, limit: float) -> Floats:
        """The tally of 1 for each answer that took no longer, and 0 for the others."""
        return _tally(self.rows, int(self.counts[self.values <= limit].sum()))

    def not_in(self, names: set[str]) -> Floats:
        """The tally of 1 for each label that is none of these, and 0 for the others."""
        return _tally(sum(self.labels.values()), sum(n for name, n in self.labels.items() if name not in names))


def numbers(profile: Profile, name: str) -> tuple[Floats, Floats]:
    """The values of a numeric column and how often each was seen, both of shape (values,)."""
    column = profile.columns.get(name)
    if not isinstance(column, FloatSketch | NumericSketch):
        return np.zeros(0), np.zeros(0)
    filled = column.counts > 0
    return column.positions()[filled], column.counts[filled].astype(float)


def _tally(rows: int, ones: int) -> Floats:
    return np.array([rows, ones, ones], float)
