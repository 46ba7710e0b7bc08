"""`scripts/build-model`: from a checkpoint, a factory or a graph to a bundle in the models layer's layout."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.functional import factories
from tests.functional.checkpoints import save_decoder, save_encoder

from artifacts.packaging import kind_of, main
from artifacts.signing import KeyFile, make_key
from inference.engine import Engine
from pawl.bundle import Bundle, open_bundle
from pawl.generator import TextGenerator
from pawl.model import open_model
from pawl.sampling import Sampling
from pawl.signing import read_trust


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    """The key that bundles made here are signed with."""
    make_key(tmp_path / "key.pem")
    monkeypatch.setenv("PAWL_SIGNING_KEY", str(tmp_path / "key.pem"))
    return KeyFile(tmp_path / "key.pem")


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_decoder_becomes_a_signed_generator_that_answers_a_conversation(
    family: str, key: KeyFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / f"tiny-{family}"
    source.mkdir()
    save_decoder(source, family)

    assert main([str(source), "--name", "tiny", "--version", "7", "--output", str(tmp_path / "models")]) == 0

    bundle = open_bundle(tmp_path / "models" / "tiny" / "7")
    assert str(bundle.path) in capsys.readouterr().out
    assert (bundle.manifest.name, bundle.manifest.version) == ("tiny", "7")
    assert (bundle.manifest.lineage.base_model, bundle.manifest.lineage.base_licence) == (f"tiny-{family}", "unknown")
    assert read_trust(key.trusted).check(bundle)
    model = open_model(bundle)
    assert isinstance(model, TextGenerator)
    prompt = model.chat_ids([{"role": "user", "content": "is my parcel late?"}])
    said = model.generate(prompt, Sampling(seed=1, max_tokens=8))
    assert said.token_count == 8 or said.finish_reason == "stop"


def test_somebody_s_own_torch_module_is_built_with_its_data_signed_and_served(
    key: KeyFile,
    tmp_path: Path,
    layer: Callable[[Bundle], Path],
    start: Callable[[str], ModuleType],
    rest: Callable[..., dict[str, Any]],
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = factories.save_rows(tmp_path / "digits.npz", factories.digits(), "digit")
    source = "tests.functional.factories:image_classifier"
    more = ["--data", str(data), "--label", "digit", "--licence", "MIT", "--output", str(tmp_path / "models")]

    assert main([source, "--name", "digits", *more]) == 0

    bundle = open_bundle(tmp_path / "models" / "digits" / "1")
    layer(bundle)
    assert Engine(read_trust(key.trusted)).get("digits").manifest.lineage.base_licence == "MIT"
    points = bundle.manifest.metrics["compression"]
    (chosen,) = (point for point in points if point["chosen"])
    assert chosen["quality"] >= points[0]["quality"] - 0.005
    assert [point["name"] for point in points] == ["float", "int8", "static", "int4", "mixed"]
    assert "compression.png" in bundle.manifest.files
    image, labels = factories.digits()[0][1], factories.digits()[1]
    inputs = [{"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": image.ravel().tolist()}]
    monkeypatch.setenv("TRUSTED_KEYS", key.trusted)
    app = start("inference.app")
    reply = app.handler(rest("POST", "/v2/models/{model}/infer", {"inputs": inputs}, model="digits"), context)
    assert reply["statusCode"] == 200
    (output,) = json.loads(reply["body"])["outputs"]
    assert (output["name"], output["shape"]) == ("output", [1, 10])
    assert int(np.argmax(output["data"])) == labels[1]
    assert app.capture.flush(10)


def test_options_for_tensors_are_refused_for_other_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["model.gguf", "--name", "tiny", "--data", "rows.csv", "--output", str(tmp_path)]
    assert main(arguments) == 1
    assert "--data is for models of tensors, and model.gguf is a generator" in capsys.readouterr().err


def test_a_folder_s_configuration_says_its_kind(tmp_path: Path) -> None:
    for name, save in (("decoder", lambda folder: save_decoder(folder, "llama")), ("encoder", save_encoder)):
        (tmp_path / name).mkdir()
        save(tmp_path / name)
    assert kind_of(str(tmp_path / "decoder")) == "generator"
    assert kind_of(str(tmp_path / "encoder")) == "embedder"
    assert kind_of("somewhere/model.gguf") == "generator"
    assert kind_of("somewhere/model.onnx") == kind_of("package.module:factory") == "tensors"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{empty}", "--name", "tiny"], "is no folder with config.json or a .gguf file"),
        (["absent.onnx", "--name", "tiny"], "absent.onnx: no such file"),
        (["nobody.knows:it", "--name", "tiny"], "No module named 'nobody'"),
        (["{empty}", "--name", "Tiny_"], "--name 'Tiny_': use 1-48 of a-z, 0-9 and '-'"),
        (["{empty}", "--name", "tiny", "--version", "0"], "--version '0': use a whole number from 1"),
        (["{other}", "--name", "tiny", "--kind", "generator"], "is of type 'mamba': want llama or qwen2"),
        (["{empty}", "--name", "there", "--version", "1"], "is there already, and bundles never change"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"empty": tmp_path / "empty", "other": tmp_path / "other"}
    for folder in places.values():
        folder.mkdir()
    (places["other"] / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    (tmp_path / "models" / "there" / "1").mkdir(parents=True)

    code = main([each.format(**places) for each in arguments] + ["--output", str(tmp_path / "models")])

    assert code == 1
    printed = capsys.readouterr().err.strip()
    assert printed.startswith("scripts/build-model: ")
    assert said in printed
    assert "\n" not in printed
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["there"]
