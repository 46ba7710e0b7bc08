"""Charts as inline SVG: no script, no font, no network; colours come from the page, so both modes work."""

from collections.abc import Sequence
from html import escape

from drift.report import Distribution, Moment

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 320, 132, 30, 14, 6


def distribution(shape: Distribution) -> str:
    """Shares of rows by bin, the reference's bar beside the recent one's."""
    highest = max([*shape.reference, *shape.recent, 0.01])
    step = (_WIDTH - _LEFT) / max(1, len(shape.bins))
    bar = step * 0.38
    bars: list[str] = []
    for at, (name, old, new) in enumerate(zip(shape.bins, shape.reference, shape.recent, strict=True)):
        left = _LEFT + at * step
        told = f"<title>{escape(name)}: reference {old:.1%}, recent {new:.1%}</title>"
        bars.append(f"<g>{told}{_bar('old', left + step * 0.1, bar, old / highest)}")
        bars.append(f"{_bar('new', left + step * 0.1 + bar, bar, new / highest)}</g>")
    return _svg(f"{shape.column}: shares of rows, reference beside recent", [*_scale(highest, True), *bars])


def timeline(moments: Sequence[Moment]) -> str:
    """The score over the window with the limit at 1; stretches with too few rows are gaps."""
    highest = max([1.5, *(moment.score for moment in moments if moment.score is not None)])
    step = (_WIDTH - _LEFT) / max(1, len(moments))
    limit = _level(1 / highest)
    marks = [f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH}" y1="{limit:.1f}" y2="{limit:.1f}"/>']
    for at, moment in enumerate(moments):
        if moment.score is None:
            continue
        told = f"<title>{escape(_hour(moment.since))}: score {moment.score:.2f}, {moment.rows:,} rows</title>"
        style = "new" if moment.score >= 1 else "old"
        marks.append(f"<g>{told}{_bar(style, _LEFT + at * step + step * 0.1, step * 0.8, moment.score / highest)}</g>")
    return _svg("Drift score over the window; 1 is the limit", [*_scale(highest, False), *marks])


def band(accuracy: float, low: float, high: float, reference: float) -> str:
    """An estimated accuracy with its band on a line from 0 to 1, and where the reference stands."""
    label = f"Estimated accuracy {accuracy:.0%}, band {low:.0%} to {high:.0%}, reference {reference:.0%}"
    scale = [(share, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    return _band(label, (accuracy, low, high, reference), scale)


def error_band(error: float, low: float, high: float, reference: float, most: float) -> str:
    """The same of an error, on a line from 0 to `most`."""
    label = f"Estimated error {error:.3g}, band {low:.3g} to {high:.3g}, reference {reference:.3g}"
    scale = [(share, f"{share * most:.2g}") for share in (0, 0.25, 0.5, 0.75)]
    return _band(label, (error / most, low / most, high / most, reference / most), scale)


def _band(label: str, places: tuple[float, float, float, float], scale: Sequence[tuple[float, str]]) -> str:
    """Value, low, high and reference as shares of a line with these marks."""
    across = _WIDTH - 20
    value, low, high, reference = places

    def at(value: float) -> float:
        return 10 + across * min(1.0, max(0.0, value))

    ends = "".join(f'<text x="{at(v):.1f}" y="46" text-anchor="middle">{told}</text>' for v, told in scale)
    marks = (
        f'<line class="axis" x1="10" x2="{10 + across}" y1="20" y2="20"/>'
        f'<rect class="band" x="{at(low):.1f}" y="12" width="{max(1.0, at(high) - at(low)):.1f}" height="16" rx="3"/>'
        f'<line class="mark-old" x1="{at(reference):.1f}" x2="{at(reference):.1f}" y1="5" y2="34"/>'
        f'<circle class="new" cx="{at(value):.1f}" cy="20" r="5"/>{ends}'
    )
    return f'<svg viewBox="0 0 {_WIDTH} 50" role="img" aria-label="{label}">{marks}</svg>'


def _svg(label: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _scale(highest: float, is_share: bool) -> list[str]:
    """The foot line, and what the top and the middle stand for."""
    marks = [f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{_level(0):.1f}" y2="{_level(0):.1f}"/>']
    for share in (0.5, 1.0):
        value = f"{highest * share:.0%}" if is_share else f"{highest * share:.1f}"
        height = _level(share)
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{height:.1f}" y2="{height:.1f}"/>')
        marks.append(f'<text x="{_LEFT - 4}" y="{height + 4:.1f}" text-anchor="end">{value}</text>')
    return marks


def _bar(style: str, left: float, width: float, share: float) -> str:
    height = _level(0) - _level(share)
    return f'<rect class="{style}" x="{left:.1f}" y="{_level(share):.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _level(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _hour(instant: str) -> str:
    return instant[:16].replace("T", " ")
