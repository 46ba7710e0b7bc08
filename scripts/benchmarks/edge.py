"""The page for devices in a real Chromium: its weight, how soon and how fast it answers, and whether as the Lambda.

Every visit is by a browser that has never been here; the ones after it find what the first has kept. Answers of page
and Lambda are timed in turns over the same texts, both on one thread. Bytes are those of the files that were asked for.
"""

import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tests.functional.browser import Tab, browser
from tests.functional.static import Host, host

from benchmarks.figures import Figure, Findings
from devices.package import write_package
from devices.portable import GRAPH
from devices.source import Source
from pawl.classifier import TextClassifier
from training import starter

LATER = Path(__file__).parents[1] / "local" / "later.jsonl"
READY = "!document.querySelector('#go').disabled"
FIRST = "pawl.answer('where is my parcel?').then(() => performance.now())"
KEPT = "navigator.serviceWorker.controller !== null"
TIMED = """(async texts => {
  const took = [];
  for (const text of texts) took.push((await pawl.answer(text)).took_ms);
  return took;
})"""
WORDS = {8: 6, 32: 30, 128: 200}
"""How many words make so many tokens, special ones included; a longer text is cut."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    visits: int = 7
    answers: int = 60


QUICK = Size(visits=2, answers=10)


def measure(size: Size, source: Source) -> Findings:
    """A text classifier, packed as for anybody."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "packed"
        write_package(source, folder, None)
        with host(folder / "page") as site, browser(Path(scratch)) as chromium:
            visits, again = _visits(chromium, site, size)
            weights = _weights(folder / "page", site)
            tab = Tab(chromium)
            _visit(tab, site)
            model = TextClassifier(source.bundle)
            latencies = {tokens: _latencies(tab, model, words, size) for tokens, words in WORDS.items()}
            alike = _likeness(tab, model)
        portable = (folder / "portable" / GRAPH).stat().st_size / 1e6
    return Findings([*weights, *_soon(visits, again), *_fast(latencies), *alike, _figure("edge_ort_mb", portable)])


def _figure(key: str, value: float) -> Figure:
    unit, meaning = MEANINGS[key]
    return Figure(key, value, unit, meaning)


MEANINGS = {
    "edge_ort_mb": ("MB", "model.ort, graph and weights in one file"),
    "edge_page_mb": ("MB", "all that a first visit asks for"),
    "edge_page_gzip_mb": ("MB", "the same from a host that compresses"),
    "edge_first_answer_ms": ("ms", "address opened to first answer, first visit, host on this machine"),
    "edge_again_answer_ms": ("ms", "the same, from what the browser has kept"),
    "edge_same_label": ("", "answers with the Lambda's label, starter holdout and half a year later"),
    "edge_largest_difference": ("", "largest difference of a probability from the Lambda's"),
    "edge_texts": ("", "texts that were compared"),
}


def _visits(chromium: Any, site: Host, size: Size) -> tuple[list[float], list[float]]:
    first, again = list[float](), list[float]()
    for _ in range(size.visits):
        tab = Tab(chromium)
        first.append(_visit(tab, site))
        tab.wait(KEPT)
        again.append(_visit(tab, site))
        tab.open("about:blank")
    return first, again


def _visit(tab: Tab, site: Host) -> float:
    tab.open(site.address)
    tab.wait(READY)
    return tab.see(FIRST)


def _weights(page: Path, site: Host) -> list[Figure]:
    files = {page / (path.partition("?")[0].lstrip("/") or "index.html") for path in site.asked}
    found = [path.read_bytes() for path in sorted(files) if path.is_file()]
    packed = sum(len(gzip.compress(data, 6)) for data in found)
    return [
        _figure("edge_page_mb", sum(map(len, found)) / 1e6),
        _figure("edge_page_gzip_mb", packed / 1e6),
    ]


def _soon(first: list[float], again: list[float]) -> list[Figure]:
    return [_figure("edge_first_answer_ms", median(first)), _figure("edge_again_answer_ms", median(again))]


def _latencies(tab: Tab, model: TextClassifier, words: int, size: Size) -> tuple[list[float], list[float]]:
    """Milliseconds an answer took on the page and in the Lambda's code, in turns of ten."""
    texts = [" ".join((f"parcel {number} late " * words).split()[:words]) for number in range(size.answers)]
    page, native = list[float](), list[float]()
    for start in range(0, len(texts), 10):
        some = texts[start : start + 10]
        page += tab.see(f"{TIMED}({json.dumps(some)})")
        for text in some:
            began = time.perf_counter()
            model.predict({"text": [text]}).features()
            native.append((time.perf_counter() - began) * 1e3)
    return page, native


def _fast(latencies: dict[int, tuple[list[float], list[float]]]) -> list[Figure]:
    figures = list[Figure]()
    for tokens, (page, native) in latencies.items():
        p99 = quantiles(page, n=100)[98]
        figures += [
            Figure(f"edge_{tokens}_p50_ms", median(page), "ms", f"an answer on the page, {tokens} tokens"),
            Figure(f"edge_{tokens}_p99_ms", p99, "ms", "the same, the slowest of a hundred"),
            Figure(
                f"edge_{tokens}_ratio", median(page) / median(native), "x", "against the Lambda's code on this machine"
            ),
        ]
    return figures


def _likeness(tab: Tab, model: TextClassifier) -> list[Figure]:
    """Whether the page answers as the Lambda does, on texts that the model was not trained on."""
    parts = starter.split(starter.read_rows(starter.ROWS.read_text(encoding="utf-8").splitlines()))
    later = [json.loads(line)["text"] for line in LATER.read_text(encoding="utf-8").splitlines()]
    texts = [*(row.text for row in parts.holdout), *later]
    same, largest = 0, 0.0
    for text in texts:
        got = tab.see(f"pawl.answer({json.dumps(text)})")["outputs"]
        wanted = model.predict({"text": [text]}).outputs
        same += got["label"] == wanted["label"][0]
        largest = max(largest, float(np.abs(np.array(got["probabilities"]) - wanted["probabilities"][0]).max()))
    return [
        _figure("edge_texts", len(texts)),
        _figure("edge_same_label", same / len(texts)),
        _figure("edge_largest_difference", largest),
    ]
