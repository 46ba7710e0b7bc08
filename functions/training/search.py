"""The best of several ways to make a model smaller, under a budget of bytes, time and quality.

`choose` is pure: the same points and budget give the same choice. What is measured of a candidate is its bytes, its
quality and its divergence, which are the same at every run, and its latency, which is not: it is part of the budget
only where somebody asks for it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from pawl.errors import InvalidBundle
from pawl.model import open_session
from training.export import GRAPH
from training.products import Feed

TURNS = 5
RUNS = 10


@dataclass(frozen=True, slots=True)
class Budget:
    """What a compressed model may cost, against the float one that the search begins with."""

    bytes_share: float = 0.25
    """Of the float model's bytes."""
    lost_points: float = 0.5
    """Of quality, in hundredths."""
    latency_share: float | None = None
    """Of the float graph's latency; None: whatever it comes to."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a candidate came to. `quality` is at most 1; `divergence` is how far its answers lie from the float ones."""

    name: str
    bytes: int
    quality: float
    divergence: float
    latency_ms: float = 0.0
    is_on_front: bool = False
    is_chosen: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The point as the manifest's metrics hold it."""
        return {
            "name": self.name,
            "bytes": self.bytes,
            "latency_ms": round(self.latency_ms, 3),
            "quality": round(self.quality, 4),
            "divergence": round(self.divergence, 5),
            "front": self.is_on_front,
            "chosen": self.is_chosen,
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """A graph's quality, and the divergence of its answers from the float model's."""

    quality: float
    divergence: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate: its name, and what writes its served graph into a folder and counts its bytes."""

    name: str
    make: Callable[[Path], int]


def search(
    trials: Sequence[Trial],
    judge: Callable[[Path], Judgement],
    feed: Feed,
    pick: Callable[[Sequence[Point]], int],
    limit_s: float,
    scratch: Path,
    seconds: Callable[[], float],
) -> tuple[list[Point], list[Path]]:
    """Try candidates, the float model first; their points, one of them chosen, and their folders under `scratch`.

    `feed` is one request, whose latency is measured; `pick` gives the place of the point to take; `seconds` reads a
    clock that never goes back, and after `limit_s` of it no third or later candidate is begun.
    """
    began = seconds()
    folders: list[Path] = []
    points: list[Point] = []
    for number, trial in enumerate(trials):
        if number > 1 and seconds() - began > limit_s:
            break
        folder = scratch / f"candidate-{number}"
        folder.mkdir()
        size = trial.make(folder)
        judged = judge(folder / GRAPH)
        folders.append(folder)
        points.append(Point(trial.name, size, judged.quality, judged.divergence))
    times = latencies([folder / GRAPH for folder in folders], feed)
    points = mark_front([replace(point, latency_ms=ms) for point, ms in zip(points, times, strict=True)])
    chosen = pick(points)
    return [replace(point, is_chosen=place == chosen) for place, point in enumerate(points)], folders


def place_of_chosen(points: Sequence[Point]) -> int:
    """Which of the points a search has chosen."""
    return next(place for place, point in enumerate(points) if point.is_chosen)


def choose(points: Sequence[Point], budget: Budget) -> int:
    """The place of the point whose answers are likest to the float ones among those within the budget.

    Where none fits, quality and time go before bytes: the smallest of those that keep both, or quality at least.

    >>> full, small = Point("float", 400, 0.9, 0.0), Point("int8", 100, 0.899, 0.01)
    >>> choose([full, small, Point("int4", 60, 0.88, 0.1)], Budget())
    1
    """
    if not points:
        raise InvalidBundle("nothing was tried: a search needs the float model at least")
    full = points[0]
    able = [i for i, each in enumerate(points) if each.quality >= full.quality - budget.lost_points / 100 - 1e-9]
    share = budget.latency_share
    quick = [i for i in able if share is None or points[i].latency_ms <= full.latency_ms * share]
    fitting = [i for i in quick if points[i].bytes <= full.bytes * budget.bytes_share]
    if fitting:
        return min(fitting, key=lambda i: (points[i].divergence, points[i].bytes, i))
    return min(quick or able, key=lambda i: (points[i].bytes, i))


def mark_front(points: Sequence[Point]) -> list[Point]:
    """The points, each with whether no other is as good in bytes, latency and quality and better in one (Pareto)."""
    return [replace(point, is_on_front=not any(_beats(other, point) for other in points)) for point in points]


def latencies(graphs: Sequence[Path], feed: Feed) -> list[float]:
    """Median milliseconds of one request on one thread, ten at a time in turns.

    They are the thread's own: while a busy neighbour has the core they do not count.
    """
    sessions = [open_session(str(graph)) for graph in graphs]
    took: list[list[float]] = [[] for _ in sessions]
    for _ in range(TURNS):
        for session, times in zip(sessions, took, strict=True):
            session.run(None, dict(feed))
            for _ in range(RUNS):
                began = time.thread_time()
                session.run(None, dict(feed))
                times.append((time.thread_time() - began) * 1000)
    return [median(times) for times in took]


def _beats(one: Point, other: Point) -> bool:
    pairs = ((one.bytes, other.bytes), (one.latency_ms, other.latency_ms), (-one.quality, -other.quality))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
