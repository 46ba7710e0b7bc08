"""How many answers each model version gave in this process, and how long they took.

Specification: Triton's statistics extension. On Lambda a process serves one request at a time and may end at any
moment: these are the figures of one of many; the function's own metrics are the whole.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pawl.bundle import Manifest
from pawl.model import Run


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    rows: int = 0
    executions: int = 0
    success_ns: int = 0
    run_ns: int = 0
    failures: int = 0
    failure_ns: int = 0
    last_unix_ms: int = 0


class Statistics:
    """Counts since the process began, by model name and version; durations are of waiting for a run and of the run."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Counts] = {}
        self._lock = threading.Lock()

    def count_success(self, manifest: Manifest, rows: int, ns: int, unix_ms: int, run: Run | None = None) -> None:
        """One request of `rows` rows was answered in `ns` nanoseconds, at a time in milliseconds since 1970.

        Without `run` all of that time was a run of its own.
        """
        with self._lock:
            counts = self._counts.get((manifest.name, manifest.version)) or self._of(manifest)
            counts.requests += 1
            counts.rows += rows
            counts.executions += run.executions if run else 1
            counts.success_ns += ns
            counts.run_ns += run.ns if run else ns
            counts.last_unix_ms = unix_ms

    def count_failure(self, manifest: Manifest, ns: int) -> None:
        """One request failed after `ns` nanoseconds."""
        with self._lock:
            counts = self._of(manifest)
            counts.failures += 1
            counts.failure_ns += ns

    def report(self, versions: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The extension's answer for these model versions."""
        with self._lock:
            return {"model_stats": [_statistics(*key, self._counts.get(key, _Counts())) for key in versions]}

    def _of(self, manifest: Manifest) -> _Counts:
        return self._counts.setdefault((manifest.name, manifest.version), _Counts())


def _statistics(name: str, version: str, counts: _Counts) -> dict[str, Any]:
    """A run that requests share counts once, and its time for each of them, as in Triton.

    Copying is not measured apart here: it is nothing beside the model's run.
    """
    nothing = {"count": counts.requests, "ns": 0}
    return {
        "name": name,
        "version": version,
        "last_inference": counts.last_unix_ms,
        "inference_count": counts.rows,
        "execution_count": counts.executions,
        "inference_stats": {
            "success": {"count": counts.requests, "ns": counts.success_ns},
            "fail": {"count": counts.failures, "ns": counts.failure_ns},
            "queue": {"count": counts.requests, "ns": counts.success_ns - counts.run_ns},
            "compute_input": nothing,
            "compute_infer": {"count": counts.requests, "ns": counts.run_ns},
            "compute_output": nothing,
        },
        "batch_stats": [],
    }
