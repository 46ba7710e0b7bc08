"""What `pawl` prints of a deployment: tables for people, JSON for programs, and the next step where it fails."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.functional.operated import RUN, Operated, operate

import operations.__main__ as command
from operations.logs import read_logs
from operations.stack import OperationError, Stack

Run = Callable[..., str]


@pytest.fixture
def operated(cloud: Any, starter: Any, dataset: Any, answered: Any, store_traffic: Any, now_ms: int) -> Operated:
    return operate(cloud, starter, dataset, answered, store_traffic, now_ms)


@pytest.fixture
def run(operated: Operated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line and returns what it printed."""
    monkeypatch.setattr(command, "Stack", lambda name: operated.stack)

    def run_command(*words: str, expect: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["pawl", *words])
        assert command.main() == expect
        printed = capsys.readouterr()
        return printed.err if expect else printed.out

    return run_command


def lines_of(table: str) -> list[list[str]]:
    """The words of a table's rows, less its head and its rules."""
    return [line.split() for line in table.splitlines()[3:] if line.strip()]


def test_models_tells_what_is_live_and_how_many_were_refused(run: Run, cloud: Any, starter: Any) -> None:
    cloud.store_files("models/triage/3/", starter)

    table = run("models")
    (model,) = json.loads(run("models", "--json"))

    assert lines_of(table)[0][:3] == ["triage", "3", "text-classifier"]
    assert {name: model[name] for name in ("model", "version", "versions", "refused", "drift", "run")} == {
        "model": "triage",
        "version": "3",
        "versions": 4,
        "refused": 1,
        "drift": False,
        "run": "",
    }
    assert "accuracy" not in table  # nobody measured any


def test_runs_tells_of_each_run_how_it_ended(run: Run) -> None:
    rows = lines_of(run("runs"))

    assert [(row[0], row[2], row[4]) for row in rows] == [
        (RUN[n], str(n), "failed" if n == 5 else "completed") for n in (2, 3, 4, 5)
    ]
    assert rows[-1][-3:] == ["out", "of", "memory"]
    assert [each["id"] for each in json.loads(run("runs", "triage", "--json"))] == list(RUN.values())
    assert run("runs", "assistant") == "no run yet: scripts/pawl retrain MODEL starts one\n"


def test_releases_tells_which_gate_refused_a_version(run: Run) -> None:
    rows = lines_of(run("releases", "triage"))

    assert [row[:3] for row in rows] == [
        ["triage", "1", "live"],
        ["triage", "2", "retired"],
        ["triage", "3", "live"],
        ["triage", "4", "refused"],
    ]
    assert rows[3][3:5] == ["failed:", "recent"]
    assert [each["is_live"] for each in json.loads(run("releases", "--json"))] == [False, False, True, False]


def test_a_refusal_is_explained_gate_by_gate_with_what_would_have_passed(run: Run) -> None:
    told = run("explain", "triage", "4")
    whole = json.loads(run("explain", "triage", "4", "--json"))

    assert "refused: 1 of 2 gates failed (recent)" in told
    assert [line.split()[:2] for line in told.splitlines() if "accuracy 0." in line and "wanted" not in line] == [
        ["holdout", "passed"],
        ["recent", "FAILED"],
    ]
    assert whole["then"].startswith("recent wanted above 0.9000.")
    assert (whole["trained_because"], whole["evidence"]) == ("drift", "none: what is refused is not signed")


def test_a_release_is_explained_with_its_signed_evidence(run: Run, cloud: Any) -> None:
    whole = json.loads(run("explain", "triage", "--json"))
    assert (whole["version"], whole["verdict"]) == ("3", "released: all gates passed (1)")
    assert whole["evidence"] == "models/triage/3/evidence.json tells the same"
    assert whole["then"] == "to go back: pawl rollback triage"

    assert json.loads(run("explain", "models:/triage@live", "--json")) == whole

    cloud.bucket.write("models/triage/3/evidence.json", b"[]")
    assert "tells something else" in run("explain", "triage", "3")


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("1", "a starter: registered with the deployment, it passed no gates"),
        ("2", "released: all gates passed (1)"),
        ("5", f"there is no such model: its run {RUN[5]} failed"),
    ],
)
def test_every_other_state_of_a_version_is_explained_too(run: Run, version: str, verdict: str) -> None:
    assert json.loads(run("explain", "triage", version, "--json"))["verdict"] == verdict


@pytest.mark.parametrize("version", ["99", "newest"])
def test_a_version_that_never_was_is_not_explained(run: Run, version: str) -> None:
    told = run("explain", "triage", version, expect=1).splitlines()

    assert version in told[0]
    assert told[1].startswith("next: ")


def test_lineage_is_drawn_as_sections_that_name_every_version(run: Run, operated: Operated) -> None:
    drawn = run("lineage", operated.asked)

    heads = ["What was said of it", "Made by", "Datasets, newest first", "Seen by"]
    assert [line.strip() for line in drawn.splitlines() if line.strip() in heads] == heads
    assert [line.split()[0] for line in drawn.splitlines() if line.startswith(" models:/")] == [
        f"models:/triage/{n}" for n in "235"
    ]
    assert json.loads(run("--json", "lineage", operated.asked))["about"]["model"] == "models:/triage/1"


def test_status_and_quarantine_are_tables_as_well(run: Run) -> None:
    assert lines_of(run("status"))[0][:3] == ["triage", "3", "here"]
    assert json.loads(run("status", "--json"))["triage"]["function_version"] == "7"
    assert run("quarantine", "triage") == "none\n"


def test_logs_are_what_the_function_wrote_since_then(run: Run, now_ms: int) -> None:
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName="retrain-logs")
    logs.create_log_stream(logGroupName="retrain-logs", logStreamName="s")
    events = [{"timestamp": now_ms - age, "message": f"{age} ms ago\n"} for age in (7_200_000, 60_000)]
    logs.put_log_events(logGroupName="retrain-logs", logStreamName="s", logEvents=events)

    assert [line.partition(" ")[2] for line in run("logs", "retrain").splitlines()] == ["60000 ms ago"]
    assert len(json.loads(run("logs", "retrain", "--since", "3h", "--json"))) == 2
    assert run("logs", "retrain", "--since", "1s") == "nothing was written: look further back with --since 1d\n"
    assert run("logs", "training") == "nothing was written: look further back with --since 1d\n"
    assert "next: want one of retrain, training" in run("logs", "inference", expect=1)


def test_a_local_cloud_s_training_logs_are_read_from_their_files(operated: Operated, tmp_path: Path) -> None:
    (tmp_path / "job-2.log").write_text("epoch 1\nepoch 2\n")
    local = {"AWS_ENDPOINT_URL": "http://localhost:4566"}

    lines = read_logs(operated.stack, "training", 0, local, tmp_path)

    assert [(line["stream"], line["message"]) for line in lines] == [("job-2", "epoch 1"), ("job-2", "epoch 2")]
    after_ms = round((tmp_path / "job-2.log").stat().st_mtime * 1000) + 1
    assert read_logs(operated.stack, "training", after_ms, local, tmp_path) == []


def test_an_error_is_json_where_json_was_asked_for(run: Run) -> None:
    told = json.loads(run("lineage", "nobody", "--json", expect=1))

    assert told["error"] == "nothing here is by or about 'nobody'"
    assert told["next"].startswith("want an inference_id")


def test_an_unknown_model_names_the_next_step(run: Run) -> None:
    error, then = run("explain", "nothing", expect=1).splitlines()

    assert "no model 'nothing' is registered" in error
    assert then == "next: scripts/pawl models, releases and runs list what there is"


TEMPLATE = """
Resources:
  DriftCheckLogs: {Type: AWS::Logs::LogGroup}
  ApiLogs: {Type: AWS::Logs::LogGroup}
  Queue: {Type: AWS::SQS::Queue}
"""


def test_a_stack_knows_the_logs_of_its_functions_and_says_when_it_is_not_ready(cloud: Any) -> None:
    stack = Stack("unfinished")
    for ask in (lambda: stack.outputs, lambda: stack.log_groups):
        with pytest.raises(OperationError, match="no stack 'unfinished' in this account and region") as refused:
            ask()
        assert refused.value.then.startswith("deploy it first")

    boto3.client("cloudformation").create_stack(StackName="unfinished", TemplateBody=TEMPLATE)

    groups = {each["logGroupName"] for each in boto3.client("logs").describe_log_groups()["logGroups"]}
    assert set(stack.log_groups) == {"drift-check", "api"}
    assert set(stack.log_groups.values()) == groups
    with pytest.raises(OperationError, match="stack 'unfinished' is CREATE_COMPLETE") as refused:
        _ = stack.outputs
    assert "deploy it" in refused.value.then
