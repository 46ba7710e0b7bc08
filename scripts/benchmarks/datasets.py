"""Whether a month of busy traffic freezes into a dataset within a function's memory and time.

A million captured rows and 100,000 pieces of feedback lie on disk as they lie in S3 and DynamoDB, so that the process
under measurement holds only what a freeze itself holds: its peak is that of the whole process, libraries included.
Texts are drawn from a vocabulary with Zipf's frequencies; one in twenty was asked before, one in fifty repeats another
but for a word at its end. Half of the feedback is the only word on its answer, half of it is on few answers with many
votes each; one rater in twenty inverts every label.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import Unavailable
from benchmarks.figures import Figure, Findings
from benchmarks.peers import SUBJECTS
from pawl.dataset import Row, freeze
from pawl.identity import isoformat, uuid7_hex
from pawl.records import CaptureRecord

MODEL, VERSION = "triage", "1"
ROWS, FEEDBACK, ROWS_A_BATCH = 1_000_000, 100_000, 10_000
RATERS, HOSTILE = 2_000, 0.05
LABELS = [f"label {number}" for number in range(10)]
BUSY = 100
"""One answer in so many is one that many raters vote on."""
WORDS, VOCABULARY = 15, 20_000
REPEATED, NEARLY = 0.05, 0.02
BEGAN_MS, WINDOW_DAYS = 1_767_225_600_000, 30
BUDGET_MB, LAMBDA_TIMEOUT_S = 2_000.0, 300.0
TIMEOUT_S = 1_800


@dataclass(frozen=True, slots=True)
class Size:
    """How much was captured and said."""

    rows: int = ROWS
    feedback: int = FEEDBACK
    raters: int = RATERS


QUICK = Size(ROWS // 10, FEEDBACK // 10, RATERS // 10)


def measure(size: Size) -> Findings:
    """Write the lake, freeze it in a process of its own, and say what that took."""
    with tempfile.TemporaryDirectory() as folder:
        write_lake(Path(folder), size)
        took = freeze_in(Path(folder))
        ours, engine = (join_in(Path(folder), how) for how in ("hand", "engine"))
    if ours["digest"] != engine["digest"]:
        raise Unavailable("the two joins come to different votes")
    what = f"{size.rows:,} captured rows and {size.feedback:,} pieces of feedback"
    kept = f"of its process at most: {took['learned']:,} new rows, {took['near_duplicates']:,} near duplicates left out"
    right = f"of the new rows have their true label; {HOSTILE:.0%} of {size.raters:,} raters invert"
    said = "of the votes name it"
    return Findings(
        [
            Figure("freeze_s", took["seconds"], "s", f"to freeze {what}", LAMBDA_TIMEOUT_S),
            Figure(
                "freeze_cpu_s", took["cpu_seconds"], "s", "of processor time in that, which a busy machine stretches"
            ),
            Figure("freeze_peak_mb", took["peak_mb"], "MB", kept, BUDGET_MB),
            Figure("freeze_right_labels", took["right"], "", right),
            Figure("freeze_right_votes", took["right_votes"], "", said),
            Figure("join_cpu_s", ours["cpu_seconds"], "s", f"of that, to find {ours['votes']:,} votes and their texts"),
            Figure("join_peak_mb", ours["peak_mb"], "MB", "of a process that does so alone"),
            Figure("engine_join_cpu_s", engine["cpu_seconds"], "s", "for the same votes by DuckDB, on one thread"),
            Figure("engine_join_peak_mb", engine["peak_mb"], "MB", "of its process"),
        ]
    )


def freeze_in(folder: Path) -> dict[str, Any]:
    """What a fresh process says of freezing the lake in `folder`."""
    return _say("freezing.py", str(folder))


def join_in(folder: Path, how: str) -> dict[str, Any]:
    """What a fresh process says of joining feedback and traffic there, by `hand` or by an `engine`."""
    return _say("joining.py", how, str(folder))


def _say(subject: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(SUBJECTS / subject), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise Unavailable(f"{subject} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def write_lake(folder: Path, size: Size) -> None:
    """Traffic under `s3/`, feedback by day under `feedback/`, the parent dataset's files, and the true labels."""
    generator = np.random.default_rng(0)
    texts, uuids = list[str](), list[str]()
    for first in range(0, size.rows, ROWS_A_BATCH):
        rows = range(first, min(size.rows, first + ROWS_A_BATCH))
        texts += _texts(generator, len(rows), texts[: first // 2])
        uuids += [uuid7_hex(_answered_ms(row, size), generator.bytes(10)) for row in rows]
        _write_batch(folder, [_record(uuids[row], _answered_ms(row, size), texts[row]) for row in rows])
    truths = generator.integers(0, len(LABELS), size.rows)
    for item in _said(generator, size, uuids, truths):
        day = folder / "feedback" / f"{MODEL}#{item['answered_at'][:10]}"
        day.parent.mkdir(exist_ok=True)
        with day.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({name: value for name, value in item.items() if name != "answered_at"}) + "\n")
    parent = freeze(MODEL, {split: _rows(split) for split in ("train", "holdout")}, {"parent": None})
    (folder / "parent").mkdir()
    for name, data in parent.files.items():
        (folder / "parent" / name).write_bytes(data)
    told = {uuid: LABELS[truth] for uuid, truth in zip(uuids, truths.tolist(), strict=True)}
    (folder / "truths.json").write_text(json.dumps(told))


def _texts(generator: np.random.Generator, count: int, earlier: Sequence[str]) -> list[str]:
    """New texts, some of which were asked earlier, as they are or nearly."""
    shares = 1 / np.arange(1, VOCABULARY + 1)
    ranks = np.searchsorted(np.cumsum(shares / shares.sum()), generator.random((count, WORDS)))
    texts = [" ".join(f"word{rank}" for rank in line) for line in ranks.tolist()]
    for place in np.flatnonzero(generator.random(count) < REPEATED + NEARLY).tolist() if earlier else []:
        before = earlier[generator.integers(len(earlier))]
        texts[place] = before.upper() if generator.random() < REPEATED / (REPEATED + NEARLY) else f"{before} please"
    return texts


def _answered_ms(row: int, size: Size) -> int:
    return BEGAN_MS + row * WINDOW_DAYS * 86_400_000 // size.rows


def _receipt(uuid: str) -> str:
    return f"1.{uuid}.{MODEL}.{VERSION}.1.1.{'d' * 16}.{'m' * 22}"


def _record(uuid: str, at_ms: int, text: str) -> CaptureRecord:
    projections = {f"projection_{number}": [0.1234] for number in range(8)}
    features = {"tokens": [17], "characters": [len(text)], "script": ["latin"], "label": [LABELS[0]]}
    outputs = {"label": [LABELS[0]], "probabilities": [[0.1] * len(LABELS)]}
    columns = {**features, "confidence": [0.912345], **projections}
    return CaptureRecord(_receipt(uuid), MODEL, VERSION, at_ms, {"text": [text]}, outputs, columns)


def _write_batch(folder: Path, records: list[CaptureRecord]) -> None:
    uuid = records[0].inference_id.split(".")[1]
    day = folder / "s3" / "traffic" / MODEL / VERSION / isoformat(records[0].unix_ms)[:10]
    day.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(record.to_json() for record in records)
    (day / f"{uuid}-0123456789ab.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 1, mtime=0))


def _said(
    generator: np.random.Generator, size: Size, uuids: list[str], truths: np.ndarray[Any, Any]
) -> Iterator[Mapping[str, Any]]:
    """Each piece from a rater of their own steadiness, in answer order; the first raters invert all they see."""
    steadiness = generator.beta(9, 1, size.raters)
    busy = generator.integers(0, size.rows, max(1, size.rows // BUSY))
    rows = np.append(generator.integers(0, size.rows, size.feedback // 2), generator.choice(busy, size.feedback // 2))
    pairs = np.unique(rows * size.raters + generator.integers(0, size.raters, rows.size))
    for row, rater in zip((pairs // size.raters).tolist(), (pairs % size.raters).tolist(), strict=True):
        is_right = generator.random() < steadiness[rater] and rater >= HOSTILE * size.raters
        wrong = (truths[row] + 1 + generator.integers(0, len(LABELS) - 1)) % len(LABELS)
        inverted = len(LABELS) - 1 - truths[row]
        label = truths[row] if is_right else inverted if rater < HOSTILE * size.raters else wrong
        answered_ms, name = _answered_ms(row, size), f"rater-{rater}"
        yield {
            "sk": f"{uuids[row]}#label#{name}",
            "feedback_id": f"{uuids[row]}/label/{name}",
            "inference_id": _receipt(uuids[row]),
            "metric": "label",
            "value": [LABELS[int(label)]],
            "rater": name,
            "tags": {"rater": name},
            "model_version": VERSION,
            "given_at": isoformat(answered_ms + int(generator.integers(60_000, 86_400_000))),
            "answered_at": isoformat(answered_ms),
        }


def _rows(split: str) -> list[Row]:
    return [Row(f"{split} text {number} of {label}", label) for label in LABELS for number in range(100)]
