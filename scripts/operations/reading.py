"""What a person asks of a deployment before acting on it: models, runs, releases, and why a version is what it is."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from operations.stack import OperationError, Stack
from pawl.bundle import EVIDENCE
from pawl.errors import NotFound
from pawl.versions import VersionRecord

Facts = dict[str, Any]
_IN_CANARY = {
    "waiting": ("it waits: {because}", "pawl releases {name} shows the canary that it waits for"),
    "canary": (
        "in its canary: {because}",
        "pawl promote {name} {version} lets it through, pawl rollback {name} stops it",
    ),
    "rolled_back": ("rolled back in its canary: {because}", "gather more labelled answers, then: pawl retrain {name}"),
    "stopped": ("its canary was stopped: {because}", "pawl promote {name} {version} makes it live all the same"),
    "superseded": ("superseded: a newer candidate came", "pawl releases {name} shows it"),
    "collected": ("no longer deployed: {because}", "pawl retrain {name} makes a new one"),
}
_URI = re.compile(r"models:/([a-z0-9-]+)[/@](\d+|live)")


def list_models(stack: Stack) -> list[Facts]:
    """Each model that is served here: its live version, how good it is, and what is under way."""
    return [_model(stack, name) for name in stack.registry.models()]


def list_runs(stack: Stack, model: str | None = None) -> list[Facts]:
    """The training runs, of one model or all, oldest first, as the job API shows them."""
    runs = stack.call("GET", "/jobs")["jobs"]
    return [run for run in runs if model in (None, run["model"])]


def list_releases(stack: Stack, model: str | None = None) -> list[Facts]:
    """The versions of one model or all, oldest first, each with its gates and whether it answers now."""
    releases = list[Facts]()
    for name in [model] if model else stack.registry.models():
        found = stack.call("GET", f"/releases/{name}")
        canary = found.get("canary") or {}
        releases += [
            {**each, "is_live": each["version"] == found["live"]["version"], "stands": _standing(each, canary)}
            for each in found["versions"]
        ]
    return releases


def explain(stack: Stack, model: str, version: str) -> Facts:
    """Why a version was released or refused: every gate with what was measured and wanted, and what to do next.

    `version` is a number or `live`. Gates come from the registry; `evidence` says whether the signed copy in the bundle
    tells the same.
    """
    number = number_of(stack, model, version)
    record, run = stack.registry.version(model, number), _run_of(stack, model, number)
    if record is None and run is None:
        raise OperationError(
            f"no version {number} of {model!r}", "pawl releases lists the versions, pawl runs the runs"
        )
    verdict, then = _verdict(record) if record else _waiting(run or {})
    return {
        "model": model,
        "version": number,
        "state": record.state if record else "",
        "verdict": verdict,
        "trained_because": (run or {}).get("because", ""),
        "decided_at": record.updated_at if record else "",
        "gates": record.gates if record else [],
        "canary": record.canary if record else [],
        "evidence": _evidence(stack, record) if record and record.gates else "",
        "then": then,
    }


def named_version(stack: Stack, name: str) -> tuple[str, str]:
    """The model and the number that a URI names, such as models:/triage/2 or models:/triage@live."""
    found = _URI.fullmatch(name)
    if not found:
        raise OperationError(f"{name!r} names no version", "want models:/NAME/VERSION or models:/NAME@live")
    return found[1], number_of(stack, found[1], found[2])


def number_of(stack: Stack, model: str, version: str) -> str:
    """A version's number; `live` is that of the one that answers now."""
    if version == "live":
        return stack.registry.live(model).version
    if not version.isdecimal():
        raise OperationError(f"{version!r} is no version", f"want a number or live: pawl releases {model} lists them")
    return version


def _model(stack: Stack, name: str) -> Facts:
    live = stack.registry.live(name)
    manifest = stack.registry.manifest(name, live.version)
    versions = stack.registry.versions(name)
    return {
        "model": name,
        "version": live.version,
        "kind": manifest.kind,
        "accuracy": manifest.metrics.get("int8", {}).get("holdout", {}).get("accuracy"),
        "megabytes": round(sum(about["size"] for about in manifest.files.values()) / 1e6, 1),
        "since": live.moved_at,
        "reason": live.reason,
        "versions": len(versions),
        "refused": sum(record.state == "refused" for record in versions),
        "drift": stack.registry.incident(name, live.version) is not None,
        "run": stack.registry.active_run(name) or "",
    }


def _run_of(stack: Stack, model: str, version: str) -> Facts | None:
    runs = (run for run in stack.registry.runs() if (run["model"], run["version"]) == (model, version))
    return next(runs, None)


def _verdict(record: VersionRecord) -> tuple[str, str]:
    """What became of a version that was registered, and what to do next."""
    name, count = record.model, len(record.gates)
    failed = _failed(record.gates)
    if record.state == "refused":
        wanted = "; ".join(f"{gate['name']} wanted {gate['wanted']}" for gate in failed)
        then = f"{wanted}. Gather more labelled answers, then: pawl retrain {name}"
        return f"refused: {len(failed)} of {count} gates failed ({', '.join(gate['name'] for gate in failed)})", then
    if record.state in _IN_CANARY:
        because = record.canary[-1]["because"] if record.canary else "another one has its canary"
        verdict, then = _IN_CANARY[record.state]
        return verdict.format(because=because), then.format(name=name, version=record.version)
    then = f"pawl rollback {name}" if record.state == "live" else f"pawl promote {name} {record.version}"
    if not record.gates:
        return "a starter: registered with the deployment, it passed no gates", then if record.state != "live" else ""
    if record.state == "candidate":
        return f"all gates passed ({count}); its release is under way", "pawl logs release, if this lasts for minutes"
    return (
        f"released: all gates passed ({count})",
        f"to go {'back' if record.state == 'live' else 'to it again'}: {then}",
    )


def _standing(version: Facts, canary: Facts) -> str:
    """Where a version stands in its canary, or how that ended; empty where it had none."""
    if canary.get("version") == version["version"]:
        return f"{canary['phase']} at {canary['weight']:.0%}: {canary['because']}"
    notes = version.get("canary") or []
    return notes[-1]["what"] if notes else ""


def _waiting(run: Mapping[str, Any]) -> tuple[str, str]:
    """Where a version is that no gate has judged, and what to do next."""
    if run["status"] in ("failed", "cancelled"):
        return f"there is no such model: its run {run['sk']} {run['status']}", "pawl logs training tells why"
    return f"not judged yet: its run {run['sk']} is {run['status']}", "pawl runs shows how far it is"


def _failed(gates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [gate for gate in gates if not gate["passed"]]


def _evidence(stack: Stack, record: VersionRecord) -> str:
    """Whether the signed copy of the gates' results tells the same; only what was released has one."""
    key = f"models/{record.model}/{record.version}/{EVIDENCE}"
    try:
        is_alike = json.loads(stack.bucket.read(key)) == record.gates
    except NotFound:
        return "none: what is refused is not signed"
    return f"{key} tells the same" if is_alike else f"{key} tells something else: check it with scripts/verify"
