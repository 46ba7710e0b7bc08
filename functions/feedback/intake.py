"""Takes feedback: receipts prove the answers, so one durable write is all it needs."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from feedback.comparisons import compare
from feedback.schema import Feedback
from feedback.values import check_value
from pawl.compared import apart
from pawl.corrected import teaches
from pawl.errors import InvalidRequest, TooLarge
from pawl.masking import Masker, Policy
from pawl.metrics import Metric
from pawl.opinions import Piece
from pawl.receipt import Receipt, ReceiptKeys

_NAMESPACE = uuid.UUID("5c1a2f9e-8f0b-5d52-9a51-0e0d6c0c7a11")
_COMPARISONS = ("preference", "ranking")
_TEXTS = ("comment", "demonstration", "correction")
_WHOSE = ("rater", "subject", "user")
"""Whom tags name is what an erasure goes by, and is never masked."""
VALUE_BYTES = 98_304
"""A value may have so many bytes as JSON: with its tags then, a transaction's worth of pieces stays below 4 MiB."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Verifies feedback against its receipts and the metrics that are declared."""

    keys: ReceiptKeys
    metrics: Mapping[str, Metric]
    valid_days: float
    policy: Policy = field(default_factory=Policy)

    def read(self, feedback: Feedback, client: str, said_ms: int) -> Piece:
        """What is to be stored; InvalidReceipt when the answer was never given here, TooLarge, InvalidRequest else.

        The same answer, metric and rater always give the same `feedback_id`; a comment may be said of a pair of answers
        (`tags.pair`, by any name), and is then told apart from those on other pairs of that answer.
        """
        metric = self.metrics.get(feedback.metric_name)
        if metric is None:
            raise InvalidRequest(f"no metric {feedback.metric_name!r}: want one of {sorted(self.metrics)}")
        _require_target(feedback, metric)
        mask = Masker(self.policy)
        about, value, receipt = self._say(feedback, metric, said_ms, mask)
        if metric.models and receipt.model not in metric.models:
            raise InvalidRequest(
                f"{feedback.metric_name} is no metric of {receipt.model}, but of {list(metric.models)}"
            )
        if len(json.dumps(value, ensure_ascii=False).encode()) > VALUE_BYTES:
            raise TooLarge(f"{feedback.metric_name} takes a value of at most {VALUE_BYTES} bytes")
        rater = feedback.tags.get("rater", client)
        value = mask(value) if metric.type in _TEXTS else value
        body = {
            "feedback_id": str(uuid.uuid5(_NAMESPACE, f"{receipt.uuid}/{about}/{rater}")),
            **feedback.model_dump(include={"inference_id", "episode_id"}, exclude_none=True),
            "tags": {name: each if name in _WHOSE else mask(each) for name, each in feedback.tags.items()},
            "metric": feedback.metric_name,
            "value": value,
            "rater": rater,
        }
        does_teach = metric.teaches and (metric.type != "correction" or teaches(value))
        whose = feedback.tags.get("subject") or feedback.tags.get("user")
        subjects = tuple(self.keys.pseudonyms(whose)) if whose else ()
        told = (receipt.uuid, about, rater, said_ms, does_teach, body, subjects)
        return Piece(receipt.model, receipt.model_version, *told)

    def _say(self, feedback: Feedback, metric: Metric, said_ms: int, mask: Masker) -> tuple[str, Any, Receipt]:
        """In what it is said, told apart from others of that rater; what is said; and of which answer."""

        def verify(text: str, called: str) -> Receipt:
            return self.keys.verify(text, now_ms=said_ms, valid_days=self.valid_days, name=called)

        name = feedback.metric_name
        if metric.type in _COMPARISONS:
            found = compare(name, metric.type, feedback.value, feedback.inference_id, verify, mask)
            return f"{name}.{found.apart}", found.value, found.receipt
        pair = feedback.tags.get("pair") if metric.type == "comment" else None
        about = name if pair is None else f"{name}.{apart([pair])}"
        if feedback.inference_id is not None:
            receipt = verify(feedback.inference_id, "inference_id")
            return about, check_value(name, metric.type, feedback.value, receipt.rows), receipt
        receipt = verify(feedback.episode_id or "", "episode_id")
        return f"{about}.episode", check_value(name, metric.type, feedback.value, receipt.rows), receipt


def _require_target(feedback: Feedback, metric: Metric) -> None:
    """InvalidRequest unless feedback names what its metric is said of."""
    name = feedback.metric_name
    if metric.type in _COMPARISONS:
        if feedback.episode_id is not None:
            raise InvalidRequest(f"{name} names its answers in the value: leave out episode_id")
        return
    if (feedback.inference_id is None) == (feedback.episode_id is None):
        raise InvalidRequest(
            "want exactly one of inference_id and episode_id; preference and ranking alone name answers in their value"
        )
    level = "inference" if feedback.episode_id is None else "episode"
    if metric.level not in (level, "either"):
        raise InvalidRequest(f"{name} is said of an {metric.level}: send {metric.level}_id instead of {level}_id")
