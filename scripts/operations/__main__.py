"""`scripts/pawl`: look at a deployment and act on it. With AWS_ENDPOINT_URL set, at the local cloud."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifacts.layers import starter
from artifacts.signing import local_key
from artifacts.target import BuildError
from feedback.pairs import PairFiles
from feedback.standing import standing
from feedback.tally import Tally
from operations.pairing import lines_of_traffic
from operations.seeding import prepare, seed, trusted_keys
from operations.stack import OperationError, Stack
from pawl.errors import InvalidReceipt, InvalidRecord, NotFound
from pawl.quarantine import Quarantine
from pawl.registry import vars_of
from pawl.signing import to_pem
from pawl.tombstones import erase_answer, erase_subject


def main() -> int:
    """Carry out one command; 1 with a message when it cannot be done."""
    arguments = _parse()
    stack = Stack(arguments.stack)
    try:
        result = COMMANDS[arguments.command](stack, arguments)
    except (BuildError, OperationError, InvalidReceipt, InvalidRecord, NotFound) as error:
        print(f"pawl: {error}", file=sys.stderr)
        return 1
    print(result if isinstance(result, str) else json.dumps(result, indent=1))
    return 0


def _status(stack: Stack, arguments: argparse.Namespace) -> Any:
    served = {name: stack.call("GET", f"/releases/{name}")["live"] for name in stack.registry.models()}
    watched = {name: stack.registry.elsewhere(name) for name in stack.registry.models_elsewhere()}
    elsewhere = {name: {**vars_of(each), "served": "elsewhere"} for name, each in watched.items() if each}
    return {**elsewhere, **served}


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
    files, model = PairFiles(stack.bucket), arguments.model
    page = {"page": f"{stack.outputs['ApiUrl']}/label?model={model}"}
    if arguments.file is not None:
        key, number = files.add(model, arguments.file.read_bytes())
        return {"key": key, "pairs": number, **page}
    if arguments.traffic is not None:
        key, number = files.add(model, lines_of_traffic(stack, model, arguments.traffic, time.time_ns() // 1_000_000))
        return {"key": key, "pairs": number, **page}
    votes = Tally(stack.client("dynamodb"), stack.outputs["FeedbackTable"]).votes(model)
    return {**asdict(standing(files.of(model), votes, model)), **page}


def _erase(stack: Stack, arguments: argparse.Namespace) -> Any:
    if arguments.inference:
        return {"erased_answer": erase_answer(stack.bucket, arguments.name)}
    return {"erased_subject": erase_subject(stack.bucket, arguments.name)}


def _seed(stack: Stack, arguments: argparse.Namespace) -> Any:
    return {"registered": seed(stack, starter(), time.time_ns() // 1_000_000)}


def _prepare(stack: Stack, arguments: argparse.Namespace) -> Any:
    return prepare(stack, local_key().trusted)


def _keys(stack: Stack, arguments: argparse.Namespace) -> Any:
    return "".join(to_pem(key) for key in trusted_keys(stack))


COMMANDS = {
    "prepare": _prepare,
    "keys": _keys,
    "status": _status,
    "retrain": _retrain,
    "rollback": _rollback,
    "promote": _promote,
    "quarantine": _quarantine,
    "restore": _restore,
    "pairs": _pairs,
    "erase": _erase,
    "seed": _seed,
}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/pawl", description=__doc__)
    parser.add_argument("--stack", default="pawl", help="name of the stack (default: pawl)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="what is live, and what is only watched")
    commands.add_parser("keys", help="the public keys that models may be signed with, as PEM")
    commands.add_parser("prepare", help="make the parameters that the template reads, before the first deployment")
    commands.add_parser("seed", help="register the starter models, once after the first deployment")
    for name, does in (
        ("retrain", "start a training run"),
        ("rollback", "go back to the version before"),
        ("promote", "make a version that has passed its gates live"),
        ("quarantine", "list the feedback that the last freezes set aside, each with its reason and the evidence"),
        ("restore", "let feedback in quarantine count from the next dataset on"),
        ("pairs", "pairs of answers for people to compare, JSON lines as in functions/feedback/pairs.py"),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument("model")
        if name == "promote":
            command.add_argument("version")
        if name == "pairs":
            source = command.add_mutually_exclusive_group()
            source.add_argument("file", nargs="?", type=Path, help="add this file; without one, tell how far they are")
            source.add_argument("--traffic", type=float, metavar="DAYS", help="add what captured traffic of late has")
        if name == "restore":
            command.add_argument("feedback_id", nargs="+", help="as scripts/pawl quarantine lists it")
    erasing = commands.add_parser("erase", help="keep a person, or one answer, out of every later dataset")
    erasing.add_argument("name", help="a rater, or what tags.subject or tags.user says")
    erasing.add_argument("--inference", action="store_true", help="the name is an inference_id: erase that answer")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
