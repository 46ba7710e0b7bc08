"""Where a model to be packed comes from: a folder, this machine's own models, or what is live in a deployment."""

import base64
from dataclasses import dataclass
from pathlib import Path

from artifacts.layers import STARTER_RECIPES, starter
from artifacts.packaging import MODELS
from artifacts.signing import local_key
from artifacts.target import BuildError
from artifacts.verification import read_keys
from operations.seeding import trusted_keys
from operations.stack import Stack
from pawl.bundle import MANIFEST, Bundle, open_bundle
from pawl.signing import read_trust


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle that somebody trusted has signed; `keys`, as TRUSTED_KEYS has them, are whom devices shall trust."""

    bundle: Bundle
    keys: str


def local_source(model: str, key: Path | None) -> Source:
    """The bundle in a folder, or the newest version of a model of this machine; its signature has been checked."""
    keys = read_keys(key) if key else local_key().trusted
    return checked(_folder(model), keys)


def checked(folder: Path, keys: str) -> Source:
    """The bundle in a folder, InvalidBundle unless one of `keys` has signed it."""
    bundle = open_bundle(folder)
    read_trust(keys).check(bundle)
    return Source(bundle, keys)


def stack_source(stack: Stack, model: str, scratch: Path) -> Source:
    """The version of a model that is live in a deployment, by the keys that are trusted there."""
    version = stack.registry.live(model).version
    for name, data in stack.bucket.read_folder(f"models/{model}/{version}/").items():
        (scratch / name).write_bytes(data)
    return checked(scratch, ",".join(base64.b64encode(key).decode() for key in trusted_keys(stack)))


def _folder(model: str) -> Path:
    if (Path(model) / MANIFEST).is_file():
        return Path(model)
    is_starter = model in STARTER_RECIPES and not (MODELS / model).is_dir()
    models = starter() / "models" if is_starter else MODELS
    versions = [path.parent for path in (models / model).glob(f"*/{MANIFEST}")]
    if not versions:
        raise BuildError(
            f"no model {model!r} here: want a bundle's folder, a model of .pawl/models, or a starter model"
        )
    return max(versions, key=lambda folder: int(folder.name))
