"""Entry point of the feedback function: the routes that take feedback."""

import os
import time
from typing import Any

import boto3
from fastapi import Request
from pydantic import ValidationError

from feedback.intake import Intake
from feedback.schema import Accepted, Bulk, Feedback, Refused
from feedback.settings import Settings
from pawl.errors import PawlError
from pawl.receipt import ReceiptKeys
from pawl.settings import read_settings
from pawl.store import FeedbackTable
from pawl.web import application, explain, gateway

settings = read_settings(Settings, os.environ)
intake = Intake(
    ReceiptKeys(settings.receipt_keys),
    FeedbackTable(boto3.resource("dynamodb").Table(settings.feedback_table)),
    settings.receipt_valid_days,
    lambda: time.time_ns() // 1_000_000,
)
app = application("Pawl feedback")


@app.post("/feedback")
def take_one(feedback: Feedback, request: Request) -> Accepted:
    """Accept one piece of feedback."""
    return Accepted(feedback_id=intake.take(feedback, _client(request)))


@app.post("/feedback/bulk")
def take_many(bulk: Bulk, request: Request) -> dict[str, list[Accepted | Refused]]:
    """Accept or refuse each of many pieces by itself, in order."""
    return {"items": [_take_or_refuse(item, _client(request)) for item in bulk.items]}


handler = gateway(app)


def _take_or_refuse(item: object, client: str) -> Accepted | Refused:
    try:
        return Accepted(feedback_id=intake.take(Feedback.model_validate(item), client))
    except ValidationError as error:
        return Refused(error=explain(error.errors()))
    except PawlError as error:
        return Refused(error=str(error))


def _client(request: Request) -> str:
    """Which API key sent this: the rater, unless the feedback names one."""
    context: dict[str, Any] = request.scope["aws.event"].get("requestContext", {})
    return str(context.get("identity", {}).get("apiKeyId") or "anonymous")
