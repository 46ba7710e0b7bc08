"""`scripts/pawl`: look at a deployment and act on it. With AWS_ENDPOINT_URL set, at the local cloud."""

import argparse
import json
import sys
import time
from typing import Any

from artifacts.layers import starter
from artifacts.signing import local_key
from artifacts.target import BuildError
from operations.seeding import prepare, seed, trusted_keys
from operations.stack import OperationError, Stack
from pawl.registry import vars_of
from pawl.signing import to_pem


def main() -> int:
    """Carry out one command; 1 with a message when it cannot be done."""
    arguments = _parse()
    stack = Stack(arguments.stack)
    try:
        result = COMMANDS[arguments.command](stack, arguments)
    except (BuildError, OperationError) as error:
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
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument("model")
        if name == "promote":
            command.add_argument("version")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
