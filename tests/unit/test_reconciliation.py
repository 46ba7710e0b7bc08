from dataclasses import replace

import pytest

from release.reconciliation import Shares, reconcile
from release.trial import Trial, begin_trial

TRIAL: Trial = replace(begin_trial(("triage", "3"), ("7", "layer-3"), ("2", "6"), "{}", 0), is_settled=True)
KNOWN = frozenset({"starter", "layer-1"})


@pytest.mark.parametrize(
    ("main", "weights", "layer", "kind"),
    [
        ("6", {"7": 0.05}, "", "as planned"),
        ("6", {}, "", "taken"),
        ("6", {"7": 0.01}, "", "taken"),
        ("6", {"7": 0.5}, "", "put back"),
        ("6", {"5": 0.05}, "", "put back"),
        ("8", {}, "layer-2", "deployed"),
        ("8", {"7": 0.05}, "layer-2", "deployed"),
        ("1", {}, "layer-1", "moved back"),
        ("1", {"7": 0.05}, "starter", "moved back"),
        ("7", {}, "layer-3", "put back"),
        ("9", {}, "layer-9", "put back"),
    ],
)
def test_what_happened_to_the_alias_is_told_by_what_it_serves(
    main: str, weights: dict[str, float], layer: str, kind: str
) -> None:
    assert reconcile(TRIAL, Shares(main, weights), layer, "layer-2", KNOWN).kind == kind


def test_it_is_told_in_a_sentence() -> None:
    found = reconcile(TRIAL, Shares("6", {"7": 0.5}), "", "", KNOWN)

    assert found.because == "by hand the alias gave 50% to function version 7; put back to 5%"
