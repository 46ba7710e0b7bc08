"""The recipe that changes no weight, on a small graph whose probabilities are true until it is spoilt."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertModel

from pawl.bucket import Bucket
from pawl.bundle import MANIFEST, Bundle, Manifest, open_bundle, seal
from pawl.calibration import calibration_error, log_loss
from pawl.classifier import TextClassifier
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.errors import InvalidBundle
from pawl.model import open_session
from pawl.profile import Profile
from release.answers import Answers
from release.classifiers import judge_on
from release.gates import Case, Contender, Gate, GatePolicy
from training.__main__ import main
from training.classifier import Classifier
from training.correction import BIAS, SCALE, Correction, correct
from training.export import WEIGHTS, export
from training.recalibrate import new_rows

NOW_MS = 1_767_225_600_000
WORDS = ("refund", "invoice", "password", "login", "hello", "weather", "gibberish")
SPOILT = np.array([0.0, 0.0, 2.5])


@dataclass(frozen=True)
class World:
    """Texts with labels drawn by the honest model's own probabilities, so that these are true by construction."""

    honest: Bundle
    learned: FrozenDataset
    dataset: FrozenDataset

    @property
    def recent(self) -> list[Row]:
        return self.dataset.splits["recent"]


@pytest.fixture(scope="module")
def world(make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> World:
    draw = random.Random(11)
    texts = sorted({" ".join(draw.choices(WORDS, k=draw.randint(2, 6))) for _ in range(1400)})
    draw.shuffle(texts)
    meanings = np.random.default_rng(11).normal(scale=5.0, size=(10, 3))
    honest = _with_table(make_bundle("1", "0" * 64), lambda _: meanings, tmp_path_factory.mktemp("honest"))
    model = TextClassifier(honest)
    chances = [model.predict({"text": [text]}).outputs["probabilities"][0] for text in texts]
    labels = [draw.choices(honest.manifest.labels, weights=each.tolist())[0] for each in chances]
    rows = [Row(text, label, {}, "traffic") for text, label in zip(texts, labels, strict=True)]
    learned = freeze("triage", {"train": rows[:50], "holdout": rows[50:350]}, {"parent": None})
    splits = {**learned.splits, "train": [*rows[:50], *rows[350:650]], "recent": rows[650:]}
    lineage = {"parent": learned.digest, "traffic_window": ["2026-01-01", "2026-01-02"], "feedback": 300}
    about = {**_about(honest), "lineage": replace(honest.manifest.lineage, dataset=learned.digest)}
    return World(seal(honest.path, **about), learned, freeze("triage", splits, lineage))


@pytest.fixture
def spoil(world: World, tmp_path: Path) -> Callable[..., Bundle]:
    """The honest bundle with its logits multiplied and shifted, in the graph's own table."""

    def make(scale: float = 1.0, bias: Any = 0.0) -> Bundle:
        (tmp_path / "live").mkdir()
        return _with_table(world.honest, lambda table: table * scale + bias, tmp_path / "live")

    return make


@pytest.fixture
def run(world: World, tmp_path: Path) -> Callable[[Bundle], Path]:
    """Runs the job's command on a live bundle; the folder it leaves."""
    return lambda live: _run(live, world.learned, world.dataset, tmp_path)


def _with_table(bundle: Bundle, change: Callable[[Any], Any], folder: Path) -> Bundle:
    """The bundle with other logits for its words, shape (words, labels)."""
    for name in bundle.manifest.files:
        (folder / name).write_bytes((bundle.path / name).read_bytes())
    model = onnx.load(folder / "model.onnx")
    (table,) = [tensor for tensor in model.graph.initializer if tensor.name == "logits"]
    changed = change(numpy_helper.to_array(table)).astype(np.float32)
    table.CopyFrom(numpy_helper.from_array(changed, "logits"))
    onnx.save(model, folder / "model.onnx")
    return seal(folder, **_about(bundle))


def _about(bundle: Bundle) -> dict[str, Any]:
    return {each.name: getattr(bundle.manifest, each.name) for each in fields(Manifest) if each.name != "files"}


def _judged(candidate: Bundle, live: Bundle, world: World) -> list[Gate]:
    """The texts are few words drawn at random: they repeat each other, and nobody trained on them here."""
    policy = GatePolicy(cold_start_runs=0, leak_share=1.0)
    contenders = Contender.of(candidate), Contender.of(live)
    return judge_on(Case(*contenders, cast(Bucket, None), policy, clock=lambda: 0.0), world.dataset)


@dataclass(frozen=True)
class Sureness:
    """How right a model is, and how well it knows."""

    accuracy: float
    log_loss: float
    error: float


def _sureness(bundle: Bundle, rows: Sequence[Row]) -> Sureness:
    answers = Answers.of(TextClassifier(bundle), rows)
    return Sureness(answers.accuracy, log_loss(answers.likelihood), calibration_error(answers.sure, answers.right))


def test_a_model_three_times_too_sure_is_as_honest_as_before_it_was_spoilt(
    world: World, spoil: Callable[..., Bundle], run: Callable[..., Path]
) -> None:
    live = spoil(scale=3.0)

    candidate = open_bundle(run(live))

    honest, before, after = (_sureness(each, world.recent) for each in (world.honest, live, candidate))
    assert honest.error < 0.05
    assert before.error > 0.12
    assert after.error == pytest.approx(honest.error, abs=0.015)
    assert after.accuracy == before.accuracy == honest.accuracy
    assert after.log_loss == pytest.approx(honest.log_loss, abs=0.01)
    assert candidate.manifest.quantization["recalibrated"] == "confidences"
    assert 1 / candidate.manifest.quantization["scale"] == pytest.approx(3, rel=0.15)
    gates = _judged(candidate, live, world)
    assert {gate.name for gate in gates} >= {"holdout", "calibration", "perturbations", "attack", "determinism"}
    assert all(gate.passed for gate in gates), gates


def test_a_model_that_leans_to_one_label_gets_its_accuracy_back(
    world: World, spoil: Callable[..., Bundle], run: Callable[..., Path]
) -> None:
    live = spoil(bias=SPOILT)

    candidate = open_bundle(run(live))

    honest, before, after = (_sureness(each, world.recent) for each in (world.honest, live, candidate))
    assert before.accuracy < honest.accuracy - 0.1
    assert after.accuracy == pytest.approx(honest.accuracy, abs=0.02)
    how = candidate.manifest.quantization
    assert (how["recalibrated"], how["scale"]) == ("thresholds", 1.0)
    assert how["bias"] == pytest.approx((SPOILT.mean() - SPOILT).tolist(), abs=0.4)
    assert all(gate.passed for gate in _judged(candidate, live, world))


def test_an_honest_model_is_left_as_it_is_and_the_run_is_completed(world: World, run: Callable[..., Path]) -> None:
    output = run(world.honest)

    assert {path.name for path in output.iterdir()} == {"run.json"}
    report = json.loads((output / "run.json").read_text())
    assert (report["status"], report["progress"], report["evaluations"]) == ("completed", 1.0, [])
    assert report["conclusion"].startswith("nothing changed: no correction helps answers that it was not fitted to: ")


def test_too_few_new_rows_fit_nothing(world: World, tmp_path: Path) -> None:
    splits = {**world.dataset.splits, "train": world.dataset.splits["train"][:79]}
    fewer = freeze("triage", splits, world.dataset.lineage)

    output = _run(world.honest, world.learned, fewer, tmp_path)

    report = json.loads((output / "run.json").read_text())
    assert not (output / MANIFEST).exists()

    assert report["conclusion"] == "nothing changed: 29 new labelled rows, a fit needs 30"


def test_the_candidate_says_what_was_done_and_where_it_comes_from(
    world: World, spoil: Callable[..., Bundle], run: Callable[..., Path]
) -> None:
    live = spoil(scale=3.0)

    candidate = open_bundle(run(live))

    manifest, lineage = candidate.manifest, candidate.manifest.lineage
    assert (manifest.name, manifest.version, manifest.labels) == ("triage", "2", live.manifest.labels)
    assert (lineage.recipe, lineage.parent, lineage.dataset) == (
        "recalibrate",
        "models:/triage/1",
        world.dataset.digest,
    )
    assert (lineage.run, lineage.code, lineage.feedback) == ("run-7", "abc123", 300)
    assert manifest.metrics["fitted_rows"] == 300
    for split in ("holdout", "recent"):
        now, before = (manifest.metrics[each][split] for each in ("int8", "live"))
        assert now["accuracy"] == before["accuracy"] and now["log_loss"] < before["log_loss"]
    card = (candidate.path / "card.md").read_text()
    assert "models:/triage/1, with its confidences corrected by 300 labelled answers" in card
    assert "- recipe: recalibrate" in card
    report = json.loads((candidate.path / "run.json").read_text())
    assert [each["split"] for each in report["evaluations"]] == ["holdout", "recent"]
    assert report["conclusion"].startswith("confidences corrected: confidences +")


def test_the_reference_is_what_the_candidate_answers_to_the_labelled_traffic(
    world: World, spoil: Callable[..., Bundle], run: Callable[..., Path]
) -> None:
    candidate = open_bundle(run(spoil(bias=SPOILT)))

    reference = Profile.from_json((candidate.path / "reference.json").read_bytes())

    fresh = [
        row for rows in new_rows(world.dataset, world.learned, world.honest.manifest.labels).values() for row in rows
    ]
    assert reference.rows == len(fresh) == 300 + len(world.recent)
    served = TextClassifier(candidate)
    answers = [label for row in fresh for label in served.predict({"text": [row.text]}).outputs["label"]]
    assert json.loads(reference.to_json())["columns"]["label"]["counts"] == {
        label: answers.count(label) for label in sorted(set(answers))
    }


def test_rows_that_the_live_model_knows_or_labels_that_it_does_not_are_not_fitted_to() -> None:
    known, new, strange = Row("a", "x"), Row("b", "y", {}, "traffic"), Row("c", "z", {}, "traffic")
    learned = freeze("triage", {"train": [known], "holdout": [Row("h", "x")]}, {})
    dataset = freeze("triage", {"train": [known, new, strange], "holdout": [Row("h", "x")], "recent": [known]}, {})

    assert new_rows(dataset, learned, ["x", "y"]) == {"train": [new], "recent": []}


def test_a_second_correction_changes_numbers_and_adds_no_nodes(world: World, tmp_path: Path) -> None:
    first, then = Correction(0.5, np.array([0.5, 0.0, -0.5])), Correction(3.0, np.array([0.0, 1.0, -1.0]))

    correct(world.honest.path / "model.onnx", first, tmp_path / "once.onnx")
    both = correct(tmp_path / "once.onnx", then, tmp_path / "twice.onnx")

    once, twice = (onnx.load(tmp_path / f"{name}.onnx").graph for name in ("once", "twice"))
    assert list(once.node) == list(twice.node)
    numbers = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in twice.initializer}
    assert (numbers[SCALE], numbers[BIAS]) == (1.5, [1.5, 1.0, -2.5])
    assert (both.scale, both.bias.tolist()) == (1.5, [1.5, 1.0, -2.5])


def test_probabilities_that_no_softmax_makes_cannot_be_corrected(world: World, tmp_path: Path) -> None:
    model = onnx.load(world.honest.path / "model.onnx")
    (last,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    last.op_type = "Sigmoid"
    del last.attribute[:]
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(InvalidBundle, match="probabilities come from Sigmoid, not a Softmax"):
        correct(tmp_path / "model.onnx", Correction(1.0, np.zeros(3)), tmp_path / "corrected.onnx")


def test_the_served_int8_graph_is_corrected_without_a_byte_of_its_weights_changed(tmp_path: Path) -> None:
    """What training exports: fused, quantized, its weights mapped from a file of their own."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(3)
    encoder = BertModel(BertConfig(vocab_size=40, max_position_embeddings=128, attn_implementation="eager", **sizes))
    classifier = Classifier(encoder, labels=3, dimensions=8, dropout=0.1).eval().requires_grad_(False)
    export(classifier, [[2, 5, 9, 3], [2, 7, 3], [2, 11, 12, 13, 3]], tmp_path)
    weights = (tmp_path / WEIGHTS).read_bytes()
    asked = {"input_ids": np.array([[2, 5, 9, 3]]), "attention_mask": np.ones((1, 4), np.int64)}
    before = _probabilities(tmp_path / "model.onnx", asked)

    correct(tmp_path / "model.onnx", Correction(2.0, np.array([0.5, 0.0, -0.5])), tmp_path / "corrected.onnx")

    powers = before**2 * np.exp([0.5, 0.0, -0.5])
    assert _probabilities(tmp_path / "corrected.onnx", asked) == pytest.approx(powers / powers.sum(), abs=1e-6)
    assert (tmp_path / WEIGHTS).read_bytes() == weights
    assert (tmp_path / "corrected.onnx").stat().st_size < (tmp_path / "model.onnx").stat().st_size + 1000


def _run(live: Bundle, learned: FrozenDataset, dataset: FrozenDataset, folder: Path) -> Path:
    for each in (learned, dataset):
        place = folder / "datasets" / each.digest
        place.mkdir(parents=True)
        for name, data in each.files.items():
            (place / name).write_bytes(data)
    words = {
        "model": "triage",
        "version": "2",
        "dataset": folder / "datasets" / dataset.digest,
        "output": folder / "candidate",
        "run": "run-7",
        "parent": "models:/triage/1",
        "live": live.path,
    }
    arguments = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    main(["recalibrate", *arguments], {"PAWL_CODE_REVISION": "abc123"}, NOW_MS)
    return folder / "candidate"


def _probabilities(graph: Path, asked: dict[str, Any]) -> Any:
    return open_session(str(graph)).run(["probabilities"], asked)[0]
