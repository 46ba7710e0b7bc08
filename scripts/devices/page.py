"""The page: a folder for any host of static files, which a browser keeps and needs no network for afterwards.

Everything in it but the bundle is trusted as the page itself is, by where it comes from; the bundle is trusted by its
signature alone, which the page checks against the keys that it was packed with.
"""

import base64
import hashlib
import html
import json
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from devices.characters import around, character_ranges, require_known
from devices.runtime import runtime
from devices.source import Source
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, Manifest
from pawl.language import language_votes
from pawl.script import script_runs

ASSETS = Path(__file__).parent / "page"
KINDS = ("text-classifier", "text-embedder")
OFFLINE = "offline.js"


def write_page(source: Source, folder: Path, send_to: str | None) -> None:
    """Fill `folder` for a model of `KINDS`; `send_to` is the one origin that the page may send to."""
    manifest = source.bundle.manifest
    facts = _facts(source, send_to)
    for asset in sorted(ASSETS.iterdir()):
        if asset.name not in (OFFLINE, "index.html"):
            shutil.copy2(asset, folder / asset.name)
    shutil.copytree(runtime(), folder / "runtime", copy_function=shutil.copy2)
    (folder / "model").mkdir()
    for name in [*manifest.files, MANIFEST, SIGNATURE, EVIDENCE]:
        if (source.bundle.path / name).exists():
            shutil.copy2(source.bundle.path / name, folder / "model" / name)
    (folder / "index.html").write_text(_index(manifest, send_to), encoding="utf-8")
    _write_json(folder / "edge.json", facts)
    _write_json(folder / "characters.json", character_ranges())
    _write_json(folder / "app.webmanifest", _application(manifest))
    _write_offline(folder)


def policy(send_to: str | None) -> str:
    """The Content-Security-Policy of the page: its own files, and one place to send to."""
    return (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
        f"img-src 'self'; manifest-src 'self'; connect-src 'self' {send_to or ''}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types page"
    )


def _facts(source: Source, send_to: str | None) -> dict[str, Any]:
    """What the page needs to know besides the bundle."""
    path = source.bundle.path / "tokenizer.json"
    require_known(json.loads(path.read_text(encoding="utf-8")))
    tokenizer: Any = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    names, runs = script_runs()
    languages, words, letters = language_votes()
    return {
        "keys": source.keys.split(","),
        "around": around(tokenizer),
        "scripts": {"names": names, "runs": runs},
        "languages": {"names": languages, "words": [*words.items()], "letters": [*letters.items()]},
        "send_to": send_to,
    }


def _index(manifest: Manifest, send_to: str | None) -> str:
    text = (ASSETS / "index.html").read_text(encoding="utf-8")
    return text.replace("PACKED_POLICY", policy(send_to)).replace("PACKED_TITLE", html.escape(manifest.name))


def _application(manifest: Manifest) -> dict[str, Any]:
    """What a phone needs to install the page."""
    return {
        "name": manifest.name,
        "short_name": manifest.name,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#9a3412",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}],
    }


def _write_offline(folder: Path) -> None:
    """The service worker, which knows every file by its digest; another byte anywhere makes another version of it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _integrity(path) for path in paths}
    listed = json.dumps(files, indent=1)
    version = f"pawl-{hashlib.sha256(listed.encode()).hexdigest()[:16]}"
    text = (ASSETS / OFFLINE).read_text(encoding="utf-8")
    text = text.replace("PACKED_VERSION", version).replace('{PACKED: "FILES"}', listed)
    (folder / OFFLINE).write_text(text, encoding="utf-8")


def _integrity(path: Path) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
