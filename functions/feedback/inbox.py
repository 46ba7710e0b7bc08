"""Entry point `feedback.inbox`: files dropped under `inbox/feedback/` are taken as `POST /feedback` takes each row."""

import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics

from feedback.devices import Devices
from feedback.files import FeedbackFile
from feedback.intake import Intake
from feedback.settings import InboxSettings
from feedback.tally import Tally
from pawl.bucket import Bucket
from pawl.dropqueue import DropQueue
from pawl.drops import Drops
from pawl.masking import Policy
from pawl.metrics import declared
from pawl.opinions import Opinions
from pawl.receipt import ReceiptKeys
from pawl.settings import read_settings

settings = read_settings(InboxSettings, os.environ)
metrics = Metrics(namespace="Pawl", service="feedback.inbox")
dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")
keys = ReceiptKeys(settings.receipt_keys)
task = FeedbackFile(
    Intake(
        keys,
        declared(settings.metrics),
        settings.receipt_max_age_days,
        Policy.of(settings.mask_personal_data, settings.phone_regions),
    ),
    Opinions(dynamodb, settings.feedback_table),
    Tally(dynamodb, settings.feedback_table),
    Devices(keys, sqs, settings.capture_queue_url),
    lambda: time.time_ns() // 1_000_000,
)
queue = DropQueue(
    sqs,
    settings.inbox_queue_url,
    Drops(
        Bucket(boto3.client("s3"), settings.bucket),
        boto3.resource("dynamodb").Table(settings.state_table),
        settings.chunk_rows,
    ),
    lambda key: task,
    Logger(service="feedback.inbox"),
    metrics,
)


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Go on with the files of a batch; failures raise, and the queue delivers it again."""
    queue.work(event["Records"], context.get_remaining_time_in_millis)
    return {"batchItemFailures": []}
