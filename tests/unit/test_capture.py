"""Capture with a sender that keeps what it is given and, for Lambda's freezing, a fake of the Lambda Extensions API."""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inference.capture import Capture, QueueSender, print_lost_metric
from pawl.records import CaptureRecord

Make = Callable[..., CaptureRecord]
PATIENCE_S = 5.0
on_loopback = pytest.mark.allow_hosts(["127.0.0.1"])


class Outbox:
    """A fake sender: it can be held shut, and refuses what `refuse` picks from the bodies of its n-th call."""

    def __init__(
        self, log: list[str] | None = None, refuse: Callable[[int, Sequence[str]], Sequence[str]] | None = None
    ):
        self.calls: list[list[str]] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self._log = [] if log is None else log
        self._refuse = refuse or (lambda call, bodies: [])

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]:
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        ids = [json.loads(body)["inference_id"] for body in bodies]
        self.calls.append(ids)
        self._log.append(f"sent {' '.join(ids)}")
        return self._refuse(len(self.calls), bodies)

    @property
    def sent(self) -> list[str]:
        return [each for call in self.calls for each in call]


class ExtensionsApi:
    """A fake of the Lambda Extensions API on loopback: it logs what it is asked and hands out events when told to."""

    def __init__(self, log: list[str], registration: int = 200) -> None:
        self._log = log
        self._registration = registration
        self._events: queue.Queue[int] = queue.Queue()
        self._asked = threading.Semaphore(0)
        self.registered: dict[str, Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def invoke(self, status: int = 200) -> None:
        """Begin an invocation: the extension's question for the next event is answered."""
        self._events.put(status)

    def is_asked(self, timeout_s: float = PATIENCE_S) -> bool:
        """Whether the extension asks for its next event once more within the time."""
        return self._asked.acquire(timeout=timeout_s)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(api) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                api._log.append("register")
                api.registered = {
                    "path": self.path,
                    "name": self.headers["Lambda-Extension-Name"],
                    **json.loads(self.rfile.read(int(self.headers["Content-Length"]))),
                }
                self._answer(api._registration)

            def do_GET(self) -> None:
                assert self.path == "/2020-01-01/extension/event/next"
                api._log.append(f"next by {self.headers['Lambda-Extension-Identifier']}")
                api._asked.release()
                self._answer(api._events.get())

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Lambda-Extension-Identifier", "extension-1")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing on stderr."""

        return Handler


@pytest.fixture
def log() -> list[str]:
    """What happened, in order, whoever did it."""
    return []


@pytest.fixture
def api(log: list[str]) -> Iterator[ExtensionsApi]:
    served = ExtensionsApi(log)
    yield served
    served.close()


def _record(captured: Make, name: object, size: int = 0) -> CaptureRecord:
    return captured(inference_id=str(name), inputs={"text": ["x" * size]})


def test_everything_offered_has_been_sent_in_order_when_a_flush_returns(captured: Make) -> None:
    outbox, lost = Outbox(), []
    capture = Capture(outbox, None, lost.append)

    for name in range(57):
        capture.offer(_record(captured, name))

    assert capture.flush(PATIENCE_S)
    assert outbox.sent == [str(name) for name in range(57)]
    assert lost == []


def test_offers_from_many_threads_are_all_sent_once(captured: Make) -> None:
    outbox = Outbox()
    capture = Capture(outbox, None, lambda count: None)
    offers = [
        threading.Thread(target=lambda t=t: [capture.offer(_record(captured, f"{t}-{n}")) for n in range(40)])
        for t in range(5)
    ]
    for thread in offers:
        thread.start()
    for thread in offers:
        thread.join()

    assert capture.flush(PATIENCE_S)
    assert sorted(outbox.sent) == sorted(f"{t}-{n}" for t in range(5) for n in range(40))


def test_an_offer_does_not_wait_for_the_queue_and_what_piled_up_goes_ten_at_a_time(captured: Make) -> None:
    outbox = Outbox()
    outbox.open.clear()
    capture = Capture(outbox, None, lambda count: None)

    capture.offer(_record(captured, "first"))
    capture.end_invocation()
    assert outbox.entered.wait(PATIENCE_S)
    for name in range(24):
        capture.offer(_record(captured, name))
    assert outbox.calls == []
    outbox.open.set()

    assert capture.flush(PATIENCE_S)
    assert [len(call) for call in outbox.calls] == [1, 10, 10, 4]


def test_one_call_carries_no_more_than_the_queue_takes_at_once(captured: Make) -> None:
    outbox = Outbox()
    outbox.open.clear()
    capture = Capture(outbox, None, lambda count: None)

    capture.offer(_record(captured, "first"))
    capture.end_invocation()
    assert outbox.entered.wait(PATIENCE_S)
    for name, size in {"a": 100_000, "b": 100_000, "c": 100_000, "huge": 300_000, "d": 10}.items():
        capture.offer(_record(captured, name, size))
    outbox.open.set()

    assert capture.flush(PATIENCE_S)
    assert outbox.calls == [["first"], ["a", "b"], ["c"], ["huge"], ["d"]]


def test_what_the_queue_refused_is_sent_again_and_nothing_else(captured: Make) -> None:
    outbox, lost = Outbox(refuse=lambda call, bodies: bodies[:2] if call == 2 else []), []
    outbox.open.clear()
    capture = Capture(outbox, None, lost.append)

    capture.offer(_record(captured, "first"))
    capture.end_invocation()
    assert outbox.entered.wait(PATIENCE_S)
    for name in "abc":
        capture.offer(_record(captured, name))
    outbox.open.set()

    assert capture.flush(PATIENCE_S)
    assert outbox.calls == [["first"], ["a", "b", "c"], ["a", "b"]]
    assert lost == []


def test_a_record_refused_four_times_is_counted_as_lost_and_the_next_one_is_sent(captured: Make) -> None:
    outbox, lost = Outbox(refuse=lambda call, bodies: bodies if call <= 4 else []), []
    capture = Capture(outbox, None, lost.append)

    capture.offer(_record(captured, "a"))
    assert capture.flush(PATIENCE_S)
    assert (outbox.calls, lost) == ([["a"]] * 4, [1])

    capture.offer(_record(captured, "b"))
    assert capture.flush(PATIENCE_S)
    assert (outbox.calls[4:], lost) == ([["b"]], [1])


def test_a_flush_says_when_its_time_ran_out(captured: Make) -> None:
    outbox = Outbox()
    outbox.open.clear()
    capture = Capture(outbox, None, lambda count: None)
    capture.offer(_record(captured, "a"))

    assert not capture.flush(0.02)
    outbox.open.set()
    assert capture.flush(PATIENCE_S)


def test_an_invocation_that_captured_nothing_sends_nothing(captured: Make) -> None:
    outbox = Outbox()
    capture = Capture(outbox, None, lambda count: None)

    capture.end_invocation()
    capture.end_invocation()
    capture.offer(_record(captured, "a"))

    assert capture.flush(PATIENCE_S)
    assert outbox.calls == [["a"]]


@on_loopback
def test_the_extension_is_registered_for_invocations_before_anything_else(api: ExtensionsApi, log: list[str]) -> None:
    Capture(Outbox(log), api.address, lambda count: None)

    assert log[0] == "register"
    assert api.registered == {"path": "/2020-01-01/extension/register", "name": "pawl-capture", "events": ["INVOKE"]}
    assert api.is_asked()
    assert log == ["register", "next by extension-1"]


@on_loopback
def test_the_next_event_is_asked_for_only_when_everything_offered_is_sent(
    api: ExtensionsApi, log: list[str], captured: Make
) -> None:
    outbox = Outbox(log)
    capture = Capture(outbox, api.address, lambda count: None)
    assert api.is_asked()
    outbox.open.clear()

    api.invoke()
    for name in range(12):
        capture.offer(_record(captured, name))
    capture.end_invocation()

    assert outbox.entered.wait(PATIENCE_S)
    assert not api.is_asked(0.05), "asked while the queue had not answered: Lambda would freeze with records unsent"
    outbox.open.set()
    assert api.is_asked()
    sent = ["sent 0 1 2 3 4 5 6 7 8 9", "sent 10 11"]
    assert log == ["register", "next by extension-1", *sent, "next by extension-1"]


@on_loopback
def test_nothing_is_sent_before_the_reply_is_ready(api: ExtensionsApi, log: list[str], captured: Make) -> None:
    outbox = Outbox(log)
    capture = Capture(outbox, api.address, lambda count: None)
    assert api.is_asked()

    capture.offer(_record(captured, "a"))
    api.invoke()
    assert not api.is_asked(0.05)
    log.append("reply")
    capture.end_invocation()

    assert api.is_asked()
    assert log[2:] == ["reply", "sent a", "next by extension-1"]


@on_loopback
def test_each_invocation_sends_its_own_records_even_when_its_event_comes_after_its_reply(
    api: ExtensionsApi, log: list[str], captured: Make
) -> None:
    capture = Capture(Outbox(log), api.address, lambda count: None)
    assert api.is_asked()

    for name in ("first", "second", "third"):
        capture.offer(_record(captured, name))
        capture.end_invocation()
        api.invoke()
        assert api.is_asked()

    asks = "next by extension-1"
    assert log == ["register", asks, "sent first", asks, "sent second", asks, "sent third", asks]
    assert capture.flush(0)


@on_loopback
def test_an_invocation_that_captured_nothing_still_asks_for_the_next_event(api: ExtensionsApi, log: list[str]) -> None:
    capture = Capture(Outbox(log), api.address, lambda count: None)
    assert api.is_asked()

    api.invoke()
    capture.end_invocation()

    assert api.is_asked()
    assert log == ["register", "next by extension-1", "next by extension-1"]


@on_loopback
def test_a_loss_is_counted_before_the_environment_may_freeze(
    api: ExtensionsApi, log: list[str], captured: Make
) -> None:
    outbox = Outbox(log, refuse=lambda call, bodies: bodies)
    capture = Capture(outbox, api.address, lambda count: log.append(f"lost {count}"))
    assert api.is_asked()

    for name in "ab":
        capture.offer(_record(captured, name))
    capture.end_invocation()
    api.invoke()

    assert api.is_asked()
    assert log[2:] == ["sent a b"] * 4 + ["lost 2", "next by extension-1"]
    assert capture.flush(0)


@on_loopback
def test_records_still_leave_when_the_extensions_api_fails_later(
    api: ExtensionsApi, log: list[str], captured: Make
) -> None:
    capture = Capture(Outbox(log), api.address, lambda count: None)
    assert api.is_asked()

    api.invoke(status=500)
    capture.offer(_record(captured, "a"))
    capture.end_invocation()

    assert capture.flush(PATIENCE_S)
    assert log[2:] == ["sent a"]


@on_loopback
def test_a_function_whose_extension_is_refused_does_not_start(log: list[str]) -> None:
    api = ExtensionsApi(log, registration=403)

    with pytest.raises(ConnectionError, match="answered 403 to POST /2020-01-01/extension/register"):
        Capture(Outbox(log), api.address, lambda count: None)
    api.close()


def test_a_sender_that_raises_does_not_end_the_capture(captured: Make) -> None:
    def refuse(call: int, bodies: Sequence[str]) -> Sequence[str]:
        if call <= 4:
            raise ImportError("no SDK here")
        return []

    outbox, lost = Outbox(refuse=refuse), []
    capture = Capture(outbox, None, lost.append)
    capture.offer(_record(captured, "a"))
    assert capture.flush(PATIENCE_S)
    capture.offer(_record(captured, "b"))
    assert capture.flush(PATIENCE_S)

    assert (outbox.calls[4:], lost) == ([["b"]], [1])


def test_lost_records_are_counted_in_a_line_of_the_embedded_metric_format(capsys: pytest.CaptureFixture[str]) -> None:
    print_lost_metric("inference-1", 3)

    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (metric,) = directive["Metrics"]
    assert line[metric["Name"]] == 3
    assert (directive["Namespace"], directive["Dimensions"], metric["Name"]) == ("Pawl", [["function"]], "CaptureLost")
    assert line["function"] == "inference-1"
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000


class FakeQueue:
    """The part of an SQS client that the sender uses: refuses the bodies named, or fails."""

    def __init__(self, refused: Sequence[str] = (), error: Exception | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self._refused = refused
        self._error = error

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self._error:
            raise self._error
        failed = [{"Id": each["Id"]} for each in request["Entries"] if each["MessageBody"] in self._refused]
        return {"Failed": failed} if failed else {}


@pytest.fixture
def sender_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeQueue], QueueSender]:
    """Makes a sender whose SDK, imported on its first send, hands out the fake."""

    def make(fake: FakeQueue) -> QueueSender:
        monkeypatch.setattr("boto3.client", lambda service: {"sqs": fake}[service])
        return QueueSender("https://queue")

    return make


def test_the_sender_returns_the_bodies_that_the_queue_refused(sender_to: Callable[[FakeQueue], QueueSender]) -> None:
    fake = FakeQueue(refused=["b", "d"])

    assert sender_to(fake)(["a", "b", "c", "d"]) == ["b", "d"]
    (request,) = fake.requests
    assert request["QueueUrl"] == "https://queue"
    assert [each["MessageBody"] for each in request["Entries"]] == ["a", "b", "c", "d"]
    assert len({each["Id"] for each in request["Entries"]}) == 4


def test_the_sender_returns_nothing_when_all_were_accepted(sender_to: Callable[[FakeQueue], QueueSender]) -> None:
    assert sender_to(FakeQueue())(["a", "b"]) == []


def test_the_sender_returns_every_body_when_the_call_fails(sender_to: Callable[[FakeQueue], QueueSender]) -> None:
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "SendMessageBatch")

    assert sender_to(FakeQueue(error=throttled))(["a", "b"]) == ["a", "b"]
