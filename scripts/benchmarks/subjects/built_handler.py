"""The built Lambda handler in a process like Lambda's, but for the queue: an SDK stands in that accepts every record.

Import this first: the handler's own sender then runs as it is, without a network, and what the handler prints goes to
standard error, since standard output is for results (`tell`).
"""

import os
import sys
import time
import types
from typing import Any

os.environ.setdefault("RECEIPT_KEYS", "1:" + "k" * 32)
os.environ.setdefault("CAPTURE_QUEUE_URL", "http://127.0.0.1:9/none")


class Queue:
    """The part of an SQS client that capture calls."""

    def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> dict[str, list[Any]]:
        """Every entry is accepted."""
        return {"Successful": [], "Failed": []}


class Context:
    """The part of Lambda's context that the handler reads."""

    function_version = "1"
    aws_request_id = "bench"
    function_name = "bench"

    def __init__(self, seconds: float = 30.0) -> None:
        self._ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda would end the function."""
        return int((self._ends - time.monotonic()) * 1000)


results, sys.stdout = sys.stdout, sys.stderr
stand_in: Any = types.ModuleType("boto3")
stand_in.client = lambda service, **options: Queue()
sys.modules["boto3"] = stand_in

from inference import app  # noqa: E402  (after its SDK)

app.capture.wake = lambda: None  # nothing lingers, as on Lambda, where an extension does what `settle` does


def event(body: str, route: str = "/v2/models/{model}/infer") -> dict[str, Any]:
    """An inference request, as API Gateway passes it."""
    return {
        "httpMethod": "POST",
        "resource": route,
        "pathParameters": {"model": "triage"},
        "body": body,
        "isBase64Encoded": False,
        "headers": {"Content-Type": "application/json"},
    }


def answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The handler's reply to one event."""
    return app.handler(event, context)


def tell(line: str) -> None:
    """Print a line of results."""
    print(line, file=results, flush=True)


def settle() -> None:
    """Send what was captured: on Lambda that happens between invocations, not during them."""
    if not app.capture.flush(5):
        raise TimeoutError("what was captured was not sent within 5 s")
