"""Entry point `drift.collect`: the capture queue's records become traffic and profiles, one batch an invocation."""

import json
import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

from drift.intake import TrafficIntake
from drift.settings import CollectSettings
from drift.shadow import Shadow
from pawl.bucket import Bucket
from pawl.errors import InvalidRecord, PawlError
from pawl.ledger import Ledger
from pawl.masking import Policy, mask_record
from pawl.records import CaptureRecord
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.traffic import Traffic

settings = read_settings(CollectSettings, os.environ)
policy = Policy.of(settings.mask_personal_data, settings.phone_regions)
logger = Logger(service="drift.collect")
metrics = Metrics(namespace="Pawl", service="drift.collect")
bucket = Bucket(boto3.client("s3"), settings.bucket)
state = boto3.resource("dynamodb").Table(settings.state_table)
# To check 25 items of a fixed form takes the SDK as long as to send them.
items = boto3.client("dynamodb", config=Config(parameter_validation=False))
intake = TrafficIntake(Traffic(bucket), Registry(state, bucket), Ledger(state, "capture", client=items))
function = settings.inference_function
shadow = Shadow(state, boto3.client("lambda"), function) if function else None


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Store one batch of captured records, masked; records that cannot be stored go back to the queue by themselves."""
    failed: list[str] = []
    records: dict[str, list[str]] = {}
    parsed: dict[str, CaptureRecord] = {}
    copied: list[CaptureRecord] = []
    for message in event["Records"]:
        try:
            asked = parse_message(message["body"])
            copied.append(asked)
            record = mask_record(asked, policy)
            parsed[record.inference_id] = record
            records.setdefault(record.inference_id, []).append(message["messageId"])
        except InvalidRecord as error:
            _refuse(message["messageId"], error, failed)
    now_ms = time.time_ns() // 1_000_000
    outcome = intake.take(list(parsed.values()), now_ms)
    if shadow is not None:
        metrics.add_metric("ShadowCopies", MetricUnit.Count, shadow.copy(copied, now_ms))
    for inference_id, error in outcome.refused.items():
        for message_id in records[inference_id]:
            _refuse(message_id, error, failed)
    metrics.add_metric("CapturedRows", MetricUnit.Count, outcome.stored)
    metrics.add_metric("DuplicateRecords", MetricUnit.Count, outcome.duplicates)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def parse_message(body: str) -> CaptureRecord:
    """The record in a message; InvalidRecord when it is none."""
    try:
        return CaptureRecord.from_dict(json.loads(body))
    except json.JSONDecodeError as error:
        raise InvalidRecord(f"capture record: not JSON at character {error.pos}") from error


def _refuse(message_id: str, error: PawlError, failed: list[str]) -> None:
    logger.warning("record refused", extra={"message_id": message_id, "reason": str(error)})
    failed.append(message_id)
