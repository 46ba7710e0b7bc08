"""What a search for a smaller model found, as a picture: bytes across, latency up, quality as colour."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from training.search import Point

FILE = "compression.png"


def draw(points: Sequence[Point]) -> bytes:
    """A PNG of the points, the Pareto front joined, the chosen one ringed."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    megabytes = [point.bytes / 1e6 for point in points]
    dots = axes.scatter(
        megabytes,
        [point.latency_ms for point in points],
        c=[100 * point.quality for point in points],
        s=64,
        cmap="viridis",
        edgecolors="black",
        linewidths=0.5,
        zorder=3,
    )
    figure.colorbar(dots, label="quality, %")
    front = sorted((point for point in points if point.is_on_front), key=lambda point: point.bytes)
    axes.plot([p.bytes / 1e6 for p in front], [p.latency_ms for p in front], color="grey", linewidth=1, zorder=1)
    for point in points:
        where = (point.bytes / 1e6, point.latency_ms)
        axes.annotate(f" {point.name}", where, fontsize=8, va="bottom")
        if point.is_chosen:
            axes.scatter(*where, s=220, facecolors="none", edgecolors="crimson", linewidths=1.8, zorder=2)
    axes.set_xscale("log")
    axes.set_xlabel("megabytes as served (the ringed one is served; the line joins those that no other beats)")
    axes.set_ylabel("ms a request, one thread")
    axes.margins(x=0.18, y=0.12)
    axes.grid(alpha=0.3, which="both")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120, metadata={"Software": None})
    return drawn.getvalue()
