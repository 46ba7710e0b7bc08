"""A figure with its budget."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `budget` is what it should be at most or at least."""

    key: str
    value: float
    unit: str
    meaning: str
    budget: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def is_within(self) -> bool:
        """Whether the budget is kept, if there is one."""
        if self.budget is None:
            return True
        return self.value <= self.budget if self.better == "lower" else self.value >= self.budget

    def line(self) -> str:
        """The figure as a line of a table."""
        bound = "at most" if self.better == "lower" else "at least"
        budget = "" if self.budget is None else f"{bound} {self.budget:g}: {'kept' if self.is_within else 'MISSED'}"
        return f"{self.key:<28}{self.value:>10.4g} {self.unit:<8}{budget:<24}{self.meaning}"


@dataclass(frozen=True, slots=True)
class Findings:
    """What one benchmark found: figures, tables to read, and what `--json` adds to the figures by name."""

    figures: list[Figure]
    tables: list[str] = field(default_factory=list[str])
    more: dict[str, Any] = field(default_factory=dict[str, Any])
