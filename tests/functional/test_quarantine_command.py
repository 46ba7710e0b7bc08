"""`scripts/pawl quarantine`, `restore` and `erase` on a deployment's bucket."""

import argparse
from types import SimpleNamespace
from typing import Any

import pytest

from operations.__main__ import COMMANDS
from pawl.errors import InvalidReceipt, NotFound
from pawl.quarantine import Entry, Quarantine
from pawl.tombstones import Tombstones

ENTRIES = [
    Entry("f-1", "k.u-1.triage", "bot", "label", ["billing"], "2026-01-01T00:00:00.000Z", "burst", "fast", 70.0, 60.0),
    Entry("f-2", "k.u-2.triage", "bo", "label", ["other"], "2026-01-01T00:00:00.000Z", "collusion", "alike", 0.9, 0.25),
]


@pytest.fixture
def run(cloud: Any) -> Any:
    """Runs a command as the command line does, less the printing."""
    Quarantine(cloud.bucket, "triage").replace("3", ENTRIES)
    stack = SimpleNamespace(bucket=cloud.bucket)
    return lambda command, **given: COMMANDS[command](stack, argparse.Namespace(**given))


def test_the_quarantine_is_listed_with_reasons_and_evidence(run: Any) -> None:
    listed = run("quarantine", model="triage")

    assert [(each["feedback_id"], each["reason"], each["evidence"]) for each in listed] == [
        ("f-1", "burst", "fast"),
        ("f-2", "collusion", "alike"),
    ]
    assert run("quarantine", model="assistant") == []


def test_what_the_freezes_of_several_versions_set_aside_is_listed_once(run: Any, cloud: Any) -> None:
    Quarantine(cloud.bucket, "triage").replace("4", ENTRIES[:1])

    assert [each["feedback_id"] for each in run("quarantine", model="triage")] == ["f-1", "f-2"]


def test_a_restored_piece_leaves_the_quarantine(run: Any) -> None:
    assert [each["rater"] for each in run("restore", model="triage", feedback_id=["f-2"])["restored"]] == ["bo"]

    assert [each["feedback_id"] for each in run("quarantine", model="triage")] == ["f-1"]
    with pytest.raises(NotFound, match="'f-2'"):
        run("restore", model="triage", feedback_id=["f-2", "f-1"])


def test_an_erased_answer_is_on_the_list_that_freezes_read(run: Any, cloud: Any) -> None:
    run("erase", name="k.u-9.triage.rest", inference=True)

    assert Tombstones.of(cloud.bucket) == Tombstones(frozenset(), frozenset({"u-9"}))
    with pytest.raises(InvalidReceipt, match="no inference_id"):
        run("erase", name="ada", inference=True)
