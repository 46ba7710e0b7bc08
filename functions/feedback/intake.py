"""Takes one piece of feedback: the receipt proves the answer, so one durable write is all it needs."""

import uuid
from collections.abc import Callable
from typing import Any

from feedback.metrics import check_value
from feedback.schema import Feedback
from pawl.identity import isoformat
from pawl.receipt import ReceiptKeys
from pawl.store import FeedbackTable

_NAMESPACE = uuid.UUID("5c1a2f9e-8f0b-5d52-9a51-0e0d6c0c7a11")


class Intake:
    """Verifies and stores feedback; a replay overwrites itself, so it counts once a rater."""

    def __init__(self, keys: ReceiptKeys, table: FeedbackTable, valid_days: float, now_ms: Callable[[], int]) -> None:
        self._keys = keys
        self._table = table
        self._valid_days = valid_days
        self._now_ms = now_ms

    def take(self, feedback: Feedback, client: str) -> str:
        """Store the feedback and return its id; InvalidReceipt when the answer was never given here."""
        now_ms = self._now_ms()
        receipt = self._keys.verify(feedback.inference_id, now_ms=now_ms, valid_days=self._valid_days)
        value = check_value(feedback.metric_name, feedback.value, receipt.rows)
        rater = feedback.tags.get("rater", client)
        feedback_id = str(uuid.uuid5(_NAMESPACE, f"{receipt.uuid}/{feedback.metric_name}/{rater}"))
        body: dict[str, Any] = {
            "feedback_id": feedback_id,
            "inference_id": feedback.inference_id,
            "metric": feedback.metric_name,
            "value": value,
            "rater": rater,
            "tags": feedback.tags,
            "model_version": receipt.model_version,
            "given_at": isoformat(now_ms),
        }
        if not feedback.dryrun:
            self._table.put(
                model=receipt.model, inference_uuid=receipt.uuid, metric=feedback.metric_name, rater=rater, body=body
            )
        return feedback_id
