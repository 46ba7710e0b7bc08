"""How the cost of looking for drift grows with rows and with columns: ours beside Evidently, in turns, in one run.

Ours profiles each row once as it comes in and then judges profiles, so a check costs the same whatever the rows;
Evidently reads all rows at each report. Both get the same tables, each size in a process of its own on one thread, and
are told by processor time. `speedup_vs_evidently` counts our profiling in, as if all rows had to be read for one check.
"""

import importlib.util
import json
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import log10
from os import pathsep
from pathlib import Path
from typing import Any

from artifacts.target import ROOT
from benchmarks.figures import Figure, Findings
from benchmarks.process import ONE_THREAD

BY_ROWS = ((1_000, 20), (10_000, 20), (100_000, 20), (1_000_000, 20))
BY_COLUMNS = ((10_000, 10), (10_000, 100), (10_000, 1_000))
# The size at which the two are compared: rows and columns that Evidently finishes within half a minute or so.
COMPARED = (100_000, 20)
RUNS = 3
# Beyond so many values one run has to do, and no report gets more than a minute of a processor.
FEW_VALUES = 400_000
PEER_LIMIT_S = 60
PLOT = "drift-scaling.svg"
WIDTH, HEIGHT, MARGIN, GAP = 900, 340, 56, 90
_SUBJECTS = Path(__file__).with_name("subjects")
# How a program ends that has had its time.
_ENDED = (-signal.SIGXCPU, -signal.SIGKILL)
_COLOURS = {"check": "#06c", "profile and check": "#0a7", "Evidently": "#c33"}


@dataclass(frozen=True, slots=True)
class Point:
    """Processor seconds at one size; Evidently's None where it was not had, or not within PEER_LIMIT_S."""

    rows: int
    columns: int
    profile_s: float
    check_s: float
    peak_mb: float
    evidently_s: float | None = None
    evidently_peak_mb: float | None = None


def measure(home: Path, runs: int = RUNS) -> Findings:
    """The points, what they say in figures, and the plot at `home/bench/drift-scaling.svg`."""
    has_peer = importlib.util.find_spec("evidently") is not None
    points = {size: _point(size, has_peer, runs) for size in dict.fromkeys((*BY_ROWS, *BY_COLUMNS, COMPARED))}
    plot = home / "bench" / PLOT
    plot.parent.mkdir(parents=True, exist_ok=True)
    plot.write_text(svg([points[size] for size in BY_ROWS], [points[size] for size in BY_COLUMNS]), encoding="utf-8")
    missing = [] if has_peer else ["  missing: evidently, which comes with the `dev` extra (scripts/setup)"]
    late = [f"{each.rows:,} x {each.columns:,}" for each in points.values() if has_peer and each.evidently_s is None]
    missing += [f"  Evidently: not within {PEER_LIMIT_S} s on {size}" for size in late]
    lines = [table(list(points.values())), *missing, f"  plot: {plot}"]
    return Findings(_figures(points), lines, {"scaling": [asdict(point) for point in points.values()]})


def table(points: Sequence[Point]) -> str:
    """The points as text; seconds."""
    lines = [f"  {'rows':>10}{'columns':>9}{'check':>10}{'+profile':>10}{'evidently':>11}{'ratio':>8}"]
    for each in points:
        ours = each.profile_s + each.check_s
        theirs = "-" if each.evidently_s is None else f"{each.evidently_s:.3g}"
        ratio = "-" if each.evidently_s is None else f"{each.evidently_s / ours:.0f}"
        lines.append(f"  {each.rows:>10,}{each.columns:>9,}{each.check_s:>10.3g}{ours:>10.3g}{theirs:>11}{ratio:>8}")
    return "\n".join(lines)


def svg(by_rows: Sequence[Point], by_columns: Sequence[Point]) -> str:
    """Seconds over rows, and over columns, both axes logarithmic."""
    seconds = [s for point in (*by_rows, *by_columns) for s in _series(point).values() if s is not None]
    low, high = log10(min(seconds)) - 0.2, log10(max(seconds)) + 0.2
    wide = (WIDTH - 2 * MARGIN - GAP) / 2
    panels = [
        _panel(by_rows, MARGIN, wide, (low, high), f"{by_rows[0].columns} columns: rows", lambda point: point.rows),
        _panel(
            by_columns,
            MARGIN + wide + GAP,
            wide,
            (low, high),
            f"{by_columns[0].rows:,} rows: columns",
            lambda point: point.columns,
        ),
    ]
    keys = "".join(
        f'<text x="{MARGIN + 190 * n}" y="20" fill="{colour}">{name}</text>'
        for n, (name, colour) in enumerate(_COLOURS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{keys}\n'
        + "\n".join(panels)
        + "</svg>\n"
    )


def _panel(
    points: Sequence[Point],
    left: float,
    wide: float,
    span: tuple[float, float],
    title: str,
    size: Callable[[Point], int],
) -> str:
    floor, top = HEIGHT - MARGIN, 36
    first, last = log10(size(points[0])), log10(size(points[-1]))

    def at(point: Point, seconds: float) -> tuple[float, float]:
        x = left + wide * (log10(size(point)) - first) / (last - first)
        return x, floor - (floor - top) * (log10(seconds) - span[0]) / (span[1] - span[0])

    parts = [f'<path d="M{left:.1f},{top} V{floor} H{left + wide:.1f}" fill="none" stroke="#888"/>']
    for point in points:
        x = at(point, 10 ** span[0])[0]
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{size(point):,}</text>')
    for power in range(-9, 9):
        if span[0] <= power <= span[1]:
            y = at(points[0], 10.0**power)[1]
            parts.append(f'<text x="{left - 4:.1f}" y="{y:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    for name, colour in _COLOURS.items():
        drawn = [(point, seconds) for point in points if (seconds := _series(point)[name]) is not None]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*each) for each in drawn))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    parts.append(f'<text x="{left + wide / 2:.1f}" y="{HEIGHT - 16}" text-anchor="middle">{title}</text>')
    return "\n".join(parts)


def _series(point: Point) -> dict[str, float | None]:
    both = point.profile_s + point.check_s
    return {"check": point.check_s, "profile and check": both, "Evidently": point.evidently_s}


def _figures(points: dict[tuple[int, int], Point]) -> list[Figure]:
    few, many = points[BY_ROWS[0]], points[BY_ROWS[-1]]
    growth = many.check_s / few.check_s
    told = f"time of a check of {many.rows:,} rows against one of {few.rows:,}"
    figures = [Figure("check_growth_in_rows", growth, "x", told, 1.5)]
    compared = points[COMPARED]
    if compared.evidently_s is None:
        return figures
    size = f"{compared.rows:,} rows, {compared.columns} columns, in one run"
    whole = compared.evidently_s / (compared.profile_s + compared.check_s)
    return [
        *figures,
        Figure("speedup_vs_evidently", whole, "x", f"profile and check against its report, {size}"),
        Figure("check_speedup_vs_evidently", compared.evidently_s / compared.check_s, "x", f"the check alone, {size}"),
    ]


def _point(size: tuple[int, int], has_peer: bool, runs: int) -> Point:
    """Medians of both at one size, a run of each after the other."""
    ours, theirs = list[dict[str, Any]](), list[dict[str, Any]]()
    for _ in range(runs if size == COMPARED or size[0] * size[1] <= FEW_VALUES else 1):
        ours.append(_run([], "pawl_check.py", size))
        if has_peer:
            try:
                theirs.append(_run(_limited(PEER_LIMIT_S), "evidently_check.py", size))
            except subprocess.CalledProcessError as error:
                if error.returncode not in _ENDED:
                    raise
                has_peer = False
    assert all(run["columns"] == size[1] for run in (*ours, *theirs)), f"{size}: not all columns were judged"
    profile_s, check_s = (statistics.median(run[key] for run in ours) for key in ("profile_s", "check_s"))
    peak_mb = max(run["peak_mb"] for run in ours)
    if not has_peer:
        return Point(*size, profile_s, check_s, peak_mb)
    took = statistics.median(run["seconds"] for run in theirs)
    return Point(*size, profile_s, check_s, peak_mb, took, max(run["peak_mb"] for run in theirs))


def _run(before: Sequence[str], program: str, size: tuple[int, int]) -> dict[str, Any]:
    path = pathsep.join(str(ROOT / each) for each in ("functions", "layers/core"))
    environment = {"PATH": "/usr/bin:/bin", **ONE_THREAD, "PYTHONPATH": path}
    command = [*before, sys.executable, str(_SUBJECTS / program), *map(str, size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _limited(seconds: int) -> list[str]:
    """What ends a program after so many seconds of its processor; it blunts the clock to 4 ms."""
    return ["/bin/sh", "-c", f'ulimit -t {seconds} && exec "$@"', "sh"]
