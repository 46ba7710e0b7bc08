"""The template as it is written, and as SAM's own transform makes it: what CloudFormation is given.

Nothing here asks AWS: addresses of artifacts are made up, the region is a word.
"""

import copy
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

Resources = dict[str, Any]
Statement = dict[str, Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def expand() -> Callable[[dict[str, Any]], Resources]:
    """The resources that SAM makes of a template."""
    return _expand


@pytest.fixture(scope="session")
def resources(template: dict[str, Any]) -> Resources:
    return _expand(template)


@pytest.fixture(scope="session")
def of_type(resources: Resources) -> Callable[[str], Resources]:
    """The properties of all resources of a type by logical id."""
    return lambda kind: {
        name: resource.get("Properties", {}) for name, resource in resources.items() if resource["Type"] == kind
    }


@pytest.fixture(scope="session")
def statements(of_type: Callable[[str], Resources]) -> dict[str, list[Statement]]:
    """What each role may do, by the role's logical id; actions and resources always as lists."""
    apart = of_type("AWS::IAM::Policy").values()
    policies = {
        name: [*role.get("Policies", []), *(each for each in apart if {"Ref": name} in each["Roles"])]
        for name, role in of_type("AWS::IAM::Role").items()
    }
    return {
        name: [_with_lists(statement) for policy in found for statement in policy["PolicyDocument"]["Statement"]]
        for name, found in policies.items()
    }


@pytest.fixture(scope="session")
def methods(of_type: Callable[[str], Resources]) -> dict[tuple[str, str], dict[str, Any]]:
    """The API's methods by verb and path."""
    paths = of_type("AWS::ApiGateway::RestApi")["Api"]["Body"]["paths"]
    return {(verb, path): method for path, verbs in paths.items() for verb, method in verbs.items()}


@pytest.fixture(autouse=True, scope="session")
def _region() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        yield


def _expand(template: dict[str, Any]) -> Resources:
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it misses a file of feature toggles, and says so
    packaged = copy.deepcopy(template)
    for name, resource in packaged["Resources"].items():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = _artifact(name, resource["Properties"]["ContentUri"])
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = _artifact(name, "functions/")
    parameters = {name: str(about["Default"]) for name, about in template["Parameters"].items()}
    return transform(packaged, parameters, SimpleNamespace(load=dict))["Resources"]


def _artifact(name: str, source: str) -> str:
    return f"s3://artifacts/{source.strip('/').replace('/', '-')}-{name}"


def _with_lists(statement: Statement) -> Statement:
    listed = {
        name: value if isinstance(value, list) else [value]
        for name, value in statement.items()
        if name in ("Action", "Resource")
    }
    return {**statement, **listed}
