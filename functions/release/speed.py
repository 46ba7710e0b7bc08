"""How fast the artifact answers and starts, against the live version's: both timed in turn on this very machine."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pawl.bundle import Bundle
from pawl.errors import InvalidBundle
from pawl.model import Column, Model
from release.gate import Clock, Contender, Gate, rounded
from release.policy import GatePolicy

Question = Mapping[str, Column]
_WARMING, _TURNS = 3, 3
_PATIENCE_S = 120


def latency_gate(
    candidate: Model, live: Model, questions: Sequence[Question], policy: GatePolicy, clock: Clock
) -> Gate:
    """About as fast as the live version: both timed in turn on the same questions, one row at a time.

    Of a question the fastest turn counts, since a neighbour on the machine makes an answer slower and never faster; of
    all questions the median.
    """
    times: Mapping[str, list[float]] = {"candidate": [], "live": []}
    for question in [*questions[:_WARMING], *questions]:
        took: Mapping[str, list[float]] = {"candidate": [], "live": []}
        for turn in range(_TURNS):
            pair = (("candidate", candidate), ("live", live))
            for name, model in pair if turn % 2 else pair[::-1]:
                began = clock()
                model.predict(question)
                took[name].append(clock() - began)
        for name in times:
            times[name].append(1000 * min(took[name]))
    measured = {name: times[name][len(questions[:_WARMING]) :] for name in times}
    new, old = (statistics.median(measured[name]) for name in ("candidate", "live"))
    return Gate(
        "latency",
        new <= old * policy.latency_ratio,
        f"{new:.2f} ms a row",
        f"at most {policy.latency_ratio} x the live version's {old:.2f} ms",
        rounded(new),
        rounded(old * policy.latency_ratio),
        {"rows": len(questions), "live": rounded(old), "slowest": [rounded(max(measured[name])) for name in measured]},
    )


def cold_start_gate(candidate: Contender, live: Contender, question: Question, policy: GatePolicy) -> Gate:
    """A fresh process gets to its first answer about as soon as the live version's, and how much memory it takes."""
    runs = policy.cold_start_runs
    if not runs:
        return Gate("cold start", True, "not measured", "nothing: the policy asks for no run")
    started: Mapping[str, list[Mapping[str, float]]] = {"candidate": [], "live": []}
    for _ in range(runs):
        for name, bundle in (("candidate", candidate.bundle), ("live", live.bundle)):
            started[name].append(start_afresh(bundle, question))
    new, old = (min(run["ms"] for run in started[name]) for name in ("candidate", "live"))
    memory = [max(run["mb"] for run in started[name]) for name in ("candidate", "live")]
    return Gate(
        "cold start",
        new <= old * policy.cold_start_ratio,
        f"{new:.0f} ms to the first answer, {memory[0]:.0f} MB",
        f"at most {policy.cold_start_ratio} x the live version's {old:.0f} ms",
        rounded(new),
        rounded(old * policy.cold_start_ratio),
        {"runs": runs, "live": rounded(old), "mb": rounded(memory[0]), "live_mb": rounded(memory[1])},
    )


def start_afresh(bundle: Bundle, question: Question) -> Mapping[str, float]:
    """Milliseconds from the start of a new process to the bundle's first answer, and the megabytes that it took.

    The process gets this one's import path and, of its environment, what the loader needs: no credentials.
    """
    asked = {
        name: column.tolist() if isinstance(column, np.ndarray) else list(column) for name, column in question.items()
    }
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("coldstart.py")), str(bundle.path)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        timeout=_PATIENCE_S,
    )
    if done.returncode:
        raise InvalidBundle(f"{bundle.manifest.name} {bundle.manifest.version} does not answer in a process of its own")
    told: dict[str, Any] = json.loads(done.stdout)
    return {"ms": float(told["ms"]), "mb": float(told["mb"])}
