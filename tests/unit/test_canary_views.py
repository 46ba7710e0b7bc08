"""What `pawl releases` and `pawl explain` tell of a canary."""

from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from operations.reading import explain, list_releases
from operations.views import show_explanation, show_releases
from pawl.errors import NotFound
from pawl.versions import VersionRecord, vars_of

FIGURES = {
    "feedback": {"answers": [40, 120], "difference": -0.31, "proof": 0.0, "harm": 5.2},
    "disagreement": {"answers": 90, "share": 0.12, "limit": 0.5},
}
NOTES = [
    {"at": "2026-07-14T09:00:00.000Z", "what": "started", "because": "all gates passed", "weight": 0.05, "figures": {}},
    {"at": "2026-07-14T10:00:00.000Z", "what": "rolled back", "because": "worse", "weight": 0.05, "figures": FIGURES},
]
GATE = {"name": "holdout", "passed": True, "measured": "0.95", "wanted": "0.93"}


def stack_of(state: str, notes: list[dict[str, Any]], canary: dict[str, Any] | None = None) -> Any:
    record = VersionRecord("triage", "2", state, "", gates=[GATE], canary=notes, updated_at="2026-07-14T10:00:00.000Z")
    live = {"model": "triage", "version": "1"}
    shown = {"live": live, "versions": [vars_of(record)], "canary": canary}
    registry = SimpleNamespace(
        models=lambda: ["triage"],
        version=lambda model, number: record if number == "2" else None,
        runs=lambda: iter(()),
        live=lambda model: SimpleNamespace(version="1"),
    )
    return SimpleNamespace(registry=registry, call=lambda verb, path: shown, bucket=SimpleNamespace(read=missing))


def missing(key: str) -> bytes:
    raise NotFound(key)


def text_of(view: Any) -> str:
    console = Console(width=200, record=True)
    console.print(view)
    return console.export_text()


def test_a_canary_under_way_is_told_with_its_share_and_why() -> None:
    canary = {"version": "2", "phase": "step", "weight": 0.25, "because": "not decided yet"}

    (version,) = list_releases(stack_of("canary", NOTES[:1], canary))

    assert version["stands"] == "step at 25%: not decided yet"
    assert "step at 25%: not decided yet" in text_of(show_releases([version]))


def test_a_canary_that_has_ended_is_told_by_its_last_step() -> None:
    (version,) = list_releases(stack_of("rolled_back", NOTES))

    assert version["stands"] == "rolled back"


def test_each_step_is_explained_with_its_figures() -> None:
    told = explain(stack_of("rolled_back", NOTES), "triage", "2")
    text = text_of(show_explanation(told))

    assert told["verdict"] == "rolled back in its canary: worse"
    assert told["then"] == "gather more labelled answers, then: pawl retrain triage"
    for line in ("started", "rolled back", "feedback -0.3100 of 40 against 120; disagreement 12.0% of 90"):
        assert line in text


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("waiting", "it waits: another one has its canary"),
        ("canary", "in its canary: all gates passed"),
        ("stopped", "its canary was stopped: all gates passed"),
        ("superseded", "superseded: a newer candidate came"),
    ],
)
def test_every_state_of_a_canary_has_a_verdict_and_a_next_step(state: str, verdict: str) -> None:
    told = explain(stack_of(state, [] if state == "waiting" else NOTES[:1]), "triage", "2")

    assert told["verdict"] == verdict
    assert "triage" in told["then"]
