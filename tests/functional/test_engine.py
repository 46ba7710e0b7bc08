"""Models, versions and aliases side by side in the layers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.functional.tensor_models import seal_sums

from artifacts.signing import KeyFile, make_key, sign_folder
from inference.engine import Engine
from pawl.bundle import Bundle
from pawl.errors import InvalidBundle, NotFound
from pawl.signing import read_trust

ROOT = Path(__file__).parents[2]
UNSIGNED = read_trust("", allow_unsigned=True)


@pytest.fixture
def root(layer: Callable[[Bundle], Path], make_bundle: Callable[..., Bundle], tmp_path: Path) -> Path:
    """Versions 2, 9 and 10 of `triage` and one of `sums`; the folder of all models."""
    folders = [layer(make_bundle(version, "any")) for version in ("2", "9", "10")]
    layer(seal_sums(tmp_path / "sums"))
    return folders[0].parents[1]


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    make_key(tmp_path / "key.pem")
    return KeyFile(tmp_path / "key.pem")


@pytest.fixture
def stranger(tmp_path: Path) -> KeyFile:
    make_key(tmp_path / "stranger.pem")
    return KeyFile(tmp_path / "stranger.pem")


class Clock:
    """Stands still until it is told to go on."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def write_aliases(root: Path, text: str) -> None:
    (root / "triage" / "aliases.json").write_text(text)


def test_all_models_and_versions_are_there_the_newest_last(root: Path) -> None:
    assert Engine(UNSIGNED).models() == {"sums": ["1"], "triage": ["2", "9", "10"]}


def test_live_is_the_newest_version_where_nobody_said_otherwise(root: Path) -> None:
    engine = Engine(UNSIGNED)

    assert [engine.resolve("triage", asked) for asked in (None, "live", "9")] == ["10", "10", "9"]
    assert engine.get("triage").manifest.version == "10"
    assert engine.get("triage") is engine.get("triage", "live") is engine.get("triage", "10")


def test_aliases_are_the_layers_own(root: Path) -> None:
    write_aliases(root, json.dumps({"live": "9", "candidate": "10"}))
    engine = Engine(UNSIGNED)

    resolved = [engine.resolve("triage", asked) for asked in (None, "live", "candidate", "2")]

    assert resolved == ["9", "9", "10", "2"]
    assert engine.get("triage").manifest.version == "9"
    assert engine.get("triage", "candidate").manifest.version == "10"
    assert engine.get("triage", "candidate") is engine.get("triage", "10")


def test_aliases_of_one_model_are_not_anothers(root: Path) -> None:
    write_aliases(root, json.dumps({"candidate": "9"}))

    assert Engine(UNSIGNED).resolve("triage", "live") == "10"
    with pytest.raises(NotFound, match=r"no candidate of 'sums' here: there are \['1'\]"):
        Engine(UNSIGNED).resolve("sums", "candidate")


@pytest.mark.parametrize("aliases", [None, "{}", '{"live": "2"}'])
def test_a_candidate_that_nobody_named_is_not_found(root: Path, aliases: str | None) -> None:
    if aliases:
        write_aliases(root, aliases)

    with pytest.raises(NotFound, match=r"no candidate of 'triage' here: there are \['2', '9', '10'\]"):
        Engine(UNSIGNED).get("triage", "candidate")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "triage: aliases.json is not JSON"),
        ("\xff", "triage: aliases.json is not JSON|must be an object"),
        ("[]", "triage: aliases.json must be an object of versions"),
        ('{"live": 9}', "triage: aliases.json must be an object of versions"),
        ('{"live": "3"}', r"triage: live is version 3, which is not here: there are \['2', '9', '10'\]"),
        ('{"live": "candidate", "candidate": "9"}', "triage: live is version candidate, which is not here"),
        ("[" * 100_000, "triage: aliases.json is not JSON"),
    ],
)
def test_broken_aliases_are_the_layers_fault_and_the_file_is_named(root: Path, text: str, message: str) -> None:
    (root / "triage" / "aliases.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(InvalidBundle, match=message) as refusal:
        Engine(UNSIGNED).get("triage")
    assert refusal.value.status == 503


def test_aliases_that_cannot_be_read_are_the_layers_fault_too(root: Path) -> None:
    (root / "triage" / "aliases.json").mkdir()

    with pytest.raises(InvalidBundle, match=r"triage: aliases\.json cannot be read: Is a directory"):
        Engine(UNSIGNED).get("triage")


@pytest.mark.parametrize("name", ["", ".", "..", "../triage", "triage/9", "Triage", "/etc", "pawl_models"])
def test_a_name_that_is_no_model_reaches_no_file(root: Path, name: str) -> None:
    with pytest.raises(NotFound, match="no model"):
        Engine(UNSIGNED).get(name)


@pytest.mark.parametrize("version", ["", ".", "..", "../9", "09", "9 ", "Live"])
def test_a_version_that_is_none_reaches_no_file(root: Path, version: str) -> None:
    if not version:
        assert Engine(UNSIGNED).get("triage", version).manifest.version == "10"
        return
    with pytest.raises(NotFound, match="no version"):
        Engine(UNSIGNED).get("triage", version)


def test_a_bundle_must_be_signed_by_somebody_trusted(root: Path, key: KeyFile, stranger: KeyFile) -> None:
    clock, folder = Clock(), root / "triage" / "9"
    engine = Engine(read_trust(key.trusted), clock=clock)
    with pytest.raises(InvalidBundle, match=r"triage 9: model\.sig is missing, and unsigned bundles are not served"):
        engine.get("triage", "9")
    sign_folder(folder, stranger)
    clock.now_s += 60
    with pytest.raises(InvalidBundle, match=r"triage 9: model\.sig is by a key that is not trusted here"):
        engine.get("triage", "9")

    sign_folder(folder, key)
    clock.now_s += 60

    assert engine.get("triage", "9").manifest.version == "9"
    assert engine.failure("triage", "9") == ""


def test_a_signed_bundle_with_another_file_in_it_is_refused(root: Path, key: KeyFile) -> None:
    folder = root / "triage" / "9"
    sign_folder(folder, key)
    (folder / "custom_ops.so").write_bytes(b"")

    with pytest.raises(InvalidBundle, match=r"triage 9: custom_ops\.so is not part of the bundle"):
        Engine(read_trust(key.trusted)).get("triage", "9")


def test_an_older_version_in_the_place_of_a_newer_one_is_refused_although_it_is_signed(
    root: Path, key: KeyFile
) -> None:
    for name in ("9", "10"):
        sign_folder(root / "triage" / name, key)
    shutil.rmtree(root / "triage" / "10")
    shutil.copytree(root / "triage" / "9", root / "triage" / "10")

    with pytest.raises(InvalidBundle, match="triage 10 holds triage 9"):
        Engine(read_trust(key.trusted)).get("triage")


def test_only_the_model_that_is_asked_for_is_opened(root: Path) -> None:
    (root / "sums" / "1" / "model.onnx").write_bytes(b"no graph")
    engine = Engine(UNSIGNED)

    assert engine.get("triage").manifest.name == "triage"
    with pytest.raises(InvalidBundle, match=r"sums 1: model.onnx does not match its digest"):
        engine.get("sums")
    assert (engine.failure("sums", "1"), engine.failure("triage", "10")) == (
        "sums 1: model.onnx does not match its digest",
        "",
    )


def test_a_version_that_failed_is_read_again_only_after_some_seconds_and_may_open_then(root: Path) -> None:
    graph, clock = root / "sums" / "1" / "model.onnx", Clock()
    whole, engine = graph.read_bytes(), Engine(UNSIGNED, clock=clock)
    graph.write_bytes(b"no graph")
    with pytest.raises(InvalidBundle):
        engine.get("sums")

    graph.write_bytes(whole)
    with pytest.raises(InvalidBundle, match=r"sums 1: model\.onnx does not match its digest"):
        engine.get("sums")
    clock.now_s += 60

    assert engine.get("sums").manifest.version == "1"
    assert engine.failure("sums", "1") == ""


def test_no_layer_is_no_model(layer: Callable[[Bundle], Path]) -> None:
    assert Engine(UNSIGNED).models() == {}
    with pytest.raises(NotFound, match=r"no model 'triage' here: there are \[\]"):
        Engine(UNSIGNED).get("triage")


OPENED = """
import sys
from pathlib import Path
from pawl.bundle import open_bundle
from pawl.model import open_model
open_model(open_bundle(Path(sys.argv[1]))).predict({"text": ["a refund"]})
"""


def test_a_model_that_is_opened_reports_to_nobody_and_leaves_nothing_in_the_home_folder(
    starter: Bundle, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT / "layers" / "core")}

    subprocess.run([sys.executable, "-c", OPENED, starter.path], env=environment, check=True, timeout=60)

    assert list(home.iterdir()) == []
