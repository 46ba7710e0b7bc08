"""Captured records through `drift.collect`'s own handler, batch by batch; only the network is left out.

What the SDK does for each call is counted in, down to the signature; what S3 and DynamoDB answer is made up where the
call would leave the process. The questions are the starter's later ones in turn, as people wrote them, since what
masking costs depends on what is in a text; all else of a record is drawn in bulk. Making records is not timed.
"""

import importlib
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from artifacts.target import ROOT
from benchmarks.child import peak_mb, run
from benchmarks.cost import DYNAMODB_WRITE
from benchmarks.figures import Figure
from pawl.bundle import MANIFEST, Lineage, Manifest
from pawl.identity import uuid7_hex
from pawl.profile import Profile
from pawl.records import CaptureRecord
from pawl.registry import REFERENCE

ROWS = 20_000
MANY = 10_000_000
# What the template's event source hands to one invocation, and S3's prices in us-east-1: of 1,000 PUTs, and of a
# gigabyte kept for a month, in USD.
BATCH = 100
PUTS_USD = 0.005
GB_MONTH_USD = 0.023
_EPOCH_MS = 1_784_020_867_124
_TEXTS = ROOT / "scripts" / "local" / "later.jsonl"
_COLLECT = """
import json, sys
from benchmarks.capture import collect
print(json.dumps(collect(int(sys.argv[1]))))
"""


def measure(rows: int = ROWS) -> list[Figure]:
    """Speed, memory and prices; time for MANY rows is extrapolated from fewer, and the figure says from how many."""
    found = run(_COLLECT, str(rows))
    s3_usd, ledger_usd = found["s3_puts_a_row"] * 1000 * PUTS_USD, found["ledger_writes_a_row"] * 1e6 * DYNAMODB_WRITE
    stored_usd = found["bytes_a_row"] * 1e6 / 1e9 * GB_MONTH_USD
    hours = MANY / found["rows_per_s"] / 3600
    of_many = f"of {MANY:,} rows, " + (f"extrapolated from {rows:,}" if rows < MANY else "all of them measured")
    return [
        Figure(
            "collect_rows_per_s", found["rows_per_s"], "/s", f"one core, the handler less the network, {rows:,} rows"
        ),
        Figure("collect_10m_core_hours", hours, "h", of_many),
        Figure("collect_peak_mb", found["peak_mb"], "MB", "of that process, the SDK included", 512),
        Figure(
            "collect_growth_mb", found["growth_mb"], "MB", "of that peak over the last three quarters of the rows", 16
        ),
        Figure("collect_calls_a_row", found["calls_a_row"], "", "to S3 and DynamoDB together"),
        Figure("collect_bytes_a_row", found["bytes_a_row"], "B", "stored: records compressed, and their profile"),
        Figure("collect_s3_usd_a_million", s3_usd, "USD", f"PUTs counted for 1,000,000 rows in batches of {BATCH}"),
        Figure("collect_s3_usd_a_million_month", stored_usd, "USD", "to keep 1,000,000 rows for a month"),
        Figure("collect_ledger_usd_a_million", ledger_usd, "USD", "to claim 1,000,000 records of one row in DynamoDB"),
    ]


def collect(rows: int) -> dict[str, float]:
    """What `measure` tells, of this process."""
    aws = _Answering()
    boto3.setup_default_session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-send", aws.answer)
    os.environ |= {"BUCKET": "lake", "STATE_TABLE": "state"}
    handler = importlib.import_module("drift.collect").handler
    took, early_mb, done = 0.0, 0.0, 0
    for event in _events(rows):
        with redirect_stdout(io.StringIO()):
            began = time.process_time()
            reply = handler(event, None)
            took += time.process_time() - began
        assert reply == {"batchItemFailures": []}
        done += len(event["Records"])
        if done <= max(BATCH, rows // 4):
            early_mb = peak_mb()
        if done % 1_000_000 == 0:
            print(f"  {done:,} rows: {done / took:.0f}/s, {peak_mb():.1f} MB", file=sys.stderr, flush=True)
    assert aws.rows == aws.claims == rows
    return {
        "rows_per_s": rows / took,
        "growth_mb": peak_mb() - early_mb,
        "bytes_a_row": aws.size / rows,
        "calls_a_row": aws.calls.total() / rows,
        "s3_puts_a_row": aws.calls["s3.PutObject"] / rows,
        "ledger_writes_a_row": aws.claims / rows,
    }


class _Answering:
    """Stands where the network begins: counts what is sent, and answers as S3 and DynamoDB do."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.size = 0
        self.rows = 0
        self.claims = 0
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

    def answer(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """What a signed request comes back with, in the place of sending it: botocore's `before-send`."""
        call = event_name.removeprefix("before-send.")
        self.calls[call] += 1
        path = urlsplit(request.url).path
        if call == "s3.PutObject":
            self._keep(path, _sent(request))
        answer = self._stored[path.rpartition("/")[2]] if call == "s3.GetObject" else b""
        if call == "dynamodb.BatchExecuteStatement":
            claims = _sent(request).count(b'{"Statement":')
            self.claims += claims
            answer = b'{"Responses":[%s]}' % b",".join([b'{"TableName":"state"}'] * claims)
        headers = {"content-length": str(len(answer))}
        return AWSResponse(request.url, 200, headers, _Body(answer))  # pyright: ignore[reportArgumentType]

    def _keep(self, path: str, body: bytes) -> None:
        self.size += len(body)
        if path.endswith(".json"):
            self.rows += int(body.rpartition(b'"rows":')[2].partition(b",")[0])


class _Body(io.BytesIO):
    """An answer's body as the SDK reads one."""

    def stream(self, amt: int = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """All of it, piece by piece."""
        while piece := self.read(amt):
            yield piece


def _sent(request: AWSPreparedRequest) -> bytes:
    body: Any = request.body
    return body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else body.read()


def _events(rows: int) -> Iterator[dict[str, Any]]:
    """Batches of messages, as many records of one row each."""
    generator = np.random.default_rng(4)
    texts = [json.loads(line)["text"] for line in _TEXTS.read_text(encoding="utf-8").splitlines()]
    for start in range(0, rows, BATCH):
        drawn = _features(generator, min(BATCH, rows - start))
        messages = list[dict[str, str]]()
        for each in range(len(drawn["label"])):
            number = start + each
            features = {name: [values[each]] for name, values in drawn.items()}
            body = _record(number, texts[number % len(texts)], features).to_json()
            messages.append({"messageId": str(number), "body": body})
        yield {"Records": messages}


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


def _record(number: int, text: str, features: dict[str, Any]) -> CaptureRecord:
    at_ms = _EPOCH_MS + 10 * number
    uuid = uuid7_hex(at_ms, number.to_bytes(10, "big"))
    about = (f"1.{uuid}.triage.1.3.1.ZGlnZXN0.bWFj", "triage", "1", at_ms)
    return CaptureRecord(*about, {"text": [text]}, {"label": features["label"]}, features)
