"""A training that several processes share finds what one finds: torchrun starts them, the first alone stores.

Every process takes half of a step's rows, so the steps are those of one process with all of them.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.functional.checkpoints import save_decoder, save_encoder

from pawl.bundle import open_bundle
from pawl.pairset import PairRow, freeze_pairs
from training.__main__ import main
from training.judge import ROWS_TOGETHER
from training.nodes import torchrun
from training.pairs import divide
from training.reward_knobs import Knobs
from training.storage import Folder

ROOT = Path(__file__).parents[2]
NOW_MS = 1_790_000_000_000
SEED, SHARE = Knobs().seed, 0.4
STEP_PAIRS = 2 * ROWS_TOGETHER
"""Pairs of a step of the reward model: a process's half of their answers runs in several parts."""
EXACT = ("--precision", "fp32")
"""So that what two find differs from what one finds by float32's rounding alone, whatever the CPU multiplies in."""
STORED = {"model.onnx", "manifest.json", "card.md", "run.json"}


def pair(number: int) -> PairRow:
    more = " ".join(["my parcel is late"] * (number % 4))
    said = (f"it is late {more}", f"the invoice charges {more}")
    return PairRow([{"role": "user", "content": f"where is my parcel {number}?"}], *said)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, a whole number of steps of them to learn from; a tiny encoder, and a tiny decoder that is live."""
    home = tmp_path_factory.mktemp("home")
    rows, held = divide([pair(number) for number in range(90)], SHARE, SEED)
    splits = {"train": [*rows[: 2 * STEP_PAIRS], *held[:4]], "holdout": [pair(number) for number in range(100, 108)]}
    for name, data in freeze_pairs("tiny", splits, {}).files.items():
        Folder(home / "pairs").write(name, data)
    for folder in ("encoder", "decoder"):
        (home / folder).mkdir()
    save_encoder(home / "encoder")
    save_decoder(home / "decoder", "llama")
    made = ["--model", "tiny", "--output", f"{home}/models/tiny/1", "--base-licence", "mit"]
    main(["generator", f"{home}/decoder", *made], {}, NOW_MS)
    return home


def reward(home: Path, output: str, epochs: int, *more: str) -> list[str]:
    named = ["reward", "--model", "tiny-reward", "--version", "1", "--run", "run-1", "--dataset", f"{home}/pairs"]
    turned = ["--epochs", str(epochs), "--batch-rows", str(STEP_PAIRS), "--max-tokens", "48"]
    placed = ["--output", f"{home}/{output}", "--base", f"{home}/encoder", *EXACT]
    return [*named, *placed, "--rate", "1e-3", *turned, "--validation-share", str(SHARE), *more]


def align(home: Path, output: str, batch_rows: int) -> list[str]:
    named = ["align", "--model", "tiny", "--version", "2", "--run", "run-2", "--dataset", f"{home}/pairs"]
    placed = ["--output", f"{home}/{output}", "--live", f"{home}/models/tiny/1/", "--base", f"{home}/decoder"]
    turned = ["--steps", "4", "--batch-rows", str(batch_rows), "--rank", "4", "--rate", "5e-3", "--max-tokens", "96"]
    judged = [
        "--gold-share",
        "0.25",
        "--looks",
        "1",
        "--look-prompts",
        "2",
        "--answer-tokens",
        "4",
        "--judged-prompts",
        "2",
    ]
    return [*named, *placed, *turned, *judged, "--judged-pairs", "2", *EXACT]


def told(home: Path, output: str) -> dict[str, Any]:
    return json.loads((home / output / "run.json").read_text(encoding="utf-8"))


def losses(run: dict[str, Any], name: str = "loss") -> list[float]:
    return [step[name] for step in run["steps"] if name in step]


@contextmanager
def started(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The commands as processes, which are killed at the end if they are still there."""
    roots = os.pathsep.join(str(ROOT / part) for part in ("functions", "layers/core"))
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for command in commands]
    try:
        yield running
    finally:
        for each in running:
            kill(each)


def kill(process: subprocess.Popen[bytes]) -> None:
    """All of its family at once, as when a machine is taken away: torchrun's processes have sessions of their own."""
    for pid in family(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    return [pid, *(each for child in found for each in family(int(child)))]


def finish(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for each in running:
        _, errors = each.communicate(timeout=300)
        assert each.returncode == 0, errors.decode()[-3000:]


def together(arguments: Sequence[str], port: int) -> list[str]:
    """Two processes of one machine."""
    command = torchrun(arguments, {}, 2)
    command[command.index("--master-port") + 1] = str(port)
    return command


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.enable_socket
def test_two_processes_that_are_killed_and_started_again_train_the_reward_model_that_one_does(home: Path) -> None:
    main(reward(home, "one", 8), {}, NOW_MS)
    eager = reward(home, "two", 8, "--checkpoint-seconds", "0.0", "--checkpoint-steps", "1")
    kept = home / "two.checkpoint/checkpoint.zip"
    with started([together(eager, free_port())]) as running:
        until = time.monotonic() + 240
        while not (kept.exists() and kept.stat().st_size) and running[0].poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert kept.stat().st_size > 0
    assert not (home / "two/manifest.json").exists()

    with started([together(eager, free_port())]) as running:
        finish(running)

    one, two = (open_bundle(home / output).manifest for output in ("one", "two"))
    assert {path.name for path in (home / "two").iterdir()} >= STORED
    assert kept.stat().st_size == 0
    assert losses(told(home, "two")) == pytest.approx(losses(told(home, "one")), abs=2e-4)
    assert len(losses(told(home, "one"))) == 16
    for name in ("accuracy", "log_loss"):
        ours, theirs = (each.metrics["float"]["holdout"][name] for each in (two, one))
        assert ours == pytest.approx(theirs, abs=2e-3)
    assert two.metrics["float"]["holdout"]["accuracy"] == 1.0


@pytest.mark.enable_socket
def test_two_nodes_of_a_batch_job_align_as_one_process_does(home: Path) -> None:
    main(align(home, "alone/tiny/2", 4), {}, NOW_MS)
    port = str(free_port())
    main_node = {"AWS_BATCH_JOB_NUM_NODES": "2", "AWS_BATCH_JOB_NODE_INDEX": "0"}
    other = main_node | {"AWS_BATCH_JOB_NODE_INDEX": "1", "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "127.0.0.1"}
    outputs = {"shared": main_node, "nowhere": other}
    commands = [torchrun(align(home, f"{output}/tiny/2", 2), about, 1) for output, about in outputs.items()]
    for command in commands:
        command[command.index("--master-port") + 1] = port

    with started(commands) as running:
        finish(running)

    one, two = (told(home, f"{output}/tiny/2") for output in ("alone", "shared"))
    assert (one["status"], two["status"]) == ("completed", "completed")
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)
    assert losses(two, "gold") == pytest.approx(losses(one, "gold"), abs=1e-3)
    manifest = open_bundle(home / "shared/tiny/2").manifest
    assert manifest.metrics["alignment"]["steps"] == 4
    assert Folder(home / "shared/tiny/2.adapter").read_all()
    assert not (home / "nowhere").exists()
