"""`scripts/edge`: what it packs for devices, and what it refuses to pack."""

import base64
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from tests.functional.edge_models import LABELS, MODEL, TEXTS, seal_classifier, sign
from tests.functional.embedders import seal_embedder
from tests.functional.tensor_models import seal_sums

from artifacts import signing
from artifacts.signing import local_key
from artifacts.target import BuildError
from devices import runtime
from devices.__main__ import main
from devices.characters import require_known
from devices.grant import Pass, fragment, origin, passes
from devices.package import write_package
from devices.portable import GRAPH, OPERATORS, write_portable
from devices.source import Source, local_source, stack_source
from pawl.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle
from pawl.classifier import TextClassifier, run_rows
from pawl.errors import InvalidBundle
from pawl.model import open_session
from pawl.signing import read_trust
from pawl.words import WordTokenizer


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("key") / "key.pem"


@pytest.fixture(autouse=True)
def own_key(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's key, for as long as a test runs."""
    if not key.exists():
        signing.make_key(key)
    monkeypatch.setenv("PAWL_SIGNING_KEY", str(key))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Bundle:
    made = seal_classifier(tmp_path_factory.mktemp("bundle") / "1")
    sign(made.path, key)
    return made


@pytest.fixture
def source(bundle: Bundle) -> Source:
    return local_source(str(bundle.path), None)


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the bundle, to be spoiled."""
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def test_the_portable_model_answers_exactly_as_the_bundle(source: Source, tmp_path: Path) -> None:
    made = write_portable(source, tmp_path)
    tokens = WordTokenizer(_tokenizer(tmp_path))
    session = open_session(str(tmp_path / GRAPH))
    wanted = TextClassifier(source.bundle).predict({"text": TEXTS})

    (got,) = run_rows(session, ["probabilities"], [tokens.ids(text) for text in TEXTS])
    assert np.array_equal(got, wanted.outputs["probabilities"])
    assert len(set(wanted.outputs["label"])) > 1  # it would be no proof if all answers were one
    assert made.manifest.labels == LABELS


def test_the_portable_folder_is_a_signed_bundle_that_names_what_it_is_made_of(source: Source, tmp_path: Path) -> None:
    write_portable(source, tmp_path)
    made = open_bundle(tmp_path)

    predicate = read_trust(local_key().trusted).check(made)
    assert predicate is not None
    assert [gate["name"] for gate in predicate["pawl"]["gates"]] == ["holdout"]
    assert (made.manifest.version, made.manifest.lineage.parent) == ("1", "models:/triage/1")
    assert made.manifest.quantization["format"] == "ort"
    assert set(made.manifest.files) == {GRAPH, OPERATORS, "tokenizer.json", "reference.json", "card.md"}


def test_the_operator_config_names_every_operator_of_the_graph_and_no_other(source: Source, tmp_path: Path) -> None:
    write_portable(source, tmp_path)
    lines = [line for line in (tmp_path / OPERATORS).read_text().splitlines() if not line.startswith("#")]
    graph = onnx.load(source.bundle.path / "model.onnx", load_external_data=False).graph

    told = {(domain, name) for domain, _, names in (line.split(";", 2) for line in lines) for name in _names(names)}
    assert told == {(node.domain or "ai.onnx", node.op_type) for node in graph.node}


def test_a_model_of_tensors_is_packed_without_a_page(tmp_path: Path, key: Path) -> None:
    bundle = seal_sums(tmp_path / "sums")
    sign(bundle.path, key)

    assert write_package(local_source(str(bundle.path), None), tmp_path / "out", None) == ["portable"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "portable"]
    session = open_session(str(tmp_path / "out" / "portable" / GRAPH))
    feed = {"left": np.ones((1, 3)), "right": np.ones((1, 3)), "matrix": np.ones((3, 2))}
    (total,) = session.run(["total"], {name: value.astype(np.float32) for name, value in feed.items()})
    assert np.asarray(total).tolist() == [6.0]


def test_an_altered_bundle_is_not_packed_and_the_file_is_named(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = copied / "card.md"
    card.write_text(card.read_text().replace("customer", "costumer"))

    assert main([str(copied), "--output", str(tmp_path / "out")]) == 1
    assert "card.md does not match its digest" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_nobody_trusted_has_signed_is_not_packed(copied: Path, tmp_path: Path) -> None:
    sign(copied, tmp_path / "other.pem")
    with pytest.raises(InvalidBundle, match="by a key that is not trusted here"):
        local_source(str(copied), None)
    (copied / SIGNATURE).unlink()
    with pytest.raises(InvalidBundle, match="is missing, and unsigned bundles"):
        local_source(str(copied), None)


def test_a_tokenizer_that_the_page_does_not_know_is_refused(tmp_path: Path, key: Path) -> None:
    bundle = seal_embedder(tmp_path / "compass")
    sign(bundle.path, key)
    with pytest.raises(BuildError, match="its normalizer is None; a page knows BertNormalizer only"):
        write_package(local_source(str(bundle.path), None), tmp_path / "out", None)


def test_added_tokens_that_look_at_what_is_around_them_are_refused(bundle: Bundle) -> None:
    told = json.loads((bundle.path / "tokenizer.json").read_text())
    require_known(told)
    told["added_tokens"][0]["lstrip"] = True
    with pytest.raises(BuildError, match="added tokens without"):
        require_known(told)


def test_a_model_that_is_not_here_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing-like-it"]) == 1
    assert "no model 'nothing-like-it' here: want a bundle's folder" in capsys.readouterr().err


def test_a_runtime_other_than_the_pinned_one_is_not_used(tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime-web.tgz"
    with tarfile.open(archive, "w:gz") as package:
        member = tarfile.TarInfo("package/dist/ort.wasm.min.mjs")
        package.addfile(member, io.BytesIO())
    with pytest.raises(BuildError, match="not what is pinned here"):
        runtime.require_pinned(archive)


def test_without_npm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="fetched by npm, which is not here"):
        runtime.runtime(tmp_path)


def test_without_a_network_it_says_so_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(BuildError, match="cannot be fetched by npm: is there a network"):
        runtime.runtime(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_page_may_post_into_two_folders_of_the_inbox_and_nowhere_else(cloud: Any) -> None:
    client = boto3.client("s3")
    granted = passes(client, "pawl-data", MODEL, 2)

    assert [each.prefix for each in granted] == ["inbox/traffic/triage/", "inbox/feedback/device-"]
    for each in granted:
        conditions = _policy(each)["conditions"]
        assert ["starts-with", "$key", each.prefix] in conditions
        assert ["content-length-range", 1, 50_000_000] in conditions
        assert {"bucket": "pawl-data"} in conditions
        assert origin(client, "pawl-data") == "/".join(each.url.split("/")[:3])


def test_a_permission_travels_behind_the_address_and_says_when_it_ends(cloud: Any) -> None:
    granted = passes(boto3.client("s3"), "pawl-data", MODEL, 2)
    name, _, text = fragment(granted, now_ms=1_000, days=2).partition("=")

    told = json.loads(base64.urlsafe_b64decode(text))
    assert (name, told["expires_ms"]) == ("#grant", 1_000 + 2 * 86_400_000)
    assert [Pass(**each) for each in told["passes"]] == granted


@pytest.mark.parametrize("days", ["0", "8"])
def test_a_permission_for_longer_than_s3_takes_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([MODEL, "--grant", "--stack", "pawl", "--days", days]) == 1
    assert "want at most 7" in capsys.readouterr().err


def test_what_is_live_in_a_deployment_is_packed_by_the_keys_that_are_trusted_there(
    cloud: Any, bundle: Bundle, dataset: Any, tmp_path: Path, stack_of: Callable[[], Any]
) -> None:
    cloud.seed(bundle, dataset)
    for name in (SIGNATURE, "evidence.json"):
        cloud.bucket.write(f"models/triage/1/{name}", (bundle.path / name).read_bytes())
    stack = stack_of()

    source = stack_source(stack, MODEL, tmp_path)
    assert (source.bundle.digest, source.keys) == (bundle.digest, local_key().trusted)
    assert (source.bundle.path / MANIFEST).read_bytes() == (bundle.path / MANIFEST).read_bytes()


@pytest.fixture
def stack_of(cloud: Any) -> Callable[[], Any]:
    """The stack as `operations` sees it, prepared with this machine's key."""
    from operations.seeding import prepare
    from operations.stack import Stack

    class Deployed(Stack):
        outputs = {"Bucket": "pawl-data", "StateTable": "state", "FeedbackTable": "feedback"}  # noqa: RUF012

    def make() -> Any:
        stack = Deployed()
        prepare(stack, local_key().trusted)
        return stack

    return make


def _policy(granted: Pass) -> Any:
    return json.loads(base64.b64decode(granted.fields["policy"]))


def _names(text: str) -> list[str]:
    """The operators of a line, less what types they need."""
    names, depth, word = list[str](), 0, ""
    for each in text + ",":
        depth += (each == "{") - (each == "}")
        if each == "," and not depth:
            names.append(word.partition("{")[0])
            word = ""
        else:
            word += each
    return names


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer
