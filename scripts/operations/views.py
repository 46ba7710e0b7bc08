"""Results as a person likes to read them; `--json` shows the same results whole."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Item = Mapping[str, Any]
Column = tuple[str, Callable[[Item], Any]]
_BEGINNING = 12
_STYLES = {
    "live": "green",
    "completed": "green",
    "passed": "green",
    "refused": "red",
    "failed": "red",
    "FAILED": "bold red",
    "running": "yellow",
    "pending": "yellow",
    "candidate": "yellow",
    "canary": "yellow",
    "waiting": "yellow",
    "rolled_back": "red",
    "stopped": "red",
    "superseded": "dim",
    "collected": "dim",
    "retired": "dim",
    "cancelled": "dim",
    "run failed": "red",
}


def listing(items: Iterable[Item], columns: Sequence[Column], title: str = "", empty: str = "none") -> RenderableType:
    """A table with a row an item; `empty` where there is none. A column that holds nothing is left out."""
    rows = [[cell(read(item)) for _, read in columns] for item in items]
    if not rows:
        return Text(f"{title + ': ' if title else ''}{empty}")
    kept = [at for at in range(len(columns)) if any(row[at].plain for row in rows)]
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for at in kept:
        table.add_column(columns[at][0], overflow="fold")
    for row in rows:
        table.add_row(*(row[at] for at in kept))
    return table


def facts(about: Item, title: str = "") -> RenderableType:
    """Names and values below each other; those without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in about.items():
        if value not in ("", None, [], {}):
            table.add_row(Text(name.replace("_", " ")), cell(value))
    return Group(Text(title, style="bold"), table, Text("")) if title else table


def cell(value: Any) -> Text:
    """One value: nothing for None, yes and no for booleans, a mapping as `name value`, a list by its ends."""
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping):
        return Text(", ".join(f"{name} {each}" for name, each in value.items()))
    if isinstance(value, list | tuple):
        return Text(" to ".join(map(str, value)))
    return Text(str(value), style=_STYLES.get(str(value), ""))


def field(name: str) -> Callable[[Item], Any]:
    """Reads one field of an item, None where it has none."""
    return lambda item: item.get(name)


def columns(*names: str) -> list[Column]:
    """Columns of the fields by these names."""
    return [(name.replace("_", " "), field(name)) for name in names]


def shortened(name: str) -> Column:
    """A column of digests by their beginnings, which `pawl lineage` takes as well."""
    return name, lambda item: item[name][:_BEGINNING]


def show_status(result: Mapping[str, Item]) -> RenderableType:
    """What is live and what is watched."""
    named = [{"model": name, "served": "here", **each} for name, each in result.items()]
    return listing(named, columns("model", "version", "canary", "served", "moved_at", "reason", "function_version"))


def show_models(result: Sequence[Item]) -> RenderableType:
    """All models."""
    names = ("model", "version", "kind", "accuracy", "megabytes", "since", "versions", "refused", "drift", "run")
    return listing(result, columns(*names), empty="no model is registered: scripts/pawl seed")


def show_runs(result: Sequence[Item]) -> RenderableType:
    """Training runs."""
    done: Column = ("progress", lambda run: f"{run['progress']:.0%}")
    took: Column = ("minutes", lambda run: round(run["runtime_seconds"] / 60, 1))
    told: Column = ("why, or what came of it", lambda run: run["error"] or run["conclusion"] or run["because"])
    named = columns("id", "model", "version", "recipe", "status")
    empty = "no run yet: scripts/pawl retrain MODEL starts one"
    return listing(result, [*named, done, took, *columns("created_at"), told], empty=empty)


def show_releases(result: Sequence[Item]) -> RenderableType:
    """The versions of models."""
    judged = [*columns("model", "version", "state"), ("gates", _gates), ("canary", field("stands"))]
    recipe: Column = ("recipe", lambda each: each["manifest"].get("lineage", {}).get("recipe"))
    return listing(
        result,
        [*judged, *columns("updated_at", "function_version"), recipe],
        empty="no version is registered: scripts/pawl seed",
    )


def show_explanation(result: Item) -> RenderableType:
    """Why a version was released or refused."""
    about = {name: result[name] for name in ("verdict", "trained_because", "decided_at", "evidence")}
    verdict: Column = ("verdict", lambda gate: "passed" if gate["passed"] else "FAILED")
    gates = listing(result["gates"], [("gate", field("name")), verdict, *columns("measured", "wanted")])
    parts = [facts(about, f"{result['model']} {result['version']}")]
    parts += [gates] if result["gates"] else []
    parts += [show_canary(result["canary"])] if result.get("canary") else []
    return Group(*parts, facts({"next": result["then"]}))


def show_canary(notes: Sequence[Item]) -> RenderableType:
    """What was done in a canary, step by step, with the figures of each."""
    share: Column = ("share", lambda note: f"{note['weight']:.0%}")
    figures: Column = ("figures", lambda note: "; ".join(_figure(*each) for each in note["figures"].items()))
    return listing(notes, [*columns("at", "what"), share, *columns("because"), figures], "Canary")


def _figure(name: str, about: Item) -> str:
    if "share" in about:
        return f"{name} {about['share']:.1%} of {about['answers']}"
    return f"{name} {about['difference']:+.4f} of {about['answers'][0]} against {about['answers'][1]}"


def show_quarantine(result: Sequence[Item]) -> RenderableType:
    """What was set aside."""
    return listing(result, columns("feedback_id", "rater", "metric", "value", "reason", "evidence", "given_at"))


def show_logs(result: Sequence[Item]) -> RenderableType:
    """Lines as they were written, each after its time."""
    lines = [Text(f"{each['time']} {each['message']}") for each in result]
    return Text("\n").join(lines) if lines else Text("nothing was written: look further back with --since 1d")


def show_lineage(result: Item) -> RenderableType:
    """An id, what it came from, and what saw it."""
    parts: list[RenderableType] = [facts(result["about"], f"{result['kind']} {result['id']}")]
    if "feedback" in result:
        said = columns("metric", "rater", "given_at", "feedback_id")
        parts.append(listing(result["feedback"], said, "What was said of it"))
    if result.get("version"):
        parts.append(facts(_own(result["version"]), "Made by"))
    if result.get("run"):
        parts.append(facts(result["run"], "Run"))
    if result.get("datasets"):
        names = columns("rows", "traffic_window", "feedback", "raters")
        parts.append(listing(result["datasets"], [shortened("digest"), *names], "Datasets, newest first"))
    version = [
        ("version", lambda each: f"models:/{each['model']}/{each['version']}"),
        *columns("state", "recipe", "run"),
    ]
    for name, title in (("parents", "Versions before it"), ("followed_by", "Versions that followed it")):
        if result.get(name):
            parts.append(listing(result[name], version, title))
    if "seen_by" in result:
        seen = [*columns("version", "state", "how", "rows"), shortened("dataset")]
        parts.append(listing(result["seen_by"], seen, "Seen by", "no model: no dataset holds it"))
    return Group(*parts)


def _own(version: Item) -> Item:
    """A version's own facts; its run and its dataset are told below."""
    uri = f"models:/{version['model']}/{version['version']}"
    return {"version": uri} | {name: version[name] for name in ("state", "created_at", "recipe", "base_model", "code")}


def _gates(version: Item) -> str:
    failed = [gate["name"] for gate in version["gates"] if not gate["passed"]]
    count = len(version["gates"])
    return f"failed: {', '.join(failed)}" if failed else f"{count} passed" if count else ""


VIEWS: Mapping[str, Callable[[Any], RenderableType]] = {
    "status": show_status,
    "models": show_models,
    "runs": show_runs,
    "releases": show_releases,
    "explain": show_explanation,
    "lineage": show_lineage,
    "logs": show_logs,
    "quarantine": show_quarantine,
    "restore": lambda result: show_quarantine(result["restored"]),
    "retrain": facts,
    "rollback": facts,
    "promote": facts,
    "refresh": facts,
    "pairs": facts,
    "erase": facts,
}
