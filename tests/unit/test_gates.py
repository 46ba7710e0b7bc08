"""What is asked of every candidate whatever its kind, and of its speed."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from tests.unit.contenders import ROWS, Clock, FakeModel, changed

from pawl.bundle import Manifest, Tensor
from pawl.dataset import Row, freeze
from pawl.model import Model
from release.leak import leak_gate
from release.origin import licence_gate, signature_gate, size_gate
from release.policy import GatePolicy
from release.speed import latency_gate

POLICY = GatePolicy()


def _model(manifest: Manifest, **about: Any) -> Model:
    return cast(Model, FakeModel(manifest, **about))


def test_a_candidate_may_know_more_labels_and_give_more_probabilities(manifest: Manifest) -> None:
    outputs = [Tensor("label", "BYTES", [-1]), Tensor("probabilities", "FP32", [-1, 3])]
    candidate = changed(manifest, labels=["billing", "meter", "outage"], outputs=outputs)

    assert signature_gate(candidate, manifest).passed


@pytest.mark.parametrize(
    ("changes", "measured"),
    [
        ({"labels": ["billing"]}, "labels lost: outage"),
        ({"labels": []}, "labels lost: billing, outage"),
        ({"inputs": [Tensor("texts", "BYTES", [-1])]}, "inputs or outputs differ"),
        ({"inputs": [Tensor("text", "INT64", [-1])]}, "inputs or outputs differ"),
        ({"inputs": [Tensor("text", "BYTES", [-1, 1])]}, "inputs or outputs differ"),
        ({"outputs": [Tensor("label", "BYTES", [-1])]}, "inputs or outputs differ"),
        (
            {"outputs": [Tensor("label", "BYTES", [-1]), Tensor("probabilities", "FP64", [-1, 2])]},
            "inputs or outputs differ",
        ),
    ],
)
def test_a_candidate_that_clients_could_not_use_is_refused(
    manifest: Manifest, changes: dict[str, Any], measured: str
) -> None:
    gate = signature_gate(changed(manifest, **changes), manifest)

    assert (gate.passed, gate.measured) == (False, measured)


@pytest.mark.parametrize(
    ("licence", "passed"),
    [
        ("Apache-2.0", True),
        ("apache-2.0", True),
        ("mit", True),
        ("cc-by-nc-4.0", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_only_a_base_model_whose_licence_the_policy_names_may_be_served(
    manifest: Manifest, licence: str, passed: bool
) -> None:
    lineage = changed(cast(Any, manifest.lineage), base_licence=licence)

    gate = licence_gate(changed(manifest, lineage=lineage), POLICY)

    assert (gate.name, gate.passed) == ("licence", passed)
    assert gate.measured == f"{licence}, of all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("held", "leaked"),
    [
        (["the lamp in the hall stays dark tonight"], 0),
        (["a lamp flickers when I open the window", "what does a new bulb cost"], 1),
        (["A lamp flickers, when I open the window!"], 1),
        (["a lamp flickers when I open the window today"], 1),
    ],
    ids=["another text", "the same text", "the same words", "nearly the same words"],
)
def test_a_held_out_text_that_repeats_a_training_text_refuses_the_candidate(held: list[str], leaked: int) -> None:
    train = [Row("a lamp flickers when I open the window", "outage"), Row("my bill is too high", "billing")]
    dataset = freeze("triage", {"train": train, "holdout": [Row(text, "outage") for text in held]}, {})

    gate = leak_gate(dataset, POLICY)

    assert (gate.name, gate.passed) == ("leak", not leaked)
    assert gate.measured == f"{leaked} of {len(held)} held-out rows repeat one of 2 training rows"


def test_a_leak_into_recent_traffic_counts_as_well() -> None:
    rows = {"train": ROWS[:5], "holdout": ROWS[5:9], "recent": ROWS[4:5]}

    assert leak_gate(freeze("triage", rows, {}), POLICY).evidence == {"leaked": 1, "held_out": 5, "train": 5}


def _latency(manifest: Manifest, new: Sequence[float], old: Sequence[float], texts: int) -> Any:
    clock = Clock()
    candidate, live = (_model(manifest, clock=clock, took=took) for took in (new, old))
    return latency_gate(candidate, live, [{"text": [row.text]} for row in ROWS[:texts]], POLICY, clock)


@pytest.mark.parametrize(("took", "passed"), [(0.25, True), (0.375, True), (0.376, False)])
def test_a_candidate_may_take_half_as_long_again(manifest: Manifest, took: float, passed: bool) -> None:
    gate = _latency(manifest, [took] * 39, [0.25] * 39, 10)

    assert (gate.name, gate.passed) == ("latency", passed)
    assert (gate.measured, gate.wanted) == (
        f"{took * 1000:.2f} ms a row",
        "at most 1.5 x the live version's 250.00 ms",
    )


def test_the_first_answers_and_a_single_slow_question_do_not_count(manifest: Manifest) -> None:
    gate = _latency(manifest, [9.0] * 9 + [0.25] * 27 + [9.0] * 3, [0.25] * 39, 10)

    assert (gate.passed, gate.measured) == (True, "250.00 ms a row")


@pytest.mark.parametrize("texts", [1, 2, 3])
def test_a_holdout_of_very_few_rows_can_still_be_timed(manifest: Manifest, texts: int) -> None:
    gate = _latency(manifest, [9.0] * 3 * texts + [0.5] * 3 * texts, [0.25] * 6 * texts, texts)

    assert (gate.passed, gate.measured) == (False, "500.00 ms a row")


def test_both_models_are_timed_on_the_same_texts_one_row_at_a_time(manifest: Manifest) -> None:
    candidate, live = FakeModel(manifest), FakeModel(manifest)
    questions = [{"text": ["text 1"]}, {"text": ["text 2"]}]

    latency_gate(cast(Model, candidate), cast(Model, live), questions, POLICY, Clock())

    assert candidate.asked == live.asked == [["text 1"]] * 3 + [["text 2"]] * 3 + [["text 1"]] * 3 + [["text 2"]] * 3


def test_of_a_question_the_fastest_turn_counts(manifest: Manifest) -> None:
    gate = _latency(manifest, [9.0, 0.25, 7.0] * 13, [0.25, 0.5, 0.5] * 13, 10)

    assert (gate.passed, gate.measured) == (True, "250.00 ms a row")


@pytest.mark.parametrize(("extra", "passed"), [(0, True), (1, False)])
def test_a_bundle_larger_than_a_layer_can_hold_is_refused(manifest: Manifest, extra: int, passed: bool) -> None:
    files = {"model.onnx": {"sha256": "", "size": 1000}, "model.onnx.data": {"sha256": "", "size": 99_999_000 + extra}}

    gate = size_gate(changed(manifest, files=files), POLICY)

    assert (gate.passed, gate.measured, gate.wanted) == (passed, "100.0 MB", "at most 100 MB")
