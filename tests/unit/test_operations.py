"""`scripts/pawl`, less the deployment that it acts on."""

import argparse
from types import SimpleNamespace

from operations.__main__ import COMMANDS
from pawl.registry import Elsewhere


def test_status_tells_what_is_live_and_what_is_only_watched() -> None:
    watched = {"churn": Elsewhere("churn", "7", 1_784_020_867_124), "triage": Elsewhere("triage", "0", 1)}
    registry = SimpleNamespace(models=lambda: ["triage"], models_elsewhere=lambda: list(watched), elsewhere=watched.get)
    answers = {("GET", "/releases/triage"): {"live": {"model": "triage", "version": "2"}, "versions": []}}
    stack = SimpleNamespace(registry=registry, call=lambda verb, path: answers[verb, path])

    assert COMMANDS["status"](stack, argparse.Namespace()) == {
        "triage": {"model": "triage", "version": "2"},
        "churn": {"model": "churn", "version": "7", "newest_ms": 1_784_020_867_124, "served": "elsewhere"},
    }
