"""The card's charts as inline SVG: no script, no font, no network; colours come from the page, so both modes work."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pawl.intervals import Interval

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 220, 38, 32, 10


def span(value: float, ends: Interval) -> str:
    """A share on a line from 0 to 1, with its interval."""
    low, high = (4 + 152 * end for end in ends)
    told = f"{value:.1%}, between {ends[0]:.1%} and {ends[1]:.1%}"
    return (
        f'<svg class="span" viewBox="0 0 160 16" role="img" aria-label="{told}"><line class="axis" x1="4" x2="156" '
        f'y1="8" y2="8"/><rect class="band" x="{low:.1f}" y="4" width="{max(1.0, high - low):.1f}" height="8" rx="2"/>'
        f'<circle class="new" cx="{4 + 152 * value:.1f}" cy="8" r="4"/></svg>'
    )


def reliability(points: Sequence[Sequence[float]]) -> str:
    """How often answers are right by how sure they were; on the line from corner to corner a model knows."""
    most = max(rows for rows, _, _ in points)
    marks = [f'<line class="limit" x1="{_across(0)}" y1="{_up(0)}" x2="{_across(1)}" y2="{_up(1)}"/>']
    for rows, confidence, accuracy in points:
        told = f"<title>{rows:.0f} answers, {confidence:.1%} sure, {accuracy:.1%} right</title>"
        size = 3 + 7 * (rows / most) ** 0.5
        place = f'cx="{_across(confidence)}" cy="{_up(accuracy)}"'
        marks.append(f'<circle class="new soft-fill" {place} r="{size:.1f}">{told}</circle>')
    ticks = [(share, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    return _plot("Right answers by confidence", ticks, ticks, "how sure", "right", marks)


def pareto(points: Sequence[Mapping[str, Any]]) -> str:
    """Quality by size of all that was tried; what is served is filled."""
    largest = max(float(point["bytes"]) for point in points) / 1e6
    qualities = [float(point["quality"]) for point in points]
    low, high = min(qualities), max(qualities)
    spread = (high - low) or 1.0
    marks: list[str] = []
    for point in points:
        size, quality = float(point["bytes"]) / 1e6, float(point["quality"])
        told = f"{point['name']}: {size:.1f} MB, {float(point['latency_ms']):.2f} ms, quality {quality:.4f}"
        style = "new" if point.get("chosen") else "old"
        place = f'cx="{_across(size / largest)}" cy="{_up(0.1 + 0.8 * (quality - low) / spread)}"'
        marks.append(f'<circle class="{style}" {place} r="6"><title>{escape(told)}</title></circle>')
    sizes = [(share, f"{largest * share:.0f}") for share in (0, 0.5, 1)]
    heights = [(0.1 + 0.8 * share, f"{low + spread * share:.3f}") for share in ((0, 1) if high > low else (0,))]
    return _plot("Quality by size of what was tried", sizes, heights, "MB", "quality", marks)


def changes(by_rule: Mapping[str, Sequence[float]]) -> str:
    """Accuracy under each change: the live version's bar beside the candidate's."""
    step = (_WIDTH - _LEFT) / len(by_rule)
    marks: list[str] = []
    for at, (rule, (rows, new, old)) in enumerate(by_rule.items()):
        left = _LEFT + at * step
        told = f"<title>{escape(rule)}: live {old:.1%}, this version {new:.1%}, {rows:.0f} texts</title>"
        marks.append(f"<g>{told}{_bar('old', left + step * 0.12, step * 0.36, old)}")
        marks.append(_bar("new", left + step * 0.5, step * 0.36, new) + "</g>")
        middle = left + step / 2
        marks.append(f'<text x="{middle:.1f}" y="{_up(0) + 13:.1f}" text-anchor="middle">{escape(rule[:9])}</text>')
    heights = [(share, f"{share:.0%}") for share in (0, 0.5, 1)]
    return _plot("Accuracy when texts are changed", [], heights, "", "right", marks)


def _plot(
    label: str,
    across: Sequence[tuple[float, str]],
    up: Sequence[tuple[float, str]],
    below: str,
    beside: str,
    marks: Sequence[str],
) -> str:
    """Axes with ticks at shares of their length, what they measure, and the marks."""
    lines = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{_up(0)}" y2="{_up(0)}"/>']
    for share, name in up:
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{_up(share)}" y2="{_up(share)}"/>')
        lines.append(f'<text x="{_LEFT - 4}" y="{_up(share) + 4:.1f}" text-anchor="end">{name}</text>')
    for share, name in across:
        anchor = "end" if share == 1 else "middle"
        lines.append(f'<text x="{_across(share)}" y="{_up(0) + 13:.1f}" text-anchor="{anchor}">{name}</text>')
    lines.append(f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 3}" text-anchor="middle">{below}</text>')
    lines.append(f'<text x="{_LEFT + 4}" y="{_TOP + 8}">{beside}</text>')
    drawn = "".join([*lines, *marks])
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{drawn}</svg>'


def _bar(style: str, left: float, width: float, share: float) -> str:
    height = _up(0) - _up(share)
    return f'<rect class="{style}" x="{left:.1f}" y="{_up(share)}" width="{width:.1f}" height="{height:.1f}"/>'


def _across(share: float) -> float:
    return round(_LEFT + 10 + share * (_WIDTH - _LEFT - 20), 1)


def _up(share: float) -> float:
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP - 8), 1)
