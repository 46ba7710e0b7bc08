"""Ending everything that the local cloud started.

A training job leads a process group of its own, so that it can be terminated with its children; a group is therefore
not enough to find what is left. The session is: the server opens one, and whatever it starts stays inside.
"""

import os
import signal
import subprocess
import time
from pathlib import Path


def end_session(session: int, *, spare: int | None = None, timeout_s: float = 5.0) -> list[int]:
    """Kills every process of a session but `spare`; returns those still alive after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        members = [pid for pid in session_members(session) if pid != spare]
        for pid in members:
            _kill(pid)
        if not members or time.monotonic() > deadline:
            return members
        time.sleep(0.02)


def session_members(session: int) -> list[int]:
    """The living processes of a session; one that has ended and waits to be collected is not alive."""
    return [pid for pid in _living() if _session_of(pid) == session]


def _living() -> list[int]:
    proc = Path("/proc")
    if (proc / "self/stat").exists():
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit() and _is_alive(entry)]
    listing = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return [int(pid) for pid, state in rows if not state.startswith("Z")]


def _is_alive(entry: Path) -> bool:
    try:
        stat = (entry / "stat").read_text()
    except OSError:
        return False
    state = stat.rpartition(")")[2].split()[0]  # the name in brackets may itself hold blanks and brackets
    return state not in "ZX"


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
