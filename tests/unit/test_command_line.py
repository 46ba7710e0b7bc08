"""The command line of `pawl`: its words, its completion, and that no error is without a next step."""

import shutil
import subprocess

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError, ProfileNotFound

from artifacts.target import BuildError
from operations.__main__ import COMMANDS
from operations.arguments import make_parser
from operations.completion import SHELLS, commands_of
from operations.logs import milliseconds
from operations.stack import OperationError
from operations.troubles import KNOWN, next_step
from operations.views import cell
from pawl.errors import Conflict, InvalidBundle, InvalidDataset, InvalidReceipt, NotFound, PawlError

NAMES = [each.name for each in commands_of(make_parser())][1:]


def test_every_command_of_the_parser_is_carried_out_by_one() -> None:
    assert set(NAMES) == set(COMMANDS)


@pytest.mark.parametrize(
    "words", [["--stack", "mine", "--json", "status"], ["status", "--json", "--stack", "mine"], ["--json", "status"]]
)
def test_stack_and_json_may_stand_on_either_side_of_the_command(words: list[str]) -> None:
    parsed = make_parser().parse_args(words)

    assert parsed.json is True
    assert parsed.stack == ("mine" if "mine" in words else "pawl")


def test_the_logs_of_the_last_hour_are_shown_unless_told_otherwise() -> None:
    assert make_parser().parse_args(["logs", "retrain"]).since == 3_600_000
    assert make_parser().parse_args(["logs", "retrain", "--since", "2d"]).since == 172_800_000


@pytest.mark.parametrize("age", ["", "1", "h", "1 h", "-1h", "1w", "1.5h"])
def test_an_age_that_is_none_says_what_one_is(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="want a number and s, m, h or d"):
        milliseconds(age)
    with pytest.raises(SystemExit):
        make_parser().parse_args(["logs", "retrain", f"--since={age}"])
    assert "such as 90m" in capsys.readouterr().err


def complete(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    script = SHELLS["bash"](commands_of(make_parser()))
    typed = " ".join(f"'{word}'" for word in words)
    asks = f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _pawl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", script + asks], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_the_words_of_an_argument() -> None:
    assert complete("pawl", "r") == ["runs", "releases", "refresh", "retrain", "rollback", "restore", "rows"]
    assert complete("pawl", "lineage", "--s") == ["--stack", "--subject"]
    assert complete("pawl", "completion", "f") == ["fish"]
    assert complete("pawl", "--json", "--stack", "status", "ru") == ["runs"]
    assert complete("pawl", "logs", "retrain", "--si") == ["--since"]


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_a_completion_script_knows_every_command_and_its_own_shell_reads_it(shell: str) -> None:
    script = SHELLS[shell](commands_of(make_parser()))

    assert [name for name in NAMES if name not in script] == []
    assert script.count("'") % 2 == 0
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def failed(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetItem")


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (OperationError("no such thing", "name another"), "name another"),
        (NoCredentialsError(), "AWS_PROFILE"),
        (NoRegionError(), "AWS_REGION"),
        (ProfileNotFound(profile="x"), "list-profiles"),
        (EndpointConnectionError(endpoint_url="http://localhost:4566"), "scripts/up"),
        (failed("AccessDeniedException"), "role"),
        (failed("ExpiredToken"), "aws sso login"),
        (failed("SomethingNew"), "pawl logs"),
        (NotFound("no model"), "pawl models"),
        (Conflict("under way"), "try again"),
        (InvalidReceipt("no inference_id"), "whole inference_id"),
        (InvalidDataset("train.jsonl"), "restore"),
        (InvalidBundle("manifest.json"), "scripts/verify"),
        (BuildError("no starter"), "scripts/setup"),
        (PawlError("anything"), "pawl status"),
    ],
)
def test_every_error_names_the_next_step(error: Exception, step: str) -> None:
    assert isinstance(error, KNOWN)
    assert step in next_step(error)


def test_values_are_shown_as_people_write_them() -> None:
    shown = [cell(value).plain for value in (None, True, False, {"train": 3, "recent": 1}, ["a", "b"], 0, "[bold]")]

    assert shown == ["", "yes", "no", "train 3, recent 1", "a to b", "0", "[bold]"]
