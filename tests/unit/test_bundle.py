import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.bundle import (
    Bundle,
    Manifest,
    layer_folder,
    layer_models,
    layer_strays,
    open_bundle,
    parse_manifest,
    read_manifest,
    seal,
)
from pawl.errors import InvalidBundle, NotFound

FILES = ["model.onnx", "model.onnx.data", "card.md"]


def _rewrite(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> Path:
    """Alter the manifest on disk, as somebody with access to the bucket could."""
    path = bundle.path / "manifest.json"
    raw = json.loads(path.read_bytes())
    change(raw)
    path.write_text(json.dumps(raw))
    return bundle.path


def test_a_sealed_bundle_opens_as_it_was_sealed(sealed: Bundle, about: dict[str, Any]) -> None:
    opened = open_bundle(sealed.path)

    assert opened == sealed
    assert {name: getattr(opened.manifest, name) for name in about} == about
    assert sorted(opened.manifest.files) == sorted(FILES)
    assert opened.manifest.files["model.onnx"] == {"sha256": hashlib.sha256(b"graph").hexdigest(), "size": 5}
    assert opened.digest == hashlib.sha256((sealed.path / "manifest.json").read_bytes()).hexdigest()


def test_sealing_again_changes_nothing(sealed: Bundle, about: dict[str, Any]) -> None:
    assert seal(sealed.path, **about).digest == sealed.digest


def test_a_manifest_survives_being_written_and_read(manifest: Manifest) -> None:
    assert parse_manifest(manifest.to_json()) == manifest


def test_a_bundle_with_other_content_has_another_digest(sealed: Bundle, about: dict[str, Any]) -> None:
    (sealed.path / "card.md").write_bytes(b"# Other")

    assert seal(sealed.path, **about).digest != sealed.digest


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(sealed: Bundle, name: str) -> None:
    (sealed.path / name).unlink()

    with pytest.raises(InvalidBundle, match=f"triage 3: {name} is missing"):
        open_bundle(sealed.path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_any_one_byte_altered_is_named(sealed: Bundle, name: str) -> None:
    whole = (sealed.path / name).read_bytes()

    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1
        (sealed.path / name).write_bytes(altered)
        with pytest.raises(InvalidBundle, match=f"triage 3: {name} does not match its digest"):
            open_bundle(sealed.path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_grew_or_shrank_is_named(sealed: Bundle, name: str) -> None:
    whole = (sealed.path / name).read_bytes()

    for altered in (whole + b"\0", whole[:-1], b""):
        (sealed.path / name).write_bytes(altered)
        with pytest.raises(InvalidBundle, match=f"{name} does not match its digest"):
            open_bundle(sealed.path)


def test_a_size_that_is_not_the_files_own_is_refused(sealed: Bundle) -> None:
    folder = _rewrite(sealed, lambda raw: raw["files"]["card.md"].update(size=1))

    with pytest.raises(InvalidBundle, match=r"card\.md does not match its digest"):
        open_bundle(folder)


def test_a_symbolic_link_to_the_very_same_bytes_is_refused(sealed: Bundle) -> None:
    outside = sealed.path.parent / "elsewhere"
    (sealed.path / "model.onnx").rename(outside)
    (sealed.path / "model.onnx").symlink_to(outside)

    with pytest.raises(InvalidBundle, match=r"model\.onnx is missing"):
        open_bundle(sealed.path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "a\\b", "", "a\n", "x" * 65])
def test_a_file_name_that_climbs_out_of_the_bundle_is_refused(sealed: Bundle, name: str) -> None:
    secret = sealed.path.parent / "secret"
    secret.write_bytes(b"secret")
    digest = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size": 6}
    folder = _rewrite(sealed, lambda raw: raw["files"].update({name: digest}))

    with pytest.raises(InvalidBundle) as raised:
        open_bundle(folder)
    assert f"file name {name!r} leaves the bundle" in str(raised.value)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match=r"manifest\.json is missing"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("read", [open_bundle, read_manifest])
def test_a_file_that_cannot_be_read_is_named_with_its_model(sealed: Bundle, read: Callable[[Path], object]) -> None:
    (sealed.path / "manifest.json").unlink()
    (sealed.path / "manifest.json").mkdir()

    with pytest.raises(InvalidBundle, match=r"triage 3: manifest\.json cannot be read: Is a directory"):
        read(sealed.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(owner="me"), r"manifest\.json: unknown fields \['owner'\]"),
        (lambda raw: raw["lineage"].update(owner="me"), r"manifest\.json is not .* 'owner'"),
        (lambda raw: raw["inputs"][0].update(owner="me"), r"manifest\.json is not .* 'owner'"),
        (lambda raw: raw.pop("kind"), r"manifest\.json is not .* 'kind'"),
        (lambda raw: raw.pop("lineage"), r"manifest\.json is not .* 'lineage'"),
        (lambda raw: raw.update(schema=2), r"manifest\.json: schema 2, want 1"),
        (lambda raw: raw.update(name="../triage"), r"model name '\.\./triage'"),
        (lambda raw: raw.update(name="Triage"), "model name 'Triage'"),
        (lambda raw: raw.update(name=5), r"manifest\.json is not"),
        (lambda raw: raw.update(version="0"), "model version '0'"),
        (lambda raw: raw.update(version="latest"), "model version 'latest'"),
        (lambda raw: raw.update(files=["card.md"]), r"manifest\.json is not"),
        (lambda raw: raw["files"].update({"card.md": "digest"}), r"card\.md has no sha256 and size"),
        (lambda raw: raw["files"].update({"card.md": {"size": 8}}), r"card\.md has no sha256 and size"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_the_reason(
    sealed: Bundle, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InvalidBundle, match=message):
        open_bundle(_rewrite(sealed, change))


@given(st.binary() | st.sampled_from([b"[]", b"{}", b"null", b"5", b'"name"', b'["name"]']))
def test_bytes_that_are_no_manifest_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidBundle):
        parse_manifest(text)


def test_nothing_is_written_when_a_bundle_cannot_be_sealed(tmp_path: Path, about: dict[str, Any]) -> None:
    (tmp_path / "not a name").write_bytes(b"")

    with pytest.raises(InvalidBundle, match="'not a name' leaves the bundle"):
        seal(tmp_path, **about)
    assert not (tmp_path / "manifest.json").exists()


def _mount(root: Path, package: str, *bundles: str) -> Path:
    for bundle in bundles:
        folder = root / package / bundle
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    return root


def test_the_models_of_all_layers_are_found_with_their_versions_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "pawl_models_of_two_layers"
    for root in (_mount(tmp_path / "a", package, "triage/10", "triage/9"), _mount(tmp_path / "b", package, "intent/1")):
        monkeypatch.syspath_prepend(str(root))

    assert layer_models(package) == {"intent": ["1"], "triage": ["9", "10"]}
    assert layer_folder("intent", "1", package) == tmp_path / "b" / package / "intent" / "1"


def test_folders_that_are_no_version_are_passed_over_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = "pawl_models_beside_strays"
    strays = ["Triage/1", "triage/01", "triage/1.bak", "triage/lost+found", "triage/v2"]
    monkeypatch.syspath_prepend(str(_mount(tmp_path, package, "triage/1", *strays)))
    (tmp_path / package / "triage" / "2").mkdir()
    (tmp_path / package / "triage" / "aliases.json").write_text("{}")

    assert layer_models(package) == {"triage": ["1"]}
    found = {folder.relative_to(tmp_path / package).as_posix() for folder in layer_strays(package)}
    assert found == {*strays, "triage/2"}
    with pytest.raises(NotFound):
        layer_folder("triage", "1.bak", package)


def test_a_version_that_no_layer_holds_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = "pawl_models_of_one_layer"
    monkeypatch.syspath_prepend(str(_mount(tmp_path, package, "triage/1")))

    for name, version in (("triage", "2"), ("intent", "1"), ("..", "triage")):
        with pytest.raises(NotFound, match=f"no model '{name}' version '{version}' here"):
            layer_folder(name, version, package)


def test_without_a_layer_there_are_no_models() -> None:
    assert layer_models("pawl_models_nowhere") == {}
