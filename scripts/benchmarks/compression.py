"""The starter classifier made small in every way there is, and what int8 costs it in right answers.

The thorough search prunes layers, heads, neurons and weights (half of them, or two of each four), wins back what that
lost, and stores what is left in each form. Quality in the search is taken on its validation rows, as in a training;
`unseen` is the accuracy of the same graphs on rows that chose nothing: holdout, traffic, and half a year later. The
picture goes to `bench/compression.png`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import exactness
from benchmarks.exactness import served_answers, train_split
from benchmarks.figures import Figure, Findings
from training import starter
from training.compression import ALL, FEW, Effort, explore
from training.pareto import FILE as PICTURE
from training.pareto import draw
from training.search import Point


def measure(home: Path, quick: bool) -> Findings:
    """The Pareto table of the search, and int8 over several trainings; quick: few candidates, one training."""
    points, unseen = look(home / "bench", FEW if quick else ALL)
    figures, lines = exactness.measure(1 if quick else exactness.SPLITS)
    chosen, full = next(point for point in points if point.is_chosen), points[0]
    share, speed, name = chosen.bytes / full.bytes, full.latency_ms / chosen.latency_ms, chosen.name
    figures = [
        Figure("compressed_bytes_ratio", share, "x", f"of the float model: {name}", 0.25),
        Figure("compressed_speedup", speed, "x", f"of the float graph in onnxruntime: {name}"),
        *figures,
    ]
    return Findings(figures, [table(points, unseen), lines], {"points": [point.to_dict() for point in points]})


def look(folder: Path, effort: str) -> tuple[list[Point], list[float]]:
    """The points of a search, and the accuracy of each on rows that chose nothing."""
    trained, rows = train_split(starter.SEED)
    truth = rows.truth(trained.labels)
    with TemporaryDirectory() as scratch:
        explored = explore(
            trained.classifier, trained.tokenizer, trained.sample, Path(scratch), time.monotonic, Effort.named(effort)
        )
        answers = [served_answers(each, explored.tokenizer, rows.texts) for each in explored.folders]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PICTURE).write_bytes(draw(explored.points))
    return explored.points, [float((each.argmax(1) == truth).mean()) for each in answers]


def table(points: Sequence[Point], unseen: Sequence[float]) -> str:
    """The points as they were tried; `front`: no other is as good in bytes, time and validation and better in one."""
    lines = ["| candidate | MB | ms | validation, % | unseen, % | divergence | |", "|---|---|---|---|---|---|---|"]
    for point, right in zip(points, unseen, strict=True):
        told = "chosen" if point.is_chosen else "front" if point.is_on_front else ""
        quality = f"{100 * point.quality:.1f} | {100 * right:.1f} | {point.divergence:.4f}"
        lines.append(f"| {point.name} | {point.bytes / 1e6:.1f} | {point.latency_ms:.2f} | {quality} | {told} |")
    return "\n".join(lines)
