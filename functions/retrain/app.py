"""Entry point of the retrain function: events from its queue, and the job API."""

import json
import os
import time
import uuid
from typing import Any

import boto3
from aws_lambda_powertools import Logger

from pawl.bucket import Bucket
from pawl.events import Announcer
from pawl.feedback import FeedbackTable
from pawl.masking import Policy as MaskingPolicy
from pawl.metrics import declared
from pawl.narrowing import is_object
from pawl.pairset import judged_by
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.web import gateway
from retrain.api import build
from retrain.decision import Decision, Policy, Reason
from retrain.fleet import Fleet
from retrain.orders import Orders
from retrain.runs import Runs
from retrain.settings import Settings

settings = read_settings(Settings, os.environ)
logger = Logger(service="retrain")
tables = boto3.resource("dynamodb")
bucket = Bucket(boto3.client("s3"), settings.bucket)
registry = Registry(tables.Table(settings.state_table), bucket)
feedback = FeedbackTable(tables.Table(settings.feedback_table))
runs = Runs(
    bucket,
    registry,
    feedback,
    boto3.client("batch"),
    Announcer(boto3.client("events"), settings.event_bus, "pawl.retrain"),
    Orders(
        bucket,
        registry,
        feedback,
        settings.window_days,
        declared(settings.metrics),
        MaskingPolicy.of(settings.mask_personal_data, settings.phone_regions),
    ),
    Policy(settings.minimum_labels, settings.cooldown_hours),
    Fleet.of(settings),
    settings.instance_hour_usd,
)
_CAUSES: dict[str, Reason] = {
    "DriftDetected": "drift",
    "FeedbackReady": "feedback",
    "ModelReleased": "judge",  # of reward models alone, see the rule
    "RetrainScheduled": "schedule",
}


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


web = gateway(build(runs, now_ms, lambda: f"person/{uuid.uuid4()}"))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deal with a batch from the queue, or with one request to the job API."""
    if "Records" not in event:
        return web(event, context)
    for record in event["Records"]:
        take(json.loads(record["body"]), record["messageId"])
    return {"batchItemFailures": []}


def take(event: dict[str, Any], message_id: str) -> None:
    """Deal with one EventBridge event; failures raise, and the queue delivers it again."""
    if event["detail-type"] == "Batch Job State Change":
        runs.end(event["detail"], now_ms())
        return
    reason = _CAUSES[event["detail-type"]]
    for model in models_of(event["detail"], reason):
        cause = event["detail"].get("id") or f"schedule/{model}/{message_id}"
        report(model, reason, runs.consider(model, reason, cause, now_ms(), cure_in(event["detail"].get("data"))))
        if reason == "schedule" and (again := runs.consider_again(model, now_ms())):
            report(model, "feedback", again)


def report(model: str, reason: Reason, considered: tuple[Decision, str | None]) -> None:
    """Log what was decided."""
    decision, run = considered
    about = {"model": model, "reason": reason, "action": decision.action, "because": decision.because, "run": run}
    logger.info("retrain considered", extra=about)


def models_of(detail: dict[str, Any], reason: Reason) -> list[str]:
    """The models that an event is about: its subject, or whom that judges; all of them where it has none."""
    if "subject" not in detail:
        return registry.models()
    return [judged_by(detail["subject"]) if reason == "judge" else detail["subject"]]


def cure_in(data: Any) -> str:
    """The cure that a drift's announcement asks for; empty when it asks for none."""
    cure = data.get("cure") if is_object(data) else None
    return str(cure.get("action", "")) if is_object(cure) else ""
