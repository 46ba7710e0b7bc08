"""How long a canary's rollback takes from its verdict to the alias being as before: the real code, AWS in process.

What a call takes over the network is not in it; three lie between: the state kept, the alias read, the alias written.
"""

import io
import time
import zipfile
from typing import Any, cast

import boto3
from moto import mock_aws

from pawl.bucket import Bucket
from pawl.events import Announcer
from pawl.feedback import FeedbackTable
from pawl.identity import day_of, isoformat, uuid7_hex
from pawl.ledger import Ledger
from pawl.registry import Registry
from pawl.traffic import Traffic
from pawl.versions import Live, VersionRecord
from release.deployment import ALIAS, Deployment
from release.evidence import Evidence
from release.failures import Failures
from release.gates import GatePolicy
from release.releases import Releases
from release.trials import Trials

TIMES = 10
REGION = "eu-central-1"
_MODEL, _FUNCTION, _LAYER, _RATED = "triage", "inference", "models", 60


def slowest(times: int = TIMES) -> float:
    """Seconds of the slowest rollback; each takes back a candidate that all who rated it were displeased with."""
    return max(_one() for _ in range(times))


def _one() -> float:
    with mock_aws(config=cast(Any, {"core": {"mock_credentials": True}, "lambda": {"use_docker": False}})):
        session = boto3.Session(region_name=REGION)
        releases = _deployment(session)
        releases.trials.start(_candidate(releases), releases.registry.live(_MODEL), _now_ms() - 7_200_000)
        _rate(session.resource("dynamodb").Table("feedback"), _now_ms() - 6_600_000)
        releases.look(_now_ms())
        return float(releases.registry.rollbacks(_MODEL)["2"]["seconds"])


def _deployment(session: Any) -> Releases:
    """A function behind its alias, two tables, a bucket and a bus, and what the release function makes of them."""
    session.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": REGION})
    session.client("events").create_event_bus(Name="bus")
    for name, value in (("layer", "starter"), ("keys", "none")):
        session.client("ssm").put_parameter(Name=name, Value=value, Type="String")
    state, feedback = (_table(session, name) for name in ("state", "feedback"))
    bucket = Bucket(session.client("s3"), "data")
    registry = Registry(state, bucket)
    registry.record_version(VersionRecord(_MODEL, "1", "live", ""))
    registry.move_live(Live(_MODEL, "1"), None)
    deployment = Deployment(_function(session), session.client("ssm"), bucket, _FUNCTION, _LAYER, "layer", "keys")
    failures = Failures(session.client("cloudwatch"), _FUNCTION, ALIAS)
    evidence = Evidence(Traffic(bucket), FeedbackTable(feedback), Ledger(state, "capture"), failures, registry)
    announcer = Announcer(session.client("events"), "bus", "pawl.release")
    trials = Trials(bucket, registry, deployment, evidence, announcer)
    return Releases(bucket, registry, deployment, announcer, GatePolicy(), cast(Any, None), trials, _now_ms)


def _candidate(releases: Releases) -> VersionRecord:
    """Version 2 as its gates leave it: a layer and a function version of its own."""
    layer = releases.deployment.publish_layer("layers/2.zip", _archive(), "2")
    version = releases.deployment.publish_function(layer, f"{_MODEL} 2")
    record = VersionRecord(_MODEL, "2", "candidate", "", layer_arn=layer, function_version=version, replaces="1")
    releases.registry.record_version(record)
    return record


def _rate(table: Any, at_ms: int) -> None:
    with table.batch_writer() as batch:
        for number in range(2 * _RATED):
            version, uuid = str(1 + number % 2), uuid7_hex(at_ms, number.to_bytes(10, "big"))
            said = {"metric": "thumbs_up", "value": version == "1", "model_version": version}
            keys = {"pk": f"{_MODEL}#{day_of(at_ms)}", "sk": f"{uuid}#thumbs_up#bench"}
            batch.put_item(Item={**keys, **said, "given_at": isoformat(at_ms)})


def _function(session: Any) -> Any:
    role = session.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = session.client("lambda")
    layer = client.publish_layer_version(LayerName=_LAYER, Content={"ZipFile": _archive()})["LayerVersionArn"]
    client.create_function(
        FunctionName=_FUNCTION,
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": _archive()},
        Layers=[layer],
        Environment={"Variables": {}},
    )
    version = client.publish_version(FunctionName=_FUNCTION)["Version"]
    client.create_alias(FunctionName=_FUNCTION, Name=ALIAS, FunctionVersion=version)
    return client


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", "")
    return buffer.getvalue()


def _table(session: Any, name: str) -> Any:
    return session.resource("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
