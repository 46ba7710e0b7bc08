"""Python code run in a process of its own, on one thread, for what it prints and for the most memory that it took."""

import json
import os
import subprocess
import sys
from pathlib import Path

from artifacts.target import ROOT
from benchmarks.process import ONE_THREAD

_PEAK = """
from benchmarks.child import peak_mb
print(peak_mb())
"""


def run(code: str, *arguments: str) -> dict[str, float]:
    """What the code prints as one line of JSON, and `peak_mb`."""
    path = os.pathsep.join(str(ROOT / each) for each in ("scripts", "functions", "layers/core"))
    command = [sys.executable, "-c", code + _PEAK, *arguments]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": path}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    told, peak = done.stdout.splitlines()
    return {**json.loads(told), "peak_mb": float(peak)}


def peak_mb() -> float:
    """The most memory that this process has had, in MB of 2^20 bytes, which Linux tells."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024
