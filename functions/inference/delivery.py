"""Gets captured records into the capture queue or else into its dead-letter queue; what neither takes is counted.

A dead letter has the very body that the queue would have got, so it can be moved there later. A queue that has failed
through every attempt is tried once a batch until it answers again, so that a long outage does not multiply the waiting.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from pawl.errors import write_log
from pawl.records import CaptureRecord

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SPILLED = "CaptureSpilled"
LOST = "CaptureLost"
FAILED = "AnswersFailed"
BODY_BYTES = 1_048_576  # the most that SQS takes of one message, alone in its call

_BATCH = 10
_BATCH_BYTES = 262_144  # what every queue takes at once, whatever its MaximumMessageSize
_PAUSES_S = (0.1, 0.4)
_NOT_IN_A_MESSAGE = re.compile("[\ud800-\udfff\ufffe\uffff]")


class Sender(Protocol):
    """Sends message bodies, ten at most, and returns those that were not accepted."""

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]: ...


class Report(Protocol):
    """Counts what became of records: a metric's name, how many, and why; never what is in them."""

    def __call__(self, metric: str, count: int, reason: str) -> None: ...


class Delivery:
    """Sends bodies with retries, then spills them, then counts them; it never raises and never forgets one.

    `pause` waits the seconds given and says whether to try no more; by default it is cut short by `hurry`.
    """

    def __init__(
        self, send: Sender, spill: Sender | None, report: Report, pause: Callable[[float], bool] | None = None
    ) -> None:
        self._send = send
        self._spill = spill
        self.report = report
        self._hurried = threading.Event()
        self._pause = pause or self._hurried.wait
        self._is_down = False

    def hurry(self) -> None:
        """From now on try each batch once: the process is about to end."""
        self._hurried.set()

    def __call__(self, bodies: Iterable[str]) -> None:
        """See every body into the queue, the dead-letter queue or the count of the lost."""
        fitting: list[str] = []
        for body in bodies:
            if len(body) * 4 > BODY_BYTES and len(body.encode()) > BODY_BYTES:
                self.report(LOST, 1, "larger than a message may be")
            else:
                fitting.append(body)
        for batch in _batches(fitting):
            self._deliver(batch)

    def _deliver(self, bodies: Sequence[str]) -> None:
        left = _attempt(self._send, bodies)
        for pause_s in () if self._is_down else _PAUSES_S:
            if not left or self._pause(pause_s):
                break
            left = _attempt(self._send, left)
        self._is_down = bool(left)
        lost = _attempt(self._spill, left) if self._spill and left else left
        if len(left) > len(lost):
            self.report(SPILLED, len(left) - len(lost), "the capture queue did not take them")
        if lost:
            self.report(LOST, len(lost), "neither the capture queue nor its dead-letter queue took them")


class QueueSender:
    """Sends to an SQS queue; the SDK is imported and the client made on the first send, long after the first reply."""

    def __init__(self, queue_url: str, connect: "Callable[[], SQSClient] | None" = None) -> None:
        self._queue_url = queue_url
        self._connect = connect or _connect
        self._client: SQSClient | None = None

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]:
        """Send up to ten bodies; those that the queue did not accept come back."""
        from botocore.exceptions import BotoCoreError, ClientError

        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
        try:
            self._client = self._client or self._connect()
            reply = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)  # type: ignore[arg-type]
        except (BotoCoreError, ClientError):
            return bodies
        return [bodies[int(failed["Id"])] for failed in reply.get("Failed", [])]


def message_body(record: CaptureRecord) -> str:
    """The record as a queue takes it: characters that no message may hold are escaped, as JSON allows."""
    return _NOT_IN_A_MESSAGE.sub(lambda found: f"\\u{ord(found[0]):04x}", record.to_json())


def print_metric(function: str, metric: str, count: int, reason: str, version: str = "") -> None:
    """Count something as a CloudWatch metric of a function, or a version, by a line in the embedded metric format."""
    of = {"function": function, "version": version} if version else {"function": function}
    about = {"Namespace": "Pawl", "Dimensions": [[*of]], "Metrics": [{"Name": metric, "Unit": "Count"}]}
    aws = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [about]}
    write_log({"_aws": aws, **of, metric: count, "reason": reason})


def _attempt(send: Sender, bodies: Sequence[str]) -> Sequence[str]:
    try:
        return send(bodies)
    except Exception:  # whatever a sender raises, the bodies are still there to be spilled or counted
        return bodies


def _connect() -> "SQSClient":
    """A client that gives up soon and leaves retries to us: an invocation's time is running while it waits."""
    import boto3
    from botocore.config import Config

    once = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    return boto3.client("sqs", config=once)


def _batches(bodies: Sequence[str]) -> list[list[str]]:
    """Bodies in groups that one SQS call takes: ten, and 256 KiB together unless one alone is larger."""
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
