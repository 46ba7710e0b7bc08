"""What the modules promise of themselves: their examples hold, and importing them brings nothing heavy along."""

import doctest
import importlib
import os
import pkgutil
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_socket import SocketBlockedError

import pawl

ROOT = Path(__file__).parents[2]
ROOTS = ("functions", "layers/core", "scripts")
WITH_MODELS = {
    "classifier",
    "completion",
    "decoder",
    "embedder",
    "generator",
    "likelihood",
    "model",
    "reward",
    "spelling",
    "tensors",
    "words",
}
AT_THE_EDGE = {
    "bucket",
    "datasets",
    "dropqueue",
    "drops",
    "events",
    "feedback",
    "items",
    "ledger",
    "opinions",
    "registry",
    "subjects",
    "traffic",
    "web",
} | WITH_MODELS
PURE = sorted(module.name for module in pkgutil.iter_modules(pawl.__path__) if module.name not in AT_THE_EDGE)
WITH_EXAMPLES = {"identity", "metrics", "stats"}


@pytest.mark.parametrize("name", PURE)
def test_the_examples_in_a_pure_module_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"pawl.{name}"), raise_on_error=False, verbose=False)

    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_EXAMPLES


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ([f"pawl.{name}" for name in PURE], {"boto3", "botocore", "onnxruntime", "pydantic", "scipy"}),
        (["pawl.receipt", "pawl.records", "pawl.bundle"], {"boto3", "botocore", "numpy", "pydantic"}),
        (
            ["inference.service", "inference.capture", "inference.settings"],
            {"boto3", "botocore", "fastapi", "pydantic"},
        ),
    ],
    ids=["pure modules know no AWS", "receipts need the standard library alone", "the reply's path has no framework"],
)
def test_importing_brings_nothing_heavy_along(modules: list[str], unwanted: set[str]) -> None:
    roots = [path for path in sys.path if Path(path, "pawl").is_dir() or Path(path, "inference").is_dir()]
    imports = f"import sys; sys.path[:0] = {roots}; import {', '.join(modules)}"
    code = f"{imports}; print(*sorted(set(sys.modules) & {unwanted}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == ""


def test_every_package_with_onnxruntime_keeps_it_from_reporting_before_it_can_be_loaded() -> None:
    loads = re.compile(r"^\s*(import|from) onnxruntime\b", re.MULTILINE)
    found = [path for root in ROOTS for path in (ROOT / root).glob("*/*.py") if loads.search(path.read_text())]
    packages = sorted({path.parent.name for path in found} - {"benchmarks"})  # whose measured programs are scripts
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment["PYTHONPATH"] = os.pathsep.join(str(ROOT / root) for root in ROOTS)
    for package in packages:
        code = f"import sys, {package}, os; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert (package, done.stdout) == (package, "1 False\n")
    assert packages == ["devices", "pawl", "training"]


def test_feedback_is_taken_without_the_sdk_s_resources() -> None:
    roots = [path for path in sys.path if Path(path, "pawl").is_dir() or Path(path, "feedback").is_dir()]
    settings = {"RECEIPT_KEYS": "1:" + "s" * 32, "FEEDBACK_TABLE": "feedback", "BUCKET": "data"}
    settings["AWS_DEFAULT_REGION"] = "eu-west-1"
    code = f"import os, sys; sys.path[:0] = {roots}; os.environ.update({settings}); import feedback.app"
    code += "; print(*sorted(set(sys.modules) & {'boto3.dynamodb.transform', 'numpy', 'aws_lambda_powertools'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == ""


def test_a_unit_test_cannot_reach_the_network() -> None:
    with pytest.raises((SocketBlockedError, UserWarning), match="tried to use socket"):
        socket.create_connection(("127.0.0.1", 9))
