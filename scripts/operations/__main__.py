"""`scripts/pawl`: look at a deployment and act on it. With AWS_ENDPOINT_URL set, at the local cloud."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from feedback.pairs import PairFiles
from feedback.standing import standing
from feedback.tally import Tally
from operations.arguments import make_parser
from operations.completion import SHELLS, commands_of
from operations.logs import read_logs
from operations.pairing import lines_of_traffic
from operations.reading import explain, list_models, list_releases, list_runs, named_version
from operations.seeding import prepare, seed, trusted_keys
from operations.stack import Stack
from operations.teaching import lines_for
from operations.tracing import Tracer
from operations.troubles import KNOWN, next_step
from operations.views import VIEWS
from pawl.quarantine import Quarantine
from pawl.signing import to_pem
from pawl.subjects import Subject, erase, export
from pawl.tombstones import erase_answer
from pawl.versions import vars_of

_PIPED_WIDTH = 240  # whoever reads it next cuts lines by itself


def main() -> int:
    """Carry out one command; 1 with a message and the next step when it cannot be done."""
    arguments = make_parser().parse_args()
    try:
        result = COMMANDS[arguments.command](Stack(arguments.stack), arguments)
    except KNOWN as error:
        report(error, arguments.json)
        return 1
    show(arguments.command, result, arguments.json)
    return 0


def show(command: str, result: Any, as_json: bool) -> None:
    """Print a result: text as it is, else a table where the command has one and nobody asked for JSON."""
    if isinstance(result, str):
        print(result, end="" if result.endswith("\n") else "\n")
    elif as_json or command not in VIEWS:
        print(json.dumps(result, indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False).print(VIEWS[command](result))


def report(error: Exception, as_json: bool) -> None:
    """Say on standard error what went wrong, and what to do next."""
    told = {"error": str(error), "next": next_step(error)}
    text = json.dumps(told) if as_json else f"pawl: {told['error']}\nnext: {told['next']}"
    print(text, file=sys.stderr)


def _status(stack: Stack, arguments: argparse.Namespace) -> Any:
    served = {name: _served(stack.call("GET", f"/releases/{name}")) for name in stack.registry.models()}
    watched = {name: stack.registry.elsewhere(name) for name in stack.registry.models_elsewhere()}
    elsewhere = {name: {**vars_of(each), "served": "elsewhere"} for name, each in watched.items() if each}
    return {**elsewhere, **served}


def _served(shown: dict[str, Any]) -> dict[str, Any]:
    """What is live, and beside it the version in its canary."""
    canary = shown.get("canary")
    return shown["live"] | ({"canary": f"{canary['version']} at {canary['weight']:.0%}"} if canary else {})


def _retrain(stack: Stack, arguments: argparse.Namespace) -> Any:
    return stack.call("POST", "/jobs", {"model": arguments.model})


def _rollback(stack: Stack, arguments: argparse.Namespace) -> Any:
    return stack.call("POST", f"/releases/{arguments.model}/rollback")


def _promote(stack: Stack, arguments: argparse.Namespace) -> Any:
    return stack.call("POST", f"/releases/{arguments.model}/promote", {"version": arguments.version})


def _quarantine(stack: Stack, arguments: argparse.Namespace) -> Any:
    return [asdict(entry) for entry in Quarantine(stack.bucket, arguments.model).entries()]


def _restore(stack: Stack, arguments: argparse.Namespace) -> Any:
    quarantine = Quarantine(stack.bucket, arguments.model)
    return {"restored": [asdict(quarantine.restore(feedback_id)) for feedback_id in arguments.feedback_id]}


def _pairs(stack: Stack, arguments: argparse.Namespace) -> Any:
    files, model = PairFiles(stack.bucket, stack.masking, _warn), arguments.model
    page = {"page": f"{stack.outputs['ApiUrl']}/label?model={model}"}
    if arguments.file is not None:
        key, number = files.add(model, arguments.file.read_bytes())
        return {"key": key, "pairs": number, **page}
    if arguments.traffic is not None:
        key, number = files.add(model, lines_of_traffic(stack, model, arguments.traffic, time.time_ns() // 1_000_000))
        return {"key": key, "pairs": number, **page}
    votes = Tally(stack.client("dynamodb"), stack.outputs["FeedbackTable"]).votes(model)
    return {**asdict(standing(files.of(model), votes, model)), **page}


def _warn(about: Mapping[str, str]) -> None:
    print("{file}: {why}".format_map(about), file=sys.stderr)


def _rows(stack: Stack, arguments: argparse.Namespace) -> Any:
    return lines_for(stack, arguments.model, arguments.trainer, arguments.dataset)


def _erase(stack: Stack, arguments: argparse.Namespace) -> Any:
    if arguments.inference:
        return {"erased_answer": erase_answer(stack.bucket, arguments.name)}
    subject = Subject.of(arguments.name, stack.receipt_keys)
    return erase(stack.deployment, subject, time.time_ns() // 1_000_000)


def _models(stack: Stack, arguments: argparse.Namespace) -> Any:
    return list_models(stack)


def _runs(stack: Stack, arguments: argparse.Namespace) -> Any:
    return list_runs(stack, arguments.model)


def _releases(stack: Stack, arguments: argparse.Namespace) -> Any:
    return list_releases(stack, arguments.model)


def _explain(stack: Stack, arguments: argparse.Namespace) -> Any:
    if arguments.model.startswith("models:"):
        return explain(stack, *named_version(stack, arguments.model))
    return explain(stack, arguments.model, arguments.version)


def _lineage(stack: Stack, arguments: argparse.Namespace) -> Any:
    return Tracer(stack).trace(arguments.id, arguments.subject)


def _logs(stack: Stack, arguments: argparse.Namespace) -> Any:
    return read_logs(stack, arguments.function, time.time_ns() // 1_000_000 - arguments.since)


def _completion(stack: Stack, arguments: argparse.Namespace) -> Any:
    return SHELLS[arguments.shell](commands_of(make_parser()))


def _export(stack: Stack, arguments: argparse.Namespace) -> Any:
    return export(stack.deployment, Subject.of(arguments.name, stack.receipt_keys))


def _seed(stack: Stack, arguments: argparse.Namespace) -> Any:
    from artifacts.layers import starter  # it knows how to build, which no other command needs

    return {"registered": seed(stack, starter(), time.time_ns() // 1_000_000)}


def _refresh(stack: Stack, arguments: argparse.Namespace) -> Any:
    return stack.invoke("ReleaseFunction", {"detail-type": "Deployed"})


def _prepare(stack: Stack, arguments: argparse.Namespace) -> Any:
    from artifacts.signing import local_key

    return prepare(stack, local_key().trusted)


def _keys(stack: Stack, arguments: argparse.Namespace) -> Any:
    return "".join(to_pem(key) for key in trusted_keys(stack))


COMMANDS = {
    "prepare": _prepare,
    "keys": _keys,
    "status": _status,
    "models": _models,
    "runs": _runs,
    "releases": _releases,
    "explain": _explain,
    "lineage": _lineage,
    "logs": _logs,
    "completion": _completion,
    "retrain": _retrain,
    "rollback": _rollback,
    "promote": _promote,
    "quarantine": _quarantine,
    "restore": _restore,
    "pairs": _pairs,
    "rows": _rows,
    "erase": _erase,
    "export": _export,
    "seed": _seed,
    "refresh": _refresh,
}


if __name__ == "__main__":
    sys.exit(main())
