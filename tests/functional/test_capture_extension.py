"""Capture where environments freeze: a process under a runtime's loop, with the real SDK, in a fake of Lambda.

The fake serves the Runtime API, the Extensions API and a queue over HTTP on loopback, and stops the process for real
(SIGSTOP) whenever its runtime and its registered extension have both asked for what comes next, as Lambda does.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

RUNTIME = """
import http.client, json, os, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

if "EARLIER" in os.environ:
    signal.signal(signal.SIGTERM, lambda *_: (print("earlier handler", flush=True), os._exit(7)))

from inference.capture import open_capture
from inference.extension import follow
from inference.settings import Settings
from pawl.records import CaptureRecord

api = os.environ.get("AWS_LAMBDA_RUNTIME_API")
queues = {"capture_queue_url": os.environ["QUEUE"], "capture_dead_letter_queue_url": os.environ.get("DEAD_LETTERS", "")}
capture = open_capture(Settings(receipt_keys="", trusted_keys="", **queues), "inference-1")
kept = []

def record(name):
    return CaptureRecord(name, "triage", "3", 1, {"text": ["secret words"]}, {"label": ["outage"]}, {"tokens": [6]})

def answer(event, context):
    if event.get("forgets"):
        kept.clear()
        time.sleep(0.1)
    for name in event["records"]:
        capture.offer(partial(record, name), 400)
    if "ready" in event:
        ask("POST", "/ready", b"")
    time.sleep(event.get("sleep_s", 0))
    if event.get("raises"):
        raise KeyError("handler")
    return {"statusCode": 200}

handler = follow(answer, capture, api)

def ask(verb, path, body=None):
    connection = http.client.HTTPConnection(api or os.environ["API"])
    connection.request(verb, path, body)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return text

def handle(event):
    try:
        response = handler(event, None)
        result = json.dumps(response)
    except Exception:
        ask("POST", "/2018-06-01/runtime/invocation/1/error", b"{}")
        return
    time.sleep(event.get("posting_s", 0))
    if event.get("keeps"):
        kept.append(response)
    ask("POST", "/2018-06-01/runtime/invocation/1/response", result)

while api:
    with ThreadPoolExecutor(1) as executor:
        event = executor.submit(ask, "GET", "/2018-06-01/runtime/invocation/next").result()
    handle(json.loads(event))
handle({"records": ["a", "b"]})
"""


class Lambda:
    """The services around one execution environment, and a log of what reached them, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.bodies: list[str] = []
        self.registration = 200
        self.refusals: dict[str, list[str]] = {"capture": [], "dead": []}
        self.process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._extension: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._runtime: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._asking: set[str] = set()
        self._awaited = {"runtime"}
        self._api = _serve(self._api_handler())
        self._queue = _serve(self._queue_handler())

    def start(self, *, has_api: bool = True, **environment: str) -> None:
        """Start the function's process and wait for the end of its initialization."""
        address = f"127.0.0.1:{self._api.server_port}"
        queues = f"http://127.0.0.1:{self._queue.server_port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNTIME],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'layers/core'}",
                "AWS_ENDPOINT_URL_SQS": queues,
                "AWS_DEFAULT_REGION": "eu-central-1",
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "QUEUE": f"{queues}/1/capture",
                "DEAD_LETTERS": f"{queues}/1/dead",
                "API": address,
                **({"AWS_LAMBDA_RUNTIME_API": address} if has_api else {}),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if has_api:
            self.wait("freeze")

    def invoke(self, *records: str, status: int = 200, kind: str = "INVOKE", **event: Any) -> None:
        """Thaw the environment and begin an invocation, or another event of the extension's."""
        with self._changed:
            self._asking.clear()
            self.log.append("thaw")
        self.signal(signal.SIGCONT)
        self._extension.put((status, {"eventType": kind}))
        if kind == "INVOKE":
            self._runtime.put((200, {"records": records, **event}))

    def wait(self, *entries: str, times: int = 1) -> None:
        """Wait until the log has one of the entries so many times."""
        with self._changed:
            came = self._changed.wait_for(lambda: sum(each in entries for each in self.log) >= times, PATIENCE_S)
        assert came, self.log

    def wait_until_asleep(self) -> None:
        """Wait until the process goes on after a stop; until then the kernel may give a signal to any thread of it."""
        assert self.process
        status = Path(f"/proc/{self.process.pid}/status")
        until = time.monotonic() + PATIENCE_S
        while "State:\tS" not in status.read_text() and time.monotonic() < until:
            time.sleep(0.005)

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """The process's status and what it printed, once it has ended by itself."""
        assert self.process
        printed, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, printed

    def kill(self) -> str:
        """End the process at once, as Lambda ends a frozen one, and say what it had printed."""
        self.signal(signal.SIGKILL)
        return self.end()[1]

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()
        for server in (self._api, self._queue):
            server.shutdown()
            server.server_close()

    def note(self, entry: str) -> None:
        with self._changed:
            self.log.append(entry)
            self._changed.notify_all()

    def _ask(self, who: str) -> None:
        with self._changed:
            self._asking.add(who)
            if who == "extension":
                self.log.append("extension asks")
            if self._awaited <= self._asking:
                self.signal(signal.SIGSTOP)
                self.log.append("freeze")
            self._changed.notify_all()

    def _api_handler(world) -> type[BaseHTTPRequestHandler]:
        class Handler(_Quiet):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/2020-01-01/extension/register":
                    assert json.loads(body) == {"events": ["INVOKE"]}, "others are refused to an internal extension"
                    world.note(f"register {self.headers['Lambda-Extension-Name']}")
                    if world.registration == 200:
                        world._awaited.add("extension")
                    return self.answer(world.registration, {"functionName": "f"})
                if self.path == "/ready":
                    world.note("ready")
                else:
                    world.note(self.path.rpartition("/")[2])
                self.answer(202, {})

            def do_GET(self) -> None:
                who = "extension" if self.path == "/2020-01-01/extension/event/next" else "runtime"
                assert who == "runtime" or self.headers["Lambda-Extension-Identifier"] == "extension-1"
                world._ask(who)
                self.answer(*(world._extension if who == "extension" else world._runtime).get())

        return Handler

    def _queue_handler(world) -> type[BaseHTTPRequestHandler]:
        class Handler(_Quiet):
            def setup(self) -> None:
                super().setup()
                world.note("queue reached")

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = request["QueueUrl"].rpartition("/")[2]
                ids = [json.loads(each["MessageBody"])["inference_id"] for each in request["Entries"]]
                refusal = world.refusals[name].pop(0) if world.refusals[name] else None
                world.note(f"{refusal or 'sent'} {name} {' '.join(ids)}")
                if refusal == "stops":
                    world.signal(signal.SIGSTOP)
                    self.connection.close()
                    self.close_connection = True
                    return world.signal(signal.SIGCONT)
                if refusal == "fails":
                    return self.answer(503, {"__type": "ServiceUnavailable"})
                world.bodies += [each["MessageBody"] for each in request["Entries"]]
                done = [{"Id": each["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for each in request["Entries"]]
                self.answer(200, {"Successful": done, "Failed": []})

        return Handler


class _Quiet(BaseHTTPRequestHandler):
    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Lambda-Extension-Identifier", "extension-1")
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that was killed while it asked is no error."""


def _serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.fixture
def world() -> Iterator[Lambda]:
    served = Lambda()
    yield served
    served.close()


@pytest.fixture
def metrics() -> Callable[[str], list[tuple[str, int]]]:
    """Reads the metrics in what a process printed."""

    def read(printed: str) -> list[tuple[str, int]]:
        lines = [json.loads(line) for line in printed.splitlines() if line.startswith('{"_aws"')]
        names = [line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"] for line in lines]
        return [(name, line[name]) for name, line in zip(names, lines, strict=True)]

    return read


def test_the_reply_leaves_then_the_records_and_only_then_does_the_environment_freeze(world: Lambda) -> None:
    world.start()
    assert world.log == ["register pawl-capture", "extension asks", "freeze"]

    world.invoke("a", "b")
    world.wait("freeze", times=2)

    assert world.log[3:] == ["thaw", "response", "queue reached", "sent capture a b", "extension asks", "freeze"]
    assert "CaptureLost" not in world.kill()


def test_each_of_many_invocations_sends_its_own_records_after_its_own_reply(world: Lambda) -> None:
    world.start()

    for number in range(5):
        world.invoke(*[f"{number}-{n}" for n in range(12)], posting_s=0.03)
        world.wait("freeze", times=number + 2)

    happened = [entry.split(" ")[0] for entry in world.log[3:] if entry != "queue reached"]
    assert happened == ["thaw", "response", "sent", "sent", "extension", "freeze"] * 5
    ids = [json.loads(body)["inference_id"] for body in world.bodies]
    assert ids == [f"{number}-{n}" for number in range(5) for n in range(12)]


def test_a_handler_that_takes_its_time_is_waited_for(world: Lambda) -> None:
    world.start()

    world.invoke("a", sleep_s=0.2)
    world.wait("freeze", times=2)

    assert world.log[4:] == ["response", "queue reached", "sent capture a", "extension asks", "freeze"]


@pytest.mark.parametrize(("event", "reply"), [({"raises": True}, "error"), ({"keeps": True}, "response")])
def test_an_invocation_ends_also_when_its_handler_failed_or_its_reply_is_kept(
    world: Lambda, event: dict[str, Any], reply: str
) -> None:
    world.start()

    for number in (1, 2):
        world.invoke(str(number), **event)
        world.wait("freeze", times=number + 1)

    order = ["thaw", reply, "sent capture 1", "thaw", reply, "sent capture 2"]
    assert [entry for entry in world.log if entry in order] == order


def test_a_reply_let_go_too_late_is_not_taken_for_the_next_one(world: Lambda) -> None:
    world.start()
    world.invoke("a", keeps=True)
    world.wait("freeze", times=2)

    world.invoke("b", forgets=True)
    world.wait("freeze", times=3)

    assert world.log[-6:] == ["thaw", "response", "queue reached", "sent capture b", "extension asks", "freeze"]


def test_a_sigterm_in_the_middle_of_an_invocation_loses_nothing(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start()
    world.invoke("warm")
    world.wait("freeze", times=2)

    world.invoke("a", "b", ready=True, sleep_s=60)
    world.wait("ready")
    world.signal(signal.SIGTERM)
    status, printed = world.end()

    assert world.log[-1] == "sent capture a b"
    assert (status, metrics(printed)) == (-signal.SIGTERM, [])


def test_an_earlier_handler_of_sigterm_has_the_last_word(world: Lambda) -> None:
    world.start(EARLIER="1")
    world.invoke("warm")
    world.wait("freeze", times=2)

    world.invoke("a", ready=True, sleep_s=60)
    world.wait("ready")
    world.signal(signal.SIGTERM)
    status, printed = world.end()

    assert world.log[-1] == "sent capture a"
    assert (status, printed) == (7, "earlier handler\n")


def test_what_a_failing_queue_leaves_at_sigterm_goes_to_the_dead_letters_without_waiting(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start()
    world.refusals["capture"] = ["fails"] * 3
    world.invoke("warm")
    world.wait("freeze", times=2)
    world.refusals["capture"] = ["fails"]

    world.invoke("a", ready=True, sleep_s=60)
    world.wait("ready")
    world.signal(signal.SIGTERM)
    status, printed = world.end()

    assert [entry for entry in world.log if entry.endswith(" a")] == ["fails capture a", "sent dead a"]
    assert (status, metrics(printed)) == (-signal.SIGTERM, [("CaptureSpilled", 1), ("CaptureSpilled", 1)])


def test_a_failing_queue_is_tried_again_and_then_the_same_body_is_a_counted_dead_letter(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start()
    world.refusals["capture"] = ["fails"] * 3
    world.invoke("a", "b")
    world.wait("freeze", times=2)
    world.invoke("c")
    world.wait("freeze", times=3)

    tried = [entry for entry in world.log if " capture " in entry or " dead " in entry]
    assert tried == ["fails capture a b"] * 3 + ["sent dead a b", "sent capture c"]
    assert {json.dumps(sorted(json.loads(body))) for body in world.bodies} == {
        '["features", "inference_id", "inputs", "model", "outputs", "schema", "unix_ms", "version"]'
    }
    assert metrics(world.kill()) == [("CaptureSpilled", 2)]


def test_what_no_queue_takes_is_counted_as_lost_before_the_freeze_and_never_printed(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start()
    world.refusals = {"capture": ["fails"] * 3, "dead": ["fails"]}
    world.invoke("a", "b")
    world.wait("freeze", times=2)

    printed = world.kill()
    assert metrics(printed) == [("CaptureLost", 2)]
    assert "secret" not in printed


def test_without_dead_letters_what_the_queue_does_not_take_is_counted_as_lost(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start(DEAD_LETTERS="")
    world.refusals["capture"] = ["fails"] * 3
    world.invoke("a")
    world.wait("freeze", times=2)

    assert metrics(world.kill()) == [("CaptureLost", 1)]


def test_a_send_that_the_world_s_standstill_broke_is_sent_again(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start()
    world.refusals["capture"] = ["stops"]
    world.invoke("a")
    world.wait("freeze", times=2)

    assert [entry for entry in world.log if entry.endswith(" a")] == ["stops capture a", "sent capture a"]
    assert metrics(world.kill()) == []


def test_without_a_registration_the_records_leave_before_the_reply(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.registration = 403
    world.start()

    world.invoke("a")
    world.wait("freeze", times=2)

    order = ["sent capture a", "response"]
    assert [entry for entry in world.log if entry in order] == order
    assert metrics(world.kill()) == [("CaptureExtensionFailed", 1)]


def test_a_failure_of_the_extensions_api_later_on_loses_nothing(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start()
    world._awaited = {"runtime"}

    world.invoke("a", status=500, sleep_s=0.2)
    world.wait("freeze", times=2)
    world.invoke("b")
    world.wait("freeze", times=3)

    order = ["sent capture a", "response", "sent capture b", "response"]
    assert [entry for entry in world.log if entry in order] == order
    assert metrics(world.kill()) == [("CaptureExtensionFailed", 1)]


def test_a_shutdown_event_ends_the_extension_with_nothing_left(world: Lambda) -> None:
    world.start()
    world.invoke("a")
    world.wait("freeze", times=2)

    world.invoke(kind="SHUTDOWN")
    world.wait_until_asleep()
    world.signal(signal.SIGTERM)

    assert world.end()[0] == -signal.SIGTERM
    assert world.log.count("extension asks") == 2


def test_where_nothing_freezes_a_process_that_ends_at_once_still_sends_everything(
    world: Lambda, metrics: Callable[[str], list[tuple[str, int]]]
) -> None:
    world.start(has_api=False)

    status, printed = world.end()

    assert (status, metrics(printed)) == (0, []), printed
    assert [entry for entry in world.log if entry != "queue reached"] == ["response", "sent capture a b"]
