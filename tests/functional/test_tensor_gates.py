"""Gates of models that take tensors, on real graphs: a linear classifier of three numbers, and worse ones."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pawl.bundle import Bundle, Lineage, Tensor, seal
from pawl.errors import InvalidDataset
from pawl.tensorset import read_tensor_set
from release.gate import Case, Contender
from release.gates import judge_candidate
from release.policy import GatePolicy
from release.tables import score_output

WEIGHTS = np.array([[2.0, 0.0], [-2.0, 0.0], [0.5, 0.0]], np.float32)
LABELS = ["high", "low"]
POLICY = GatePolicy(cold_start_runs=0, latency_ratio=50.0)
ALL = ["signature", "licence", "size", "holdout", "slices", "fairness:group", "mended", "broken", "calibration"]
ALL += ["attack", "determinism", "latency", "cold start"]
Build = Callable[..., Bundle]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Makes a bundle: softmax of the values times weights, with noise or the batch's largest value added if wanted."""

    def make(version: str, weights: np.ndarray = WEIGHTS, noise: float = 0.0, batch: float = 0.0) -> Bundle:
        folder = tmp_path / version
        folder.mkdir()
        nodes = [
            helper.make_node("MatMul", ["values", "weights"], ["plain"]),
            helper.make_node("RandomNormalLike", ["plain"], ["chance"], scale=noise or 1e-30),
            helper.make_node("ReduceMax", ["values"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "batch"], ["shift"]),
            helper.make_node("Add", ["chance", "shift"], ["moved"]),
            helper.make_node("Add", ["plain", "moved"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ]
        constants = [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([batch, 0.0], np.float32), "batch"),
        ]
        sizes = (("values", ["rows", 3]), ("probabilities", ["rows", 2]))
        borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes]
        graph = helper.make_graph(nodes, "linear", borders[:1], borders[1:], constants)
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
        )
        return seal(
            folder,
            name="credit",
            version=version,
            kind="tensors",
            created_at="2026-07-14T09:00:00.000Z",
            inputs=[Tensor("values", "FP32", [-1, 3])],
            outputs=[Tensor("probabilities", "FP32", [-1, 2])],
            labels=LABELS,
            max_tokens=0,
            quantization={},
            metrics={},
            lineage=Lineage(f"run-{version}", "none", None, "own", "MIT", "tests"),
        )

    return make


def _rows(**changes: Any) -> bytes:
    random = np.random.default_rng(3)
    values = random.normal(size=(200, 3)).astype(np.float32)
    truth = (values @ WEIGHTS[:, 0] + random.normal(0, 0.3, 200) < 0).astype(int)
    groups = np.where(random.random(200) < 0.5, "a", "b")
    file = io.BytesIO()
    np.savez(file, **{"input.values": values, "label": truth, "slice.group": groups, **changes})
    return file.getvalue()


@pytest.fixture
def judge(cloud: Any, build: Build) -> Callable[..., dict[str, Any]]:
    """Lets a candidate through all gates against the plain model; verdicts by name."""

    def put(candidate: Bundle, rows: bytes | None = None, policy: GatePolicy = POLICY) -> dict[str, Any]:
        cloud.bucket.write("models/credit/holdout.npz", rows or _rows())
        live = Contender.of(build("1"))
        return {gate.name: gate for gate in judge_candidate(Case(Contender.of(candidate), live, cloud.bucket, policy))}

    return put


def test_a_model_as_good_as_the_live_one_passes_every_gate(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    gates = judge(build("2", WEIGHTS * 1.1))

    assert list(gates) == ALL
    assert [name for name, gate in gates.items() if not gate.passed] == []
    assert len(gates["holdout"].evidence["sha256"]) == 64
    assert gates["attack"].evidence["texts"] == 40


def test_a_model_that_reads_one_number_wrongly_is_refused(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    gates = judge(build("2", WEIGHTS * np.array([[1.0], [-1.0], [1.0]], np.float32)))

    assert {name for name, gate in gates.items() if not gate.passed} >= {"holdout", "slices", "broken", "calibration"}


def test_a_model_whose_answers_hang_on_little_is_refused(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    """Weights that cancel on these rows answer the same, until somebody moves the numbers apart."""
    values = np.random.default_rng(3).normal(size=(200, 3)).astype(np.float32)
    values[:, 2] = values[:, 0]
    truth = (values @ WEIGHTS[:, 0] < 0).astype(int)
    rows = _rows(**{"input.values": values, "label": truth})
    apart = np.array([[90.0, 0.0], [0.0, 0.0], [-90.0, 0.0]], np.float32)

    gates = judge(build("2", WEIGHTS + apart), rows)

    assert gates["holdout"].passed
    assert (gates["attack"].passed, gates["attack"].value > 0.9) == (False, True)


def test_a_model_that_answers_by_chance_is_refused(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    gate = judge(build("2", noise=0.001))["determinism"]

    assert not gate.passed
    assert gate.measured.startswith("not the same twice and in two sessions")


def test_a_model_whose_answers_depend_on_the_other_rows_of_a_batch_is_refused(
    judge: Callable[..., dict[str, Any]], build: Build
) -> None:
    gate = judge(build("2", batch=2.0))["determinism"]

    assert (gate.passed, gate.evidence["is_same"]) == (False, True)
    assert gate.evidence["interval"][1] < 0.9


def test_a_group_that_the_candidate_alone_fails_refuses_it(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    values = np.random.default_rng(3).normal(size=(200, 3)).astype(np.float32)
    truth = (values @ WEIGHTS[:, 0] < 0).astype(int)
    groups = np.where(values[:, 2] > 0.8, "old", "young")

    gates = judge(
        build("2", WEIGHTS + np.array([[0.0, 0.0], [0.0, 0.0], [-3.0, 0.0]], np.float32)),
        _rows(**{"input.values": values, "label": truth, "slice.group": groups}),
    )

    assert not gates["fairness:group"].passed
    assert "accuracy gap" in gates["fairness:group"].measured


def test_numbers_that_are_no_probabilities_are_judged_as_scores(
    judge: Callable[..., dict[str, Any]], build: Build
) -> None:
    assert score_output(build("2").manifest) == "probabilities"
    with pytest.raises(InvalidDataset, match="gives no score for each of its labels"):
        score_output(replace(build("3").manifest, labels=["one", "two", "three"]))


def test_a_candidate_without_rows_to_be_judged_by_is_refused(cloud: Any, build: Build) -> None:
    case = Case(Contender.of(build("2")), Contender.of(build("1")), cloud.bucket, POLICY)

    gate = judge_candidate(case)[-1]

    assert (gate.name, gate.passed) == ("data", False)
    assert gate.measured == "models/credit/holdout.npz is missing: put labelled rows there, see pawl.tensorset"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"input.values": np.zeros((200, 4), np.float32)}, "input.values has the shape [200, 4]"),
        ({"input.other": np.zeros((200, 3), np.float32)}, "want ['input.values', 'label']"),
        ({"label": np.full(200, 2)}, "labels from 2 to 2: the model has 2"),
        ({"label": np.zeros(199, int)}, "arrays of [199, 200] rows"),
        ({"label": np.zeros(200)}, "labels of type float64"),
        ({"label": np.array([None] * 200)}, "no .npz file of plain arrays"),
    ],
    ids=["shape", "input", "label", "rows", "type", "pickle"],
)
def test_rows_that_do_not_fit_the_model_say_what_is_wrong(build: Build, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidDataset) as raised:
        read_tensor_set(_rows(**changes), build("2").manifest)

    assert told in str(raised.value)


def test_what_is_no_file_of_arrays_is_refused_with_the_reason(
    judge: Callable[..., dict[str, Any]], build: Build
) -> None:
    gate = judge(build("2"), b"PK\x03\x04 no archive")["data"]

    assert not gate.passed


def test_an_invalid_policy_refuses_the_candidate_with_the_reason(
    judge: Callable[..., dict[str, Any]], build: Build, cloud: Any
) -> None:
    cloud.bucket.write("models/credit/policy.json", b'{"schema": 1, "holdout_margn": 0.5}')

    gates = judge(build("2"))

    assert list(gates) == ["policy"]
    assert gates["policy"].measured.startswith("policy.json: no field holdout_margn")


def test_a_models_own_policy_counts(judge: Callable[..., dict[str, Any]], build: Build, cloud: Any) -> None:
    cloud.bucket.write("models/credit/policy.json", b'{"schema": 1, "licences": ["Apache-2.0"], "attacked_rows": 5}')

    gates = judge(build("2"))

    assert (gates["licence"].passed, gates["licence"].measured) == (False, "MIT, of own")
    assert gates["attack"].evidence["texts"] == 5


def test_a_fresh_process_is_started_for_each_and_timed(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    gate = judge(build("2"), policy=replace(POLICY, cold_start_runs=1, cold_start_ratio=20.0))["cold start"]

    assert gate.passed
    assert gate.value > 30 and gate.evidence["live"] > 30  # no interpreter imports numpy in less
    assert gate.evidence["mb"] > 20


def test_a_candidate_that_starts_much_slower_is_refused(judge: Callable[..., dict[str, Any]], build: Build) -> None:
    gate = judge(build("2"), policy=replace(POLICY, cold_start_runs=1, cold_start_ratio=0.01))["cold start"]

    assert not gate.passed
    assert gate.wanted.startswith("at most 0.01 x the live version's ")
