"""What Prometheus reads at `/metrics`: requests, latencies, batches, the queue, tokens and captured records.

A request is labelled with its model and version only once the model was found: names that clients make up never become
labels. The model is seen where the engine is asked for it, which may be in another thread than the request's; the
sighting travels there in the context.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from inference.delivery import LOST, SPILLED
from inference.engine import Engine
from inference.service import Capturer
from pawl.bundle import Manifest
from pawl.model import Model
from pawl.records import CaptureRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_MODEL = ("model", "version")


@dataclass(slots=True)
class Sighting:
    """What is known of a request under way."""

    protocol: str
    status: str = ""
    model: str = ""
    version: str = ""


_sighting: ContextVar[Sighting | None] = ContextVar("sighting", default=None)


class Metrics:
    """The server's instruments, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        about = ("protocol", *_MODEL)
        self._requests = Counter("pawl_requests", "Requests answered.", (*about, "status"), registry=registry)
        self._seconds = Histogram(
            "pawl_request_duration_seconds",
            "From the head to the last byte.",
            about,
            buckets=_SECONDS,
            registry=registry,
        )
        self._run_seconds = Histogram(
            "pawl_run_duration_seconds", "One run of a model.", _MODEL, buckets=_SECONDS, registry=registry
        )
        self._rows = Histogram("pawl_batch_rows", "Rows in one run.", _MODEL, buckets=_ROWS, registry=registry)
        self._tokens = Counter("pawl_generated_tokens", "Tokens of generated texts.", _MODEL, registry=registry)
        self._captured = Counter("pawl_captured_records", "Answers handed over to capture.", _MODEL, registry=registry)
        self._missed = {
            LOST: Counter("pawl_capture_lost", "Captured answers that nothing took.", registry=registry),
            SPILLED: Counter("pawl_capture_spilled", "Captured answers sent as dead letters.", registry=registry),
        }

    def missed(self, metric: str, count: int) -> None:
        """Captured answers did not reach their queue."""
        self._missed[metric].inc(count)

    def show(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A gauge that is read when Prometheus asks."""
        Gauge(name, about, registry=self._registry).set_function(value)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    @contextmanager
    def watch(self, protocol: str) -> Generator[Sighting]:
        """Time and count a request; its status is whatever the sighting's is when the request ends."""
        sighting = Sighting(protocol)
        token = _sighting.set(sighting)
        began = time.perf_counter()
        try:
            yield sighting
        finally:
            _sighting.reset(token)
            about = (protocol, sighting.model, sighting.version)
            self._requests.labels(*about, sighting.status).inc()
            self._seconds.labels(*about).observe(time.perf_counter() - began)

    def ran(self, manifest: Manifest, rows: int, seconds: float) -> None:
        """A model ran once."""
        self._rows.labels(manifest.name, manifest.version).observe(rows)
        self._run_seconds.labels(manifest.name, manifest.version).observe(seconds)

    def captured(self, record: CaptureRecord) -> None:
        """An answer was captured."""
        self._captured.labels(record.model, record.version).inc()
        if "prompt_tokens" in record.features:
            self._tokens.labels(record.model, record.version).inc(sum(record.features["tokens"]))


class WatchedEngine(Engine):
    """An engine that tells the request under way which model it came to."""

    def get(self, name: str, version: str | None = None) -> Model:
        """The opened model."""
        return _seen(super().get(name, version))

    def opened(self, name: str, version: str | None = None) -> Model | None:
        """The model where it is open."""
        model = super().opened(name, version)
        return _seen(model) if model else None


def _seen(model: Model) -> Model:
    if sighting := _sighting.get():
        sighting.model, sighting.version = model.manifest.name, model.manifest.version
    return model


class WatchedCapture:
    """Counts what is captured when its record is made, off the reply's path."""

    def __init__(self, capture: Capturer, metrics: Metrics) -> None:
        self._capture = capture
        self._metrics = metrics

    def offer(self, make: Callable[[], CaptureRecord], size: int) -> None:
        """Hand over what makes a record of about `size` bytes."""
        self._capture.offer(lambda: self._count(make()), size)

    def _count(self, record: CaptureRecord) -> CaptureRecord:
        self._metrics.captured(record)
        return record
