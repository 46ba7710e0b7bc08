"""One proof asked of a candidate, and what is judged: candidate and live version side by side."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from pawl.bucket import Bucket
from pawl.bundle import Bundle, Manifest
from pawl.model import Model, open_model
from release.policy import GatePolicy

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Gate:
    """What was measured, what would have passed, and the verdict; in words, and in numbers where there are any.

    `evidence` holds what the verdict rests on, rows, intervals and the live version's figures. It is signed with the
    bundle and read at each cold start, so it is short.
    """

    name: str
    passed: bool
    measured: str
    wanted: str
    value: float | None = None
    threshold: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Contender:
    """A verified bundle with its model opened."""

    bundle: Bundle
    model: Model

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """The bundle's model, opened; InvalidBundle when it does not open."""
        return cls(bundle, open_model(bundle))

    @property
    def manifest(self) -> Manifest:
        """What the bundle is."""
        return self.bundle.manifest


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge gets: both contenders, where datasets and a job's own evidence lie, the policy, and a clock."""

    candidate: Contender
    live: Contender
    bucket: Bucket
    policy: GatePolicy
    clock: Clock = time.perf_counter


def rounded(value: float) -> float:
    """A figure as evidence keeps it."""
    return round(float(value), 4)


def spoken(ends: tuple[float, float]) -> list[float]:
    """An interval as evidence keeps it."""
    return [rounded(end) for end in ends]
