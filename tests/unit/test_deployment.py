import io
import zipfile
from pathlib import Path

import pytest

from pawl.bundle import Bundle, layer_folder, layer_models, open_bundle
from release.deployment import layer_archive

BUNDLES = {("triage", "3"): {"manifest.json": b"{}", "card.md": b"# Triage"}, ("intent", "1"): {"manifest.json": b"[]"}}


def _entries(archive: bytes) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(io.BytesIO(archive)).infolist()


def test_a_layer_holds_every_file_where_python_finds_it() -> None:
    archive = zipfile.ZipFile(io.BytesIO(layer_archive(BUNDLES)))

    assert {name: archive.read(name) for name in archive.namelist()} == {
        "python/pawl_models/intent/1/manifest.json": b"[]",
        "python/pawl_models/triage/3/card.md": b"# Triage",
        "python/pawl_models/triage/3/manifest.json": b"{}",
    }


def test_a_layer_says_which_version_an_alias_of_a_model_means() -> None:
    archive = zipfile.ZipFile(io.BytesIO(layer_archive(BUNDLES, {"triage": {"candidate": "3"}})))

    added = set(archive.namelist()) - set(zipfile.ZipFile(io.BytesIO(layer_archive(BUNDLES))).namelist())
    assert added == {"python/pawl_models/triage/aliases.json"}
    assert archive.read(*added) == b'{"candidate": "3"}'


def test_equal_bundles_give_equal_bytes_in_whatever_order_they_come() -> None:
    turned = {key: dict(reversed(files.items())) for key, files in reversed(BUNDLES.items())}

    assert layer_archive(turned) == layer_archive(BUNDLES)


def test_the_hour_of_the_release_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    before = layer_archive(BUNDLES)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)

    assert layer_archive(BUNDLES) == before
    assert {entry.date_time for entry in _entries(before)} == {(1980, 1, 1, 0, 0, 0)}


def test_every_file_can_be_read_by_the_function_and_is_stored_uncompressed() -> None:
    entries = _entries(layer_archive(BUNDLES))

    assert {entry.external_attr >> 16 for entry in entries} == {0o644}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_a_bundle_survives_the_way_through_a_layer(
    sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in sealed.path.iterdir()}
    zipfile.ZipFile(io.BytesIO(layer_archive({("triage", "3"): files}))).extractall(tmp_path / "opt")
    (tmp_path / "opt/python/pawl_models").rename(tmp_path / "opt/python/pawl_models_mounted")
    monkeypatch.syspath_prepend(str(tmp_path / "opt/python"))

    assert layer_models("pawl_models_mounted") == {"triage": ["3"]}
    opened = open_bundle(layer_folder("triage", "3", "pawl_models_mounted"))
    assert (opened.digest, opened.manifest) == (sealed.digest, sealed.manifest)
