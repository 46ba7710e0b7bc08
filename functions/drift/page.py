"""A report as one HTML page that needs nothing else: no network, no script; on a phone, in the dark, by ear.

Whatever comes from data, and be it a label's name, is escaped; the policy in its head lets it load nothing.
"""

from collections.abc import Iterable, Sequence
from html import escape

from drift import charts
from drift.judgement import ColumnDrift
from drift.report import Distribution, Report

_CSS = """
:root{color-scheme:light dark;--ink:#1c1c1a;--paper:#fff;--soft:#5c5c57;--line:#d9d9d2;--card:#f6f6f2;--old:#8a94a6;
--new:#c2410c;--good:#15803d;--bad:#b91c1c;--none:#57534e}
@media(prefers-color-scheme:dark){:root{--ink:#ecebe6;--paper:#161615;--soft:#a8a79f;--line:#3a3a36;--card:#20201e;
--old:#7b8699;--new:#fb923c;--good:#4ade80;--bad:#f87171;--none:#a8a29e}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.3rem;line-height:1.3;margin:.3rem 0}h2{font-size:1.05rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}
p{margin:.3rem 0}.soft,figcaption,caption{color:var(--soft);font-size:.875rem}
.status{display:inline-block;padding:.1rem .6rem;border-radius:1rem;color:var(--paper);font-weight:600;
background:var(--none)}
.drifted{background:var(--bad)}.stable{background:var(--good)}
.cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr))}
figure,.card{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
svg{display:block;width:100%;height:auto}svg text{font-size:10px;fill:var(--soft)}
.old{fill:var(--old)}.new{fill:var(--new)}.axis{stroke:var(--soft)}.grid{stroke:var(--line)}
.limit{stroke:var(--bad);stroke-dasharray:4 3}.band{fill:var(--new);opacity:.3}
.mark-old{stroke:var(--old);stroke-width:3}
.key::before{content:"";display:inline-block;width:.7em;height:.7em;margin-right:.3em;background:var(--old)}
.key.recent::before{background:var(--new)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.875rem}caption{text-align:left}
caption span{display:block;position:sticky;left:0;max-width:calc(100vw - 2rem)}
figure svg{max-width:34rem}
th,td{padding:.25rem .5rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child{text-align:left;white-space:normal;min-width:7.5rem;max-width:16rem}
td.text,th.text{text-align:left;min-width:6rem}td.text{white-space:normal}
tbody th{font-weight:400}.moved td,.moved th{font-weight:600}
a:focus-visible,.wide:focus-visible{outline:3px solid var(--new)}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_LEGEND = '<p class="soft"><span class="key">reference</span> <span class="key recent">recent</span></p>'


def render(report: Report) -> str:
    """The whole page."""
    title = f"Drift of {report.model} {report.version}, {_minute(report.until)}"
    parts = [
        _head(report),
        _cause(report),
        _distributions("What moved", report.distributions, set(report.drifted), True),
        _timeline(report),
        _quality(report),
        _findings(report),
        _distributions("The answers", report.distributions, set(report.drifted), False),
        _columns(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def _head(report: Report) -> str:
    rows = f"{report.rows:,} rows against {report.reference_rows:,} of the reference"
    weeks = f", and {len(report.weeks)} earlier weeks" if report.weeks else ""
    return (
        f'<header><p><span class="status {report.status}">{report.status}</span></p><h1>{escape(report.sentence)}</h1>'
        f'<p class="soft">{_minute(report.since)} to {_minute(report.until)} UTC, {rows}{weeks}.</p></header>\n<main>'
    )


def _cause(report: Report) -> str:
    """What to do, and what moved how much."""
    if report.status != "drifted":
        return ""
    cost = f" About {report.cure.estimated_cost_usd:.2f} USD." if report.cure.estimated_cost_usd else ""
    action = report.cure.action.replace("_", " ")
    incident = ""
    if report.incident:
        opened = f"Incident {report.incident['number']}, open since {_minute(report.incident['opened_at'])} UTC."
        incident = f'<p class="soft">{opened}</p>'
    cure = f"<h2>What to do: {escape(action)}</h2><p>{escape(report.cure.because)}{cost}</p>{incident}"
    parts = [
        (
            part.column,
            f"{part.share:.0%}",
            part.slice,
            _told(part.before, part.is_share),
            _told(part.now, part.is_share),
        )
        for part in report.attribution.parts
    ]
    if not parts:
        return cure
    names = ("Column", "Share", "What gained most", "Before", "Now")
    caption = "Each column's share of the whole shift, and the values that gained most, or what ties columns together"
    return cure + "<h2>Why</h2>" + _table(caption, names, parts, text={2})


def _distributions(title: str, shapes: Sequence[Distribution], moved: set[str], wanted: bool) -> str:
    """Figures of the columns that moved, or of those that did not."""
    chosen = [shape for shape in shapes if (shape.column in moved) is wanted]
    if not chosen:
        return ""
    figures = "".join(_figure(shape) for shape in chosen)
    return f'<section><h2>{title}</h2>{_LEGEND}<div class="cards">{figures}</div></section>'


def _figure(shape: Distribution) -> str:
    gains = [new - old for old, new in zip(shape.reference, shape.recent, strict=True)]
    most = max(range(len(gains)), key=gains.__getitem__)
    told = " … ".join(dict.fromkeys((*shape.bins[:1], *shape.bins[-1:])))
    gained = f"; most gained: {shape.bins[most]} ({shape.reference[most]:.0%} to {shape.recent[most]:.0%})"
    return (
        f"<figure><h3>{escape(shape.column)}</h3>{charts.distribution(shape)}"
        f"<figcaption>{escape(told + gained)}</figcaption></figure>"
    )


def _timeline(report: Report) -> str:
    if not any(moment.score is not None for moment in report.timeline):
        return ""
    first, last = _minute(report.timeline[0].since), _minute(report.timeline[-1].since)
    return (
        f"<section><h2>Timeline</h2><figure>{charts.timeline(report.timeline)}<figcaption>Score from {first} to {last} "
        "UTC; the dashed line is the limit.</figcaption></figure></section>"
    )


def _quality(report: Report) -> str:
    """Accuracy: what the confidences promise, and what labels say; of a regression, the error to expect."""
    cards: list[str] = []
    if (found := report.estimate) is not None:
        how = "corrected by labelled rows" if found.is_calibrated else "taken at their word"
        cards.append(
            f"<figure><h3>Estimated, without labels</h3>"
            f"{charts.band(found.accuracy, found.low, found.high, found.reference)}"
            f"<figcaption>{found.accuracy:.1%}, between {found.low:.1%} and {found.high:.1%}; the reference's "
            f"{found.reference:.1%}. Confidences are {how}.</figcaption></figure>"
        )
    if (error := report.error) is not None:
        unknown = f" In {error.uncovered:.0%} of rows nothing is known of errors." if error.uncovered >= 0.05 else ""
        most = 1.25 * max(error.high, error.reference) or 1.0
        cards.append(
            f"<figure><h3>Estimated error, without labels</h3>"
            f"{charts.error_band(error.error, error.low, error.high, error.reference, most)}"
            f"<figcaption>{error.error:.4g} on average, between {error.low:.4g} and {error.high:.4g}; the reference's "
            f"{error.reference:.4g}.{unknown}</figcaption></figure>"
        )
    if (labels := report.labels) is not None:
        released = "" if labels.holdout is None else f", {labels.holdout:.1%} when it was released"
        cards.append(
            f'<div class="card"><h3>By late labels</h3><p>{labels.accuracy:.1%} of {labels.rows:,} labelled answers '
            f"are right; their confidences promised {labels.promised:.1%}{released}.</p></div>"
        )
    title = "Accuracy" if report.error is None else "Error"
    return f'<section><h2>{title}</h2><div class="cards">{"".join(cards)}</div></section>' if cards else ""


def _findings(report: Report) -> str:
    if not report.findings:
        return ""
    items = "".join(f"<li>{escape(finding.sentence)}</li>" for finding in report.findings)
    return f"<section><h2>Data quality</h2><ul>{items}</ul></section>"


def _columns(report: Report) -> str:
    if not report.columns:
        return "</main>"
    moved = set(report.drifted)
    ordered = sorted(report.columns, key=lambda column: -column.effect)
    by_week = ("Effect by week",) if any(column.seasonal_effect is not None for column in report.columns) else ()
    rows = [
        (
            column.column,
            f"{column.effect:.2f}",
            f"{column.distance:.3f}",
            *_moved(column),
            f"{column.adjusted:.2g}",
            *("-" if column.seasonal_effect is None else f"{column.seasonal_effect:.2f}" for _ in by_week),
        )
        for column in ordered
    ]
    names = ("Column", "Effect", "Distance", "PSI", "Moved rows", "p, corrected", *by_week)
    caption = (
        "Effect is the shift beyond chance, 1 at the limit; distance is Wasserstein in standard deviations for numbers"
        ", Jensen-Shannon for categories, Fréchet for an embedding; of columns together it is a change of correlation"
        "; MMD² is the mean discrepancy"
    )
    return f"<section><h2>All columns</h2>{_table(caption, names, rows, moved=moved)}</section></main>"


def _moved(column: ColumnDrift) -> tuple[str, str]:
    """The stability index and the share of rows that moved, or the mean discrepancy of columns together."""
    if column.discrepancy is not None:
        return "-", f"MMD² {column.discrepancy:.3f}"
    return f"{column.stability:.3f}", f"{column.total_variation:.0%}"


def _table(
    caption: str,
    names: Sequence[str],
    rows: Iterable[Sequence[str]],
    moved: Iterable[str] = (),
    text: Iterable[int] = (),
) -> str:
    """A table whose first column names the row; `text` are columns that hold words."""
    words, bold = set(text), set(moved)
    kind = [' class="text"' if at in words else "" for at in range(len(names))]
    head = "".join(f'<th scope="col"{kind[at]}>{escape(name)}</th>' for at, name in enumerate(names))
    body = "".join(
        f"<tr{' class=moved' if row[0] in bold else ''}>"
        f'<th scope="row">{escape(row[0])}</th>'
        f"{''.join(f'<td{kind[at]}>{escape(cell)}</td>' for at, cell in enumerate(row) if at)}</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" role="region" aria-label="{escape(caption)}" tabindex="0"><table><caption><span>'
        f"{escape(caption)}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _told(value: float, is_share: bool) -> str:
    return f"{value:.1%}" if is_share else f"{value:.2f}"


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")
