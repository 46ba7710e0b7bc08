"""A deployed stack seen from outside: its outputs, its data, and its operator routes by signed requests.

Clients and credentials come from the environment as boto3 finds them; AWS_ENDPOINT_URL points them at a local cloud.
"""

import json
import os
import re
import urllib.error
import urllib.request
from functools import cached_property
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from pawl.bucket import Bucket
from pawl.feedback import FeedbackTable
from pawl.items import error_code
from pawl.masking import ALL_KINDS, REGIONS, Policy
from pawl.receipt import ReceiptKeys
from pawl.registry import Registry
from pawl.subjects import Deployment
from pawl.traffic import Traffic

_ADDRESS = re.compile(r"https://([a-z0-9]+)\.execute-api\.[^/]+/(.+)")
_NEVER_DEPLOYED = ("REVIEW_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE")
_THEN = {
    403: "let your role call execute-api:Invoke on this API",
    404: "scripts/pawl models lists the models, scripts/pawl runs the runs, scripts/pawl releases MODEL the versions",
    409: "scripts/pawl releases MODEL tells the state of each version, scripts/pawl runs that of each run",
    500: "scripts/pawl logs retrain, or logs release, tells what went wrong",
    504: "it may go on: look with scripts/pawl runs or scripts/pawl status before you try again",
}


class OperationError(Exception):
    """An operation that cannot be done; the message says why, `then` what to do where the message does not."""

    def __init__(self, message: str, then: str = "") -> None:
        super().__init__(message)
        self.then = then


class Stack:
    """One deployment of the template, by the name of its stack."""

    def __init__(self, name: str = "pawl") -> None:
        self.name = name
        self._session = boto3.Session()

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs; ApiUrl is where the API answers, in a local cloud too."""
        outputs = {each["OutputKey"]: each["OutputValue"] for each in self._described.get("Outputs", [])}
        if "ApiUrl" not in outputs:
            raise OperationError(
                f"stack {self.name!r} is {self._described['StackStatus']}", "deploy it, and wait until that has ended"
            )
        return {**outputs, "ApiUrl": _reachable(outputs["ApiUrl"])}

    @cached_property
    def is_deployed(self) -> bool:
        """Whether there is such a stack, and its first deployment has not failed."""
        try:
            return self._described["StackStatus"] not in _NEVER_DEPLOYED
        except OperationError:
            return False

    @cached_property
    def _described(self) -> dict[str, Any]:
        try:
            return self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if error_code(error) != "ValidationError":
                raise
            raise OperationError(
                f"no stack {self.name!r} in this account and region",
                "deploy it first, with scripts/deploy or locally with scripts/up, or name another with --stack",
            ) from error

    @cached_property
    def bucket(self) -> Bucket:
        """The stack's bucket."""
        return Bucket(self.client("s3"), self.outputs["Bucket"])

    @cached_property
    def registry(self) -> Registry:
        """The stack's registry of models."""
        return Registry(self._session.resource("dynamodb").Table(self.outputs["StateTable"]), self.bucket)

    @cached_property
    def traffic(self) -> Traffic:
        """The stack's captured traffic."""
        return Traffic(self.bucket)

    @cached_property
    def feedback(self) -> FeedbackTable:
        """What people said of the stack's answers."""
        return FeedbackTable(self._session.resource("dynamodb").Table(self.outputs["FeedbackTable"]))

    @cached_property
    def log_groups(self) -> dict[str, str]:
        """The stack's log groups by what writes to them: `drift-check` for DriftCheckLogs."""
        pages = (
            self.client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=self._described["StackName"])
        )
        return {
            _words(each["LogicalResourceId"].removesuffix("Logs")): each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
            if each["ResourceType"] == "AWS::Logs::LogGroup"
        }

    @cached_property
    def deployment(self) -> Deployment:
        """Where the stack keeps what may be a person's."""
        return Deployment(self.bucket, self.feedback, self.registry)

    @cached_property
    def receipt_keys(self) -> ReceiptKeys:
        """The secrets that inference signs with, and calls subjects by, as that function has them."""
        return ReceiptKeys(self._variables("InferenceFunction")["RECEIPT_KEYS"])

    @cached_property
    def masking(self) -> Policy:
        """What is masked before it is stored, as the functions have it."""
        variables = self._variables("RetrainFunction")
        return Policy.of(variables.get("MASK_PERSONAL_DATA", ALL_KINDS), variables.get("PHONE_REGIONS", REGIONS))

    def _variables(self, output: str) -> dict[str, str]:
        """The environment of the function named by a stack output."""
        reply = self.client("lambda").get_function_configuration(FunctionName=self.outputs[output])
        return reply["Environment"]["Variables"]

    @cached_property
    def api_key(self) -> str:
        """The value of the stack's first API key."""
        reply = self.client("apigateway").get_api_key(apiKey=self.outputs["ApiKeyId"], includeValue=True)
        return reply["value"]

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return self._session.client(service)

    def call(self, verb: str, path: str, body: Any = None) -> Any:
        """Call an operator route, signed (IAM); OperationError holds what the route answered."""
        data = None if body is None else json.dumps(body).encode()
        request = AWSRequest(verb, self.outputs["ApiUrl"] + path, {"Content-Type": "application/json"}, data or b"")
        SigV4Auth(self._session.get_credentials(), "execute-api", self._session.region_name).add_auth(request)
        plain = urllib.request.Request(request.url, data, dict(request.headers), method=verb)
        try:
            with urllib.request.urlopen(plain, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise OperationError(
                f"{verb} {path}: {error.code} {_message(error.read())}", _THEN.get(error.code, "")
            ) from error
        except urllib.error.URLError as error:
            raise OperationError(f"{verb} {path}: {error.reason}", "see whether the address is right and up") from error

    def invoke(self, output: str, event: Any) -> Any:
        """Invoke the function named by a stack output and return its answer."""
        reply = self.client("lambda").invoke(FunctionName=self.outputs[output], Payload=json.dumps(event).encode())
        answer = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            raise OperationError(f"{output}: {answer.get('errorType')}: {answer.get('errorMessage')}")
        return answer


def _words(name: str) -> str:
    """A name of the template as a person types it.

    >>> _words("DriftCheck")
    'drift-check'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def _reachable(address: str) -> str:
    """The API's address, or where a local cloud serves it."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    found = _ADDRESS.fullmatch(address)
    return f"{endpoint}/_aws/execute-api/{found[1]}/{found[2]}" if endpoint and found else address


def _message(body: bytes) -> str:
    try:
        return json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
