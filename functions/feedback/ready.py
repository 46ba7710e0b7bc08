"""Entry point `feedback.ready`: announces `FeedbackReady` when enough was said that teaches.

It reads the feedback table's stream, of which it is given the counters alone. A counter grows in the very transaction
that stores feedback, and each growth is one record of the stream: so exactly one record crosses a threshold, and it
stays in the stream until it has been dealt with, however often this function dies. What was announced is noted; who
dies in between announces again under the same id, by which the listener knows it.
"""

import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger

from feedback.crossings import Announced, crossing_in
from feedback.settings import ReadySettings
from pawl.events import Announcer
from pawl.settings import read_settings

settings = read_settings(ReadySettings, os.environ)
logger = Logger(service="feedback.ready")
announcer = Announcer(boto3.client("events"), settings.event_bus, "pawl.feedback")
announced = Announced(boto3.resource("dynamodb").Table(settings.feedback_table))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deal with a batch of the stream in its order; failures raise, and the stream delivers it again."""
    for record in event["Records"]:
        take(record)
    return {"batchItemFailures": []}


def take(record: dict[str, Any]) -> None:
    """Announce the threshold that a counter crossed, if it did and nobody knows of it yet."""
    crossing = crossing_in(record, settings.ready_feedback)
    if crossing is None or announced.has(crossing):
        return
    announcer.announce(
        "FeedbackReady",
        id=crossing.id,
        subject=crossing.model,
        unix_ms=time.time_ns() // 1_000_000,
        data={"model": crossing.model, "version": crossing.version, "feedback": crossing.taught},
    )
    announced.add(crossing)
    logger.info("feedback is ready", extra={"model": crossing.model, "version": crossing.version})
