"""Whether groups fare alike: gaps against the live version's, and absolute ones where a label is favourable."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.contenders import ROWS, both_of

from pawl.bundle import Manifest
from pawl.dataset import Row
from release.fairness import fairness_gate, fairness_gates
from release.policy import GatePolicy

POLICY = GatePolicy()
FAVOURABLE = replace(POLICY, favourable=("billing",))


def _grouped(groups: Sequence[str] = ("a", "b"), rows: Sequence[Row] = ROWS) -> list[Row]:
    """Both labels are in each group as often as they can be."""
    return [replace(row, slices={"group": groups[n // 2 % len(groups)]}) for n, row in enumerate(rows)]


def _texts(rows: Sequence[Row], group: str, label: str = "") -> list[str]:
    return [row.text for row in rows if row.slices["group"] == group and label in (row.label, "")]


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (5, True), (15, False), (50, False)])
def test_a_candidate_that_surely_fails_one_group_more_than_the_live_version_is_refused(
    manifest: Manifest, wrong: int, passed: bool
) -> None:
    rows = _grouped()

    gate = fairness_gate(both_of(manifest, _texts(rows, "a")[:wrong].__contains__, 0, rows), "group", POLICY)

    assert (gate.name, gate.passed) == ("fairness:group", passed)
    assert gate.evidence["groups"] == {"a": [50, round(1 - wrong / 50, 4)], "b": [50, 1.0]}
    measured = {gap["measure"]: gap["value"] for gap in gate.evidence["gaps"]}
    assert measured["accuracy gap rise"] == round(wrong / 50, 4)


def test_a_gap_that_the_live_version_has_as_well_is_no_ground_to_refuse(manifest: Manifest) -> None:
    rows = _grouped()
    wrong = _texts(rows, "a")[:20].__contains__

    assert fairness_gate(both_of(manifest, wrong, wrong, rows), "group", POLICY).passed


def test_a_candidate_that_fails_all_groups_alike_is_fair(manifest: Manifest) -> None:
    rows = _grouped()
    wrong = [*_texts(rows, "a")[:15], *_texts(rows, "b")[:15]]

    assert fairness_gate(both_of(manifest, wrong.__contains__, 0, rows), "group", POLICY).passed


def test_of_a_favourable_label_a_gap_is_refused_though_the_live_version_has_it_too(manifest: Manifest) -> None:
    rows = _grouped()
    wrong = _texts(rows, "a", "billing")[:20].__contains__

    gate = fairness_gate(both_of(manifest, wrong, wrong, rows), "group", FAVOURABLE)

    assert not gate.passed
    assert "equalized odds difference 0.8000 against 0.2" in gate.measured
    assert "disparate impact 0.2000 against 0.8" in gate.measured
    assert gate.evidence["clarify"]["a"]["DI"] == 0.2
    assert gate.evidence["clarify"]["a"]["RD"] == 0.8
    assert "disparate impact from 0.8" in gate.wanted


def test_of_a_favourable_label_groups_that_get_it_alike_pass(manifest: Manifest) -> None:
    rows = _grouped()

    gate = fairness_gate(both_of(manifest, 0, 0, rows), "group", FAVOURABLE)

    assert gate.passed
    assert {each["measure"]: each["value"] for each in gate.evidence["gaps"]} == {
        "accuracy gap rise": 0.0,
        "demographic parity difference rise": 0.0,
        "demographic parity difference": 0.0,
        "equalized odds difference rise": 0.0,
        "equalized odds difference": 0.0,
        "disparate impact": 1.0,
    }


def test_a_favourable_label_that_nobody_gets_has_no_ratio_to_judge_by(manifest: Manifest) -> None:
    rows = _grouped()

    gate = fairness_gate(both_of(manifest, lambda text: True, 0, rows[::2]), "group", FAVOURABLE)

    measured = {each["measure"] for each in gate.evidence["gaps"]}
    assert "accuracy gap rise" in measured
    assert "disparate impact" not in measured
    json.dumps(gate.evidence, allow_nan=False)


@pytest.mark.parametrize("groups", [("a",), ("a", "b", "c", "d", "e", "f")])
def test_without_two_groups_of_some_size_nothing_is_asked(manifest: Manifest, groups: tuple[str, ...]) -> None:
    rows = _grouped(groups)

    gate = fairness_gate(both_of(manifest, _texts(rows, "a").__contains__, 0, rows), "group", POLICY)

    assert gate.passed
    assert gate.measured.endswith("groups of 20 rows or more")


def test_every_attribute_of_the_rows_has_a_gate_unless_the_policy_names_those_that_matter(manifest: Manifest) -> None:
    rows = [replace(row, slices={**row.slices, "channel": "app"}) for row in _grouped()]
    both = both_of(manifest, 0, 0, rows)

    assert [gate.name for gate in fairness_gates(both, POLICY)] == ["fairness:channel", "fairness:group"]
    assert [gate.name for gate in fairness_gates(both, replace(POLICY, protected=("group",)))] == ["fairness:group"]


def test_rows_that_say_nothing_of_people_ask_for_nothing(manifest: Manifest) -> None:
    (gate,) = fairness_gates(both_of(manifest, 50, 0), POLICY)

    assert (gate.name, gate.passed) == ("fairness", True)


def test_rows_without_the_attribute_are_left_out(manifest: Manifest) -> None:
    rows = [*_grouped(), *(Row(f"other {n}", "billing") for n in range(50))]

    gate = fairness_gate(both_of(manifest, lambda text: text.startswith("other"), 0, rows), "group", POLICY)

    assert gate.evidence["groups"] == {"a": [50, 1.0], "b": [50, 1.0]}


def test_an_attribute_or_a_label_that_the_policy_names_and_nobody_has_is_refused_with_those_there_are(
    manifest: Manifest,
) -> None:
    both = both_of(manifest, 0, 0, _grouped())

    (attribute,) = fairness_gates(both, replace(POLICY, protected=("group", "gender")))
    (label,) = fairness_gates(both, replace(POLICY, favourable=("Billing",)))

    assert (attribute.name, attribute.passed, attribute.measured) == ("fairness", False, "no attribute gender")
    assert attribute.wanted == "one there is: group"
    assert (label.passed, label.measured) == (False, "no label Billing")
    assert label.wanted == f"one there is: {', '.join(sorted(both.new.labels))}"
