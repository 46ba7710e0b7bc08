"""Entry point of the release function: candidates from its queue, and the release API."""

import json
import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger

from pawl.bucket import Bucket
from pawl.events import Announcer
from pawl.registry import Registry
from pawl.settings import read_settings
from pawl.web import gateway
from release.api import build
from release.deployment import Deployment
from release.gates import GatePolicy
from release.judges import Judges
from release.releases import Releases
from release.settings import Settings
from release.signer import KmsKey

settings = read_settings(Settings, os.environ)
logger = Logger(service="release")
bucket = Bucket(boto3.client("s3"), settings.bucket)
registry = Registry(boto3.resource("dynamodb").Table(settings.state_table), bucket)
announcer = Announcer(boto3.client("events"), settings.event_bus, "pawl.release")
signer = KmsKey(boto3.client("kms"), settings.signing_key)
releases = Releases(
    bucket,
    registry,
    Deployment(
        boto3.client("lambda"),
        boto3.client("ssm"),
        bucket,
        settings.inference_function,
        settings.models_layer,
        settings.live_layer_parameter,
        settings.trusted_keys_parameter,
    ),
    announcer,
    GatePolicy(),
    signer,
)
judges = Judges(bucket, registry, announcer, GatePolicy(), signer)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


web = gateway(build(releases, now_ms))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deal with a batch from the queue, or with one request to the release API."""
    if "Records" not in event:
        return web(event, context)
    for record in event["Records"]:
        take(json.loads(record["body"]))
    return {"batchItemFailures": []}


def take(event: dict[str, Any]) -> None:
    """Deal with the arrival of `candidates/<model>/<version>/manifest.json`; failures raise and are delivered again."""
    _, model, version, _ = event["detail"]["object"]["key"].split("/")
    decide = judges.consider if judges.concern(model, version) else releases.consider
    record = decide(model, version, now_ms())
    failed = [gate["name"] for gate in record.gates if not gate["passed"]]
    logger.info(
        "release considered", extra={"model": model, "version": version, "state": record.state, "failed_gates": failed}
    )
