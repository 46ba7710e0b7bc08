import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from pawl.bundle import Manifest, Tensor
from pawl.classifier import TextClassifier
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.model import Answer, Column, Parameter
from release.gates import RECALIBRATED, GatePolicy, Sureness, accuracy, judge_candidate
from release.gates import calibration_gate as judge_calibration
from release.gates import holdout_gate as judge_holdout
from release.gates import latency_gate as judge_latency
from release.gates import recent_gate as judge_recent
from release.gates import signature_gate as judge_signature
from release.gates import size_gate as judge_size

POLICY = GatePolicy()
ROWS = [Row(f"text {n}", "outage" if n % 2 else "billing") for n in range(100)]


class Clock:
    """A clock that stands still until somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeModel:
    """A model that is wrong about the first texts, says how sure it is, and takes its time by the clock."""

    def __init__(
        self,
        manifest: Manifest,
        wrong: int = 0,
        clock: Clock | None = None,
        took: Sequence[float] = (),
        sure: float = 0.9,
    ) -> None:
        self.manifest = manifest
        self.asked: list[list[str]] = []
        self._clock = clock
        self._took: Iterator[float] = iter(took)
        self._sure = sure
        self._answers = {row.text: row.label if n >= wrong else "wrong" for n, row in enumerate(ROWS)}
        self._right = {row.text: row.label for row in ROWS}

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        texts = list(inputs["text"])
        self.asked.append(texts)
        if self._clock:
            self._clock.now += next(self._took)
        answered = self.predict_labels(texts)
        return Answer({"label": answered, "probabilities": [self._probabilities(text) for text in texts]}, dict)

    def _probabilities(self, text: str) -> list[float]:
        """Of `billing` and `outage`: a text that it is wrong about gets the label that is not its own."""
        is_outage = (self._right[text] == "outage") == (self._answers[text] != "wrong")
        return [1 - self._sure, self._sure] if is_outage else [self._sure, 1 - self._sure]

    def predict_labels(self, texts: Sequence[str], batch: int = 32) -> list[str]:
        return [self._answers[text] for text in texts]


def _model(manifest: Manifest, **about: Any) -> TextClassifier:
    return cast(TextClassifier, FakeModel(manifest, **about))


def test_accuracy_is_the_share_of_rows_labelled_rightly(manifest: Manifest) -> None:
    assert accuracy(_model(manifest, wrong=25), ROWS) == 0.75


@pytest.mark.parametrize(
    ("wrong", "passed"), [(0, True), (10, True), (12, True), (14, True), (15, False), (100, False)]
)
def test_up_to_two_points_and_a_standard_error_may_be_lost_on_the_holdout(
    manifest: Manifest, wrong: int, passed: bool
) -> None:
    gate = judge_holdout(_model(manifest, wrong=wrong), _model(manifest, wrong=10), ROWS, POLICY)

    assert (gate.name, gate.passed) == ("holdout", passed)
    assert gate.measured == f"accuracy {1 - wrong / 100:.4f} on 100 rows"
    error = math.sqrt(abs(wrong - 10)) / 100
    assert gate.wanted == (
        f"at least {0.88 - error:.4f}: the live version's 0.9000 less 0.02 and {error:.4f} that may be chance"
    )


def test_a_loss_on_many_rows_is_no_chance(manifest: Manifest) -> None:
    gate = judge_holdout(_model(manifest, wrong=13), _model(manifest, wrong=10), 100 * ROWS, POLICY)

    assert not gate.passed


@pytest.mark.parametrize(("wrong", "passed"), [(9, True), (10, False), (11, False)])
def test_recent_traffic_asks_for_better_and_not_for_as_good(manifest: Manifest, wrong: int, passed: bool) -> None:
    gate = judge_recent(_model(manifest, wrong=wrong), _model(manifest, wrong=10), ROWS, POLICY)

    assert (gate.name, gate.passed) == ("recent", passed)
    assert gate.wanted == "above the live version's 0.9000"


@pytest.mark.parametrize(("rows", "passed"), [(0, True), (9, True), (10, False)])
def test_too_few_recent_rows_ask_for_nothing(manifest: Manifest, rows: int, passed: bool) -> None:
    gate = judge_recent(_model(manifest, wrong=100), _model(manifest), ROWS[:rows], POLICY)

    assert gate.passed == passed


def test_how_sure_a_model_is_and_how_right_it_is_are_measured_together(manifest: Manifest) -> None:
    measured = Sureness.of(_model(manifest, wrong=25, sure=0.9), ROWS)

    assert measured.accuracy == 0.75
    assert measured.log_loss == pytest.approx(-(0.75 * math.log(0.9) + 0.25 * math.log(0.1)))
    assert measured.error == pytest.approx(0.9 - 0.75)
    assert str(measured) == "accuracy 0.7500, log loss 0.6547, calibration error 0.1500"


def test_a_label_that_the_model_does_not_know_was_given_no_probability(manifest: Manifest) -> None:
    assert Sureness.of(_model(_changed(manifest, labels=["billing", "meter"])), ROWS[1:2]).log_loss == pytest.approx(
        -math.log(2**-23)
    )


@pytest.mark.parametrize(
    ("wrong", "sure", "passed"),
    [
        (25, 0.75, True),  # as right as ever, and it knows
        (25, 0.99, False),  # surer than before
        (25, 0.9, False),  # no truer
        (26, 0.75, False),  # truer, at the cost of an answer
        (20, 0.8, True),
    ],
)
def test_a_recalibrated_candidate_must_know_better_how_sure_to_be_and_lose_no_answer(
    manifest: Manifest, wrong: int, sure: float, passed: bool
) -> None:
    gate = judge_calibration(
        _model(manifest, wrong=wrong, sure=sure), _model(manifest, wrong=25, sure=0.9), ROWS, POLICY
    )

    assert (gate.name, gate.passed) == ("calibration", passed)
    assert gate.measured.startswith(f"accuracy {1 - wrong / 100:.4f}, log loss ")
    assert gate.wanted == (
        "log loss below the live version's, accuracy not below: "
        "accuracy 0.7500, log loss 0.6547, calibration error 0.1500"
    )


@pytest.mark.parametrize(("rows", "passed"), [(0, True), (9, True), (10, False)])
def test_too_few_recent_rows_ask_nothing_of_a_recalibrated_candidate_either(
    manifest: Manifest, rows: int, passed: bool
) -> None:
    assert judge_calibration(_model(manifest, wrong=100), _model(manifest), ROWS[:rows], POLICY).passed == passed


@pytest.mark.parametrize(("recipe", "name"), [(RECALIBRATED, "calibration"), ("transfer", "recent"), ("", "recent")])
def test_only_what_was_recalibrated_is_spared_being_better(manifest: Manifest, recipe: str, name: str) -> None:
    made = _changed(manifest, lineage=replace(manifest.lineage, recipe=recipe))

    gates = judge_candidate(_model(made), _model(manifest), _dataset(True), POLICY, Clock())

    assert gates[2].name == name
    assert not gates[2].passed  # it is neither better nor truer


def _changed(manifest: Manifest, **changes: Any) -> Manifest:
    return replace(manifest, **changes)


def test_a_candidate_may_know_more_labels_and_give_more_probabilities(manifest: Manifest) -> None:
    outputs = [Tensor("label", "BYTES", [-1]), Tensor("probabilities", "FP32", [-1, 3])]
    candidate = _changed(manifest, labels=["billing", "meter", "outage"], outputs=outputs)

    assert judge_signature(candidate, manifest).passed


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
    gate = judge_signature(_changed(manifest, **changes), manifest)

    assert (gate.passed, gate.measured) == (False, measured)


def _latency(manifest: Manifest, new: Sequence[float], old: Sequence[float], texts: int) -> Any:
    clock = Clock()
    candidate, live = (_model(manifest, clock=clock, took=took) for took in (new, old))
    return judge_latency(candidate, live, [row.text for row in ROWS[:texts]], POLICY, clock)


@pytest.mark.parametrize(("took", "passed"), [(0.25, True), (0.375, True), (0.376, False)])
def test_a_candidate_may_take_half_as_long_again(manifest: Manifest, took: float, passed: bool) -> None:
    gate = _latency(manifest, [took] * 13, [0.25] * 13, 10)

    assert (gate.name, gate.passed) == ("latency", passed)
    assert (gate.measured, gate.wanted) == (
        f"{took * 1000:.2f} ms a row",
        "at most 1.5 x the live version's 250.00 ms",
    )


def test_the_first_answers_and_a_single_slow_one_do_not_count(manifest: Manifest) -> None:
    gate = _latency(manifest, [9.0] * 3 + [0.25] * 9 + [9.0], [0.25] * 13, 10)

    assert (gate.passed, gate.measured) == (True, "250.00 ms a row")


@pytest.mark.parametrize("texts", [1, 2, 3])
def test_a_holdout_of_very_few_rows_can_still_be_timed(manifest: Manifest, texts: int) -> None:
    gate = _latency(manifest, [9.0] * texts + [0.5] * texts, [0.25] * 2 * texts, texts)

    assert (gate.passed, gate.measured) == (False, "500.00 ms a row")


def test_both_models_are_timed_on_the_same_texts_one_row_at_a_time(manifest: Manifest) -> None:
    candidate, live = FakeModel(manifest), FakeModel(manifest)

    judge_latency(cast(TextClassifier, candidate), cast(TextClassifier, live), ["text 1", "text 2"], POLICY, Clock())

    assert candidate.asked == live.asked == [["text 1"], ["text 2"], ["text 1"], ["text 2"]]


@pytest.mark.parametrize(("extra", "passed"), [(0, True), (1, False)])
def test_a_bundle_larger_than_a_layer_can_hold_is_refused(manifest: Manifest, extra: int, passed: bool) -> None:
    files = {"model.onnx": {"sha256": "", "size": 1000}, "model.onnx.data": {"sha256": "", "size": 99_999_000 + extra}}

    gate = judge_size(_changed(manifest, files=files), POLICY)

    assert (gate.passed, gate.measured, gate.wanted) == (passed, "100.0 MB", "at most 100 MB")


def _dataset(recent: bool) -> FrozenDataset:
    splits = {"train": ROWS[:1], "holdout": ROWS}
    return freeze("triage", {**splits, "recent": ROWS[:20]} if recent else splits, {})


@pytest.mark.parametrize("recent", [True, False])
def test_a_better_candidate_passes_every_gate(manifest: Manifest, recent: bool) -> None:
    clock = Clock()
    took = [0.01] * 33

    gates = judge_candidate(
        _model(manifest, clock=clock, took=took),
        _model(manifest, wrong=5, clock=clock, took=took),
        _dataset(recent),
        POLICY,
        clock,
    )

    assert [gate.name for gate in gates] == ["signature", "holdout", "recent", "latency", "size"]
    assert all(gate.passed for gate in gates)


def test_a_candidate_that_fails_one_gate_is_still_measured_by_the_others(manifest: Manifest) -> None:
    clock = Clock()

    gates = judge_candidate(
        _model(manifest, wrong=5, clock=clock, took=[0.02] * 33),
        _model(manifest, clock=clock, took=[0.01] * 33),
        _dataset(True),
        POLICY,
        clock,
    )

    failed = {"holdout", "recent", "latency"}
    assert {gate.name for gate in gates if not gate.passed} == failed
    assert len(gates) == 5
