"""Entry point of the feedback function: FastAPI behind Mangum."""

import os
import time
from typing import Any

import boto3
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mangum import Mangum
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from feedback.intake import Intake
from feedback.schema import Accepted, Bulk, Feedback, Refused
from feedback.settings import Settings
from pawl.errors import PawlError
from pawl.receipt import ReceiptKeys
from pawl.settings import read_settings
from pawl.store import FeedbackTable

settings = read_settings(Settings, os.environ)
intake = Intake(
    ReceiptKeys(settings.receipt_keys),
    FeedbackTable(boto3.resource("dynamodb").Table(settings.feedback_table)),
    settings.receipt_valid_days,
    lambda: time.time_ns() // 1_000_000,
)
app = FastAPI(title="Pawl feedback", docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/feedback")
def take_one(feedback: Feedback, request: Request) -> Accepted:
    """Accept one piece of feedback."""
    return Accepted(feedback_id=intake.take(feedback, _client(request)))


@app.post("/feedback/bulk")
def take_many(bulk: Bulk, request: Request) -> dict[str, list[Accepted | Refused]]:
    """Accept or refuse each of many pieces by itself, in order."""
    return {"items": [_take_or_refuse(item, _client(request)) for item in bulk.items]}


@app.exception_handler(PawlError)
async def answer_error(request: Request, error: PawlError) -> JSONResponse:
    """An error of ours, with the status it stands for."""
    return JSONResponse({"error": str(error)}, error.status)


@app.exception_handler(RequestValidationError)
async def answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """A body that does not fit the schema: which field, and what it should be; never what was sent."""
    return JSONResponse({"error": _explain(error.errors())}, 400)


handler = Mangum(app, lifespan="off")


def _take_or_refuse(item: object, client: str) -> Accepted | Refused:
    try:
        return Accepted(feedback_id=intake.take(Feedback.model_validate(item), client))
    except ValidationError as error:
        return Refused(error=_explain(error.errors()))
    except PawlError as error:
        return Refused(error=str(error))


def _client(request: Request) -> str:
    """Which API key sent this: the rater, unless the feedback names one."""
    context: dict[str, Any] = request.scope["aws.event"].get("requestContext", {})
    return str(context.get("identity", {}).get("apiKeyId") or "anonymous")


def _explain(errors: list[ErrorDetails] | Any) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in errors)
