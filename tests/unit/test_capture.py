"""Capture's thread with a sender that keeps what it is given and can be held shut."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference.capture import Capture
from inference.delivery import Delivery
from inference.extension import follow
from inference.service import Call, Service
from pawl.bundle import Manifest
from pawl.model import Answer, Column, Parameter
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord

Make = Callable[[], CaptureRecord]
PATIENCE_S = 5.0


class Outbox:
    """A fake sender that can be held shut and refuses everything in its first calls."""

    def __init__(self, refusals: int = 0) -> None:
        self.calls: list[list[str]] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self._refusals = refusals

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]:
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        self.calls.append([json.loads(body)["inference_id"] for body in bodies])
        return bodies if len(self.calls) <= self._refusals else []

    @property
    def sent(self) -> list[str]:
        return [each for call in self.calls for each in call]


class Echo:
    """A classifier that knows one answer."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.digest = manifest, "e" * 64

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        return Answer({"label": ["outage"], "probabilities": np.ones((1, 2), np.float32)}, lambda: {"tokens": [6]})


class Captured:
    """A capture, its outbox and the metrics that it reported; the first `silent` reports fail."""

    def __init__(self, refusals: int = 0, silent: int = 0, **limits: int) -> None:
        self.outbox = Outbox(refusals)
        self.metrics: list[tuple[str, int, str]] = []
        self._silent = silent
        delivery = Delivery(self.outbox, None, self._report, lambda seconds: False)
        self.capture = Capture(delivery, **limits)

    def stop_sending(self, make: Make) -> None:
        """Have the thread wait inside the sender, with one record in its hands."""
        self.outbox.open.clear()
        self.capture.offer(make, 400)
        assert self.outbox.entered.wait(PATIENCE_S)

    def _report(self, metric: str, count: int, reason: str) -> None:
        if self._silent:
            self._silent -= 1
            raise OSError(28, "No space left on device")
        self.metrics.append((metric, count, reason))


@pytest.fixture
def record(captured: Callable[..., CaptureRecord]) -> Callable[[object], Make]:
    """Makes functions that make records."""
    return lambda name: partial(captured, inference_id=str(name))


def test_everything_offered_has_been_sent_in_order_when_a_flush_returns(record: Callable[[object], Make]) -> None:
    made = Captured()

    for name in range(57):
        made.capture.offer(record(name), 400)

    assert made.capture.flush(PATIENCE_S)
    assert made.outbox.sent == [str(name) for name in range(57)]
    assert made.metrics == []


def test_a_record_is_made_by_the_thread_that_sends_it(captured: Callable[..., CaptureRecord]) -> None:
    made, makers = Captured(), []

    def make() -> CaptureRecord:
        makers.append(threading.current_thread().name)
        return captured()

    made.capture.offer(make, 400)

    assert made.capture.flush(PATIENCE_S)
    assert makers == ["capture"]


def test_offers_from_many_threads_are_all_sent_once(record: Callable[[object], Make]) -> None:
    made = Captured()
    offers = [
        threading.Thread(target=lambda t=t: [made.capture.offer(record(f"{t}-{n}"), 400) for n in range(40)])
        for t in range(5)
    ]
    for thread in offers:
        thread.start()
    for thread in offers:
        thread.join()

    assert made.capture.flush(PATIENCE_S)
    assert sorted(made.outbox.sent) == sorted(f"{t}-{n}" for t in range(5) for n in range(40))


def test_an_offer_alone_is_sent_soon(record: Callable[[object], Make]) -> None:
    made = Captured()

    made.capture.offer(record("a"), 400)

    assert made.outbox.entered.wait(PATIENCE_S)


def test_an_offer_does_not_wait_for_the_queue_and_what_piled_up_goes_ten_at_a_time(
    record: Callable[[object], Make],
) -> None:
    made = Captured()
    made.stop_sending(record("first"))

    for name in range(24):
        made.capture.offer(record(name), 400)
    assert made.outbox.calls == []
    made.outbox.open.set()

    assert made.capture.flush(PATIENCE_S)
    assert [len(call) for call in made.outbox.calls] == [1, 10, 10, 4]


def test_a_record_that_waits_for_its_reply_is_sent_when_somebody_says_so(record: Callable[[object], Make]) -> None:
    made = Captured()
    made.capture.wait_for_reply()

    made.capture.offer(record("a"), 400)
    assert not made.outbox.entered.wait(0.05)
    made.capture.wake()

    assert made.outbox.entered.wait(PATIENCE_S)


def test_more_records_than_the_limit_are_lost_and_counted(record: Callable[[object], Make]) -> None:
    made = Captured(record_limit=20)
    made.stop_sending(record("first"))

    for name in range(25):
        made.capture.offer(record(name), 400)
    made.outbox.open.set()

    assert made.capture.flush(PATIENCE_S)
    assert made.outbox.sent == ["first", *map(str, range(20))]
    assert made.metrics == [("CaptureLost", 5, "too many were waiting to be sent")]


def test_more_bytes_than_the_limit_are_lost_and_counted_until_there_is_room(
    record: Callable[[object], Make],
) -> None:
    made = Captured(byte_limit=1_000)
    made.stop_sending(record("first"))

    for name in range(12):
        made.capture.offer(record(name), size=400)
    made.outbox.open.set()
    assert made.capture.flush(PATIENCE_S)
    assert made.outbox.sent == ["first", *map(str, range(10))]
    assert made.metrics == [("CaptureLost", 2, "too many were waiting to be sent")]

    made.outbox.entered.clear()
    made.stop_sending(record("second"))
    for name in range(10):
        made.capture.offer(record(f"again {name}"), size=400)
    made.outbox.open.set()
    assert made.capture.flush(PATIENCE_S)
    assert len(made.outbox.sent) == 22
    assert len(made.metrics) == 1


def test_large_requests_that_pile_up_behind_a_slow_queue_are_lost_and_counted_not_held(
    manifest: Manifest, record: Callable[[object], Make]
) -> None:
    made = Captured()
    engine: Any = SimpleNamespace(get=lambda name, version: Echo(manifest))
    service = Service(engine, ReceiptKeys("1:" + "s" * 32), made.capture, row_limit=1)
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a" * 1_000_000]}
    body = json.dumps({"inputs": [tensor]})
    made.stop_sending(record("first"))

    for _ in range(100):
        assert service.infer(body, None, "triage", None, Call("1")).status == 200
    made.outbox.open.set()

    assert made.capture.flush(PATIENCE_S)
    assert len(made.outbox.sent) == 1 + 66  # 64 MiB in bodies of 1 MB, with 5 kB for the tokens of each
    assert made.metrics == [("CaptureLost", 34, "too many were waiting to be sent")]


def test_a_report_that_fails_does_not_end_the_capture(
    record: Callable[[object], Make], capsys: pytest.CaptureFixture[str]
) -> None:
    made = Captured(refusals=3, silent=1)

    for name in "ab":
        made.capture.offer(record(name), 400)
        assert made.capture.flush(PATIENCE_S)

    assert made.outbox.calls[3:] == [["b"]]
    assert made.metrics == [("CaptureLost", 1, "sending them failed")]
    assert json.loads(capsys.readouterr().out)["error"] == "OSError"


def test_a_record_is_captured_though_nothing_can_be_logged(
    record: Callable[[object], Make], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> CaptureRecord:
        raise ValueError("some user's text")

    made = Captured(silent=1)
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        made.capture.offer(make, 400)
        made.capture.offer(record("b"), 400)
        assert made.capture.flush(PATIENCE_S)

    assert made.outbox.sent == ["b"]


def test_a_record_that_cannot_be_made_is_counted_and_does_not_end_the_capture(
    record: Callable[[object], Make], capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> CaptureRecord:
        raise ValueError("some user's text")

    made = Captured()
    made.capture.offer(make, 400)
    made.capture.offer(record("b"), 400)

    assert made.capture.flush(PATIENCE_S)
    assert made.outbox.sent == ["b"]
    assert made.metrics == [("CaptureLost", 1, "the record could not be made")]
    printed = capsys.readouterr().out
    assert json.loads(printed)["error"] == "ValueError"
    assert "user" not in printed


def test_a_refused_record_is_counted_and_the_next_one_is_sent(record: Callable[[object], Make]) -> None:
    made = Captured(refusals=3)

    for name in "ab":
        made.capture.offer(record(name), 400)
        assert made.capture.flush(PATIENCE_S)

    assert made.outbox.calls == [["a"], ["a"], ["a"], ["b"]]
    assert [metric[:2] for metric in made.metrics] == [("CaptureLost", 1)]


def test_a_flush_says_when_its_time_ran_out(record: Callable[[object], Make]) -> None:
    made = Captured()
    made.stop_sending(record("a"))

    assert not made.capture.flush(0.02)
    made.outbox.open.set()
    assert made.capture.flush(PATIENCE_S)


def test_what_a_closing_capture_cannot_send_in_time_is_counted_as_lost(record: Callable[[object], Make]) -> None:
    made = Captured()
    made.stop_sending(record("a"))
    for name in "bc":
        made.capture.offer(record(name), 400)

    made.capture.close(0.02)

    assert made.metrics == [("CaptureLost", 3, "the process ended before they were sent")]
    made.outbox.open.set()
    assert made.capture.flush(PATIENCE_S)
    assert made.outbox.calls == [["a"]]


def test_a_closing_capture_with_time_enough_sends_everything(record: Callable[[object], Make]) -> None:
    made = Captured()
    made.capture.offer(record("a"), 400)

    made.capture.close(PATIENCE_S)

    assert (made.outbox.sent, made.metrics) == (["a"], [])


def test_a_capture_is_closed_by_a_signal_that_comes_while_its_lock_is_held(
    record: Callable[[object], Make],
) -> None:
    made = Captured()
    before = signal.signal(signal.SIGUSR1, lambda *_: made.capture.close(0.02))
    made.stop_sending(record("a"))
    try:
        with made.capture._lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
        made.outbox.open.set()

    assert made.metrics == [("CaptureLost", 1, "the process ended before they were sent")]


@pytest.fixture
def followed(record: Callable[[object], Make]) -> Iterator[tuple[Captured, Callable[..., Any]]]:
    """A handler that captures one record, followed where nothing freezes."""
    made = Captured()

    def answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
        made.capture.offer(record(event["id"]), 400)
        return {"statusCode": 200 // event.get("divisor", 1)}

    yield made, follow(answer, made.capture, None)


def test_a_record_leaves_only_when_the_reply_has_been_let_go(
    followed: tuple[Captured, Callable[..., Any]],
) -> None:
    made, handler = followed

    reply = handler({"id": "a"}, None)
    assert (reply, json.dumps(reply)) == ({"statusCode": 200}, '{"statusCode": 200}')
    time.sleep(0.03)
    assert not made.outbox.entered.is_set()
    del reply

    assert made.outbox.entered.wait(PATIENCE_S)


def test_a_record_leaves_also_when_the_handler_fails(followed: tuple[Captured, Callable[..., Any]]) -> None:
    made, handler = followed

    with pytest.raises(ZeroDivisionError):
        handler({"id": "a", "divisor": 0}, None)

    assert made.outbox.entered.wait(PATIENCE_S)


def test_garbage_is_looked_for_only_while_no_reply_is_on_its_way() -> None:
    made = Captured()
    looked: list[bool] = []

    def answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
        looked.append(gc.isenabled())
        return {"statusCode": 200 // event.get("divisor", 1)}

    handler = follow(answer, made.capture, None)
    for _ in range(2):
        reply = handler({}, None)
        looked.append(gc.isenabled())
        del reply
        looked.append(gc.isenabled())
    with pytest.raises(ZeroDivisionError):
        handler({"divisor": 0}, None)
    looked.append(gc.isenabled())

    assert looked == [False, False, True, False, False, True, False, True]


def test_a_function_whose_extensions_api_cannot_be_reached_sends_before_its_reply(
    record: Callable[[object], Make],
) -> None:
    made = Captured()
    before = signal.getsignal(signal.SIGTERM)
    try:
        handler = follow(lambda event, context: made.capture.offer(record("a"), 400) or {}, made.capture, "127.0.0.1:9")
    finally:
        signal.signal(signal.SIGTERM, before)

    reply = handler({}, None)

    assert (reply, made.outbox.sent) == ({}, ["a"])
    assert made.metrics == [("CaptureExtensionFailed", 1, "ConnectionRefusedError")]


def test_importing_brings_no_client_of_any_protocol_along() -> None:
    unwanted = {"socket", "ssl", "http.client", "boto3", "botocore", "asyncio"}
    roots = [path for path in sys.path if Path(path, "pawl").is_dir() or Path(path, "inference").is_dir()]
    code = f"import sys; sys.path[:0] = {roots}; import inference.extension; print(*set(sys.modules) & {unwanted})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == ""
