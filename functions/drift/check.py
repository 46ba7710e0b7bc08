"""Entry point `drift.check`: on a schedule, or invoked with {"model", "since", "until"}, each optional."""

import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from drift.late import LateLabels
from drift.report import Report
from drift.settings import CheckSettings
from drift.watch import Watch
from pawl.bucket import Bucket
from pawl.events import Announcer
from pawl.feedback import FeedbackTable
from pawl.identity import unix_ms
from pawl.ledger import Ledger
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.traffic import Traffic

settings = read_settings(CheckSettings, os.environ)
logger = Logger(service="drift.check")
bucket = Bucket(boto3.client("s3"), settings.bucket)
tables = boto3.resource("dynamodb")
state = tables.Table(settings.state_table)
registry = Registry(state, bucket)
watch = Watch(
    bucket,
    Traffic(bucket),
    registry,
    Announcer(boto3.client("events"), settings.event_bus, "pawl.drift"),
    LateLabels(FeedbackTable(tables.Table(settings.feedback_table)), Ledger(state, "capture"), registry),
    settings.minimum_rows,
    settings.instance_hour_usd,
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Check one model, or all of them, over a window that ends now unless the event says otherwise.

    A model that cannot be checked keeps no other one from it: its error is raised when all have had their turn.
    """
    until_ms = unix_ms(event["until"]) if "until" in event else time.time_ns() // 1_000_000
    window_ms = round(settings.window_hours * 3_600_000)
    since_ms = unix_ms(event["since"]) if "since" in event else until_ms - window_ms
    names = [event["model"]] if "model" in event else [*registry.models(), *registry.models_elsewhere()]
    reports: list[Report] = []
    failures: list[Exception] = []
    for name in dict.fromkeys(names):
        try:
            reports.append(watch.check(name, since_ms, until_ms))
        except Exception as error:
            logger.exception("model not checked", extra={"model": name})
            failures.append(error)
        else:
            tell(reports[-1])
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(failures) + len(reports)} models could not be checked", failures)
    return {"reports": [report.to_dict() for report in reports]}


def tell(report: Report) -> None:
    """Log what a check came to, and measure it."""
    measure(report)
    logger.info(
        "drift checked",
        extra={
            "model": report.model,
            "version": report.version,
            "rows": report.rows,
            "status": report.status,
            "score": report.score,
            "kind": report.attribution.kind,
            "cure": report.cure.action,
        },
    )


def measure(report: Report) -> None:
    """Put the report's figures among the metrics of its model; what is not known is left out."""
    figures = {"RowsChecked": (MetricUnit.Count, float(report.rows))}
    if report.status in ("stable", "drifted"):
        figures["DriftScore"] = (MetricUnit.NoUnit, report.score)
    if report.estimate is not None:
        figures["EstimatedAccuracy"] = (MetricUnit.NoUnit, report.estimate.accuracy)
    if report.error is not None:
        figures["EstimatedError"] = (MetricUnit.NoUnit, report.error.error)
    if report.labels is not None:
        figures["LabelledAccuracy"] = (MetricUnit.NoUnit, report.labels.accuracy)
    for name, (unit, value) in figures.items():
        with single_metric(name, unit, value, namespace="Pawl") as metric:
            metric.add_dimension("model", report.model)
