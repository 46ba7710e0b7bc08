"""What a training run tells of itself while it runs: `run.json` beside its output, and a line on stdout.

The job API shows `run.json` as it is, so its words are the API's: status, progress, runtime_seconds, evaluations.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from training.storage import Place

REPORT = "run.json"


class Listener(Protocol):
    """Is told how far a training has come."""

    def begin(self, stage: str, progress: float) -> None:
        """A stage begins; `progress` is the share of the whole run that lies behind it."""
        ...

    def epoch(self, number: int, progress: float, **losses: float) -> None:
        """One epoch's losses; `progress` is the share of the whole run that lies behind it."""
        ...


class Silence:
    """A listener that tells nobody: for a training that is a part of something else."""

    def begin(self, stage: str, progress: float) -> None:
        """Nothing is told."""

    def epoch(self, number: int, progress: float, **losses: float) -> None:
        """Nothing is told."""


class RunReport:
    """Keeps `run.json` true. `seconds` reads a clock that never goes back; runtime counts from construction."""

    def __init__(self, place: Place, run: str, seconds: Callable[[], float]) -> None:
        self._place = place
        self._seconds = seconds
        self._began = seconds()
        self._facts: dict[str, Any] = {
            "run": run,
            "status": "running",
            "progress": 0.0,
            "stage": "reading",
            "losses": [],
            "steps": [],
            "stages": {},
            "evaluations": [],
            "conclusion": "",
            "error": "",
        }
        self._stage_began = self._began
        self._write()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._seconds() - self._began

    def begin(self, stage: str, progress: float) -> None:
        """Say that a stage begins; `progress` is the share of the whole run that lies behind it."""
        self._end_stage()
        self._facts |= {"stage": stage, "progress": round(progress, 3)}
        self._write()

    def note(self, **facts: str) -> None:
        """Say what holds for the whole run, such as the precision of its machine."""
        self._facts |= facts
        self._write()

    def epoch(self, number: int, progress: float, **losses: float) -> None:
        """Record what one epoch came to."""
        measured = {name: round(value, 4) for name, value in losses.items()}
        self._facts["losses"].append({"stage": self._facts["stage"], "epoch": number, **measured})
        self._facts["progress"] = round(progress, 3)
        print(
            f"{self._facts['stage']} epoch {number}: "
            + ", ".join(f"{name} {value:.4f}" for name, value in measured.items()),
            flush=True,
        )
        self._write()

    def step(self, number: int, progress: float, **values: float) -> None:
        """Record what a trainer logged at one of its steps."""
        measured = {name: round(value, 5) for name, value in values.items()}
        self._facts["steps"].append({"stage": self._facts["stage"], "step": number, **measured})
        self._facts["progress"] = round(progress, 3)
        print(
            f"{self._facts['stage']} step {number}: "
            + ", ".join(f"{name} {value:.4f}" for name, value in measured.items()),
            flush=True,
        )
        self._write()

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """What was recorded of steps so far."""
        return self._facts["steps"]

    def attach(self, name: str, data: bytes) -> None:
        """Leave a file beside the report, such as a drawing."""
        self._place.write(name, data)

    def conclude(self, sentence: str) -> None:
        """Say in a sentence what came of the run, where its numbers alone do not."""
        self._facts["conclusion"] = sentence
        print(sentence, flush=True)

    def complete(self, evaluations: Sequence[Mapping[str, Any]]) -> None:
        """Say that the run is done, and how well its model does."""
        self._end_stage()
        self._facts |= {"status": "completed", "stage": "done", "progress": 1.0, "evaluations": list(evaluations)}
        self._write()

    def fail(self, error: str) -> None:
        """Say that the run has failed, and of what."""
        self._facts |= {"status": "failed", "error": error}
        self._write()

    def _end_stage(self) -> None:
        now = self._seconds()
        self._facts["stages"][self._facts["stage"]] = round(now - self._stage_began, 2)
        print(f"{self._facts['stage']}: {now - self._stage_began:.1f} s", flush=True)
        self._stage_began = now

    def _write(self) -> None:
        facts = {**self._facts, "runtime_seconds": round(self.elapsed_s, 2)}
        self._place.write(REPORT, (json.dumps(facts, indent=1) + "\n").encode())
