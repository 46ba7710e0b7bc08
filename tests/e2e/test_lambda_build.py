"""The artifacts that go to AWS, loaded by the Python that Lambda runs them with."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from artifacts.layers import starter
from artifacts.signing import local_key
from artifacts.target import ROOT, BuildError, read_target

pytestmark = pytest.mark.e2e
PROBES = ROOT / "scripts" / "benchmarks" / "probes.py"


@pytest.fixture(scope="module")
def interpreter() -> str:
    try:
        return read_target({}).interpreter()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def path(interpreter: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The built core and serving layers, the function, and the starter models."""
    folder = tmp_path_factory.mktemp("layers")
    for part in ("core", "serving"):
        command = [ROOT / "scripts" / "build", part, folder / part]
        subprocess.run(command, env={**os.environ, "PAWL_BUILD_TARGET": "lambda"}, check=True)
    shutil.copytree(ROOT / "functions" / "inference", folder / "function" / "inference")
    shutil.copytree(starter() / "models", folder / "models" / "pawl_models")
    return [folder / "function", folder / "core" / "python", folder / "serving" / "python", folder / "models"]


def run(interpreter: str, path: list[Path], *arguments: str) -> str:
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RECEIPT_KEYS": "1:" + "k" * 32,
        "TRUSTED_KEYS": local_key().trusted,
        "CAPTURE_QUEUE_URL": "http://127.0.0.1:9/none",
    }
    done = subprocess.run([interpreter, "-P", *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_handler_answers_from_the_layers_built_for_lambda(interpreter: str, path: list[Path]) -> None:
    bundle = next(path[-1].glob("pawl_models/triage/*"))
    assert json.loads(run(interpreter, path, str(PROBES), "cold", str(bundle)))["cpu_ms"] > 0


def test_every_package_of_the_serving_layer_imports_from_its_byte_code(interpreter: str, path: list[Path]) -> None:
    wanted = ["numpy", "onnxruntime", "tokenizers", "fastapi", "mangum", "pydantic", "aws_lambda_powertools"]
    script = (
        "import importlib, json, sys\n"
        f"cached = [importlib.import_module(name).__spec__.cached for name in {wanted!r}]\n"
        "print(json.dumps(cached))"
    )
    cached = json.loads(run(interpreter, path, "-c", script))
    assert len(cached) == len(wanted)
    assert all(Path(each).exists() for each in cached)
