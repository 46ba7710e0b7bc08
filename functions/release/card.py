"""The model card as one HTML page that needs nothing else: no network, no script; on a phone, in the dark, by ear.

It lies beside the bundles, under `cards/<model>/<version>.html`, and not in them: only a release knows what the gates
measured, and by then the bundle's files are sealed. All that it says is in the manifest and in the evidence, which are
signed, so anybody can render it again. Whatever comes from data, and be it a label's name, is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pawl.intervals import wilson
from release import charts

Facts = Mapping[str, Any]
_CSS = """
:root{color-scheme:light dark;--ink:#1c1c1a;--paper:#fff;--soft:#5c5c57;--line:#d9d9d2;--card:#f6f6f2;--old:#8a94a6;
--new:#c2410c;--good:#15803d;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ink:#ecebe6;--paper:#161615;--soft:#a8a79f;--line:#3a3a36;--card:#20201e;
--old:#7b8699;--new:#fb923c;--good:#4ade80;--bad:#f87171}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.3;margin:.3rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}
p{margin:.4rem 0;max-width:46rem}.soft,figcaption,caption{color:var(--soft);font-size:.875rem}
.status{display:inline-block;padding:.1rem .6rem;border-radius:1rem;color:var(--paper);font-weight:600}
.passed{background:var(--good)}.refused{background:var(--bad)}
td.yes{color:var(--good);font-weight:600}td.no{color:var(--bad);font-weight:600}
.cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}
figure{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
figure svg{display:block;width:100%;max-width:34rem;height:auto}svg.span{width:10rem;height:1rem;vertical-align:middle}
svg text{font-size:10px;fill:var(--soft)}.old{fill:var(--old)}.new{fill:var(--new)}.soft-fill{opacity:.8}
.axis{stroke:var(--soft)}.grid{stroke:var(--line)}.limit{stroke:var(--soft);stroke-dasharray:4 3}
.band{fill:var(--new);opacity:.3}
.key::before{content:"";display:inline-block;width:.7em;height:.7em;margin-right:.3em;background:var(--old)}
.key.mine::before{background:var(--new)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.875rem}caption{text-align:left}
caption span{display:block;position:sticky;left:0;max-width:calc(100vw - 2rem)}
th,td{padding:.25rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
tbody th{font-weight:400;min-width:6.5rem}td.words{min-width:11rem}td.number{text-align:right;white-space:nowrap}
th.number{text-align:right}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0}
.wide:focus-visible{outline:3px solid var(--new)}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SECURITY = (
    "Its bundle is signed over every file, and inference serves nothing that is not; no file is a pickle.",
    "Labels from feedback are screened for poisoning before a training: suspicious ones wait in quarantine.",
    "It answers holders of an API key only, under a usage plan with rate and quota, which slows whoever would copy it.",
    "Personal data of known forms is masked before traffic and feedback are stored.",
)


def card_key(model: str, version: str) -> str:
    """Where a version's card lies in the bucket."""
    return f"cards/{model}/{version}.html"


def render(manifest: Facts, gates: Sequence[Facts]) -> str:
    """The whole page of a version, from its manifest and what its gates found."""
    title = f"{manifest['name']} {manifest['version']}"
    by_name = {gate["name"]: gate for gate in gates}
    parts = [
        _head(title, manifest, gates),
        _gates(gates),
        _quality(manifest["metrics"]),
        _fairness([gate for gate in gates if str(gate["name"]).startswith("fairness:")]),
        _robustness(by_name),
        _compression(manifest["metrics"].get("compression", [])),
        _security(),
        _lineage(manifest),
        _resources(manifest["metrics"].get("footprint")),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>Model card of {escape(title)}</title><style>{_CSS}</style></head>\n"
        f"<body>{''.join(parts)}</main></body></html>\n"
    )


def _head(title: str, manifest: Facts, gates: Sequence[Facts]) -> str:
    failed = [str(gate["name"]) for gate in gates if not gate["passed"]]
    status = "refused" if failed else "passed"
    verdict = f"{len(gates) - len(failed)} of {len(gates)} gates passed"
    if failed:
        verdict += f"; refused by {', '.join(failed)}"
    return (
        f'<header><p><span class="status {status}">{status}</span></p><h1>Model card: {escape(title)}</h1>'
        f'<p class="soft">{escape(verdict)}. Made {escape(str(manifest["created_at"])[:16].replace("T", " "))} UTC.</p>'
        f"</header>\n<main><section><h2>Intended use</h2>{_use(manifest)}</section>"
    )


def _use(manifest: Facts) -> str:
    kind = str(manifest["kind"])
    if kind == "text-classifier":
        labels = ", ".join(map(str, manifest["labels"]))
        what = (
            f"It sorts short texts into {len(manifest['labels'])} labels: {labels}. It is meant for texts like those "
            "it was trained on, where a wrong label costs little or a person looks at doubtful ones."
        )
    else:
        what = f"A model of the kind {kind}, for inputs like those that it was made with."
    limits = (
        "It is not meant to decide anything about a person by itself. It answers whatever it is asked, also what fits "
        "nothing it has seen, and keeps the limits and biases of its base model and data."
    )
    return f"<p>{escape(what)}</p><p>{limits}</p>"


def _gates(gates: Sequence[Facts]) -> str:
    rows = [
        (
            _cell("", gate["name"]),
            _cell("yes", "passed") if gate["passed"] else _cell("no", "FAILED"),
            _cell("words", gate["measured"]),
            _cell("words", gate["wanted"]),
        )
        for gate in gates
    ]
    caption = "What was asked of it, against the version that was live"
    return f"<section><h2>Gates</h2>{_table(caption, ('Gate', 'Verdict', 'Measured', 'Wanted'), rows)}</section>"


def _quality(metrics: Facts) -> str:
    """Accuracy by split and slice with intervals, and the calibration curve, as served."""
    splits: Facts = metrics.get("int8", {})
    rows = [row for split, one in splits.items() for row in _shares(split, one)]
    if not rows:
        return ""
    names = ("Rows of", "Rows", "Accuracy", "95 % interval")
    table = _table("Accuracy as served, by split and slice", names, rows)
    figures = "".join(
        f"<figure><h3>Calibration, {escape(split)}</h3>{charts.reliability(one['reliability'])}<figcaption>On the "
        f"dashed line a model is right as often as it says; larger dots are more answers.</figcaption></figure>"
        for split, one in splits.items()
        if one.get("reliability")
    )
    return f'<section><h2>Quality</h2>{table}<div class="cards">{figures}</div></section>'


def _shares(split: str, measured: Facts) -> Iterable[tuple[str, ...]]:
    named: list[tuple[str, Facts]] = [(split, measured)]
    for attribute, values in measured.get("slices", {}).items():
        named += [(f"{split}, {attribute} {value}", one) for value, one in values.items()]
    for name, one in named:
        rows, share = int(one["rows"]), float(one["accuracy"])
        ends = wilson(share * rows, rows)
        chart = f"<td>{charts.span(share, ends)}</td>"
        yield _cell("", name), _cell("number", f"{rows:,}"), _cell("number", f"{share:.1%}"), chart


def _fairness(gates: Sequence[Facts]) -> str:
    rows = [
        (
            _cell("", f"{str(gate['name']).partition(':')[2]}: {gap['measure']}"),
            _cell("number", f"{gap['value']:.3f}"),
            _cell("number", f"{gap['live']:.3f}"),
            _cell("number", f"{gap['interval'][0]:.3f} to {gap['interval'][1]:.3f}"),
            _cell("number", f"{gap['limit']:g}"),
        )
        for gate in gates
        for gap in gate["evidence"].get("gaps", [])
    ]
    if not rows:
        return ""
    names = ("Attribute and measure", "This version", "Live", "Interval of what is judged", "Limit")
    caption = "Largest differences between groups; of a rise, the interval is of the rise over the live version"
    return f"<section><h2>Fairness</h2>{_table(caption, names, rows)}</section>"


def _robustness(gates: Mapping[str, Facts]) -> str:
    figures: list[str] = []
    if by_rule := gates.get("perturbations", {}).get("evidence", {}).get("by_rule"):
        figures.append(
            f"<figure><h3>Changed texts</h3>{charts.changes(by_rule)}<figcaption>"
            '<span class="key">live</span> <span class="key mine">this version</span>; the same holdout texts with '
            "typos, other words and the like.</figcaption></figure>"
        )
    attack = gates.get("attack", {})
    if (value := attack.get("value")) is not None:
        found: Facts = attack["evidence"]
        figures.append(
            f"<figure><h3>Under attack</h3><p>Of {found['texts']} inputs {value:.0%} had a right answer that an "
            f"attacker could turn into a wrong one with a limited number of questions; {found['live']:.0%} with the "
            f"live version.</p></figure>"
        )
    return f'<section><h2>Robustness</h2><div class="cards">{"".join(figures)}</div></section>' if figures else ""


def _compression(points: Sequence[Facts]) -> str:
    if not points:
        return ""
    rows = [
        (
            _cell("", f"{point['name']}{' (served)' if point.get('chosen') else ''}"),
            _cell("number", f"{point['bytes'] / 1e6:.1f}"),
            _cell("number", f"{point['latency_ms']:.2f}"),
            _cell("number", f"{point['quality']:.4f}"),
        )
        for point in points
    ]
    names = ("Version", "MB", "ms a row", "Quality")
    table = _table("What was tried to make it small and fast", names, rows)
    figure = f"<figure>{charts.pareto(points)}<figcaption>What is served is filled in orange.</figcaption></figure>"
    return f'<section><h2>Compression</h2><div class="cards">{figure}</div>{table}</section>'


def _security() -> str:
    items = "".join(f"<li>{each}</li>" for each in _SECURITY)
    return f"<section><h2>Security</h2><ul>{items}</ul></section>"


def _lineage(manifest: Facts) -> str:
    lineage: Facts = manifest["lineage"]
    window = " to ".join(map(str, lineage.get("traffic_window", []))) or "none"
    facts = {
        "Base model": f"{lineage['base_model']} ({lineage['base_licence']})",
        "Parent": lineage["parent"] or "none",
        "Recipe": lineage.get("recipe") or "packaged as it is",
        "Dataset": lineage["dataset"],
        "Run": lineage["run"],
        "Code": lineage["code"],
        "Traffic window": window,
        "Labelled answers": lineage.get("feedback", 0),
    }
    terms = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f"<section><h2>Lineage</h2><dl>{terms}</dl></section>"


def _resources(spent: Facts | None) -> str:
    if not spent:
        return ""
    price = "" if spent["usd"] is None else f", and about {spent['usd']:.4f} USD at AWS's list price"
    told = (
        f"The run took {spent['seconds']:.0f} s on {spent['device']}. At {spent['watts']:.0f} W, assumed and not "
        f"metered, that is {spent['kwh']:.4f} kWh and about {spent['grams_co2']:.1f} g of CO2 at 400 g a kWh{price}."
    )
    return f"<section><h2>Energy and cost</h2><p>{escape(told)}</p></section>"


def _cell(style: str, value: object) -> str:
    return f'<td class="{style}">{escape(str(value))}</td>' if style else f'<th scope="row">{escape(str(value))}</th>'


def _table(caption: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of finished cells; columns of numbers have their head on the right as well."""
    is_number = ['class="number"' in cell for cell in rows[0]]
    head = "".join(
        f'<th scope="col"{" class=number" if number else ""}>{escape(name)}</th>'
        for name, number in zip(names, is_number, strict=True)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" aria-label="{escape(caption)}" tabindex="0"><table><caption><span>'
        f"{escape(caption)}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
