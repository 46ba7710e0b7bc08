"""How even answers are under the time of one CPU, which is what a Lambda of 1,769 MB has.

The process runs in a control group of the kernel (version 2 or 1) that grants 100 ms of CPU in each 100; where none can
be made it is pinned to one CPU instead, which is kinder: threads then wait for one another and are never stopped. Whole
calls of the handler are timed, as it opens its sessions (one thread) and with onnxruntime's own number; in turn with
them the graph's runs with nothing around them, which are as uneven as the machine is.
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
    """p99 against p50: of whole calls, of the graph's runs alone, and of calls with the default number of threads."""
    with limited(groups) as (prefix, how):
        turns = [{mode: probe(mode, prefix) for mode in ("steady", "alone", "threaded")} for _ in range(TURNS)]

    def figure(key: str, mode: str, meaning: str, budget: float | None = None) -> Figure:
        ratio = median(turn[mode]["p99_us"] / turn[mode]["p50_us"] for turn in turns)
        p50_ms = median(turn[mode]["p50_us"] for turn in turns) / 1000
        return Figure(key, ratio, "x", f"{meaning}, {p50_ms:.2f} ms p50", budget)

    return [
        figure("quota_p99_over_p50", "steady", f"whole calls of one text, {how}", 1.15),
        figure("quota_run_alone", "alone", "the graph's runs with nothing around them"),
        figure("quota_default_threads", "threaded", "whole calls by onnxruntime's own threads"),
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
