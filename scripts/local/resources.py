"""The CloudFormation types of Batch, which MiniStack's CloudFormation does not know.

On AWS the reference of each is its ARN, and a changed job definition is a new revision whose predecessor is
deregistered; the compute environment and the queue keep their names.
"""

import json
from collections.abc import Callable
from typing import Any

from local.adaptation import part

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
_KEPT_KEYS = ("parameters", "tags", "options")  # maps whose keys are the template author's own


def apply() -> None:
    from ministack.services.cloudformation import provisioners

    handlers = part(provisioners, "_RESOURCE_HANDLERS")
    named = part(provisioners, "_physical_name")
    for kind in (_ComputeEnvironment(), _JobQueue(), _JobDefinition()):
        handlers[kind.type] = {
            "create": _creating(kind, named),
            "update": _updating(kind, named),
            "update_with_logical_id": True,
            "delete": kind.delete,
        }


class _ComputeEnvironment:
    type = "AWS::Batch::ComputeEnvironment"
    name = "computeEnvironmentName"

    def create(self, request: Properties) -> Created:
        arn = _call("createcomputeenvironment", request)["computeEnvironmentArn"]
        return arn, {"ComputeEnvironmentArn": arn}

    def update(self, arn: str, request: Properties) -> Created:
        _call("updatecomputeenvironment", {**request, "computeEnvironment": arn})
        return arn, {"ComputeEnvironmentArn": arn}

    def delete(self, arn: str, _properties: Properties) -> None:
        _call("deletecomputeenvironment", {"computeEnvironment": arn})


class _JobQueue:
    type = "AWS::Batch::JobQueue"
    name = "jobQueueName"

    def create(self, request: Properties) -> Created:
        arn = _call("createjobqueue", request)["jobQueueArn"]
        return arn, {"JobQueueArn": arn}

    def update(self, arn: str, request: Properties) -> Created:
        _call("updatejobqueue", {**request, "jobQueue": arn})
        return arn, {"JobQueueArn": arn}

    def delete(self, arn: str, _properties: Properties) -> None:
        _call("deletejobqueue", {"jobQueue": arn})


class _JobDefinition:
    type = "AWS::Batch::JobDefinition"
    name = "jobDefinitionName"

    def create(self, request: Properties) -> Created:
        arn = _call("registerjobdefinition", request)["jobDefinitionArn"]
        return arn, {"JobDefinitionArn": arn}

    def update(self, _arn: str, request: Properties) -> Created:
        return self.create(request)  # another ARN: CloudFormation then deletes the one before

    def delete(self, arn: str, _properties: Properties) -> None:
        _call("deregisterjobdefinition", {"jobDefinition": arn})


_Kind = _ComputeEnvironment | _JobQueue | _JobDefinition


def _creating(kind: _Kind, named: Callable[..., str]) -> Callable[..., Created]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        return kind.create({kind.name: named(stack, logical_id), **request(properties)})

    return create


def _updating(kind: _Kind, named: Callable[..., str]) -> Callable[..., Created]:
    def update(arn: str, _old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
        return kind.update(arn, {kind.name: named(stack, logical_id), **request(new)})

    return update


def request(properties: Any, key: str = "") -> Any:
    """A resource's properties as the API spells them: the first letter small, except in the author's own maps.

    >>> request({"ContainerProperties": {"Vcpus": 1}, "Parameters": {"Kind": "text"}})
    {'containerProperties': {'vcpus': 1}, 'parameters': {'Kind': 'text'}}
    """
    if isinstance(properties, list):
        return [request(item) for item in properties]
    if not isinstance(properties, dict) or key in _KEPT_KEYS:
        return properties
    small = {name[0].lower() + name[1:]: value for name, value in properties.items()}
    return {name: request(value, name) for name, value in small.items()}


def _call(operation: str, body: Properties) -> Properties:
    """Batch's own API, so that CloudFormation cannot do what a client could not."""
    from ministack.services.batch import _DISPATCH

    status, _, answer = _DISPATCH[f"/v1/{operation}"](body)
    content = json.loads(answer)
    if status != 200:
        raise ValueError(content.get("message") or content)
    return dict(content)
