"""Entry point `drift.inbox`: files dropped under `inbox/traffic/<model>/<version>/` become profiles.

A file that takes longer than an invocation may goes on in the next one: its event is put into the queue again. A crash
in between puts it there a second time, through the queue's own redelivery, and the second finds nothing left to do.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from drift.dropped import ReferenceFile, TrafficFile, is_reference, parts_of, target_of
from drift.settings import MARGIN_MS, InboxSettings
from pawl.drops import ERRORS, Drops, Progress
from pawl.errors import InvalidRecord, NotFound
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.store import Bucket, Traffic

settings = read_settings(InboxSettings, os.environ)
logger = Logger(service="drift.inbox")
metrics = Metrics(namespace="Pawl", service="drift.inbox")
bucket = Bucket(boto3.client("s3"), settings.bucket)
state = boto3.resource("dynamodb").Table(settings.state_table)
registry = Registry(state, bucket)
drops = Drops(bucket, state, settings.chunk_rows)
queue = boto3.client("sqs")


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Go on with the files of a batch; failures raise, and the queue delivers it again."""
    for record in event["Records"]:
        key = json.loads(record["body"])["detail"]["object"]["key"]
        if ERRORS in key or key.endswith("/"):  # what was written beside a file, and folders
            continue
        progress = take(key, lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
        if not progress.is_done:
            queue.send_message(QueueUrl=settings.inbox_queue_url, MessageBody=record["body"])
    return {"batchItemFailures": []}


def take(key: str, has_time: Callable[[], bool]) -> Progress:
    """Go on with one file, and say how far it has come."""
    try:
        before = drops.progress(key)
    except NotFound:
        logger.warning("dropped file is gone", extra={"key": key})
        return Progress(is_done=True)
    try:
        progress = _work(key, has_time)
    except InvalidRecord as error:  # its name alone says that nothing can be made of it
        drops.refuse(key, error)
        progress = replace(before, refused=str(error), is_done=True)
    _tell(key, before, progress)
    return progress


def _work(key: str, has_time: Callable[[], bool]) -> Progress:
    model, version, name = parts_of(key)
    target = target_of(registry, model, version)
    whole = is_reference(name)
    task = ReferenceFile(bucket, registry, target) if whole else TrafficFile(Traffic(bucket), registry, target)
    return drops.work(key, task, has_time, time.time_ns() // 1_000_000)


def _tell(key: str, before: Progress, progress: Progress) -> None:
    metrics.add_metric("DroppedRows", MetricUnit.Count, progress.rows - before.rows)
    metrics.add_metric("DroppedRowsRefused", MetricUnit.Count, progress.faults - before.faults)
    if progress.refused and not before.is_done:
        logger.warning("dropped file refused", extra={"key": key, "reason": progress.refused})
    logger.info(
        "dropped file read",
        extra={"key": key, "rows": progress.rows, "refused_rows": progress.faults, "is_done": progress.is_done},
    )
