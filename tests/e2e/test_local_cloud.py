"""The local cloud by itself: what it promises to the project, shown on a template of a few resources.

Nothing here knows the project's own template; `scripts/local` could serve another.
"""

import contextlib
import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.cloud import SCRIPTS, LocalCloud, free_port
from local.deploy import build, deploy
from local.errors import DeployError, LocalCloudError
from local.processes import session_members

pytestmark = pytest.mark.e2e

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Kind: {Type: String, Default: text}
Globals:
  Function: {Runtime: python3.13, CodeUri: code/, Timeout: 10, Layers: [!Ref Layer]}
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: makefile}
    Properties: {ContentUri: layer/}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      BinaryMediaTypes: ["*/*"]
      MinimumCompressionSize: 500
      Auth: {ApiKeyRequired: true, UsagePlan: {CreateUsagePlan: PER_API}}
  ProbeFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      Handler: probe.handler
      AutoPublishAlias: live
      Events: {Probe: {Type: Api, Properties: {RestApiId: !Ref Api, Method: POST, Path: /probe}}}
  FailingFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      Handler: probe.fail
      EventInvokeConfig:
        MaximumRetryAttempts: 0
        DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt Failures.Arn}}
      Events: {Ask: {Type: EventBridgeRule, Properties: {Pattern: {source: [test]}}}}
  Failures: {Type: "AWS::SQS::Queue"}
  Reports: {Type: "AWS::SQS::Queue"}
  JobRule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [aws.batch], detail: {jobQueue: [!Ref JobQueue], status: [RUNNING, SUCCEEDED, FAILED]}}
      Targets: [{Id: reports, Arn: !GetAtt Reports.Arn}]
  ComputeEnvironment: {Type: "AWS::Batch::ComputeEnvironment", Properties: {Type: MANAGED}}
  JobQueue:
    Type: AWS::Batch::JobQueue
    Properties: {Priority: 1, ComputeEnvironmentOrder: [{Order: 1, ComputeEnvironment: !Ref ComputeEnvironment}]}
  JobDefinition:
    Type: AWS::Batch::JobDefinition
    Properties:
      Type: container
      Parameters: {Kind: !Ref Kind}
      ContainerProperties:
        Image: unused
        Command: [python, -c, "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))", "Ref::Kind"]
        Environment: [{Name: FROM_DEFINITION, Value: "1"}, {Name: OVERRIDDEN, Value: before}]
Outputs:
  Url: {Value: !Sub "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live/probe"}
  ApiKey: {Value: !Ref ApiApiKey}
  Probe: {Value: !Ref ProbeFunction}
  Failing: {Value: !Ref FailingFunction}
  Failures: {Value: !Ref Failures}
  Reports: {Value: !Ref Reports}
  JobQueue: {Value: !Ref JobQueue}
  JobDefinition: {Value: !Ref JobDefinition}
"""

PROBE = """
import importlib.util, json, os

def handler(event, context):
    if event.get("headers", {}).get("x-echo"):
        assert event["isBase64Encoded"] and "content-encoding" not in event["headers"]
        return {"statusCode": 200, "headers": {"Content-Type": "x/y"}, "body": event["body"], "isBase64Encoded": True}
    found = {name: importlib.util.find_spec(name) is not None for name in ("boto3", "in_layer", "fastapi", "ministack")}
    identity = event.get("requestContext", {}).get("identity", {})
    answer = {"found": found, "version": context.function_version, "key": identity.get("apiKeyId"), "pid": os.getpid()}
    return {"statusCode": 200, "body": json.dumps(answer)}

def fail(event, context):
    raise LookupError(f"process {os.getpid()}")
"""

SLEEPS_WITH_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


class Stack:
    """The deployed template, in the words of these tests."""

    def __init__(self, cloud: LocalCloud, project: Path, outputs: dict[str, str]) -> None:
        self.cloud = cloud
        self.project = project
        self.outputs = outputs
        self.batch = cloud.client("batch")
        self.functions = cloud.client("lambda")

    def submit(self, *command: str, **request: Any) -> str:
        if command:
            request["containerOverrides"] = {"command": list(command)}
        names = {"jobQueue": self.outputs["JobQueue"], "jobDefinition": self.outputs["JobDefinition"]}
        return str(self.batch.submit_job(**{"jobName": "job", **names, **request})["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.batch.describe_jobs(jobs=[job_id])["jobs"][0])

    def ended_job(self, job_id: str) -> dict[str, Any]:
        return eventually(lambda: job if (job := self.job(job_id))["status"] in ("SUCCEEDED", "FAILED") else None)

    def reports(self, job_id: str, count: int) -> list[dict[str, Any]]:
        """The events of one job; those of others are dropped."""
        found: list[dict[str, Any]] = []

        def enough() -> list[dict[str, Any]] | None:
            found.extend(event for event in self.messages("Reports") if event["detail"]["jobId"] == job_id)
            return found if len(found) >= count else None

        return eventually(enough)

    def messages(self, queue: str) -> list[dict[str, Any]]:
        client = self.cloud.client("sqs")
        answer = client.receive_message(QueueUrl=self.outputs[queue], MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            client.delete_message(QueueUrl=self.outputs[queue], ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def log(self, job_id: str) -> str:
        path = self.cloud.home / "jobs" / f"{job_id}.log"
        return path.read_text() if path.exists() else ""

    def key(self) -> str:
        gateway = self.cloud.client("apigateway")
        return str(gateway.get_api_key(apiKey=self.outputs["ApiKey"], includeValue=True)["value"])

    def echo(self, body: bytes, headers: dict[str, str]) -> tuple[Any, bytes]:
        """The headers and the body that come back, by a client that adds no header of its own."""
        where = urlsplit(self.outputs["Url"])
        connection = http.client.HTTPConnection(where.netloc, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", where.path, body, {"x-api-key": self.key(), "x-echo": "1", **headers})
            answer = connection.getresponse()
            raw = answer.read()
        if answer.status != 200:
            raise urllib.error.HTTPError(self.outputs["Url"], answer.status, answer.reason, answer.headers, None)
        return answer.headers, raw

    def probe(self) -> dict[str, Any]:
        request = urllib.request.Request(self.outputs["Url"], data=b"{}", headers={"x-api-key": self.key()})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.load(answer))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = tmp_path_factory.mktemp("project")
    (project / "template.yaml").write_text(TEMPLATE)
    for folder, source in (("code", "probe.py"), ("layer", "in_layer.py")):
        (project / folder).mkdir()
        target = "$(ARTIFACTS_DIR)/python" if folder == "layer" else "$(ARTIFACTS_DIR)"
        (project / folder / "Makefile").write_text(f"build-%:\n\tmkdir -p {target}\n\tcp {source} {target}/\n")
    (project / "code" / "probe.py").write_text(PROBE)
    (project / "layer" / "in_layer.py").write_text("")
    with LocalCloud(tmp_path_factory.mktemp("home"), free_port(), seed=7) as cloud:
        template = build(home=cloud.home, project=project)
        yield Stack(cloud, project, deploy(cloud, template, "probe"))


@pytest.fixture
def other_home(stack: Stack, tmp_path: Path) -> Path:
    """The home of a second cloud that need not make the functions' interpreter once more."""
    (tmp_path / "lambda").symlink_to(stack.cloud.home / "lambda")
    return tmp_path


def eventually(look: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.05)
    return found


def test_a_submitted_job_really_runs_with_its_parameters_and_its_environment(stack: Stack) -> None:
    environment = [{"name": "OVERRIDDEN", "value": "after"}, {"name": "FROM_REQUEST", "value": "2"}]
    job_id = stack.submit(parameters={"Kind": "image"}, containerOverrides={"environment": environment})

    job = stack.ended_job(job_id)

    arguments, seen = json.loads(stack.log(job_id))
    assert (job["status"], job["container"]["exitCode"], arguments) == ("SUCCEEDED", 0, ["image"])
    assert [seen[name] for name in ("FROM_DEFINITION", "OVERRIDDEN", "FROM_REQUEST")] == ["1", "after", "2"]
    assert (seen["AWS_BATCH_JOB_ID"], seen["AWS_BATCH_JOB_ATTEMPT"]) == (job_id, "1")
    assert seen["AWS_ENDPOINT_URL"] == stack.cloud.endpoint
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]


def test_the_states_of_a_job_are_reported_as_the_events_that_aws_sends(stack: Stack) -> None:
    job_id = stack.submit()

    running, succeeded = stack.reports(job_id, 2)

    assert [running["detail"]["status"], succeeded["detail"]["status"]] == ["RUNNING", "SUCCEEDED"]
    assert (succeeded["source"], succeeded["detail-type"]) == ("aws.batch", "Batch Job State Change")
    assert succeeded["resources"] == [succeeded["detail"]["jobArn"]]
    assert succeeded["detail"]["container"]["exitCode"] == 0


def test_a_failing_job_is_tried_as_often_as_asked_and_then_reported_failed(stack: Stack) -> None:
    job_id = stack.submit("python", "-c", "raise SystemExit(3)", retryStrategy={"attempts": 2})

    reports = stack.reports(job_id, 3)

    assert [report["detail"]["status"] for report in reports] == ["RUNNING", "RUNNING", "FAILED"]
    assert [attempt["container"]["exitCode"] for attempt in reports[-1]["detail"]["attempts"]] == [3, 3]


def test_a_failure_that_the_retry_rules_call_final_is_not_tried_again(stack: Stack) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    job_id = stack.submit("python", "-c", "raise SystemExit(3)", retryStrategy={"attempts": 3, "evaluateOnExit": rules})

    assert len(stack.ended_job(job_id)["attempts"]) == 1


def test_a_job_past_its_time_is_ended_with_its_children(stack: Stack) -> None:
    job_id = stack.submit("python", "-c", SLEEPS_WITH_A_CHILD, timeout={"attemptDurationSeconds": 2})

    job = stack.ended_job(job_id)

    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    child = int(stack.log(job_id))
    eventually(lambda: child not in session_members(stack.cloud.server_pid or 0) or None)
    assert stack.reports(job_id, 2)[-1]["detail"]["status"] == "FAILED"


def test_a_terminated_job_fails_with_the_reason_given_and_one_cancelled_in_the_queue_never_starts(stack: Stack) -> None:
    first = stack.submit("python", "-c", SLEEPS_WITH_A_CHILD)
    second = stack.submit()
    eventually(lambda: stack.log(first) or None)
    assert stack.job(second)["status"] == "RUNNABLE"

    stack.batch.cancel_job(jobId=second, reason="not wanted")
    stack.batch.terminate_job(jobId=first, reason="enough")

    terminated, cancelled = stack.ended_job(first), stack.ended_job(second)
    assert (terminated["status"], terminated["statusReason"], terminated["isTerminated"]) == ("FAILED", "enough", True)
    assert (cancelled["status"], cancelled["statusReason"], cancelled["attempts"]) == ("FAILED", "not wanted", [])
    assert stack.log(second) == ""


def test_a_job_that_cannot_run_here_is_refused_and_not_half_done(stack: Stack) -> None:
    with pytest.raises(stack.batch.exceptions.ClientException, match="arrayProperties"):
        stack.submit(arrayProperties={"size": 2})


def test_a_function_sees_its_layer_and_boto3_and_no_package_of_the_development_environment(stack: Stack) -> None:
    assert stack.probe()["found"] == {"boto3": True, "in_layer": True, "fastapi": False, "ministack": False}


def test_the_api_refuses_a_call_without_a_key_and_tells_the_function_whose_key_it_was(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(stack.outputs["Url"], data=b"{}", timeout=20)
    refused.value.close()

    assert refused.value.code == 403
    assert stack.probe()["key"] == stack.outputs["ApiKey"]


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "a/b", "Content-Type": "a/b"}])
def test_bytes_reach_the_function_and_come_back_as_they_are(stack: Stack, headers: dict[str, str]) -> None:
    body = bytes(range(256))

    answer, back = stack.echo(body, headers)

    assert (back, answer["Content-Type"], answer["Content-Encoding"]) == (body, "x/y", None)


@pytest.mark.parametrize(("coding", "module"), [("gzip", gzip), ("deflate", zlib)])
def test_bodies_are_inflated_and_deflated_on_the_way(stack: Stack, coding: str, module: Any) -> None:
    body = bytes(range(256)) * 2

    answer, back = stack.echo(module.compress(body), {"Content-Encoding": coding, "Accept-Encoding": coding})

    assert (module.decompress(back), answer["Content-Encoding"]) == (body, coding)


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_body_that_is_not_what_its_coding_says_is_refused(stack: Stack, coding: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.echo(b"plain", {"Content-Encoding": coding})
    refused.value.close()

    assert refused.value.code == 415


def test_an_alias_shares_traffic_out_by_its_weights_over_http_and_by_invoke(stack: Stack) -> None:
    name = stack.outputs["Probe"]
    stack.functions.update_function_configuration(FunctionName=name, Description="second")
    stack.functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    second = stack.functions.publish_version(FunctionName=name)["Version"]
    stack.functions.update_alias(
        FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {second: 0.25}}
    )

    over_http = Counter(stack.probe()["version"] for _ in range(200))
    by_invoke = Counter(
        stack.functions.invoke(FunctionName=name, Qualifier="live", Payload=b"{}")["ExecutedVersion"]
        for _ in range(200)
    )

    assert set(over_http) == set(by_invoke) == {"1", second}
    assert over_http[second] == pytest.approx(50, abs=20)  # three standard deviations
    assert by_invoke[second] == pytest.approx(50, abs=20)


def test_a_handler_that_raises_tells_its_error_and_stays_warm(stack: Stack) -> None:
    answers = [stack.functions.invoke(FunctionName=stack.outputs["Failing"], Payload=b"{}") for _ in range(2)]
    errors = [json.load(answer["Payload"]) for answer in answers]

    assert {answer["FunctionError"] for answer in answers} == {"Unhandled"}
    assert {error["errorType"] for error in errors} == {"LookupError"}
    assert errors[0]["errorMessage"] == errors[1]["errorMessage"]  # the same process


def test_an_event_whose_function_fails_ends_in_the_failure_destination(stack: Stack) -> None:
    entry = {"Source": "test", "DetailType": "Asked", "Detail": '{"number": 1}'}
    stack.cloud.client("events").put_events(Entries=[entry])

    (failure,) = eventually(lambda: stack.messages("Failures") or None)

    assert failure["requestPayload"]["detail"] == {"number": 1}
    assert failure["responsePayload"]["errorType"] == "LookupError"


def test_a_changed_job_definition_is_a_new_revision_and_the_one_before_takes_no_jobs(stack: Stack) -> None:
    template = stack.cloud.home / "build" / "template.yaml"

    outputs = deploy(stack.cloud, template, "probe", {"Kind": "sound"})

    assert outputs["JobDefinition"] == stack.outputs["JobDefinition"].removesuffix(":1") + ":2"
    with pytest.raises(stack.batch.exceptions.ClientException, match="not active"):
        stack.submit()
    stack.outputs["JobDefinition"] = outputs["JobDefinition"]
    assert json.loads(stack.log(stack.ended_job(stack.submit())["jobId"]))[0] == ["sound"]


def test_a_deployment_that_fails_names_the_resource_and_the_reason(stack: Stack, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    definition = "Type: container, ContainerProperties: {Secrets: [{Name: A, ValueFrom: arn}]}"
    template.write_text(f'Resources: {{Wrong: {{Type: "AWS::Batch::JobDefinition", Properties: {{{definition}}}}}}}\n')

    with pytest.raises(DeployError, match=r"Wrong: .*puts no secrets into a job"):
        deploy(stack.cloud, template, "wrong")


def test_stop_ends_functions_and_jobs_and_removes_their_files(stack: Stack, other_home: Path) -> None:
    with LocalCloud(other_home, free_port()) as cloud:
        template = stack.cloud.home / "build" / "template.yaml"
        other = Stack(cloud, stack.project, deploy(cloud, template, "probe"))
        other.probe()
        job_id = other.submit("python", "-c", SLEEPS_WITH_A_CHILD)
        eventually(lambda: other.log(job_id) or None)
        session = cloud.server_pid or 0
        assert len(session_members(session)) >= 4  # the server, a function, a job and the job's child

    assert session_members(session) == []
    assert not list(other_home.glob("tmp-*"))


def test_the_cloud_ends_when_its_parent_is_killed(other_home: Path) -> None:
    start = "import sys; from pathlib import Path; from local.cloud import LocalCloud; import time\n"
    start += f"cloud = LocalCloud(Path({str(other_home)!r}), {free_port()}); cloud.start()\n"
    start += "print(cloud.server_pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", start], cwd=SCRIPTS, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        session = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)

    eventually(lambda: not session_members(session) or None)


def test_a_taken_port_is_named_with_the_way_out(stack: Stack, other_home: Path) -> None:
    with pytest.raises(LocalCloudError, match=f"port {stack.cloud.port} is taken: .*PAWL_PORT="):
        LocalCloud(other_home, stack.cloud.port).start()
