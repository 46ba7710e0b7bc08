"""What `scripts/pawl prepare` leaves in the parameters that the template reads."""

import json
from typing import Any

import boto3
import pytest

from artifacts.signing import KeyFile, make_key
from operations.seeding import prepare, trusted_keys
from operations.stack import Stack


@pytest.fixture
def stack(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return Stack("pawl")


def stored(name: str) -> str:
    return boto3.client("ssm").get_parameter(Name=f"/pawl/pawl/{name}")["Parameter"]["Value"]


def test_a_new_stack_serves_the_starter_models_and_trusts_the_machine_that_made_them(stack: Stack) -> None:
    assert prepare(stack, "laptop") == {"live-models-layer": "starter", "trusted-keys": "laptop"}
    assert (stored("live-models-layer"), stored("trusted-keys")) == ("starter", "laptop")


def release() -> None:
    """Write what a release of a stack that is trusted by `laptop` leaves."""
    for name, value in (("live-models-layer", "arn:aws:lambda:::layer:2"), ("trusted-keys", "laptop,kms")):
        boto3.client("ssm").put_parameter(Name=f"/pawl/pawl/{name}", Value=value, Type="String", Overwrite=True)


def test_what_an_earlier_stack_of_the_name_released_is_not_served_by_a_new_one(stack: Stack) -> None:
    release()

    assert prepare(stack, "server") == {"live-models-layer": "starter", "trusted-keys": "server"}
    assert (stored("live-models-layer"), stored("trusted-keys")) == ("starter", "server")


def test_what_releases_have_written_is_kept_and_a_second_machine_joins(stack: Stack) -> None:
    prepare(stack, "laptop")
    body = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    boto3.client("cloudformation").create_stack(StackName="pawl", TemplateBody=body)
    stack = Stack("pawl")
    release()

    prepare(stack, "laptop")
    assert (stored("live-models-layer"), stored("trusted-keys")) == ("arn:aws:lambda:::layer:2", "laptop,kms")
    prepare(stack, "server")
    assert (stored("live-models-layer"), stored("trusted-keys")) == ("arn:aws:lambda:::layer:2", "laptop,kms,server")


def test_the_trusted_keys_are_read_back(stack: Stack, tmp_path: Any) -> None:
    make_key(tmp_path / "key.pem")
    key = KeyFile(tmp_path / "key.pem")

    assert trusted_keys(stack) == []
    prepare(stack, key.trusted)

    assert trusted_keys(stack) == [key.public_key]
