"""Entry point `drift.check`: on a schedule, or invoked with {"model", "since", "until"}, each optional."""

import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from drift.settings import CheckSettings
from drift.watch import Watch
from pawl.events import Announcer
from pawl.identity import unix_ms
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.store import Bucket, Traffic

settings = read_settings(CheckSettings, os.environ)
logger = Logger(service="drift.check")
bucket = Bucket(boto3.client("s3"), settings.bucket)
registry = Registry(boto3.resource("dynamodb").Table(settings.state_table), bucket)
watch = Watch(
    bucket,
    Traffic(bucket),
    registry,
    Announcer(boto3.client("events"), settings.event_bus, "pawl.drift"),
    settings.minimum_rows,
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Check one model, or all of them, over a window that ends now unless the event says otherwise."""
    until_ms = unix_ms(event["until"]) if "until" in event else time.time_ns() // 1_000_000
    window_ms = round(settings.window_hours * 3_600_000)
    since_ms = unix_ms(event["since"]) if "since" in event else until_ms - window_ms
    names = [event["model"]] if "model" in event else registry.models()
    reports = [watch.check(name, since_ms, until_ms) for name in names]
    for report in reports:
        with single_metric("DriftScore", MetricUnit.NoUnit, report.score, namespace="Pawl") as metric:
            metric.add_dimension("model", report.model)
        logger.info(
            "drift checked",
            extra={
                "model": report.model,
                "version": report.version,
                "rows": report.rows,
                "status": report.status,
                "score": report.score,
            },
        )
    return {"reports": [report.to_dict() for report in reports]}
