"""What Batch makes of a request to run a job: the definition, with what the request puts in its place."""

import copy
import re
from typing import Any

from local.jobs import now_ms

Answer = dict[str, Any]


def job_detail(request: Answer, definition: Answer, job_id: str, queue_arn: str, arn: str) -> Answer:
    """What DescribeJobs answers for a job just submitted: its definition, with what the request overrides."""
    parameters = {**definition.get("parameters", {}), **request.get("parameters", {})}
    retry = {**definition["retryStrategy"], **request.get("retryStrategy", {})}
    return {
        "jobArn": arn,
        "jobName": request["jobName"],
        "jobId": job_id,
        "jobQueue": queue_arn,
        "jobDefinition": definition["jobDefinitionArn"],
        "status": "SUBMITTED",
        "attempts": [],
        "createdAt": now_ms(),
        "retryStrategy": {"attempts": retry.get("attempts", 1), "evaluateOnExit": retry.get("evaluateOnExit", [])},
        "dependsOn": [],
        "parameters": parameters,
        "container": _container(request, definition, parameters, job_id),
        "timeout": request.get("timeout") or definition.get("timeout") or {},
        "tags": {**definition.get("tags", {}), **request.get("tags", {})},
        "platformCapabilities": definition.get("platformCapabilities", ["EC2"]),
        "isCancelled": False,
        "isTerminated": False,
    }


def _container(request: Answer, definition: Answer, parameters: Answer, job_id: str) -> Answer:
    overrides = request.get("containerOverrides", {})
    container = copy.deepcopy(definition.get("containerProperties", {}))
    command = overrides.get("command") or container.get("command", [])
    return {
        "mountPoints": [],
        "volumes": [],
        "ulimits": [],
        "networkInterfaces": [],
        "secrets": [],
        **container,
        "command": [substitute(word, parameters) for word in command],
        "environment": _merged(container.get("environment", []), overrides.get("environment", []), "name"),
        "resourceRequirements": _merged(
            container.get("resourceRequirements", []), overrides.get("resourceRequirements", []), "type"
        ),
        "logStreamName": f"{definition['jobDefinitionName']}/default/{job_id}",
    }


def substitute(word: str, parameters: dict[str, str]) -> str:
    """A word of a command with its parameters in place; an unknown one stays as it is.

    >>> substitute("Ref::kind", {"kind": "text"}), substitute("--run=Ref::run", {"run": "7"}), substitute("Ref::x", {})
    ('text', '--run=7', 'Ref::x')
    """
    return re.sub(r"Ref::([A-Za-z0-9_-]+)", lambda match: parameters.get(match[1], match[0]), word)


def _merged(defined: list[Answer], overriding: list[Answer], key: str) -> list[Answer]:
    return list({entry[key]: entry for entry in [*defined, *overriding]}.values())
