"""Entry point of the feedback function: the routes that take feedback, and the page that asks for it.

With an `Idempotency-Key` a request counts as sent when it was first sent: again, it gets the same answer and does not
take the place of what was said since; another body under the same key is refused.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Annotated, Any

import boto3
from fastapi import Header, Query, Request, Response
from pydantic import ValidationError

from feedback.intake import Intake
from feedback.labelling import Batch, Labelling
from feedback.page import HEADERS, PAGE
from feedback.pairs import PairFiles
from feedback.schema import Accepted, Bulk, Feedback, Refused
from feedback.settings import Settings
from feedback.tally import Tally
from pawl.errors import PawlError
from pawl.masking import Policy
from pawl.metrics import declared
from pawl.opinions import Opinions, Piece
from pawl.receipt import ReceiptKeys
from pawl.settings import read_settings
from pawl.web import application, explain, gateway

settings = read_settings(Settings, os.environ)
policy = Policy.of(settings.mask_personal_data, settings.phone_regions)
intake = Intake(ReceiptKeys(settings.receipt_keys), declared(settings.metrics), settings.receipt_max_age_days, policy)
dynamodb = boto3.client("dynamodb")
opinions = Opinions(dynamodb, settings.feedback_table)
tally = Tally(dynamodb, settings.feedback_table)
app = application("Pawl feedback")
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]


@app.post("/feedback")
def take_one(feedback: Feedback, request: Request, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Accept one piece of feedback."""
    client, now_ms = _client(request), _now_ms()
    piece = intake.read(feedback, client, now_ms)
    if not feedback.dryrun:
        _store([piece], client, feedback.model_dump(), idempotency_key, now_ms)
    return Accepted(feedback_id=piece.body["feedback_id"])


@app.post("/feedback/bulk")
def take_many(
    bulk: Bulk, request: Request, idempotency_key: IdempotencyKey = None
) -> dict[str, list[Accepted | Refused]]:
    """Accept or refuse each of many pieces by itself, in order."""
    client, now_ms = _client(request), _now_ms()
    read = [_read_or_refuse(item, client, now_ms) for item in bulk.items]
    pieces = [piece for piece, is_to_be_kept in read if is_to_be_kept and isinstance(piece, Piece)]
    _store(pieces, client, bulk.items, idempotency_key, now_ms)
    return {
        "items": [
            Accepted(feedback_id=each.body["feedback_id"]) if isinstance(each, Piece) else each for each, _ in read
        ]
    }


@app.get("/label")
def show_page() -> Response:
    """The labelling page."""
    return Response(PAGE, media_type="text/html; charset=utf-8", headers=dict(HEADERS))


@app.get("/label/pairs")
def choose_pairs(
    model: Annotated[str, Query(pattern="^[a-z0-9][a-z0-9-]{0,47}$")],
    rater: Annotated[str, Query(min_length=1, max_length=128)],
    count: Annotated[int, Query(ge=1, le=20)] = 10,
) -> Batch:
    """The next pairs for a rater to label, sent as feedback in the metric `preference`."""
    return labelling().next(model, rater, count, _now_ms(), Random())


handler = gateway(app)


@cache
def labelling() -> Labelling:
    """Made when a page first asks: who only sends feedback waits neither for another client nor for numpy."""
    from pawl.bucket import Bucket

    return Labelling(PairFiles(Bucket(boto3.client("s3"), settings.bucket), policy), tally, intake)


def _read_or_refuse(item: object, client: str, now_ms: int) -> tuple[Piece | Refused, bool]:
    """The piece in an item of a bulk, with whether it is more than a dry run; or why it is refused."""
    try:
        feedback = Feedback.model_validate(item)
        return intake.read(feedback, client, now_ms), not feedback.dryrun
    except ValidationError as error:
        return Refused(error=explain(error.errors())), False
    except PawlError as error:
        return Refused(error=str(error)), False


def _store(pieces: Sequence[Piece], client: str, request: Any, key: str | None, now_ms: int) -> None:
    if key is not None and pieces:
        sent_ms = opinions.first_sent_ms(client, key, json.dumps(request, sort_keys=True), now_ms)
        pieces = [replace(piece, said_ms=sent_ms) for piece in pieces]
    opinions.store(pieces, now_ms)
    tally.note(pieces, settings.receipt_max_age_days)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _client(request: Request) -> str:
    """Which API key sent this: the rater, unless the feedback names one."""
    context: dict[str, Any] = request.scope["aws.event"].get("requestContext", {})
    return str(context.get("identity", {}).get("apiKeyId") or "anonymous")
