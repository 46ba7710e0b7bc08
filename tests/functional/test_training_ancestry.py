"""What a run of `align` follows, in folders that lie as a bucket's prefixes do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from pawl.bundle import Lineage, Manifest
from pawl.errors import InvalidBundle, NotFound
from training.adapter import describe, packed
from training.ancestry import Base, adapter_of, base_of
from training.packaged import ASSISTANT_BASE, ASSISTANT_LICENCE
from training.storage import Folder, adapter_address

WEIGHTS = {
    "base_model.model.q_proj.lora_A.weight": torch.ones(2, 3),
    "base_model.model.q_proj.lora_B.weight": torch.ones(3, 2),
}


def no_s3() -> NoReturn:
    raise AssertionError("nothing here lies in a bucket")


def manifest(base_model: str = "somebody/tiny", metrics: Mapping[str, Any] | None = None) -> Manifest:
    lineage = Lineage("run-1", "none", None, base_model, "mit", "abc")
    empty: list[Any] = []
    return Manifest("tiny", "2", "text-generator", "now", empty, empty, [], 512, {}, {}, dict(metrics or {}), lineage)


def test_an_aligned_version_s_adapter_is_found_by_its_number(tmp_path: Path) -> None:
    files = packed(WEIGHTS)
    for name, data in files.items():
        Folder(Path(adapter_address(f"{tmp_path}/candidates/tiny/2/"))).write(name, data)
    live = manifest(metrics={"adapter": describe(files)})
    found = adapter_of(live, f"{tmp_path}/candidates/tiny/3/", no_s3)
    assert found is not None and found.keys() == WEIGHTS.keys()


def test_a_version_that_was_only_packaged_has_none(tmp_path: Path) -> None:
    assert adapter_of(manifest(), f"{tmp_path}/candidates/tiny/3/", no_s3) is None


def test_an_adapter_that_is_gone_is_named(tmp_path: Path) -> None:
    live = manifest(metrics={"adapter": describe(packed(WEIGHTS))})
    with pytest.raises(NotFound, match="the adapter of tiny 2 is gone"):
        adapter_of(live, f"{tmp_path}/candidates/tiny/3/", no_s3)


def test_another_adapter_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    for name, data in packed({name: 2 * tensor for name, tensor in WEIGHTS.items()}).items():
        Folder(Path(adapter_address(f"{tmp_path}/candidates/tiny/2/"))).write(name, data)
    live = manifest(metrics={"adapter": describe(packed(WEIGHTS))})
    with pytest.raises(InvalidBundle, match="not the adapter"):
        adapter_of(live, f"{tmp_path}/candidates/tiny/3/", no_s3)


def test_the_base_that_is_asked_for_comes_first(tmp_path: Path) -> None:
    found = base_of(str(tmp_path), "mit", "models/tiny/2", manifest(), tmp_path / "scratch", no_s3)
    assert found == Base(str(tmp_path), tmp_path.name, "mit")


def test_the_packaged_base_is_found_without_a_word(tmp_path: Path) -> None:
    found = base_of(None, "unknown", "models/assistant/1", manifest(ASSISTANT_BASE), tmp_path, no_s3)
    assert (found.name, found.licence) == (ASSISTANT_BASE, ASSISTANT_LICENCE)
    assert Path(found.source).is_dir()


def test_somebody_s_own_base_lies_beside_the_versions(tmp_path: Path) -> None:
    Folder(tmp_path / "models/tiny/base").write("config.json", b"{}")
    found = base_of(None, "unknown", f"{tmp_path}/models/tiny/2/", manifest(), tmp_path / "scratch", no_s3)
    assert (found.name, found.licence) == ("somebody/tiny", "mit")
    assert (Path(found.source) / "config.json").read_bytes() == b"{}"


def test_else_the_hub_is_asked_for_the_base_that_the_manifest_names(tmp_path: Path) -> None:
    found = base_of(None, "unknown", f"{tmp_path}/models/tiny/2/", manifest(), tmp_path / "scratch", no_s3)
    assert found.source == "somebody/tiny"
