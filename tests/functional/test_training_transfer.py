"""The whole recipe on a tiny encoder with random weights: from a frozen dataset to a bundle that opens and answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnxruntime as ort
import pytest
import torch
from moto import mock_aws
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from pawl.bundle import Bundle, open_bundle
from pawl.classifier import TextClassifier
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.errors import InvalidDataset
from pawl.profile import Profile
from training.__main__ import main
from training.classifier import Classifier, load_encoder, load_tokenizer, pad
from training.export import GRAPH, INPUTS, OUTPUTS, export

NOW_MS = 1_767_225_600_000
TOPICS = {
    "billing": "invoice charge price bill money",
    "delivery": "parcel courier late box street",
    "login": "password account code locked email",
}
FILLER = "my the please is a about help now again today"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: Bert with 2 layers of 32 dimensions and a WordPiece tokenizer that pads to 64."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *f"{FILLER} {' '.join(TOPICS.values())}".split()]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(3)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=128,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dataset() -> FrozenDataset:
    """Rows of three topics, a few of them labelled traffic, with a recent split."""
    rows = [_row(topic, i) for topic in TOPICS for i in range(60)]
    recent = [Row(row.text + " today", row.label, {}, "traffic") for row in rows[::6]]
    return freeze(
        "tiny",
        {"train": [*rows[::2], *recent[::2]], "holdout": rows[1::2], "recent": recent[1::2]},
        {
            "parent": "0" * 64,
            "traffic_window": ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"],
            "feedback": 30,
        },
    )


@pytest.fixture(scope="module")
def bundle(base: Path, dataset: FrozenDataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _train(base, dataset, tmp_path_factory.mktemp("trained"))


def test_the_bundle_opens_and_says_where_it_comes_from(bundle: Bundle, dataset: FrozenDataset) -> None:
    manifest = bundle.manifest

    assert [point["name"] for point in manifest.metrics["compression"]][:2] == ["float", "int8"]
    assert sum(point["chosen"] for point in manifest.metrics["compression"]) == 1
    assert set(manifest.files) == {"model.onnx", "model.onnx.data", "tokenizer.json", "reference.json", "card.md"}
    assert (manifest.name, manifest.version, manifest.kind) == ("tiny", "2", "text-classifier")
    assert manifest.labels == sorted(TOPICS)
    assert manifest.outputs[1].shape == [-1, 3]
    assert manifest.created_at == "2026-01-01T00:00:00.000Z"
    assert (manifest.lineage.dataset, manifest.lineage.parent) == (dataset.digest, "models:/tiny/1")
    assert (manifest.lineage.code, manifest.lineage.base_licence) == ("abc123", "mit")
    assert manifest.lineage.feedback == 30


def test_it_has_learned_its_topics(bundle: Bundle) -> None:
    metrics = bundle.manifest.metrics

    assert metrics["int8"]["holdout"]["accuracy"] > 0.9
    assert set(metrics["int8"]["holdout"]["slices"]["channel"]) == {"app", "chat"}
    assert metrics["float"]["recent"]["rows"] == 15
    assert TextClassifier(bundle).predict({"text": ["the parcel is late"]}).outputs["label"] == ["delivery"]


def test_the_tokenizer_truncates_and_does_not_pad(bundle: Bundle) -> None:
    stored = json.loads((bundle.path / "tokenizer.json").read_text())

    assert stored["padding"] is None
    assert stored["truncation"]["max_length"] == 128


def test_the_reference_profile_counts_the_served_answers_on_the_holdout(bundle: Bundle, dataset: FrozenDataset) -> None:
    reference = Profile.from_json((bundle.path / "reference.json").read_bytes())

    assert reference.rows == len(dataset.splits["holdout"])
    recent = Profile.like(reference)
    recent.update(TextClassifier(bundle).predict({"text": ["my password is locked"]}).features())
    assert recent.rows == 1


def test_the_run_report_is_completed(bundle: Bundle) -> None:
    report = json.loads((bundle.path / "run.json").read_text())

    assert (report["status"], report["progress"], report["run"]) == ("completed", 1.0, "run-7")
    assert [each["split"] for each in report["evaluations"]] == ["holdout", "recent"]
    assert {each["stage"] for each in report["losses"]} == {"head", "layers"}


def test_the_card_begins_with_its_metadata(bundle: Bundle) -> None:
    card = (bundle.path / "card.md").read_text()

    assert card.startswith('---\nlicense: "mit"\nbase_model: "tiny-bert')
    assert "| holdout | channel | chat |" in card


def test_the_same_seed_gives_the_same_metrics(
    base: Path, dataset: FrozenDataset, bundle: Bundle, tmp_path: Path
) -> None:
    again = _train(base, dataset, tmp_path)

    for part in ("float", "int8", "int8_label_agreement"):
        assert again.manifest.metrics[part] == bundle.manifest.metrics[part]


def test_the_served_graph_answers_as_torch_does(base: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    classifier = Classifier(load_encoder(str(base)), labels=3, dimensions=8, dropout=0.1).eval().requires_grad_(False)
    classifier.directions.normal_()
    texts = ["my bill", "a late parcel please help now", "the account code again"]
    ids = [each.ids for each in load_tokenizer(str(base), 128).encode_batch(texts)]

    exported = export(classifier, ids, tmp_path)

    assert exported.float_difference < 1e-4
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(tmp_path / GRAPH), options)
    feed = dict(zip(INPUTS, (each.numpy() for each in pad([ids[0]], torch.device("cpu"))), strict=True))
    probabilities, projection = session.run(OUTPUTS, feed)
    wanted = classifier(*pad([ids[0]], torch.device("cpu")))
    assert np.abs(probabilities - wanted[0].numpy()).max() < 0.03
    assert projection.shape == (1, 8)


def test_a_label_that_nothing_is_learned_from_fails_the_run_and_says_so(base: Path, tmp_path: Path) -> None:
    dataset = freeze(
        "tiny",
        {"train": [_row("billing", 1), _row("login", 1)], "holdout": [_row("delivery", 1)]},
        {"parent": None, "traffic_window": [], "feedback": 0},
    )

    with pytest.raises(InvalidDataset, match=r"holdout has labels that train has no row of: \['delivery'\]"):
        _train(base, dataset, tmp_path)

    report = json.loads((tmp_path / "candidate" / "run.json").read_text())
    assert report["status"] == "failed"
    assert "delivery" in report["error"]
    assert not (tmp_path / "candidate" / "manifest.json").exists()


def test_in_s3_the_manifest_is_stored_after_every_other_file(
    base: Path, dataset: FrozenDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="loop")
        for name, data in dataset.files.items():
            s3.put_object(Bucket="loop", Key=f"datasets/d/{name}", Body=data)
        _run(base, "s3://loop/datasets/d/", "s3://loop/candidates/tiny/2/", ["--epochs", "1"])
        stored = {
            entry["Key"].rpartition("/")[2]: entry["LastModified"]
            for entry in s3.list_objects_v2(Bucket="loop", Prefix="candidates/tiny/2/")["Contents"]
        }

    assert set(stored) == {
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "reference.json",
        "card.md",
        "manifest.json",
        "run.json",
        "compression.png",
    }
    assert max(stored, key=lambda name: (stored[name], name == "manifest.json")) == "manifest.json"


def test_a_search_for_knobs_ends_in_a_bundle_that_tells_what_it_found(
    base: Path, dataset: FrozenDataset, tmp_path: Path
) -> None:
    (tmp_path / "dataset").mkdir()
    for name, data in dataset.files.items():
        (tmp_path / "dataset" / name).write_bytes(data)
    arguments = [
        "automl",
        "--model",
        "tiny",
        "--version",
        "2",
        "--dataset",
        str(tmp_path / "dataset"),
        "--run",
        "run-8",
    ]
    arguments += ["--output", str(tmp_path / "candidate"), "--base", str(base), "--trials", "2", "--divisions", "1"]

    main(arguments, {"PAWL_CODE_REVISION": "abc123"}, NOW_MS)

    manifest = open_bundle(tmp_path / "candidate").manifest
    report = json.loads((tmp_path / "candidate" / "run.json").read_text())
    trials = json.loads((tmp_path / "candidate" / "trials.json").read_text())["trials"]
    found = manifest.metrics["automl"]
    assert (manifest.lineage.recipe, report["status"], found["trials"]) == ("automl", "completed", 2)
    assert found["validation_loss"] <= found["validation_loss_of_defaults"]
    assert found["knobs"] in [trial["knobs"] for trial in trials]
    assert report["conclusion"]


def _row(topic: str, number: int) -> Row:
    words, filler = TOPICS[topic].split(), FILLER.split()
    text = f"{filler[number % 10]} {words[number % 5]} {filler[number // 6]} {words[number // 5 % 5]} {number}"
    return Row(text, topic, {"channel": "chat" if number % 4 < 2 else "app"})


def _train(base: Path, dataset: FrozenDataset, folder: Path) -> Bundle:
    (folder / "dataset").mkdir()
    for name, data in dataset.files.items():
        (folder / "dataset" / name).write_bytes(data)
    _run(base, str(folder / "dataset"), str(folder / "candidate"), [])
    return open_bundle(folder / "candidate")


def _run(base: Path, dataset: str, output: str, more: Sequence[str]) -> None:
    arguments = [
        "transfer",
        "--model",
        "tiny",
        "--version",
        "2",
        "--dataset",
        dataset,
        "--output",
        output,
        "--run",
        "run-7",
        "--parent",
        "models:/tiny/1",
        "--base",
        str(base),
        "--base-licence",
        "mit",
        "--tuned-layers",
        "1",
        "--encoder-rate",
        "1e-3",
        *more,
    ]
    environment: dict[str, Any] = {"PAWL_CODE_REVISION": "abc123"}
    main(arguments, environment, NOW_MS)
