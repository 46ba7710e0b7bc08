"""What a side-by-side benchmark found: for every name its figures, or why there are none; and the table of it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from benchmarks.figures import Figure

MISSING = "missing"
Found = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: a figure's key, how it is headed, and whether less is better."""

    key: str
    title: str
    lower_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Comparison:
    """`peers` maps a name to its figures, ours under `ours`; a peer that is not here has `missing` with the reason."""

    ours: str
    columns: Sequence[Column]
    peers: dict[str, Found]
    figures: list[Figure] = field(default_factory=list[Figure])

    def table(self) -> str:
        """A line a name: each value, and in brackets its ratio to ours."""
        lines = ["  " + " " * 22 + "".join(f"{column.title:>20}" for column in self.columns)]
        for name, found in self.peers.items():
            if MISSING in found:
                lines.append(f"  {name:<22}  missing: {found[MISSING]}")
            else:
                lines.append(
                    f"  {name:<22}" + "".join(f"{self._cell(found, column.key):>20}" for column in self.columns)
                )
        return "\n".join(lines)

    def ratio(self, name: str, key: str) -> float | None:
        """A peer's figure as a multiple of ours; None where either is missing."""
        theirs, ours = self.peers[name].get(key), self.peers.get(self.ours, {}).get(key)
        return theirs / ours if isinstance(theirs, float) and isinstance(ours, float) and ours else None

    def to_json(self) -> dict[str, Found]:
        """Every name's figures, those of the columns as ratios to ours too."""
        return {
            name: found
            | {f"{column.key}_ratio": ratio for column in self.columns if (ratio := self.ratio(name, column.key))}
            for name, found in self.peers.items()
        }

    def advantages(self, names: Sequence[str], columns: Sequence[Column]) -> list[Figure]:
        """Our figures against those of the named peers as ratios, above 1 where ours is better."""
        figures: list[Figure] = []
        for name, column in product(names, columns):
            if ratio := self.ratio(name, column.key):
                better = ratio if column.lower_is_better else 1 / ratio
                key = f"{column.key}_vs_{name}"
                figures.append(Figure(key, better, "x", f"{column.title}: {self.ours} against {name}", None, "higher"))
        return figures

    def _cell(self, found: Mapping[str, float | str], key: str) -> str:
        value = found.get(key)
        if not isinstance(value, float):
            return "-"
        ours = self.peers.get(self.ours, {}).get(key)
        ratio = (
            f" ({value / ours:.2f})" if isinstance(ours, float) and ours and found is not self.peers[self.ours] else ""
        )
        return f"{value:.4g}{ratio}"


def medians(rounds: Sequence[Mapping[str, float]]) -> Found:
    """Each figure's median over the rounds that have it."""
    keys = dict.fromkeys(key for each in rounds for key in each)
    return {key: float(statistics.median(each[key] for each in rounds if key in each)) for key in keys}
