"""Profiles under measurement: values counted a second, what binning hides, a check of 1,000 columns, rows collected.

Speeds are by processor time of one core, the median of several runs, all of them in one process; the check runs in a
process of its own, whose peak memory is told by the system. Peers take turns with ours where installed.
"""

import gzip
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.target import ROOT
from benchmarks.figures import Figure
from benchmarks.process import ONE_THREAD
from drift.intake import TrafficIntake
from pawl.floats import FloatSketch
from pawl.numeric import NumericSketch
from pawl.profile import Profile
from pawl.records import CaptureRecord
from pawl.stats import kolmogorov_smirnov

ROWS = 1_000_000
COLUMNS = 1_000
RUNS = 7
COLLECTED = 20_000
# What the template's event source hands to one invocation, and the price of 1,000 S3 PUTs in us-east-1, in USD.
BATCH = 100
PUTS_USD = 0.005
_CHECK = """
import json, sys, time
from pathlib import Path
from drift.judgement import compare
from pawl.profile import Profile
files = [Path(name).read_bytes() for name in sys.argv[1:]]
began = time.process_time()
reference, *parts = [Profile.from_json(data) for data in files]
recent = Profile.like(reference)
for part in parts:
    recent.merge(part)
found = compare(reference, recent)
took = time.process_time() - began
print(json.dumps({"seconds": took, "columns": len(found)}))
"""
_COLLECT = """
import json, sys
from benchmarks.profiles import collect
print(json.dumps(collect(int(sys.argv[1]))))
"""
_PEAK = """
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""
Values = NDArray[np.float64]


def measure(rows: int = ROWS, columns: int = COLUMNS, collected: int = COLLECTED) -> list[Figure]:
    """All figures; fewer rows and columns make a quick trial of it."""
    return [*measure_updates(rows), *measure_check(rows, columns), *measure_collect(collected)]


def measure_updates(rows: int = ROWS) -> list[Figure]:
    """Values a second of either sketch and of peers, and the KS distance that bins hide."""
    generator = np.random.default_rng(1)
    old, new = generator.normal(0, 1, rows), generator.normal(0.01, 1.01, rows)
    bins, single, buckets = NumericSketch.spanning(old), NumericSketch.spanning(old), FloatSketch()
    narrow = old.astype(np.float32)
    peer = _datasketches()
    counted: dict[str, Callable[[], Any]] = {
        "update_values_per_s": lambda: bins.update(old),
        "update_f32_values_per_s": lambda: single.update(narrow),
        "float_values_per_s": lambda: buckets.update(old),
    }
    if peer is not None:
        counted["kll_values_per_s"] = lambda: peer.kll_doubles_sketch(200).update(old)
    took = _by_turns(counted)
    meanings = {
        "update_values_per_s": "equal bins, float64, one core",
        "update_f32_values_per_s": "the same, float32",
        "float_values_per_s": "buckets of any range, float64, one core",
        "kll_values_per_s": "Apache datasketches KLL, k = 200, in the same run",
    }
    figures = [
        Figure(key, rows / seconds, "/s", meanings[key], 200e6 if key.startswith("update") else None, "higher")
        for key, seconds in took.items()
    ]
    if peer is None:
        print("  datasketches is not installed: KLL takes no part", file=sys.stderr)
    return [*figures, *_ks_figures(old, new)]


def _ks_figures(old: Values, new: Values) -> list[Figure]:
    """The KS distance of two normal samples from sketches against the exact one, and what either costs."""
    sketches = [NumericSketch.spanning(old), NumericSketch.spanning(old)]
    for sketch, values in zip(sketches, (old, new), strict=True):
        sketch.update(values)
    exact = exact_distance(old, new)
    ours = kolmogorov_smirnov(sketches[0].counts, sketches[1].counts)[0]
    figures = [Figure("ks_error", abs(ours - exact), "", "KS distance from bins against the exact one", 0.0001)]
    counted: dict[str, Callable[[], Any]] = {
        "ks_ms": lambda: kolmogorov_smirnov(sketches[0].counts, sketches[1].counts)
    }
    try:
        scipy = importlib.import_module("scipy.stats")
        counted["scipy_ks_ms"] = lambda: scipy.ks_2samp(old, new, method="asymp")
    except ImportError:
        print("  scipy is not installed: its KS test takes no part", file=sys.stderr)
    told = {"ks_ms": "KS test from two profiles", "scipy_ks_ms": "scipy's ks_2samp on all rows, in the same run"}
    return [*figures, *(Figure(key, took * 1000, "ms", told[key]) for key, took in _by_turns(counted, 3).items())]


def measure_check(rows: int = ROWS, columns: int = COLUMNS) -> list[Figure]:
    """A check of many columns: a reference and two parts read from JSON, merged and judged in a process of its own."""
    with TemporaryDirectory() as scratch:
        files = write_profiles(Path(scratch), rows, columns)
        size = files[0].stat().st_size
        runs = [_run(_CHECK, *map(str, files)) for _ in range(3)]
    assert all(run["columns"] == columns for run in runs)
    seconds = statistics.median(run["seconds"] for run in runs)
    peak = max(run["peak_mb"] for run in runs)
    return [
        Figure(f"check_seconds_{columns}_columns", seconds, "s", f"{rows:,} rows each, read, merged, judged", 1.0),
        Figure("check_peak_mb", peak, "MB", "of that process, interpreter and numpy included", 512),
        Figure("profile_bytes_a_column", size / columns, "B", f"of the reference, {rows:,} rows"),
    ]


def write_profiles(folder: Path, rows: int, columns: int) -> list[Path]:
    """A reference and two parts of as many rows together: nine in ten columns in bins, the others in buckets."""
    generator = np.random.default_rng(2)
    kinds = ("normal", "uniform", "exponential")
    drawn = {kind: [getattr(generator, kind)(size=rows) for _ in range(2)] for kind in kinds}
    tails = [generator.lognormal(0, 4, rows) for _ in range(2)]
    reference, parts = Profile({}, rows), [Profile({}, rows // 2), Profile({}, rows - rows // 2)]
    for n in range(columns):
        old, new = tails if n % 10 == 9 else drawn[kinds[n % len(kinds)]]
        name, scale = f"column_{n}", 1.0 + n
        scaled = old * scale
        sketch = FloatSketch() if n % 10 == 9 else NumericSketch.spanning(scaled)
        sketch.update(scaled)
        reference.columns[name] = sketch
        for part, values in zip(parts, (new[: rows // 2], new[rows // 2 :]), strict=True):
            part.columns[name] = sketch.empty()
            part.columns[name].update(values * scale)
    files = [folder / f"{name}.json" for name in ("reference", "first", "second")]
    for file, profile in zip(files, (reference, *parts), strict=True):
        file.write_text(profile.to_json(), encoding="utf-8")
    return files


def measure_collect(rows: int = COLLECTED) -> list[Figure]:
    """Records through `drift.collect` less its calls to AWS: parsed, checked, compressed, profiled, batch by batch."""
    run = _run(_COLLECT, str(rows))
    million = 1_000_000 / BATCH * 2 * PUTS_USD / 1000
    return [
        Figure("collect_rows_per_s", run["rows_per_s"], "/s", f"one core, batches of {BATCH}, calls to AWS aside"),
        Figure("collect_peak_mb", run["peak_mb"], "MB", "of that process; whatever the number of rows", 512),
        Figure("collect_bytes_a_row", run["bytes_a_row"], "B", "stored: records compressed, and their profile"),
        Figure("collect_s3_usd_a_million", million, "USD", f"PUTs for 1,000,000 rows in batches of {BATCH}"),
    ]


def collect(rows: int) -> dict[str, float]:
    """What `measure_collect` tells, of this process."""
    reference = Profile.of(_features(np.random.default_rng(3), 5000))
    stored = _Stored()
    intake = TrafficIntake(stored, _Trained(reference), _Unclaimed())  # type: ignore[arg-type]
    took = 0.0
    for start in range(0, rows, BATCH):
        bodies = [_record(n).to_json() for n in range(start, min(start + BATCH, rows))]
        began = time.process_time()
        intake.take([CaptureRecord.from_dict(json.loads(body)) for body in bodies], 0)
        took += time.process_time() - began
    assert stored.rows == rows
    return {"rows_per_s": rows / took, "bytes_a_row": stored.size / rows}


def exact_distance(old: Values, new: Values) -> float:
    """The two-sample KS distance over all rows."""
    ordered, both = (np.sort(old), np.sort(new)), np.concatenate((old, new))
    upto = [np.searchsorted(each, both, side="right") / each.size for each in ordered]
    return float(np.abs(upto[0] - upto[1]).max())


class _Stored:
    """What `pawl.store.Traffic` writes, counted instead of sent."""

    rows = 0
    size = 0

    def is_stored(self, model: str, version: str, batch: str) -> bool:
        return False

    def store(self, batch: str, records: list[CaptureRecord], profile: Profile) -> None:
        lines = "\n".join(record.to_json() for record in records)
        self.size += len(gzip.compress(lines.encode(), 6, mtime=0)) + len(profile.to_json())
        self.rows += len(records)


class _Trained:
    def __init__(self, reference: Profile) -> None:
        self._reference = reference

    def reference(self, model: str, version: str) -> Profile:
        return self._reference


class _Unclaimed:
    def claim(self, key: str, work: str, now_ms: int, *_: Any) -> tuple[str, int]:
        return work, now_ms


def _features(generator: np.random.Generator, rows: int) -> dict[str, Any]:
    return {
        "tokens": generator.integers(3, 90, rows).tolist(),
        "characters": generator.integers(9, 400, rows).tolist(),
        "script": ["latin"] * rows,
        "unknown_rate": [0.0] * rows,
        "label": generator.choice(["billing", "outage", "meter"], rows).tolist(),
        "confidence": generator.beta(8, 2, rows).round(6).tolist(),
        **{f"projection_{d}": generator.normal(size=rows).round(4).tolist() for d in range(8)},
    }


def _record(number: int) -> CaptureRecord:
    features = _features(np.random.default_rng(number), 1)
    text = {"text": [f"my invoice number {number} is wrong, please look at it again"]}
    uuid = f"019f5fee{number:024x}"
    about = (f"1.{uuid}.triage.1.3.1.ZGlnZXN0.bWFj", "triage", "1", 1_784_020_867_124 + number)
    return CaptureRecord(*about, text, {"label": features["label"]}, features)


def _run(code: str, *arguments: str) -> dict[str, float]:
    """What a program prints as JSON, run in a process of its own, and its peak memory, which Linux tells."""
    path = os.pathsep.join(str(ROOT / each) for each in ("scripts", "functions", "layers/core"))
    command = [sys.executable, "-c", code + _PEAK, *arguments]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": path}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    told, peak = done.stdout.splitlines()
    return {**json.loads(told), "peak_mb": float(peak)}


def _by_turns(counted: dict[str, Callable[[], Any]], runs: int = RUNS) -> dict[str, float]:
    """The median processor time of each, one run of each after the other."""
    took: dict[str, list[float]] = {key: [] for key in counted}
    for _ in range(runs):
        for key, run in counted.items():
            began = time.process_time()
            run()
            took[key].append(time.process_time() - began)
    return {key: statistics.median(each) for key, each in took.items()}


def _datasketches() -> Any:
    try:
        return importlib.import_module("datasketches")
    except ImportError:
        return None
