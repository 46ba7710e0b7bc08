"""What libraries find of the personal data in a small test set, and what masking costs where traffic is collected.

The test set (`personal.txt`, English and German, values in braces) was written for this comparison by the authors of
one of its subjects. It holds what patterns cannot find, names, and what only looks like personal data. A value is found
when nine tenths of its characters lie in spans of its kind; a span is right when it touches a value of its kind.
"""

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from artifacts.target import ROOT
from benchmarks.environments import Environment, Unavailable, ensure, version
from benchmarks.figures import Figure, Findings
from drift.intake import TrafficIntake
from pawl.bucket import Bucket
from pawl.identity import uuid7_hex
from pawl.ledger import Ledger
from pawl.masking import Policy, mask_record
from pawl.records import CaptureRecord
from pawl.registry import Registry
from pawl.traffic import Traffic

TEST_SET = Path(__file__).with_name("personal.txt")
SUBJECT = Path(__file__).with_name("subjects") / "personal_finders.py"
TYPICAL = ROOT / "functions" / "training" / "data" / "triage.jsonl"
KINDS = ("email", "phone", "iban", "card", "ip", "address", "name")
PEERS = {
    "pawl": Environment("privacy-pawl", (), ("phonenumberslite",)),
    "presidio": Environment("privacy-presidio", ("presidio-analyzer",)),
    "datafog": Environment("privacy-datafog", ("datafog",)),
    "scrubadub": Environment("privacy-scrubadub", ("scrubadub",)),
    "commonregex": Environment("privacy-commonregex", ("commonregex-improved",)),
}
TIMEOUT_S = 600
FOUND = 0.9
BATCH = 100
BATCHES = 20
_VALUE = re.compile(r"\{(\w+):([^{}]+)\}")
Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text and the personal data in it."""

    text: str
    values: list[Span]


@dataclass(frozen=True, slots=True)
class Score:
    """Of one kind: how many values there are and were found, how many spans were given and are right."""

    values: int
    found: int
    spans: int
    right: int

    def cell(self) -> str:
        """Recall and precision in percent; a bar where there is nothing to divide."""
        recall = f"{self.found / self.values:.0%}" if self.values else "-"
        return f"{recall} {self.right / self.spans:.0%}" if self.spans else f"{recall} -"


def measure(home: Path) -> Findings:
    """The table of finders, and what masking takes."""
    sentences = read_test_set(TEST_SET.read_text(encoding="utf-8"))
    lines = [f"  {'recall and precision':<22}" + "".join(f"{kind:>12}" for kind in KINDS) + "  us a text    MB"]
    more, versions = dict[str, Any](), list[str]()
    for name, environment in PEERS.items():
        try:
            python = ensure(environment, home)
            told = run_finder(python, name, [sentence.text for sentence in sentences])
        except Unavailable as error:
            lines.append(f"  {name:<22}  missing: {error}")
            continue
        scores = {kind: score(sentences, told["spans"], kind) for kind in KINDS}
        megabytes = installed_mb(python)
        versions.append(_version(python, environment))
        cells = "".join(f"{scores[kind].cell():>12}" for kind in KINDS)
        lines.append(f"  {name:<22}{cells}{told['us']:>11.0f}{megabytes:>6.0f}")
        more[f"privacy_{name}"] = {kind: scores[kind].cell() for kind in KINDS} | {"us": told["us"], "mb": megabytes}
    counted = Counter(kind for sentence in sentences for _, _, kind in sentence.values)
    plain = sum(not sentence.values for sentence in sentences)
    lines.append(f"  {len(sentences)} sentences, {plain} without personal data; values: {dict(counted)}")
    lines.append(f"  {', '.join(versions)}")
    return Findings(collecting(), ["", *lines], more)


def read_test_set(text: str) -> list[Sentence]:
    """The sentences of the test set, their braces taken away.

    >>> read_test_set("to {email:a@b.org}, now")
    [Sentence(text='to a@b.org, now', values=[(3, 10, 'email')])]
    """
    sentences = list[Sentence]()
    for line in text.splitlines():
        plain, values, end = "", list[Span](), 0
        for found in _VALUE.finditer(line):
            plain += line[end : found.start()]
            values.append((len(plain), len(plain) + len(found[2]), found[1]))
            plain, end = plain + found[2], found.end()
        sentences.append(Sentence(plain + line[end:], values))
    return sentences


def score(sentences: Sequence[Sentence], spans: Sequence[Sequence[Sequence[Any]]], kind: str) -> Score:
    """How a finder's spans, a list a sentence, fit the values of one kind."""
    values = found = given = right = 0
    for sentence, told in zip(sentences, spans, strict=True):
        wanted = [set(range(start, end)) for start, end, each in sentence.values if each == kind]
        covered = [set(range(start, end)) for start, end, each in told if each == kind]
        values, given = values + len(wanted), given + len(covered)
        found += sum(len(value & set[int]().union(*covered)) >= FOUND * len(value) for value in wanted)
        right += sum(any(span & value for value in wanted) for span in covered)
    return Score(values, found, given, right)


def run_finder(python: Path, name: str, texts: Sequence[str]) -> dict[str, Any]:
    """What a finder says in its own environment; Unavailable with its last words."""
    command = [str(python), str(SUBJECT), name]
    asked, path = json.dumps({"texts": texts}), {"PYTHONPATH": str(ROOT / "layers" / "core")}
    done = subprocess.run(command, input=asked, env=path, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise Unavailable(f"it ended: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def installed_mb(python: Path) -> float:
    """The packages of an environment in MB, byte code aside."""
    packages = next((python.parents[1] / "lib").glob("python*")) / "site-packages"
    files = (path for path in packages.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sum(path.stat().st_size for path in files) / 1e6


def collecting() -> list[Figure]:
    """Rows a second that collecting takes in, storage aside, with and without masking; typical texts of support."""
    texts = [json.loads(line)["text"] for line in TYPICAL.read_text(encoding="utf-8").splitlines()]
    records = [_record(number, texts[number % len(texts)]) for number in range(BATCH * BATCHES)]
    bodies, policy = [record.to_json() for record in records], Policy()
    masking = [_seconds(lambda: [mask_record(record, policy) for record in records]) for _ in range(3)]
    with_it, without = (min(_seconds(lambda p=p: _collect(bodies, p)) for _ in range(3)) for p in (policy, Policy(())))
    rows = len(records)
    return [
        Figure("masking_us", min(masking) / rows * 1e6, "us", "to mask a captured text of support of typical length"),
        Figure("collect_rows_s", rows / with_it, "rows/s", "collected and masked, storage aside", None, "higher"),
        Figure("collect_plain_rows_s", rows / without, "rows/s", "the same without masking", None, "higher"),
    ]


def _collect(bodies: Sequence[str], policy: Policy) -> None:
    intake = TrafficIntake(Traffic(cast(Bucket, _Nowhere())), cast(Registry, _Nowhere()), cast(Ledger, _Nowhere()))
    for first in range(0, len(bodies), BATCH):
        parsed = [CaptureRecord.from_dict(json.loads(body)) for body in bodies[first : first + BATCH]]
        outcome = intake.take([mask_record(record, policy) for record in parsed], 0)
        assert outcome.stored == len(parsed)


class _Nowhere:
    """Bucket, registry and ledger of a deployment that keeps nothing."""

    def write(self, key: str, data: bytes) -> None:
        """Nothing is kept."""

    def reference(self, model: str, version: str) -> None:
        """No model has one."""

    def claim(self, key: str, work: str, now_ms: int, note: Any = None) -> tuple[str, int]:
        """Whoever asks is first."""
        return work, now_ms


def _record(number: int, text: str) -> CaptureRecord:
    at_ms = 1_767_225_600_000 + number
    inference_id = f"1.{uuid7_hex(at_ms, number.to_bytes(10, 'big'))}.triage.1.1.1.{'d' * 16}.{'m' * 22}"
    projections = {f"projection_{place}": [0.1234] for place in range(8)}
    features = {"tokens": [17], "characters": [len(text)], "label": ["other"], "confidence": [0.9], **projections}
    return CaptureRecord(inference_id, "triage", "1", at_ms, {"text": [text]}, {"label": ["other"]}, features)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _version(python: Path, environment: Environment) -> str:
    package = (environment.packages or environment.shared)[0]
    return f"{package} {version(python, package)}"
