"""AWS Batch whose jobs run.

MiniStack answers Batch's calls and calls every job a success at once. Its compute environments and queues are used as
they are; job definitions and jobs are ours. A queue runs one job at a time and keeps the others RUNNABLE. Refused
rather than half done: array and multi-node jobs, dependencies between jobs, secrets in a container.
"""

import contextvars
import json
import os
import queue
import re
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.adaptation import part, replace
from local.jobs import ENDED, Job
from local.submission import job_detail

Answer = dict[str, Any]
_SUMMARY = (
    "jobArn",
    "jobId",
    "jobName",
    "jobDefinition",
    "createdAt",
    "startedAt",
    "stoppedAt",
    "status",
    "statusReason",
)
_QUEUE_SETTINGS = ("state", "priority", "computeEnvironmentOrder")
_NOT_HERE = ("arrayProperties", "dependsOn", "nodeOverrides", "eksPropertiesOverride", "ecsPropertiesOverride")


class BatchError(ValueError):
    """A request that Batch refuses with a ClientException."""


class Batch:
    """Job definitions, jobs and the threads that run them, of one account in one region."""

    def __init__(
        self, home: Path, environment: dict[str, str], emulator: Any, put_event: Callable[[Answer], None]
    ) -> None:
        self._logs = home / "jobs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._environment = environment
        self._emulator = emulator
        self._put_event = put_event
        self._definitions: dict[str, Answer] = {}
        self._jobs: dict[str, Job] = {}
        self._waiting: dict[str, queue.Queue[tuple[contextvars.Context, Job]]] = {}

    def register(self, request: Answer) -> Answer:
        if request.get("type", "container") != "container":
            raise BatchError(f"the local cloud runs no job definition of type {request['type']}")
        if request.get("containerProperties", {}).get("secrets"):
            raise BatchError("the local cloud puts no secrets into a job: read them in the job")
        name = request["jobDefinitionName"]
        revision = 1 + max((d["revision"] for d in self._revisions(name)), default=0)
        definition = {
            "type": "container",
            "parameters": {},
            "retryStrategy": {"attempts": 1, "evaluateOnExit": []},
            **request,
            "jobDefinitionArn": self._emulator._jd_arn(name, revision),
            "revision": revision,
            "status": "ACTIVE",
            "containerOrchestrationType": "ECS",
        }
        self._definitions[definition["jobDefinitionArn"]] = definition
        return {name: definition[name] for name in ("jobDefinitionName", "jobDefinitionArn", "revision")}

    def deregister(self, request: Answer) -> Answer:
        self._definition(request["jobDefinition"])["status"] = "INACTIVE"
        return {}

    def describe_definitions(self, request: Answer) -> Answer:
        wanted = request.get("jobDefinitions") or []
        found = [
            definition
            for definition in self._definitions.values()
            if (not wanted or definition["jobDefinitionArn"] in wanted or _name_and_revision(definition) in wanted)
            and request.get("jobDefinitionName") in (None, definition["jobDefinitionName"])
            and request.get("status") in (None, definition["status"])
        ]
        return {"jobDefinitions": found}

    def submit(self, request: Answer) -> Answer:
        for name in _NOT_HERE:
            if request.get(name):
                raise BatchError(f"the local cloud runs no job with {name}")
        definition = self._definition(request["jobDefinition"])
        if definition["status"] != "ACTIVE":
            raise BatchError(f"Job definition {request['jobDefinition']} is not active")
        queue_arn = self._queue_arn(request["jobQueue"])
        job_id = str(uuid.uuid4())
        detail = job_detail(request, definition, job_id, queue_arn, self._emulator._job_arn(job_id))
        job = Job(detail, self._logs / f"{job_id}.log", self._environment, self._put_event)
        self._jobs[job_id] = job
        job.enter("SUBMITTED")
        job.enter("RUNNABLE")
        self._line(queue_arn).put((contextvars.copy_context(), job))
        return {"jobArn": detail["jobArn"], "jobName": detail["jobName"], "jobId": job_id}

    def describe_jobs(self, request: Answer) -> Answer:
        found = (self._jobs.get(name.rpartition("/")[2]) for name in request["jobs"])
        return {"jobs": [job.detail for job in found if job]}

    def list_jobs(self, request: Answer) -> Answer:
        queue_arn = self._queue_arn(request["jobQueue"])
        wanted = _filter(request)
        jobs = [job.detail for job in self._jobs.values() if job.detail["jobQueue"] == queue_arn and wanted(job.detail)]
        return {"jobSummaryList": [_summary(detail) for detail in reversed(jobs)]}

    def cancel(self, request: Answer) -> Answer:
        self._job(request).stop(request["reason"], only_if_waiting=True)
        return {}

    def terminate(self, request: Answer) -> Answer:
        self._job(request).stop(request["reason"], only_if_waiting=False)
        return {}

    def update_queue(self, request: Answer) -> Answer:
        record = self._emulator._job_queues[self._queue_arn(request["jobQueue"]).rpartition("/")[2]]
        record.update({name: request[name] for name in _QUEUE_SETTINGS if name in request})
        return {name: record[name] for name in ("jobQueueName", "jobQueueArn")}

    def delete_queue(self, request: Answer) -> Answer:
        self._emulator._job_queues.pop(request["jobQueue"].rpartition("/")[2], None)
        return {}

    def delete_compute_environment(self, request: Answer) -> Answer:
        self._emulator._compute_envs.pop(request["computeEnvironment"].rpartition("/")[2], None)
        return {}

    def _revisions(self, name: str) -> list[Answer]:
        return [d for d in self._definitions.values() if d["jobDefinitionName"] == name]

    def _definition(self, reference: str) -> Answer:
        """By ARN, by `name:revision`, or by name alone: the latest active one."""
        name, _, revision = reference.rpartition("/")[2].partition(":")
        known = [d for d in self._revisions(name) if not revision or str(d["revision"]) == revision]
        active = [d for d in known if d["status"] == "ACTIVE"] or known
        if not active:
            raise BatchError(f"JobDefinition {reference} not found")
        return max(active, key=lambda definition: int(definition["revision"]))

    def _queue_arn(self, reference: str) -> str:
        record = self._emulator._job_queues.get(reference.rpartition("/")[2])
        if record is None:
            raise BatchError(f"JobQueue {reference} not found")
        return str(record["jobQueueArn"])

    def _job(self, request: Answer) -> Job:
        job = self._jobs.get(request["jobId"])
        if job is None:
            raise BatchError(f"Job {request['jobId']} not found")
        return job

    def _line(self, queue_arn: str) -> "queue.Queue[tuple[contextvars.Context, Job]]":
        if queue_arn not in self._waiting:
            self._waiting[queue_arn] = queue.Queue()
            threading.Thread(target=_work, args=(self._waiting[queue_arn],), daemon=True).start()
        return self._waiting[queue_arn]


def apply(home: Path, endpoint: str) -> Batch:
    """Puts our Batch in the place of MiniStack's, and returns it."""
    from ministack.services import batch as emulator
    from ministack.services import eventbridge

    put_events = part(eventbridge, "_put_events")
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("AWS_", "LANG", "LC_ALL", "NO_PROXY"))
    }

    def put_event(detail: Answer) -> None:
        entry = {
            "Source": "aws.batch",
            "DetailType": "Batch Job State Change",
            "Resources": [detail["jobArn"]],
            "Detail": json.dumps(detail),
        }
        put_events({"Entries": [entry]}, allow_aws_source=True)

    ours = Batch(home, {**kept, "AWS_ENDPOINT_URL": endpoint}, emulator, put_event)
    operations = {
        "registerjobdefinition": ours.register,
        "deregisterjobdefinition": ours.deregister,
        "describejobdefinitions": ours.describe_definitions,
        "submitjob": ours.submit,
        "describejobs": ours.describe_jobs,
        "listjobs": ours.list_jobs,
        "canceljob": ours.cancel,
        "terminatejob": ours.terminate,
        "updatejobqueue": ours.update_queue,
        "deletejobqueue": ours.delete_queue,
        "deletecomputeenvironment": ours.delete_compute_environment,
    }
    answers = {f"/v1/{name}": _answering(operation) for name, operation in operations.items()}
    replace(emulator, "_DISPATCH", {**part(emulator, "_DISPATCH"), **answers})
    return ours


def _name_and_revision(definition: Answer) -> str:
    return f"{definition['jobDefinitionName']}:{definition['revision']}"


def _filter(request: Answer) -> Callable[[Answer], bool]:
    """ListJobs shows the running jobs unless a state is named; a filter makes it ignore the state."""
    for chosen in request.get("filters") or []:
        if chosen["name"] not in ("JOB_NAME", "JOB_DEFINITION"):
            raise BatchError(f"the local cloud lists no jobs by {chosen['name']}")
        field = "jobName" if chosen["name"] == "JOB_NAME" else "jobDefinition"
        patterns = [re.escape(value).replace(r"\*", ".*") for value in chosen["values"]]
        return lambda detail: any(re.fullmatch(pattern, detail[field].rpartition("/")[2]) for pattern in patterns)
    status = request.get("jobStatus", "RUNNING")
    return lambda detail: detail["status"] == status


def _summary(detail: Answer) -> Answer:
    exit_code = detail["container"].get("exitCode")
    return {
        **{name: detail[name] for name in _SUMMARY if name in detail},
        "container": {} if exit_code is None else {"exitCode": exit_code},
    }


def _work(line: "queue.Queue[tuple[contextvars.Context, Job]]") -> None:
    while True:
        context, job = line.get()
        if job.status not in ENDED:
            context.run(job.run)


def _answering(operation: Callable[[Answer], Answer]) -> Callable[[Answer], Any]:
    from ministack.core.responses import error_response_json
    from ministack.services.batch import _json

    def answer(request: Answer) -> Any:
        try:
            return _json(200, operation(request))
        except BatchError as error:
            return error_response_json("ClientException", str(error), 400)
        except KeyError as error:
            return error_response_json("ClientException", f"{error.args[0]} is required", 400)

    return answer
