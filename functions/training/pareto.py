"""What a search for a smaller model found, as a picture: bytes across, latency up, quality as colour.

Candidates that are alike lie on one another, so the points have numbers, and the legend tells each one's figures.
"""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, StrMethodFormatter

from training.search import Point

FILE = "compression.png"


def draw(points: Sequence[Point]) -> bytes:
    """A PNG of the points, the Pareto front joined, the chosen one ringed."""
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    axes = figure.subplots()
    sizes, times = [point.bytes / 1e6 for point in points], [max(point.latency_ms, 1e-4) for point in points]
    quality = [100 * point.quality for point in points]
    dots = axes.scatter(sizes, times, c=quality, s=70, cmap="viridis", edgecolors="black", linewidths=0.5, zorder=3)
    figure.colorbar(dots, label="quality, %")
    front = sorted((size, ms) for size, ms, point in zip(sizes, times, points, strict=True) if point.is_on_front)
    axes.plot(*zip(*front, strict=True), color="grey", linewidth=1, zorder=1)
    for number, (size, ms, point) in enumerate(zip(sizes, times, points, strict=True), 1):
        up = 7 if number % 2 else -13  # neighbours are named on either side
        axes.annotate(str(number), (size, ms), (5, up), textcoords="offset points", fontsize=9)
        if point.is_chosen:
            axes.scatter(size, ms, s=240, facecolors="none", edgecolors="crimson", linewidths=1.8, zorder=2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter("")
    axes.set_xlabel("megabytes (ringed: what is served; the line joins those that no other beats)")
    axes.set_ylabel("ms a request, one thread")
    axes.margins(0.14)
    axes.grid(alpha=0.3)
    figure.legend(handles=[_named(*each) for each in enumerate(points, 1)], loc="outside right upper", fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120, metadata={"Software": None})
    return drawn.getvalue()


def _named(number: int, point: Point) -> Line2D:
    figures = f"{point.bytes / 1e6:.3g} MB, {point.latency_ms:.3g} ms, {point.quality:.1%}"
    mark = f"${number}$"
    return Line2D([], [], linestyle="", marker=mark, color="black", markersize=7, label=f"{point.name}\n{figures}")
