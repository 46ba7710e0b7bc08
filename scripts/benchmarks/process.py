"""A program under measurement: started on a CPU of its own, asked, its memory read, ended with all its children.

Memory is the proportional set size of the whole process tree (what it would not take if it were not there: pages that
several processes map are shared out among them), resident size where the system tells no more.
"""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.environments import Unavailable

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
STOP_TIMEOUT_S = 5.0


class Program:
    """A running program; its standard error is in `log`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line that it wrote, for a reason that is worth showing."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote nothing"

    def ask(self, line: str = "") -> str:
        """Write it a line and read one; Unavailable with its last words when it has ended instead."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self.read()

    def read(self) -> str:
        """Read a line that it writes."""
        assert self._process.stdout
        if not (reply := self._process.stdout.readline()):
            raise Unavailable(f"it ended: {self.last_words}")
        return reply

    def memory_mb(self) -> float:
        """Its memory and that of all its children, in MB of 10^6 bytes."""
        total = 0
        for each in _tree(self._process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += getattr(each.memory_full_info(), "pss", 0) or each.memory_info().rss
        return total / 1e6

    def heap_mb(self) -> float:
        """Its own resident memory less what is mapped from files: no other process can change it."""
        info = psutil.Process(self._process.pid).memory_info()
        return (info.rss - getattr(info, "shared", 0)) / 1e6

    def cpu_s(self) -> float:
        """Seconds of CPU that it and all its children have taken so far."""
        total = 0.0
        for each in _tree(self._process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
        return total


@contextlib.contextmanager
def started(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    cpus: Sequence[int] = (),
    is_asked: bool = True,
) -> Generator[Program]:
    """Run a program on the given CPUs (none: any) in the folder of its log; at the end its whole tree is ended.

    One that is not asked anything writes its standard output into the log too, where nobody has to read it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={"PATH": os.environ["PATH"], "HOME": str(log.parent), **ONE_THREAD, **environment},
            cwd=log.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if is_asked else errors,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        if cpus:
            psutil.Process(process.pid).cpu_affinity(list(cpus))  # its threads and children inherit it
        yield Program(process, log)
    finally:
        _end(process)


def server_and_client_cpus() -> tuple[list[int], list[int]]:
    """One CPU for whatever is measured, as a Lambda of 1,769 MB has, and the others for who asks; none: not pinned."""
    own = psutil.Process()
    cpus = own.cpu_affinity() if hasattr(own, "cpu_affinity") else []
    return (cpus[:1], cpus[1:]) if len(cpus) > 1 else ([], [])


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _is_running(process: psutil.Process) -> bool:
    """Whether it has not ended; an orphan that has may wait for the system to take note."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the process to end, then end what is left of it and of its children, each by its id."""
    tree = _tree(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    for each in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while any(map(_is_running, tree)) and time.monotonic() < deadline:
        time.sleep(0.01)  # what is killed may take a moment, in which it would take time from what is measured next
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
