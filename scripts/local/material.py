"""What the story is told with: the texts of half a year later, and bundles that were meddled with.

Three fifths of the texts in `later.jsonl` arrive as traffic and are labelled by agents; the rest is only ever asked, to
see who answers rightly.
"""

import dataclasses
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from pawl.bundle import MANIFEST, open_bundle, seal
from pawl.dataset import Row
from training import starter

LATER = Path(__file__).with_name("later.jsonl")
LABELLED_SHARE = 0.6
_SEED = 7


def split_later() -> tuple[list[Row], list[Row]]:
    """The later texts: those that arrive and are labelled, and those that are only ever asked."""
    rows = starter.read_rows(LATER.read_text(encoding="utf-8").splitlines())
    random.Random(_SEED).shuffle(rows)
    cut = round(len(rows) * LABELLED_SHARE)
    return rows[:cut], rows[cut:]


def spoil(files: dict[str, bytes], version: str) -> dict[str, bytes]:
    """A bundle with every label moved one place on, sealed again under its new version."""
    return resealed(files, version, lambda labels: [*labels[1:], labels[0]])


def resealed(
    files: dict[str, bytes], version: str, relabel: Callable[[list[str]], list[str]] = list
) -> dict[str, bytes]:
    """A bundle sealed again under a new version, with other labels where that is asked for."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        listed = json.loads(files[MANIFEST])["files"]
        for name in [*listed, MANIFEST]:
            (folder / name).write_bytes(files[name])
        manifest = open_bundle(folder).manifest
        about = {f.name: getattr(manifest, f.name) for f in dataclasses.fields(manifest) if f.name != "files"}
        seal(folder, **{**about, "version": version, "labels": relabel(manifest.labels)})
        names = sorted((path.name for path in folder.iterdir()), key=lambda name: name == MANIFEST)
        return {name: (folder / name).read_bytes() for name in names}
