"""Entry point `drift.inbox`: files dropped under `inbox/traffic/<model>/<version>/` become profiles."""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics

from drift.dropped import ReferenceFile, TrafficFile, is_reference, parts_of, target_of
from drift.settings import InboxSettings
from pawl.bucket import Bucket
from pawl.dropqueue import DropQueue
from pawl.drops import Drops, Task
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.traffic import Traffic

settings = read_settings(InboxSettings, os.environ)
metrics = Metrics(namespace="Pawl", service="drift.inbox")
bucket = Bucket(boto3.client("s3"), settings.bucket)
state = boto3.resource("dynamodb").Table(settings.state_table)
registry = Registry(state, bucket)


def task(key: str) -> Task:
    """What is made of a file: profiles, or the reference of its version."""
    model, version, name = parts_of(key)
    target = target_of(registry, bucket, model, version)
    if is_reference(name):
        return ReferenceFile(bucket, registry, target)
    return TrafficFile(Traffic(bucket), registry, target)


queue = DropQueue(
    boto3.client("sqs"),
    settings.inbox_queue_url,
    Drops(bucket, state, settings.chunk_rows),
    task,
    Logger(service="drift.inbox"),
    metrics,
)


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Go on with the files of a batch; failures raise, and the queue delivers it again."""
    queue.work(event["Records"], context.get_remaining_time_in_millis)
    return {"batchItemFailures": []}
