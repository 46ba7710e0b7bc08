"""A Batch job that really runs: its command as a process, its states as AWS reports them.

The image is not used: `python` is the development environment's, with the project's own code on its path, which is what
the training image holds. Each attempt has a process group and a folder of its own, so that ending it ends its children
and leaves no file but its log.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from artifacts.target import code_revision

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_GRACE_S = 10.0  # between asking an attempt to end and ending it; a container gets 30
TIMED_OUT = "Job attempt duration exceeded timeout"
EXITED = "Essential container in task exited"
ENDED = ("SUCCEEDED", "FAILED")

Report = Callable[[dict[str, Any]], None]


class Job:
    """One submitted job; `detail` is what DescribeJobs answers and what its events carry."""

    def __init__(self, detail: dict[str, Any], log: Path, environment: Mapping[str, str], report: Report) -> None:
        self.detail = detail
        self._log = log
        self._environment = environment
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_reason: str | None = None
        self._lock = threading.Lock()

    @property
    def status(self) -> str:
        return str(self.detail["status"])

    def enter(self, status: str, reason: str | None = None) -> None:
        """Moves to a state and reports it."""
        self.detail["status"] = status
        if reason:
            self.detail["statusReason"] = reason
        if status in ENDED:
            self.detail["stoppedAt"] = now_ms()
        self._report(self.detail)

    def run(self) -> None:
        """All attempts, one after the other; returns when the job has ended."""
        attempts = self.detail["retryStrategy"]["attempts"]
        for number in range(1, attempts + 1):
            if not self._starts():
                return
            exit_code, reason = self._attempt(number)
            if exit_code == 0 and reason == EXITED:
                return self.enter("SUCCEEDED", reason)
            if number == attempts or not self._is_retried(exit_code, reason):
                return self.enter("FAILED", reason)
            self.enter("RUNNABLE")

    def stop(self, reason: str, *, only_if_waiting: bool) -> None:
        """CancelJob stops what has not started, TerminateJob also what runs; both leave an ended job alone."""
        with self._lock:
            is_started = self.status in ("STARTING", "RUNNING")
            if self.status in ENDED or (only_if_waiting and is_started):
                return
            self._stop_reason = reason
            self.detail["isCancelled" if only_if_waiting else "isTerminated"] = True
            if not is_started:
                self.enter("FAILED", reason)
            process = self._process
        if process is not None:
            threading.Thread(target=_end_group, args=(process,), daemon=True).start()

    def _starts(self) -> bool:
        """Whether the job leaves the queue now; not when it was stopped while it waited."""
        with self._lock:
            if self.status in ENDED:
                return False
            self.enter("STARTING")
            return True

    def _attempt(self, number: int) -> tuple[int | None, str]:
        """Runs the command once; its exit code (None when it never started) and why it ended."""
        folder = Path(os.environ["TMPDIR"]) / "jobs" / f"{self.detail['jobId']}-{number}"
        folder.mkdir(parents=True)
        try:
            exit_code, reason = self._execute(number, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._record(exit_code, reason)
        return exit_code, reason

    def _execute(self, number: int, folder: Path) -> tuple[int | None, str]:
        with self._lock, self._log.open("ab") as log:
            if self._stop_reason is not None:
                return None, self._stop_reason
            try:
                self._process = subprocess.Popen(
                    self._command(),
                    cwd=folder,
                    env=self._process_environment(number, folder),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            except OSError as error:
                return None, f"CannotStartContainerError: {error}"
        self.detail["startedAt"] = now_ms()
        self.enter("RUNNING")
        timeout_s = self.detail.get("timeout", {}).get("attemptDurationSeconds")
        try:
            code = self._process.wait(timeout_s)
            reason = self._stop_reason or EXITED
        except subprocess.TimeoutExpired:
            code, reason = _end_group(self._process), TIMED_OUT
        _signal_group(self._process, signal.SIGKILL)  # nothing of a container outlives its command
        with self._lock:
            self._process = None
        return (code if code >= 0 else 128 - code), reason

    def _command(self) -> list[str]:
        words = list(self.detail["container"]["command"])
        return [sys.executable, *words[1:]] if words[:1] == ["python"] else words

    def _process_environment(self, number: int, folder: Path) -> dict[str, str]:
        declared = {pair["name"]: pair["value"] for pair in self.detail["container"]["environment"]}
        programs = Path(sys.executable).parent
        return {
            **self._environment,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": f"{REPOSITORY / 'functions'}{os.pathsep}{REPOSITORY / 'layers' / 'core'}",
            "PYTHONUNBUFFERED": "1",
            "PAWL_CODE_REVISION": code_revision(),
            **declared,
            "AWS_BATCH_JOB_ID": self.detail["jobId"],
            "AWS_BATCH_JOB_ATTEMPT": str(number),
            "AWS_BATCH_JQ_NAME": self.detail["jobQueue"].rpartition("/")[2],
        }

    def _record(self, exit_code: int | None, reason: str) -> None:
        container: dict[str, Any] = {"logStreamName": self.detail["container"]["logStreamName"]}
        if exit_code is None:
            container["reason"] = reason
        else:
            container["exitCode"] = self.detail["container"]["exitCode"] = exit_code
        stopped = now_ms()
        self.detail["attempts"].append(
            {
                "container": container,
                "startedAt": self.detail.get("startedAt", stopped),
                "stoppedAt": stopped,
                "statusReason": reason,
            }
        )

    def _is_retried(self, exit_code: int | None, reason: str) -> bool:
        if self._stop_reason is not None or reason == TIMED_OUT:
            return False
        container_reason = reason if exit_code is None else ""
        observed = {"onStatusReason": reason, "onReason": container_reason, "onExitCode": str(exit_code or 0)}
        for rule in self.detail["retryStrategy"]["evaluateOnExit"]:
            if all(fnmatchcase(observed[name], rule[name]) for name in observed if name in rule):
                return str(rule["action"]).upper() == "RETRY"
        return True


def now_ms() -> int:
    return int(time.time() * 1000)


def _end_group(process: subprocess.Popen[bytes]) -> int:
    """Asks a process and its children to end, then ends them; the exit code of the process."""
    _signal_group(process, signal.SIGTERM)
    try:
        return process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL
    finally:
        _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
