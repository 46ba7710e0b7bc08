"""The container server: the same models and protocols by uvicorn and gRPC, with no cloud; `python -m inference.server`.

One process: HTTP on an event loop; gRPC in threads, and the models' runs too, but for those so short that
`inference.batching` leaves them to the loop. SIGTERM makes readiness false at once; requests are still taken until
balancers have noticed (`linger_s`), then those under way are finished (`drain_s`), captured answers are sent, and the
process ends with 0. A second signal ends it at once.
"""

import argparse
import asyncio
import fcntl
import importlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import anyio.to_thread
import grpc
import uvicorn

from inference import listener, metadata, rpc, web
from inference.admission import Admission, parse_keys
from inference.batching import Batcher
from inference.capture import Capture
from inference.delivery import Delivery, QueueSender, Sender
from inference.guard import Application, Exposition, Guard
from inference.metrics import Metrics, WatchedCapture, WatchedEngine
from inference.service import Call, Service
from pawl.bundle import MANIFEST, layer_strays
from pawl.errors import SettingsError, write_log
from pawl.receipt import ReceiptKeys
from pawl.settings import read_settings
from pawl.signing import read_trust

FLUSH_S = 5.0
MARGIN_S = 1.0
"""How long before the end of a drain a text must be complete."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Read from the environment; options on the command line replace some of them."""

    models: str = ""
    """A folder of bundles, `<name>/<version>/`; without it they come from layers on Python's path."""
    listen: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 for every interface."""
    http_port: int = 8080
    """0 takes any free port, here and below."""
    grpc_port: int = 8081
    metrics_port: int = -1
    """A port that is not published, where /metrics wants no key; -1: none, it is answered at the HTTP port alone."""
    api_keys: str = ""
    """API keys joined by commas; without them everybody may ask."""
    receipt_keys: str = ""
    """Secrets that sign inference ids, as the functions have them; without them a random one for this process."""
    trusted_keys: str = ""
    """Public keys that models may be signed with: SubjectPublicKeyInfo in base64, joined by commas."""
    allow_unsigned: bool = False
    """Whether a model without a signature is served."""
    capture_queue_url: str = ""
    """The queue that captured answers go to."""
    capture_dead_letter_queue_url: str = ""
    """The queue that they go to when the capture queue fails."""
    capture_file: str = ""
    """Without a queue: the file to which captured answers are added as lines of JSON."""
    row_limit: int = 64
    """The most rows in one request."""
    batch_rows: int = 32
    """The most rows in one run of a model, of texts four; 1 turns batching off."""
    batch_delay_ms: float = 0.0
    """How long a request may wait for company although a run is free."""
    batch_runs: int = 0
    """How many runs of one model at a time; 0: one for each processor."""
    concurrency: int = 64
    """The most requests under way; more are refused."""
    body_bytes: int = 64_000_000
    """The most bytes of bodies at a time, those still on their way included; more are refused."""
    patience_s: float = 30.0
    """How long a client may take to send a head, to send a body, to read a piece of its answer."""
    linger_s: float = 3.0
    """How long requests are still taken after the server was told to end."""
    drain_s: int = 25
    """How long those under way then have."""


class FileSender:
    """Adds captured answers to a file, a line each; servers that share it wait for each other."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]:
        """Write all of them, or none where the file cannot be written."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:  # what a buffer still held would be written when it closes
                with suppress(OSError):  # some network file systems know no locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                _append(file, "".join(f"{body}\n" for body in bodies).encode())
        except OSError:
            return bodies
        return []


class Server:
    """Everything that one process serves, put together from its settings."""

    def __init__(self, settings: ServerSettings) -> None:
        if settings.models:
            mount(Path(settings.models))
        self.settings = settings
        self.metrics = metrics = Metrics()
        self.admission = Admission(parse_keys(settings.api_keys), settings.concurrency, settings.body_bytes)
        self.batcher = Batcher(
            settings.batch_rows, settings.batch_delay_ms / 1000, settings.batch_runs or _processors(), metrics.ran
        )
        self.capture = Capture(_delivery(settings, metrics))
        self.service = Service(
            WatchedEngine(read_trust(settings.trusted_keys, settings.allow_unsigned)),
            ReceiptKeys(settings.receipt_keys or f"local:{secrets.token_hex(32)}"),
            WatchedCapture(self.capture, metrics),
            settings.row_limit,
        )
        self.service.run, self.service.run_async = self.batcher.run, self.batcher.run_async
        self._texts_end_at = float("inf")
        self.call = Call("0", lambda: self._texts_end_at - time.monotonic())
        self.application = Guard(web.build(self.service, self.call), self.admission, metrics, settings.patience_s)
        metrics.show("pawl_requests_in_flight", "Requests under way.", lambda: self.admission.in_flight)
        metrics.show(
            "pawl_held_body_bytes",
            "Bytes of their bodies, and of those on their way.",
            lambda: self.admission.bytes_held,
        )
        metrics.show("pawl_queued_requests", "Requests that wait for a run of a model.", self.batcher.waiting)

    def open_models(self) -> None:
        """Open every live version; the log names what cannot be opened, as readiness does, and what is no version."""
        try:
            for folder in layer_strays():
                say("WARNING", warning=f"{folder} is not served: want <name>/<version>/{MANIFEST}")
            for error in metadata.failures(self.service.engine):
                say("ERROR", error=str(error))
        finally:
            self.admission.has_loaded = True

    async def serve(self) -> None:
        """Serve until a signal comes, then finish what is under way."""
        settings = self.settings
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number, told)
        # Each request needs one thread at most; with fewer threads than requests, texts that wait for their turn could
        # keep the text whose turn it is from going on.
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.concurrency + 8
        listening = [self._listen("http_port", self.application, settings.http_port)]
        if settings.metrics_port >= 0:
            listening.append(self._listen("metrics_port", Exposition(self.metrics), settings.metrics_port))
        answers = rpc.Rpc(self.service, self.admission, self.metrics, self.call)
        calls, grpc_port = rpc.start(answers, settings.listen, settings.grpc_port, settings.concurrency)
        threading.Thread(target=self.open_models, name="models", daemon=True).start()
        serving = [asyncio.create_task(each.http.serve([each.socket])) for each in listening]
        ports = {each.name: each.socket.getsockname()[1] for each in listening}
        say("INFO", listen=settings.listen, grpc_port=grpc_port, **ports)
        await told.wait()
        await self._drain(listening, serving, calls)

    def _listen(self, name: str, application: Application, port: int) -> "_Listening":
        opened = listener.open_socket(self.settings.listen, port)
        return _Listening(
            name, opened, listener.http_server(application, self.settings.drain_s, self.settings.patience_s)
        )

    async def _drain(
        self, listening: "list[_Listening]", serving: "list[asyncio.Task[None]]", calls: grpc.Server
    ) -> None:
        await asyncio.sleep(self.settings.linger_s)
        self._texts_end_at = time.monotonic() + self.settings.drain_s - MARGIN_S
        for each in listening:
            each.http.should_exit = True
        ended = calls.stop(self.settings.drain_s)
        await asyncio.gather(*serving)
        await asyncio.to_thread(ended.wait, self.settings.drain_s)
        await asyncio.to_thread(self.capture.close, FLUSH_S)

    def _end(self, number: int, told: asyncio.Event) -> None:
        if told.is_set():
            os._exit(128 + number)
        self.admission.is_draining = True
        told.set()


class _Listening(NamedTuple):
    name: str
    socket: socket.socket
    http: uvicorn.Server


def _append(file: FileIO, data: bytes) -> None:
    """Write all of it at the file's end, or leave the file as it was."""
    end = file.seek(0, os.SEEK_END)
    try:
        while data:  # a disk that is nearly full takes a part
            data = data[file.write(data) :]
    except OSError:
        file.truncate(end)
        raise


def mount(folder: Path) -> None:
    """Make a folder of bundles what a mounted layer is: the package that models are looked for in."""
    if not folder.is_dir():
        raise SettingsError(f"MODELS={str(folder)!r}: want a folder with bundles, <name>/<version>/")
    package = ModuleType("pawl_models")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package


def say(level: str, **about: Any) -> None:
    """One line of log."""
    write_log({"level": level, **about})


def _delivery(settings: ServerSettings, metrics: Metrics) -> Delivery:
    def report(metric: str, count: int, reason: str) -> None:
        metrics.missed(metric, count)
        say("ERROR", metric=metric, count=count, reason=reason)

    dead_letters = settings.capture_dead_letter_queue_url
    return Delivery(_sender(settings), QueueSender(dead_letters) if dead_letters else None, report)


def _sender(settings: ServerSettings) -> Sender:
    if settings.capture_queue_url:
        return QueueSender(settings.capture_queue_url)
    if settings.capture_file:
        return FileSender(Path(settings.capture_file))
    return lambda bodies: []


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _warn(settings: ServerSettings) -> None:
    warnings = {
        "API_KEYS is not set: everybody who reaches this server may ask": settings.api_keys,
        "RECEIPT_KEYS is not set: inference ids of this process are unknown to any other": settings.receipt_keys,
        "ALLOW_UNSIGNED is set: a model without a signature is served, whoever made it": not settings.allow_unsigned,
        "neither CAPTURE_QUEUE_URL nor CAPTURE_FILE is set: answers are not kept": (
            settings.capture_queue_url or settings.capture_file
        ),
    }
    for warning, value in warnings.items():
        if not value:
            say("WARNING", warning=warning)


def _read_settings(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> ServerSettings:
    parser = argparse.ArgumentParser(prog="scripts/serve", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--models", metavar="FOLDER", help="a folder of bundles, <name>/<version>/")
    parser.add_argument("--listen", metavar="ADDRESS", help="the address to listen at, 127.0.0.1 by default")
    parser.add_argument("--port", dest="http_port", type=int, metavar="N", help="the port for HTTP, 8080 by default")
    parser.add_argument("--grpc-port", type=int, metavar="N", help="the port for gRPC, 8081 by default")
    parser.add_argument(
        "--metrics-port", type=int, metavar="N", help="a port for /metrics alone, without a key; none by default"
    )
    parser.add_argument("--allow-unsigned", action="store_true", default=None, help="serve models without a signature")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    return replace(read_settings(ServerSettings, environment), **given)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where it is installed, which takes a tenth off what a request costs here; else asyncio's."""
    try:
        return importlib.import_module("uvloop").new_event_loop
    except ModuleNotFoundError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; 0 after a drain, 1 where the settings are wrong."""
    try:
        settings = _read_settings(arguments, os.environ)
        server = Server(settings)
        _warn(settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(server.serve())
    except SettingsError as error:
        say("ERROR", error=str(error))
        return 1
    os._exit(0)  # a run of a model cannot be broken off; what has not ended by now is not waited for


if __name__ == "__main__":
    sys.exit(main())
