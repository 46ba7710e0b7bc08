"""The folder for devices: the page, the portable bundle, and how to use them; as a whole or not at all."""

import shutil
from pathlib import Path

import onnxruntime as ort

from artifacts.signing import local_key
from artifacts.target import BuildError
from devices import page, portable
from devices.source import Source

GUIDE = Path(__file__).with_name("guide.md")


def write_package(source: Source, folder: Path, send_to: str | None) -> list[str]:
    """Put the package in place of what is in `folder`, and return its parts; BuildError for a model of no such kind."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    parts = [name for name, kinds in (("page", page.KINDS), ("portable", portable.KINDS)) if _suits(source, kinds)]
    if not parts:
        manifest = source.bundle.manifest
        raise BuildError(f"{manifest.name} is a {manifest.kind}: devices take {' or '.join(portable.KINDS)}")
    for part in parts:
        (partial / part).mkdir(parents=True)
    if "page" in parts:
        page.write_page(source, partial / "page", send_to)
    portable.write_portable(source, partial / "portable")
    (partial / "README.md").write_text(_guide(source), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return parts


def _suits(source: Source, kinds: tuple[str, ...]) -> bool:
    return source.bundle.manifest.kind in kinds


def _guide(source: Source) -> str:
    manifest = source.bundle.manifest
    words = {
        "NAME": manifest.name,
        "VERSION": manifest.version,
        "RUNTIME": ort.__version__,
        "TRUSTED": local_key().trusted,
    }
    text = GUIDE.read_text(encoding="utf-8")
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text
