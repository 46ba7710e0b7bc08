"""How familiar the traffic is to a version: how much of it lies where 95 of 100 rows of the version's reference lie.

Both arms of a canary get the same traffic, so how it drifts says nothing of either. But a candidate made from data
unlike the traffic sees more that is unusual to it than the live version does, each by its own reference. References are
made of rows that were not learned from, so that they promise no more than traffic can keep.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pawl.profile import FloatSketch, NumericSketch, Profile

Ranges = Mapping[str, tuple[float, float]]
LEAST_ROWS = 30
"""A reference of fewer rows tells no usual range."""
_USUAL = 0.95
_MOST_COLUMNS = 64
_CONFIDENCE = "confidence"


def usual_ranges(reference: Profile) -> dict[str, tuple[float, float]]:
    """Where 95 of 100 values lie of each numeric column of a reference; a confidence is unusual only if it is low."""
    numeric = {n: each for n, each in reference.columns.items() if isinstance(each, NumericSketch | FloatSketch)}
    told = sorted(name for name, sketch in numeric.items() if sketch.rows >= LEAST_ROWS)
    return {name: _range(name, numeric[name]) for name in told[:_MOST_COLUMNS]}


class Familiarity:
    """Counts rows within usual ranges, profile by profile."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._rows = 0
        self._usual: defaultdict[str, int] = defaultdict(int)
        self._counted: defaultdict[str, int] = defaultdict(int)

    def count(self, profile: Profile) -> None:
        """Add what a profile saw."""
        self._rows += profile.rows
        for name, (low, high) in self._ranges.items():
            sketch = profile.columns.get(name)
            if isinstance(sketch, NumericSketch | FloatSketch):
                positions = sketch.positions()
                self._usual[name] += int(sketch.counts[(positions >= low) & (positions <= high)].sum())
                self._counted[name] += sketch.rows

    def tally(self) -> NDArray[np.float64]:
        """The tally of how familiar each row was, from 0 to 1: half by the answer's confidence, half by its inputs.

        Profiles do not tell which columns of a row go together, so the squares are as large as they can be: a bettor
        gains the less for it.
        """
        shares = {name: self._usual[name] / rows for name, rows in self._counted.items() if rows}
        inputs = [share for name, share in shares.items() if name != _CONFIDENCE]
        halves = [float(np.mean(inputs))] if inputs else []
        halves += [shares[_CONFIDENCE]] if _CONFIDENCE in shares else []
        if not halves:
            return np.zeros(3)
        usual = self._rows * float(np.mean(halves))
        return np.array([self._rows, usual, usual])


def _range(name: str, sketch: NumericSketch | FloatSketch) -> tuple[float, float]:
    """The middles of the first and the last bucket inside."""
    filled = sketch.counts > 0
    positions, upto = sketch.positions()[filled], np.cumsum(sketch.counts[filled]) / sketch.rows
    if name == _CONFIDENCE:
        return float(positions[np.searchsorted(upto, 1 - _USUAL, side="right")]), 1.0
    beyond = (1 - _USUAL) / 2
    ends = np.searchsorted(upto, beyond, side="right"), np.searchsorted(upto, 1 - beyond)
    return float(positions[ends[0]]), float(positions[ends[1]])
