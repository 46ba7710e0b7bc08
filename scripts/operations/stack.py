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

from pawl.receipt import ReceiptKeys
from pawl.registry import Registry
from pawl.store import Bucket, FeedbackTable, Traffic
from pawl.subjects import Deployment

_ADDRESS = re.compile(r"https://([a-z0-9]+)\.execute-api\.[^/]+/(.+)")


class OperationError(Exception):
    """An operation that cannot be done; the message says why and what to do."""


class Stack:
    """One deployment of the template, by the name of its stack."""

    def __init__(self, name: str = "pawl") -> None:
        self.name = name
        self._session = boto3.Session()

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs; ApiUrl is where the API answers, in a local cloud too."""
        try:
            described = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            raise OperationError(
                f"no stack {self.name!r} in this account and region: deploy it first, or name another with --stack"
            ) from error
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
        return {**outputs, "ApiUrl": _reachable(outputs["ApiUrl"])}

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
    def deployment(self) -> Deployment:
        """Where the stack keeps what may be a person's."""
        table = self._session.resource("dynamodb").Table(self.outputs["FeedbackTable"])
        return Deployment(self.bucket, FeedbackTable(table), self.registry)

    @cached_property
    def receipt_keys(self) -> ReceiptKeys:
        """The secrets that inference signs with, and calls subjects by, as that function has them."""
        name = self.outputs["InferenceFunction"]
        variables = self.client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        return ReceiptKeys(variables["RECEIPT_KEYS"])

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
            raise OperationError(f"{verb} {path}: {error.code} {_message(error.read())}") from error

    def invoke(self, output: str, event: Any) -> Any:
        """Invoke the function named by a stack output and return its answer."""
        reply = self.client("lambda").invoke(FunctionName=self.outputs[output], Payload=json.dumps(event).encode())
        answer = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            raise OperationError(f"{output}: {answer.get('errorType')}: {answer.get('errorMessage')}")
        return answer


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
