"""Sends what was asked and answered to the capture queue, off the reply's path.

On Lambda a process is frozen between invocations, so a plain thread would send a record minutes late or never. There
the sender registers as an internal extension (Lambda Extensions API): Lambda freezes the environment only once every
extension asks for the next event, and the sender asks only when it has sent everything. Elsewhere a thread suffices.
A record that cannot be sent is counted in the metric `CaptureLost`, never dropped silently.
"""

import atexit
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pawl.records import CaptureRecord

_BATCH = 10
_BATCH_BYTES = 256_000
_ATTEMPTS = 4
_REGISTER = "/2020-01-01/extension/register"
_NEXT = "/2020-01-01/extension/event/next"


class Sender(Protocol):
    """Sends message bodies and returns those that were not accepted."""

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]: ...


class Capture:
    """Takes records on the reply's path for the price of a queue's put; sends them from a thread of its own."""

    def __init__(self, send: Sender, runtime_api: str | None, report_lost: Callable[[int], None]) -> None:
        self._send = send
        self._report_lost = report_lost
        self._records: queue.SimpleQueue[CaptureRecord] = queue.SimpleQueue()
        self._answered = threading.Semaphore(0)
        self._pending = 0
        self._drained = threading.Condition()
        extension = _Extension(runtime_api) if runtime_api else None
        target = (lambda: self._follow_invocations(extension)) if extension else self._follow_records
        threading.Thread(target=target, name="capture", daemon=True).start()
        atexit.register(self.flush, 2.0)

    def offer(self, record: CaptureRecord) -> None:
        """Hand a record over; it waits for the reply, so that the sender takes no time from it."""
        with self._drained:
            self._pending += 1
        self._records.put(record)

    def end_invocation(self) -> None:
        """Say that the reply is ready: what was offered may be sent now."""
        self._answered.release()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything offered has been sent or counted as lost; False when the time ran out."""
        self._answered.release()
        with self._drained:
            return self._drained.wait_for(lambda: self._pending == 0, timeout_s)

    def _follow_records(self) -> None:
        while True:
            self._answered.acquire()
            self._send_all()

    def _follow_invocations(self, extension: "_Extension") -> None:
        try:
            while True:
                extension.next_event()
                self._answered.acquire()
                self._send_all()
        except OSError:  # without the API records still leave, if late
            self._follow_records()

    def _send_all(self) -> None:
        records: list[CaptureRecord] = []
        while not self._records.empty():
            records.append(self._records.get())
        for bodies in _batches([record.to_json() for record in records]):
            if lost := self._deliver(bodies):
                self._report_lost(lost)
        with self._drained:
            self._pending -= len(records)
            self._drained.notify_all()

    def _deliver(self, bodies: Sequence[str]) -> int:
        """Send with retries; returns how many could not be sent."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            try:
                bodies = self._send(bodies)
            except Exception:  # whatever a sender raises: this thread must live on, and what is left is counted
                continue
            if not bodies:
                return 0
        return len(bodies)


class _Extension:
    """An internal extension of the Lambda environment; registering must happen while the function initializes."""

    def __init__(self, runtime_api: str) -> None:
        self._runtime_api = runtime_api
        reply = self._call("POST", _REGISTER, {"Lambda-Extension-Name": "pawl-capture"}, '{"events":["INVOKE"]}')
        self._identity = {"Lambda-Extension-Identifier": reply["Lambda-Extension-Identifier"]}

    def next_event(self) -> None:
        """Wait for the next invocation; asking says that this extension has nothing left to do."""
        self._call("GET", _NEXT, self._identity, None)

    def _call(self, verb: str, path: str, headers: Mapping[str, str], body: str | None) -> Mapping[str, str]:
        import http.client  # takes 20 ms, and a process without a Lambda environment never needs it

        connection = http.client.HTTPConnection(self._runtime_api)
        try:
            connection.request(verb, path, body, dict(headers))
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise ConnectionError(f"Lambda Extensions API answered {response.status} to {verb} {path}")
            return dict(response.getheaders())
        finally:
            connection.close()


class QueueSender:
    """Sends to an SQS queue; the SDK is imported on the first send, long after the first reply."""

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url
        self._client = None

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]:
        """Send up to ten bodies; those that the queue did not accept come back."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        self._client = self._client or boto3.client("sqs")
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
        try:
            reply = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)  # type: ignore[arg-type]
        except (BotoCoreError, ClientError):
            return bodies
        return [bodies[int(failed["Id"])] for failed in reply.get("Failed", [])]


def print_lost_metric(function: str, count: int) -> None:
    """Count lost records as a CloudWatch metric of a function, by a line in the embedded metric format."""
    metric = {"Namespace": "Pawl", "Dimensions": [["function"]], "Metrics": [{"Name": "CaptureLost", "Unit": "Count"}]}
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}
    print(json.dumps({"_aws": about, "function": function, "CaptureLost": count}), flush=True)


def _batches(bodies: Sequence[str]) -> list[list[str]]:
    """Bodies in groups that one SQS call takes: ten, and 256 kB together."""
    groups: list[list[str]] = []
    size = _BATCH_BYTES
    for body in bodies:
        length = len(body.encode())
        if size + length > _BATCH_BYTES or len(groups[-1]) == _BATCH:
            groups.append([])
            size = 0
        groups[-1].append(body)
        size += length
    return groups
