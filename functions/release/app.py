"""Entry point of the release function: candidates from its queue, looks at the canary, and the release API."""

import json
import os
import time
from typing import Any, cast

import boto3
from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from pawl.bucket import Bucket
from pawl.errors import Conflict
from pawl.events import Announcer
from pawl.feedback import FeedbackTable
from pawl.ledger import Ledger
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.traffic import Traffic
from pawl.web import gateway
from release.api import build
from release.deployment import ALIAS, Deployment
from release.evidence import Evidence
from release.failures import CloudWatch, Failures
from release.gates import GatePolicy
from release.judges import Judges
from release.releases import Releases
from release.settings import Settings
from release.signer import KmsKey
from release.trials import Trials

settings = read_settings(Settings, os.environ)
logger = Logger(service="release")
bucket = Bucket(boto3.client("s3"), settings.bucket)
tables = boto3.resource("dynamodb")
state = tables.Table(settings.state_table)
registry = Registry(state, bucket)
announcer = Announcer(boto3.client("events"), settings.event_bus, "pawl.release")
deployment = Deployment(
    boto3.client("lambda"),
    boto3.client("ssm"),
    bucket,
    settings.inference_function,
    settings.models_layer,
    settings.live_layer_parameter,
    settings.trusted_keys_parameter,
)
evidence = Evidence(
    Traffic(bucket),
    FeedbackTable(tables.Table(settings.feedback_table)),
    Ledger(state, "capture"),
    Failures(cast(CloudWatch, boto3.client("cloudwatch")), settings.inference_function, ALIAS),  # pyright: ignore[reportUnknownMemberType]
    registry,
)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


trials = Trials(bucket, registry, deployment, evidence, announcer)
signer = KmsKey(boto3.client("kms"), settings.signing_key)
releases = Releases(bucket, registry, deployment, announcer, GatePolicy(), signer, trials, now_ms)
judges = Judges(bucket, registry, announcer, GatePolicy(), signer, now_ms)
web = gateway(build(releases, now_ms))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deal with a batch from the queue, a look that is due, a deployment, or with one request to the release API."""
    if "httpMethod" in event:
        return web(event, context)
    if event.get("detail-type") == "Deployed":
        return {"function_version": releases.refresh()}
    for record in event.get("Records", []):
        take(json.loads(record["body"]))
    return {"batchItemFailures": []} if "Records" in event else look()


def take(event: dict[str, Any]) -> None:
    """Deal with the arrival of a candidate, or with a moment to look; failures raise and are delivered again."""
    if event["detail-type"] == "Object Created":
        _, model, version, _ = event["detail"]["object"]["key"].split("/")
        consider(model, version)
    else:
        look()


def consider(model: str, version: str) -> None:
    """Deal with the arrival of `candidates/<model>/<version>/manifest.json`.

    A candidate that comes while somebody changes what is live has its turn with the next look, long before the queue
    would deliver it again.
    """
    is_judge = judges.concern(model, version)
    try:
        record = (judges if is_judge else releases).consider(model, version, now_ms())
    except Conflict as error:
        if is_judge:
            raise
        registry.let_wait(model, version)
        logger.info("candidate waits", extra={"model": model, "version": version, "reason": str(error)})
        return
    failed = [gate["name"] for gate in record.gates if not gate["passed"]]
    logger.info(
        "release considered", extra={"model": model, "version": version, "state": record.state, "failed_gates": failed}
    )


def look() -> dict[str, Any]:
    """Take the canary under way forward, if there is one; while somebody else does, there is nothing to do."""
    before = trials.current()
    try:
        after = releases.look(now_ms())
    except Conflict as error:
        logger.info("canary looked at by another", extra={"reason": str(error)})
        return {"canary": before and before.shown()}
    if before is not None and after is None:
        ended = registry.version(before.model, before.version)
        if ended is not None and ended.state == "rolled_back":
            count_rollback()
    return {"canary": after and after.shown()}


def count_rollback() -> None:
    """Count a candidate that its canary took back, for the alarm."""
    with single_metric(name="CanaryRolledBack", unit=MetricUnit.Count, value=1, namespace="Pawl") as metric:
        metric.add_dimension(name="service", value="release")
