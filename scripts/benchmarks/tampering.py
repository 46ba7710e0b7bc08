"""Single bytes of a signed bundle changed at random, anywhere, its signature file included: how many are refused."""

import os
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path

from artifacts.signing import KeyFile, make_key, sign_folder
from pawl.bundle import Lineage, Tensor, open_bundle, seal
from pawl.errors import InvalidBundle
from pawl.signing import Trust, read_trust

CHANGES = 10_000


def refused(changes: int = CHANGES) -> int:
    """How many of so many changes of a small signed bundle are refused."""
    with tempfile.TemporaryDirectory() as temporary:
        key, folder = Path(temporary) / "key.pem", Path(temporary) / "bundle"
        make_key(key)
        folder.mkdir()
        for name in ("model.onnx", "card.md"):
            (folder / name).write_bytes(name.encode() * 20)
        seal(
            folder,
            name="tiny",
            version="1",
            kind="tensors",
            created_at="2026-01-01T00:00:00.000Z",
            inputs=[Tensor("x", "FP32", [-1])],
            outputs=[Tensor("y", "FP32", [-1])],
            labels=[],
            max_tokens=0,
            quantization={},
            metrics={},
            lineage=Lineage("run", "0" * 64, None, "none", "Apache-2.0", "0" * 40),
        )
        sign_folder(folder, KeyFile(key))
        return refusals(folder, read_trust(KeyFile(key).trusted), random.Random(7), changes)


def refusals(folder: Path, trust: Trust, drawn: random.Random, changes: int) -> int:
    """How many of so many changes of one byte each, all undone again, keep a signed bundle from being opened."""
    with ExitStack() as opened:
        files = [opened.enter_context(path.open("r+b", buffering=0)) for path in sorted(folder.iterdir())]
        places = [(file, at, byte) for file in files for at, byte in enumerate(file.read())]
        found = 0
        for _ in range(changes):
            file, at, byte = drawn.choice(places)
            os.pwrite(file.fileno(), bytes([byte ^ drawn.randrange(1, 256)]), at)
            found += _is_refused(folder, trust)
            os.pwrite(file.fileno(), bytes([byte]), at)
        return found


def _is_refused(folder: Path, trust: Trust) -> bool:
    try:
        trust.check(open_bundle(folder))
    except InvalidBundle:
        return True
    return False
