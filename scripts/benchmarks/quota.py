"""How even answers are under the time of one CPU, which is what a Lambda of 1,769 MB has.

The process runs in a control group of the kernel (version 2 or 1) that grants 100 ms of CPU in each 100; where none can
be made it is pinned to one CPU instead, which is kinder: threads then wait for one another and are never stopped. Whole
calls of the handler are timed, once as it opens its sessions (one thread) and once with onnxruntime's own number.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure

GROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
TURNS = 3
Probe = Callable[..., dict[str, float]]
"""Runs a probe by its mode, its command behind a prefix; its figures."""


def measure(probe: Probe, groups: Path = GROUPS) -> list[Figure]:
    """p99 against p50 of whole calls, with one thread and with the default number."""
    with limited(groups) as (prefix, how):
        turns = [[probe(mode, prefix) for mode in ("steady", "threaded")] for _ in range(TURNS)]
    one, default = (median(turn[i]["p99_us"] / turn[i]["p50_us"] for turn in turns) for i in (0, 1))
    p50_ms = [median(turn[i]["p50_us"] for turn in turns) / 1000 for i in (0, 1)]
    return [
        Figure("quota_p99_over_p50", one, "x", f"whole calls of one text, {p50_ms[0]:.2f} ms p50, {how}", 1.15),
        Figure("quota_default_threads", default, "x", f"the same by onnxruntime's own threads, {p50_ms[1]:.2f} ms p50"),
    ]


@contextmanager
def limited(groups: Path) -> Generator[tuple[Sequence[str], str]]:
    """What a command must begin with to run on one CPU's time, and how that is held; the group ends with the block."""
    group = _made(groups)
    if group is None:
        yield ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))), "pinned to one CPU: no control group"
        return
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"), f"quota of 1 CPU by {group}"
    finally:
        group.rmdir()


def _made(groups: Path) -> Path | None:
    """A new control group with a quota of one CPU, by whichever version of the kernel's interface there is."""
    for parent, file, limit in (
        (groups, "cpu.max", f"{PERIOD_US} {PERIOD_US}"),
        (groups / "cpu", "cpu.cfs_quota_us", str(PERIOD_US)),
    ):
        group = parent / f"pawl-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / file).open("r+").close()
            (group / file).write_text(limit)
        except OSError:
            group.rmdir()
        else:
            return group
    return None
