"""Whether the handler's memory stays flat and its manners good: 100,000 calls, then 10,000 broken requests.

Each is a fresh process over the built artifact. Memory is resident and not mapped from files (a leak never is), read at
rest, after a garbage collection, a thousand calls apart. The slope is that of the second half: the tokenizer's bounded
memory of words and the allocator's arenas fill in the first. The plot is SVG by hand: a plotting library for one line
would be the biggest package here.
"""

import json
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks import artifact
from benchmarks.environments import Unavailable
from benchmarks.figures import Figure
from benchmarks.peers import SUBJECTS
from benchmarks.process import started
from local.interpreter import ensure_interpreter

CALLS, STEP = 100_000, 1_000
REQUESTS, SEED = 10_000, 0
FUZZ_TIMEOUT_S = 3600
WIDTH, HEIGHT, MARGIN = 720, 300, 48


@dataclass(frozen=True, slots=True)
class Curve:
    """Memory over calls: MB of 10^6 bytes after each number of calls."""

    calls: list[int]
    memory_mb: list[float]

    @property
    def slope_bytes(self) -> float:
        """Bytes that a call adds, by least squares over the second half."""
        middle = len(self.calls) // 2
        return statistics.linear_regression(self.calls[middle:], self.memory_mb[middle:]).slope * 1e6

    def svg(self) -> str:
        """The curve as a picture, from zero, so that a flat line looks flat."""
        top = max(self.memory_mb) * 1.1
        x = [MARGIN + (WIDTH - 2 * MARGIN) * each / self.calls[-1] for each in self.calls]
        y = [HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * each / top for each in self.memory_mb]
        points = " ".join(f"{left:.1f},{down:.1f}" for left, down in zip(x, y, strict=True))
        floor, right = HEIGHT - MARGIN, WIDTH - MARGIN
        return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>
<path d="M{MARGIN},{MARGIN} V{floor} H{right}" fill="none" stroke="#888"/>
<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>
<text x="{MARGIN}" y="{MARGIN - 16}">handler's memory less mapped files, MB: {self.slope_bytes:+.1f} bytes a call</text>
<text x="{MARGIN - 6}" y="{MARGIN + 4}" text-anchor="end">{top:.0f}</text>
<text x="{MARGIN - 6}" y="{floor}" text-anchor="end">0</text>
<text x="{MARGIN}" y="{floor + 20}">0</text>
<text x="{right}" y="{floor + 20}" text-anchor="end">{self.calls[-1]:,} calls</text>
</svg>
"""


def measure(build: Path, home: Path, calls: int = CALLS, requests: int = REQUESTS) -> list[Figure]:
    """Endurance and manners of the handler built in `build`; the plot goes to `home/bench/memory.svg`."""
    curve = endure(build, home, calls)
    plot = home / "bench" / "memory.svg"
    plot.write_text(curve.svg(), encoding="utf-8")
    statuses, failures = fuzz(build, home, requests)
    told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    grown = curve.memory_mb[-1] - curve.memory_mb[len(curve.calls) // 2]
    return [
        Figure("memory_bytes_per_call", curve.slope_bytes, "bytes", f"over {calls:,} calls, second half: {plot}", 10),
        Figure("memory_grown_mb", grown, "MB", "in the second half of the calls", 5),
        Figure("fuzz_failures", float(len(failures)), "", f"of {requests:,} broken requests: {told}", 0),
    ]


def endure(build: Path, home: Path, calls: int = CALLS, step: int = STEP) -> Curve:
    """The handler's memory over many calls."""
    command = [ensure_interpreter(home), SUBJECTS / "endurance.py", str(calls), str(step)]
    curve = Curve([], [])
    with started(command, artifact.environment(build), home / "bench" / "endurance.log") as program:
        reached = program.read()
        while True:
            curve.calls.append(int(reached))
            curve.memory_mb.append(program.heap_mb())
            if curve.calls[-1] == calls:
                return curve
            reached = program.ask()


def fuzz(build: Path, home: Path, requests: int = REQUESTS, seed: int = SEED) -> tuple[dict[str, int], list[str]]:
    """How many broken requests were answered with each status, and what went wrong: 500 or worse, or an exception."""
    command = [str(ensure_interpreter(home)), str(SUBJECTS / "fuzz.py"), str(requests), str(seed)]
    environment = artifact.environment(build)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=FUZZ_TIMEOUT_S)
    if done.returncode:
        raise Unavailable(f"the handler ended with {done.returncode} on a broken request")
    told = json.loads(done.stdout)
    return told["statuses"], told["failures"]
