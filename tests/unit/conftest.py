"""What the unit tests share: no network, one hypothesis profile, and the small worlds they are told in.

A test that needs a server of its own on loopback says so: `@pytest.mark.allow_hosts(["127.0.0.1"])`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pytest_socket import disable_socket

from pawl.bundle import Bundle, Lineage, Manifest, Tensor, seal
from pawl.records import CaptureRecord

# Derandomized: a failure seen once is seen by everybody.
settings.register_profile("pawl", derandomize=True, deadline=None, max_examples=80)
settings.load_profile("pawl")

LINEAGE = Lineage("run-1", "d" * 64, None, "all-MiniLM-L6-v2", "Apache-2.0", "0" * 40)


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> None:
    """Sockets are off unless the test is marked; pytest-socket turns them on again afterwards."""
    if request.node.get_closest_marker("allow_hosts") is None:
        disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="session")
def about() -> dict[str, Any]:
    """The fields of a manifest of a small classifier, less its files."""
    return {
        "name": "triage",
        "version": "3",
        "kind": "text-classifier",
        "created_at": "2026-01-02T03:04:05.000Z",
        "inputs": [Tensor("text", "BYTES", [-1])],
        "outputs": [Tensor("label", "BYTES", [-1]), Tensor("probabilities", "FP32", [-1, 2])],
        "labels": ["billing", "outage"],
        "max_tokens": 128,
        "quantization": {"weights": "int8"},
        "metrics": {"accuracy": 0.95},
        "lineage": LINEAGE,
    }


@pytest.fixture(scope="session")
def manifest(about: dict[str, Any]) -> Manifest:
    """The manifest of a small classifier."""
    return Manifest(files={}, **about)


@pytest.fixture
def sealed(tmp_path: Path, about: dict[str, Any]) -> Bundle:
    """A sealed bundle of three small files."""
    folder = tmp_path / "triage" / "3"
    folder.mkdir(parents=True)
    for name, data in {"model.onnx": b"graph", "model.onnx.data": b"weights", "card.md": b"# Triage"}.items():
        (folder / name).write_bytes(data)
    return seal(folder, **about)


@pytest.fixture(scope="session")
def captured() -> Callable[..., CaptureRecord]:
    """Makes a captured answer to one text; fields may be given."""
    plain = CaptureRecord(
        inference_id="k1.018bcfe5680070008000000000000000.triage.3.7.1.digest.mac",
        model="triage",
        version="3",
        unix_ms=1_700_000_000_000,
        inputs={"text": ["no light at home"]},
        outputs={"label": ["outage"]},
        features={"tokens": [6], "label": ["outage"], "confidence": [0.9]},
    )
    return lambda **changes: replace(plain, **changes)
