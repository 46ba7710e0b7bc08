"""Feedback on answers that devices gave by themselves, and so without a receipt: it brings its answer along.

Whoever may drop a file is believed. The answer gets a receipt now, of its own time, and goes the way of all captured
traffic; the feedback is said of that receipt. All is named by the answer's id, so a file that is read again says
nothing new. An answer that is too old to be judged, or lies in the future, is refused like any other.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StrictFloat, StrictInt, StrictStr

from feedback.schema import TEXT_LIMIT, Strict
from pawl.errors import InvalidRequest, PawlError
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

ANSWER = "answer"
"""The field of a row that holds the answer, in the place of an inference_id."""
DEVICE = "0"
"""Stands in the receipt for the function's version: no function of this deployment gave the answer."""
_AHEAD_MS = 86_400_000
_BATCH = 10
_BATCH_BYTES = 262_144
Name = Annotated[StrictStr, Field(min_length=1, max_length=64)]
Feature = StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=256)] | None


class Answer(Strict):
    """An answer to one text; its features are what a profile counts of it."""

    id: Name
    model: Annotated[StrictStr, Field(pattern="^[a-z0-9][a-z0-9-]{0,47}$")]
    version: Annotated[StrictStr, Field(pattern="^[1-9][0-9]{0,8}$")]
    unix_ms: Annotated[StrictInt, Field(ge=946_684_800_000)]
    text: Annotated[StrictStr, Field(max_length=TEXT_LIMIT)]
    features: Annotated[dict[Name, Feature], Field(min_length=1, max_length=256)]


@dataclass(frozen=True, slots=True)
class Devices:
    """Gives such answers receipts, and hands them to the capture queue."""

    keys: ReceiptKeys
    client: "SQSClient"
    url: str

    def receive(self, row: Mapping[str, Any], said_ms: int) -> tuple[dict[str, Any], CaptureRecord]:
        """The row with a receipt in place of its answer, and that answer; ValidationError or InvalidRequest else."""
        answer = Answer.model_validate(row[ANSWER])
        if answer.unix_ms > said_ms + _AHEAD_MS:
            raise InvalidRequest("answer.unix_ms: want a time that is not after the file's, in milliseconds since 1970")
        inference_id = self.keys.sign(
            model=answer.model,
            model_version=answer.version,
            function_version=DEVICE,
            rows=1,
            payload=answer.text.encode(),
            unix_ms=answer.unix_ms,
            random=hashlib.sha256(answer.id.encode()).digest()[:10],
        )
        rest = {name: value for name, value in row.items() if name != ANSWER}
        return {**rest, "inference_id": inference_id}, _record(answer, inference_id)

    def capture(self, records: Sequence[CaptureRecord]) -> None:
        """Send records on; PawlError when the queue does not take them, and the file is read again."""
        bodies = [json.dumps(json.loads(record.to_json()), separators=(",", ":")) for record in records]
        for batch in _batches(bodies):
            entries: Any = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(batch)]
            failed = self.client.send_message_batch(QueueUrl=self.url, Entries=entries).get("Failed", [])
            if failed:
                raise PawlError(f"the capture queue did not take {len(failed)} of {len(batch)} answers")


def _record(answer: Answer, inference_id: str) -> CaptureRecord:
    features = {name: [value] for name, value in answer.features.items()}
    outputs = {"label": features["label"]} if "label" in features else {}
    asked = {"text": [answer.text]}
    return CaptureRecord(inference_id, answer.model, answer.version, answer.unix_ms, asked, outputs, features)


def _batches(bodies: Sequence[str]) -> list[list[str]]:
    """Bodies, which are ASCII, in groups that one call to SQS takes."""
    groups: list[list[str]] = []
    size = _BATCH_BYTES
    for body in bodies:
        if size + len(body) > _BATCH_BYTES or len(groups[-1]) == _BATCH:
            groups.append([])
            size = 0
        groups[-1].append(body)
        size += len(body)
    return groups
