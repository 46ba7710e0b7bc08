"""Profiles under measurement: values counted a second, what binning hides, a check of 1,000 columns, rows collected.

Speeds are by processor time of one core, the median of several runs, all of them in one process; the check runs in a
process of its own, whose peak memory is told by the system. Peers take turns with ours where installed.
"""

import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import numpy as np
from botocore.awsrequest import AWSResponse
from numpy.typing import NDArray

from artifacts.target import ROOT
from benchmarks.cost import DYNAMODB_WRITE
from benchmarks.figures import Figure
from benchmarks.process import ONE_THREAD
from pawl.bundle import MANIFEST, Lineage, Manifest
from pawl.floats import FloatSketch
from pawl.identity import uuid7_hex
from pawl.numeric import BINS, NumericSketch
from pawl.profile import Profile
from pawl.records import CaptureRecord
from pawl.registry import REFERENCE
from pawl.stats import kolmogorov_smirnov

ROWS = 1_000_000
COLUMNS = 1_000
RUNS = 7
COLLECTED = 20_000
MANY = 10_000_000
# What the template's event source hands to one invocation, and S3's prices in us-east-1: of 1,000 PUTs, and of a
# gigabyte kept for a month, in USD.
BATCH = 100
PUTS_USD = 0.005
GB_MONTH_USD = 0.023
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
        "bare_values_per_s": lambda: _bare_update(old, bins.low, bins.high),
    }
    if peer is not None:
        counted["kll_values_per_s"] = lambda: peer.kll_doubles_sketch(200).update(old)
    took = _by_turns(counted)
    meanings = {
        "update_values_per_s": "equal bins, float64, one core",
        "update_f32_values_per_s": "the same, float32",
        "float_values_per_s": "buckets of any range, float64, one core",
        "bare_values_per_s": "nothing but an affine map and a bincount, in the same run",
        "kll_values_per_s": "Apache datasketches KLL, k = 200, in the same run",
    }
    figures = [
        Figure(key, rows / seconds, "/s", meanings[key], 200e6 if key.startswith("update") else None, "higher")
        for key, seconds in took.items()
    ]
    if peer is None:
        print("  datasketches is not installed: KLL takes no part", file=sys.stderr)
    share = took["bare_values_per_s"] / took["update_values_per_s"]
    figures.append(Figure("update_of_bare", share, "x", "speed of the update against the bare map and bincount"))
    return [*figures, *_ks_figures(old, new)]


def _bare_update(values: Values, low: float, high: float) -> None:
    """The least that counting in equal bins takes in numpy: no moments, no extremes, no check of the range."""
    np.bincount(((values - low) * (BINS / (high - low))).astype(np.int64), minlength=BINS + 2)


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
    """Records through `drift.collect`'s own handler, batch by batch; only the network is left out.

    What the SDK does for each call is counted in, the answers of S3 and DynamoDB are made up on the spot. Nothing is
    kept between two batches, so time is extrapolated to MANY rows, and the figure says from how many.
    """
    run = _run(_COLLECT, str(rows))
    s3_usd, ledger_usd = run["s3_puts_a_row"] * 1000 * PUTS_USD, run["ledger_writes_a_row"] * 1e6 * DYNAMODB_WRITE
    stored_usd = run["bytes_a_row"] * 1e6 / 1e9 * GB_MONTH_USD
    hours = MANY / run["rows_per_s"] / 3600
    return [
        Figure("collect_rows_per_s", run["rows_per_s"], "/s", f"one core, the handler less the network, {rows:,} rows"),
        Figure("collect_10m_core_hours", hours, "h", f"of {MANY:,} rows, extrapolated from {rows:,}"),
        Figure("collect_peak_mb", run["peak_mb"], "MB", "of that process, the SDK included", 512),
        Figure(
            "collect_growth_mb", run["growth_mb"], "MB", "of that peak over the last three quarters of the rows", 16
        ),
        Figure("collect_bytes_a_row", run["bytes_a_row"], "B", "stored: records compressed, and their profile"),
        Figure("collect_s3_usd_a_million", s3_usd, "USD", f"PUTs counted for 1,000,000 rows in batches of {BATCH}"),
        Figure("collect_s3_usd_a_million_month", stored_usd, "USD", "to keep 1,000,000 rows for a month"),
        Figure("collect_ledger_usd_a_million", ledger_usd, "USD", "to claim 1,000,000 records of one row in DynamoDB"),
    ]


def collect(rows: int) -> dict[str, float]:
    """What `measure_collect` tells, of this process."""
    aws = _Answering()
    boto3.setup_default_session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-call", aws.answer)
    os.environ |= {"BUCKET": "lake", "STATE_TABLE": "state"}
    handler = importlib.import_module("drift.collect").handler
    took, early_mb = 0.0, 0.0
    with redirect_stdout(io.StringIO()) as told:
        for start in range(0, rows, BATCH):
            event = _event(range(start, min(start + BATCH, rows)))
            began = time.process_time()
            reply = handler(event, None)
            took += time.process_time() - began
            assert reply == {"batchItemFailures": []}
            told.seek(0)
            told.truncate()
            if start <= rows // 4:
                early_mb = _peak_mb()
    assert aws.rows == rows
    return {
        "rows_per_s": rows / took,
        "growth_mb": _peak_mb() - early_mb,
        "bytes_a_row": aws.size / rows,
        "s3_puts_a_row": aws.calls["s3.PutObject"] / rows,
        "ledger_writes_a_row": aws.calls["dynamodb.PutItem"] / rows,
    }


def exact_distance(old: Values, new: Values) -> float:
    """The two-sample KS distance over all rows."""
    ordered, both = (np.sort(old), np.sort(new)), np.concatenate((old, new))
    upto = [np.searchsorted(each, both, side="right") / each.size for each in ordered]
    return float(np.abs(upto[0] - upto[1]).max())


class _Answering:
    """Stands where the network begins: counts what is sent, and answers as S3 and DynamoDB do."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.size = 0
        self.rows = 0
        reference = Profile.of(_features(np.random.default_rng(3), 5000)).to_json().encode()
        about: dict[str, Any] = {
            "name": "triage",
            "version": "1",
            "kind": "text-classifier",
            "created_at": "2026-07-14T09:00:00.000Z",
            "labels": [],
            "max_tokens": 0,
            "lineage": Lineage("none", "none", None, "none", "none", "none"),
            "files": {REFERENCE: {"sha256": "", "size": len(reference)}},
        }
        manifest = Manifest(**about, inputs=[], outputs=[], quantization={}, metrics={})
        self._stored = {MANIFEST: manifest.to_json().encode(), REFERENCE: reference}

    def answer(self, event_name: str, params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        """What a call comes back with, in the place of sending it: botocore's `before-call`."""
        call = event_name.removeprefix("before-call.")
        self.calls[call] += 1
        if call == "s3.PutObject":
            body = params["body"] if isinstance(params["body"], bytes) else params["body"].read()
            self.size += len(body)
            self.rows += json.loads(body)["rows"] if params["url_path"].endswith(".json") else 0
        parsed: dict[str, Any] = {}
        if call == "s3.GetObject":
            parsed["Body"] = io.BytesIO(self._stored[params["url_path"].rpartition("/")[2]])
        return AWSResponse(params["url"], 200, {}, None), parsed


def _event(numbers: Iterable[int]) -> dict[str, Any]:
    return {"Records": [{"messageId": str(number), "body": _record(number).to_json()} for number in numbers]}


def _peak_mb() -> float:
    """The most memory that this process has had, which Linux tells."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024


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
    at_ms = 1_784_020_867_124 + 10 * number
    uuid = uuid7_hex(at_ms, number.to_bytes(10, "big"))
    about = (f"1.{uuid}.triage.1.3.1.ZGlnZXN0.bWFj", "triage", "1", at_ms)
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
