"""The command line of `pawl`: every command takes `--stack` and `--json` before and after its name."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from operations.completion import SHELLS
from operations.logs import milliseconds
from pawl.trl import TRAINERS

_DESCRIPTION = "Look at a deployment and act on it. With AWS_ENDPOINT_URL set, at the local cloud."


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="pawl", description=_DESCRIPTION)
    _add_common(parser, "pawl", False)
    common = argparse.ArgumentParser(add_help=False)
    _add_common(common, argparse.SUPPRESS, argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str, does: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=does, description=does, parents=[common])

    add("status", "what is live, and what is only watched")
    _add_reading(add)
    add("keys", "the public keys that models may be signed with, as PEM")
    add("prepare", "make the parameters that the template reads, before the first deployment")
    add("seed", "register the starter models, once after the first deployment")
    add("refresh", "answer with the live models by the settings deployed last, after every deployment")
    for name, does in (
        ("retrain", "start a training run"),
        ("rollback", "go back to the version before"),
        ("promote", "make a version that has passed its gates live"),
        ("quarantine", "list the feedback that the last freezes set aside, each with its reason and the evidence"),
        ("restore", "let feedback in quarantine count from the next dataset on"),
    ):
        command = add(name, does)
        command.add_argument("model")
        if name == "promote":
            command.add_argument("version")
        if name == "restore":
            command.add_argument("feedback_id", nargs="+", help="as pawl quarantine lists it")
    pairing = add("pairs", "pairs of answers for people to compare, JSON lines as in functions/feedback/pairs.py")
    pairing.add_argument("model")
    source = pairing.add_mutually_exclusive_group()
    source.add_argument("file", nargs="?", type=Path, help="add this file; without one, tell how far they are")
    source.add_argument("--traffic", type=float, metavar="DAYS", help="add what captured traffic of late has")
    teaching = add("rows", "what people said of a generator's answers, as JSON lines for a trainer of TRL")
    teaching.add_argument("model")
    teaching.add_argument("--for", dest="trainer", choices=sorted(TRAINERS), required=True, help="TRL's trainer")
    teaching.add_argument("--dataset", metavar="DIGEST", help="a frozen dataset (default: the newest run's)")
    whom = "a rater, what tags.subject or tags.user says, or a request's user"
    exporting = add("export", "all that is kept of a person, as JSON, and which models were trained on it")
    exporting.add_argument("name", help=whom)
    erasing = add("erase", "erase a person from all that is kept and from every later dataset; prints a receipt")
    erasing.add_argument("name", help=whom)
    erasing.add_argument(
        "--inference", action="store_true", help="the name is an inference_id: keep that answer out of later datasets"
    )
    completing = add("completion", "the completion script of a shell: source <(pawl completion bash)")
    completing.add_argument("shell", choices=sorted(SHELLS))
    return parser


def _add_common(parser: argparse.ArgumentParser, stack: str, as_json: Any) -> None:
    parser.add_argument("--stack", default=stack, help="name of the stack (default: pawl)")
    parser.add_argument("--json", action="store_true", default=as_json, help="all of it, as JSON")


def _add_reading(add: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The commands that only look."""
    add("models", "the models: what is live, how good it is, what is under way")
    for name, does in (
        ("runs", "the training runs, how far they are and what came of them"),
        ("releases", "the versions, the gates that they passed or failed, and which one is live"),
    ):
        add(name, does).add_argument("model", nargs="?", help="this model alone")
    explaining = add("explain", "why a version was released or refused, gate by gate")
    explaining.add_argument("model", help="its name, or a version as models:/NAME/VERSION")
    explaining.add_argument("version", nargs="?", default="live", help="a number, or live (default)")
    tracing = add("lineage", "what an id came from, and every model that saw it")
    tracing.add_argument(
        "id", help="an inference_id, feedback id, run, dataset's digest, models:/NAME/VERSION or subject"
    )
    tracing.add_argument("--subject", action="store_true", help="the id is a person's name, whatever it looks like")
    logging = add("logs", "what a function wrote lately")
    logging.add_argument("function", help="inference, drift-check, feedback, retrain, training, release, ...")
    logging.add_argument("--since", type=_age, default="1h", help="how far back, such as 90m or 2d (default: 1h)")


def _age(text: str) -> int:
    try:
        return milliseconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
