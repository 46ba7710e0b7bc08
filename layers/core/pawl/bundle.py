"""A model as an immutable folder: `python/pawl_models/<name>/<version>/` in a layer, the same files under S3.

`pawl_models` is a namespace package, so bundles are found through its `__path__`, wherever a layer is mounted, without
any code in it. `open_bundle` compares every file with the digest in the manifest before anything reads it. No pickle.

    manifest.json    what the model is, the digest of every other file, its lineage and metrics
    model.onnx       the optimized graph; model.onnx.data holds the weights, to be mapped rather than read
    scales.safetensors  of a generator: what its graph lacks until it is opened (`pawl.model`)
    tokenizer.json   for text models
    reference.json   the profile of the answers it gives on data like its training data (`pawl.profile`)
    errors.json      of a regression with labelled data: how large its errors are where (`pawl.expectation`)
    card.md          the model card
    evidence.json    the gates that it has passed; not for starter models, which pass none
    model.sig        the signature over all of these (`pawl.signing`)
"""

import hashlib
import importlib
import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pawl.errors import InvalidBundle, NotFound
from pawl.narrowing import is_list, is_object

SCHEMA = 1
MANIFEST = "manifest.json"
EVIDENCE = "evidence.json"
SIGNATURE = "model.sig"
ALIASES = "aliases.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DATATYPE = re.compile(r"BOOL|U?INT(8|16|32|64)|FP(16|32|64)|BYTES")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output, in the Open Inference Protocol's words; -1 stands for any size."""

    name: str
    datatype: str
    shape: list[int]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from: enough to ask what data, code and parent made it."""

    run: str
    dataset: str
    parent: str | None
    base_model: str
    base_licence: str
    code: str
    traffic_window: list[str] = field(default_factory=list[str])
    feedback: int = 0
    recipe: str = ""
    """What made it of these, such as `transfer`; empty where it was only packaged."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `manifest.json` holds; `files` maps a file's name to its sha256 (hex) and size in bytes."""

    name: str
    version: str
    kind: str
    created_at: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    labels: list[str]
    max_tokens: int
    files: dict[str, dict[str, Any]]
    quantization: dict[str, Any]
    metrics: dict[str, Any]
    lineage: Lineage
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The manifest as it is stored: sorted, so that equal manifests are equal bytes."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle on disk. `digest` identifies it: the sha256 of its manifest, which covers every file."""

    path: Path
    manifest: Manifest
    digest: str


def parse_manifest(text: str | bytes) -> Manifest:
    """The manifest in `text`, or InvalidBundle saying which field is missing, unknown or impossible."""
    try:
        raw: dict[str, Any] = json.loads(text)
        names = {f.name for f in fields(Manifest)}
        if unknown := set(raw) - names:
            raise InvalidBundle(f"{MANIFEST}: unknown fields {sorted(unknown)}")
        raw["inputs"] = [Tensor(**tensor) for tensor in raw["inputs"]]
        raw["outputs"] = [Tensor(**tensor) for tensor in raw["outputs"]]
        raw["lineage"] = Lineage(**raw["lineage"])
        manifest = Manifest(**raw)
        _check_names(manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidBundle(f"{MANIFEST} is not a version {SCHEMA} manifest: {error}") from error
    return manifest


def seal(folder: Path, **about: Any) -> Bundle:
    """Write the manifest of a finished folder, digests included, and return the bundle that it now is.

    `about` are the fields of `Manifest` less `files`; the folder holds the bundle's other files and nothing else, an
    evidence or a signature from before aside: they vouch for nothing any more.
    """
    files = {
        path.name: {"sha256": _sha256(path), "size": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name not in (MANIFEST, EVIDENCE, SIGNATURE)
    }
    manifest = Manifest(files=files, **about)
    _check_names(manifest)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return open_bundle(folder)


def open_bundle(folder: Path) -> Bundle:
    """The bundle in `folder` once every file matches its digest; InvalidBundle names the file that does not."""
    with reading(folder):
        text = (folder / MANIFEST).read_bytes()
        manifest = parse_manifest(text)
        for name, about in manifest.files.items():
            path = folder / name
            if path.is_symlink() or not path.is_file():
                raise InvalidBundle(f"{manifest.name} {manifest.version}: {name} is missing")
            if path.stat().st_size != about["size"] or _sha256(path) != about["sha256"]:
                raise InvalidBundle(f"{manifest.name} {manifest.version}: {name} does not match its digest")
    return Bundle(folder, manifest, hashlib.sha256(text).hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`; nothing else there is looked at."""
    with reading(folder):
        return parse_manifest((folder / MANIFEST).read_bytes())


@contextmanager
def reading(folder: Path) -> Generator[None]:
    """Around what reads a bundle's files: InvalidBundle names the one that is missing or cannot be read."""
    try:
        yield
    except OSError as error:
        name = Path(str(error.filename)).name if error.filename else "a file"
        fault = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise InvalidBundle(f"{folder.parent.name} {folder.name}: {name} {fault}") from error


def layer_models(package: str = "pawl_models") -> Mapping[str, list[str]]:
    """The models in the mounted layers and their versions, oldest first; nothing is opened.

    A folder that is not named as a model and its version is passed over.
    """
    found: dict[str, set[str]] = {}
    for name, version in (folder.parts[-2:] for folder in _layer_folders(package)):
        found.setdefault(name, set()).add(version)
    return {name: sorted(versions, key=int) for name, versions in sorted(found.items())}


def layer_folder(name: str, version: str, package: str = "pawl_models") -> Path:
    """The folder of a model version in the mounted layers; NotFound when there is none."""
    for folder in _layer_folders(package):
        if folder.parts[-2:] == (name, version):
            return folder
    raise NotFound(f"no model {name!r} version {version!r} here")


def layer_aliases(name: str, package: str = "pawl_models") -> Mapping[str, str]:
    """Which version each alias of a model means, from `<name>/aliases.json` in a layer; empty where there is none."""
    for root in layer_roots(package):
        try:
            aliases: Any = json.loads((root / name / ALIASES).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InvalidBundle(f"{name}: {ALIASES} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise InvalidBundle(f"{name}: {ALIASES} is not JSON") from error
        if not is_object(aliases) or not all(isinstance(version, str) for version in aliases.values()):
            raise InvalidBundle(f'{name}: {ALIASES} must be an object of versions, as {{"live": "2"}}')
        return aliases
    return {}


def layer_strays(package: str = "pawl_models") -> list[Path]:
    """Folders in the place of a version that are none: misnamed, or without a manifest that can be seen."""
    versions = set(_layer_folders(package))
    found = (folder for root in layer_roots(package) for folder in sorted(root.glob("*/*")))
    return [folder for folder in found if folder.is_dir() and folder not in versions]


def layer_roots(package: str = "pawl_models") -> list[Path]:
    """The folders in which the mounted layers have their models, <name>/<version>/."""
    try:
        return [Path(path) for path in importlib.import_module(package).__path__]
    except ModuleNotFoundError:
        return []


def _layer_folders(package: str) -> Iterator[Path]:
    for root in layer_roots(package):
        for manifest in sorted(root.glob(f"*/*/{MANIFEST}")):
            folder = manifest.parent
            if _NAME.fullmatch(folder.parent.name) and _VERSION.fullmatch(folder.name):
                yield folder


def _check_names(manifest: Manifest) -> None:
    if manifest.schema != SCHEMA:
        raise InvalidBundle(f"{MANIFEST}: schema {manifest.schema!r}, want {SCHEMA}")
    if not _NAME.fullmatch(manifest.name):
        raise InvalidBundle(f"model name {manifest.name!r}: use 1-48 of a-z, 0-9 and '-', not starting with '-'")
    if not _VERSION.fullmatch(manifest.version):
        raise InvalidBundle(f"model version {manifest.version!r}: use a whole number from 1")
    for tensor in [*manifest.inputs, *manifest.outputs]:
        if not _is_tensor(tensor.name, tensor.datatype, tensor.shape):
            raise InvalidBundle(f"{manifest.name} {manifest.version}: tensor {tensor} has no name, datatype and shape")
    for name, about in manifest.files.items():
        if not _FILE.fullmatch(name):
            raise InvalidBundle(f"{manifest.name} {manifest.version}: file name {name!r} leaves the bundle")
        if set(about) != {"sha256", "size"}:
            raise InvalidBundle(f"{manifest.name} {manifest.version}: {name} has no sha256 and size")


def _is_tensor(name: Any, datatype: Any, shape: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(datatype, str)
        and bool(name and _DATATYPE.fullmatch(datatype))
        and is_list(shape)
        and all(type(size) is int and (size == -1 or size > 0) for size in shape)
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
