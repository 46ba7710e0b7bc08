"""What typos and adversaries may cost: the candidate's loss against the live version's, on the same texts."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.unit.contenders import ROWS, Clock, FakeModel

from pawl.bundle import Manifest
from pawl.dataset import Row
from pawl.model import Model
from release.answers import ask_both
from release.policy import GatePolicy
from release.robustness import attack_gate, perturbation_gate

POLICY = GatePolicy()
SAID = [Row(f"my lamp number {n} stays dark", row.label) for n, row in enumerate(ROWS)]
KNOWN = {row.text: row for row in SAID}


def _steady(text: str) -> bool:
    """Reads a text as a person does: by its number, whatever becomes of the words around it."""
    return False


def _brittle(text: str) -> bool:
    """Knows a text only as it was written."""
    return text not in KNOWN


class Reader(FakeModel):
    """A model that finds its row by the number in the text, so that it can be asked for changed texts."""

    def _probabilities(self, text: str) -> list[float]:
        number = re.sub(r"\D", "", text) or "0"
        is_outage = (SAID[int(number)].label == "outage") != self._is_wrong(text)
        return [1 - self._sure, self._sure] if is_outage else [self._sure, 1 - self._sure]


@pytest.fixture
def judge(manifest: Manifest) -> Callable[..., Any]:
    """Puts a candidate and a live version to the test of one gate."""

    def put(gate: Any, new: Any, old: Any, policy: GatePolicy = POLICY, *more: Any) -> Any:
        candidate, live = (cast(Model, Reader(manifest, wrong, rows=SAID)) for wrong in (new, old))
        return gate(ask_both(candidate, live, SAID, 100), candidate, live, policy, *more)

    return put


def _attack(judge: Callable[..., Any], new: Any, old: Any, policy: GatePolicy = POLICY, until: float = 1.0) -> Any:
    return judge(attack_gate, new, old, policy, Clock(), until)


@pytest.mark.parametrize(
    ("new", "old", "passed"),
    [(_steady, _steady, True), (_brittle, _brittle, True), (_steady, _brittle, True), (_brittle, _steady, False)],
    ids=["both hold", "both give way", "only the live version gives way", "only the candidate gives way"],
)
def test_a_candidate_may_lose_no_more_than_the_live_version_by_changes_or_attacks(
    judge: Callable[..., Any], new: Any, old: Any, passed: bool
) -> None:
    perturbations, attack = judge(perturbation_gate, new, old), _attack(judge, new, old)

    assert (perturbations.name, perturbations.passed) == ("perturbations", passed)
    assert (attack.name, attack.passed) == ("attack", passed)
    assert perturbations.value == attack.value == (1.0 if new is _brittle else 0.0)


def test_the_evidence_tells_each_rule_apart(judge: Callable[..., Any]) -> None:
    gate = judge(perturbation_gate, lambda text: text.isupper(), _steady)

    assert not gate.passed
    assert gate.evidence["by_rule"]["shouted"] == [100, 0.0, 1.0]
    assert gate.evidence["by_rule"]["typos"] == [100, 1.0, 1.0]
    assert gate.evidence["texts"] == 100
    low, high = gate.evidence["interval"]
    assert 0 < low <= gate.value <= high


def test_what_was_answered_wrongly_before_is_not_lost(judge: Callable[..., Any]) -> None:
    gate = _attack(judge, lambda text: True, lambda text: True)

    assert (gate.passed, gate.value, gate.evidence["queries"]) == (True, 0.0, 0)


def test_each_attack_keeps_to_its_budget(judge: Callable[..., Any]) -> None:
    gate = _attack(judge, _steady, _steady, replace(POLICY, attack_queries=7))

    assert 40 < gate.evidence["queries"] <= 2 * 7 * 40
    assert gate.evidence["texts"] == gate.evidence["chosen"] == 40


def test_when_time_is_up_no_further_row_is_attacked_and_the_evidence_says_so(judge: Callable[..., Any]) -> None:
    gate = _attack(judge, _brittle, _steady, until=-1.0)

    assert (gate.evidence["texts"], gate.evidence["chosen"]) == (1, 40)


def test_the_same_candidate_gets_the_same_verdict(judge: Callable[..., Any]) -> None:
    def at_times(text: str) -> bool:
        return text not in KNOWN and len(text) % 2 == 0

    assert judge(perturbation_gate, at_times, _steady) == judge(perturbation_gate, at_times, _steady)
    assert _attack(judge, at_times, _steady) == _attack(judge, at_times, _steady)


def test_a_policy_may_ask_for_neither(judge: Callable[..., Any]) -> None:
    policy = replace(POLICY, perturbed_rows=0, attacked_rows=0)

    assert judge(perturbation_gate, _brittle, _steady, policy).passed
    assert _attack(judge, _brittle, _steady, policy).passed
