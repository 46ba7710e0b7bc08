"""Training runs: gather what the decision needs, freeze, submit, and follow the job to its end.

A run is named by the fact that caused it, so a second delivery of the same event finds the run and changes nothing. It
is recorded before its job is submitted: a crash in between submits the same version from the same dataset again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pawl.bucket import Bucket
from pawl.datasets import Datasets
from pawl.errors import Conflict, NotFound
from pawl.events import Announcer
from pawl.feedback import FeedbackTable
from pawl.identity import isoformat
from pawl.quarantine import Quarantine
from pawl.registry import Live, Registry
from pawl.tombstones import Tombstones
from pawl.traffic import Traffic
from retrain.decision import Decision, Policy, Reason, State, decide_elsewhere, decide_retrain
from retrain.freezing import Frozen, Rules, freeze_traffic
from retrain.selection import Selection, tells_labels
from retrain.trust import trust_in

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

_DAY_MS = 86_400_000
_JOB_PREFIX = "pawl-"
_ENDED = {"SUCCEEDED": "completed", "FAILED": "failed"}


@dataclass(frozen=True, slots=True)
class Runs:
    """Starts, shows, cancels and ends training runs."""

    bucket: Bucket
    registry: Registry
    feedback: FeedbackTable
    batch: "BatchClient"
    announcer: Announcer
    policy: Policy
    job_queue: str
    job_definition: str
    window_days: float
    instance_hour_usd: float

    def consider(
        self, model: str, reason: Reason, cause: str, now_ms: int, cure: str = ""
    ) -> tuple[Decision, str | None]:
        """Decide on a cause and act: the decision, and the run's id when there is one.

        `cure` is what a drift's announcement asks for; where nothing is said, the open incident's newest word counts.
        """
        run = hashlib.sha256(cause.encode()).hexdigest()[:32]
        if (known := self.registry.run(run)) and known["job_id"]:
            return Decision("wait", f"run {run} was started for this cause already"), run
        if self.registry.elsewhere(model) is not None and model not in self.registry.models():
            return decide_elsewhere(model), None
        live = self.registry.live(model)
        selection = Selection(model, live.version, (now_ms - round(self.window_days * _DAY_MS), now_ms))
        decision = decide_retrain(self._state(live, reason, self._labels(selection), run, cure), self.policy, now_ms)
        if decision.recipe is None:  # it waits
            return decision, None
        if not self.registry.claim_run(model, run):
            return Decision("wait", "another run began at the same moment"), None
        frozen = self._freeze(selection)
        if not frozen.learned:
            self.registry.end_run(model, run)
            return Decision("wait", f"nothing new to learn from: {_reasons(frozen)}"), None
        self._submit(run, live, decision.recipe, decision.because, frozen, now_ms)
        return decision, run

    def end(self, job: Mapping[str, Any], now_ms: int) -> None:
        """Note that a Batch job succeeded or failed; told again, nothing changes."""
        run = str(job["jobName"]).removeprefix(_JOB_PREFIX)
        body = self.registry.run(run)
        if body is None or body["job_id"] != job["jobId"]:
            return
        if "ended_ms" not in body:
            self._record_end(run, body, job, now_ms)
        self.registry.end_run(body["model"], run)

    def cancel(self, run: str) -> dict[str, Any]:
        """Stop a run; Conflict when it has ended."""
        body = self._require(run)
        if "ended_ms" in body:
            raise Conflict(f"run {run} is {body['status']}: only a pending or running one can be cancelled")
        self.registry.record_run(run, {**body, "status": "cancelled"})
        self.batch.terminate_job(jobId=body["job_id"], reason="cancelled through the job API")
        return self.show(run)

    def show(self, run: str) -> dict[str, Any]:
        """A run as the job API shows it; what the job itself reports comes from its `run.json`."""
        body = self._require(run)
        report = self._report(body)
        pending = body["status"] == "pending" and report.get("status") == "running"
        seconds = float(report.get("runtime_seconds", 0.0))
        return {
            "id": run,
            "model": body["model"],
            "version": body["version"],
            "recipe": body.get("recipe", ""),
            "because": body["because"],
            "status": "running" if pending else body["status"],
            "created_at": isoformat(body["created_ms"]),
            "progress": report.get("progress", 0.0),
            "runtime_seconds": seconds,
            "error": body.get("error", ""),
            "conclusion": report.get("conclusion", ""),
            "evaluations": report.get("evaluations", []),
            "datasets": [body["dataset"]],
            "estimated_cost_usd": round(seconds / 3600 * self.instance_hour_usd, 4),
        }

    def show_all(self) -> list[dict[str, Any]]:
        """All runs, oldest first."""
        bodies = sorted(self.registry.runs(), key=lambda body: int(body["created_ms"]))
        return [self.show(str(body["sk"])) for body in bodies]

    def _record_end(self, run: str, body: Mapping[str, Any], job: Mapping[str, Any], now_ms: int) -> None:
        status = "cancelled" if body["status"] == "cancelled" else _ENDED[job["status"]]
        error = job.get("statusReason", "") if status == "failed" else ""
        if status == "completed":
            self.announcer.announce(
                "TrainingCompleted",
                id=f"run/{run}",
                subject=body["model"],
                unix_ms=now_ms,
                data={"run": run, "model": body["model"], "version": body["version"]},
            )
        self.registry.record_run(run, {**body, "status": status, "ended_ms": now_ms, "error": error})

    def _state(self, live: Live, reason: Reason, labels: int, run: str, cure: str) -> State:
        active = self.registry.active_run(live.model)
        incident = self.registry.incident(live.model, live.version)
        ended = [
            int(body["ended_ms"]) for body in self.registry.runs() if body["model"] == live.model and "ended_ms" in body
        ]
        return State(
            live.model,
            self.registry.manifest(live.model, live.version).kind,
            live.version,
            reason,
            incident is not None,
            labels,
            None if active == run else active,
            max(ended, default=None),
            cure or str((incident or {}).get("cure", {}).get("action", "")),
        )

    def _labels(self, selection: Selection) -> int:
        """How many answers of the selection people have labelled, whether they will be believed or not."""
        given = self.feedback.within(selection.model, *selection.window_ms)
        return len({item["inference_id"] for item in given if tells_labels(item, selection)})

    def _freeze(self, selection: Selection) -> Frozen:
        """Freeze the selection's dataset, and leave what it set aside where a person can look at it."""
        parent = Datasets(self.bucket).load(self.registry.manifest(selection.model, selection.version).lineage.dataset)
        quarantine = Quarantine(self.bucket, selection.model)
        rules = Rules(trust_in(self.bucket, selection.model), quarantine.restored(), Tombstones.of(self.bucket))
        feedback = self.feedback.within(selection.model, *selection.window_ms)
        frozen = freeze_traffic(selection, parent, feedback, Traffic(self.bucket), rules)
        quarantine.replace(selection.version, frozen.quarantined)
        return frozen

    def _submit(self, run: str, live: Live, recipe: str, because: str, frozen: Frozen, now_ms: int) -> None:
        address = Datasets(self.bucket).store(frozen.dataset)
        known = self.registry.run(run)
        version = known["version"] if known else self.registry.next_version(live.model)
        body = {
            "model": live.model,
            "version": version,
            "recipe": recipe,
            "dataset": frozen.dataset.digest,
            "status": "pending",
            "because": because,
            "created_ms": now_ms,
            "job_id": "",
        }
        self.registry.record_run(run, body)
        job = self.batch.submit_job(
            jobName=_JOB_PREFIX + run,
            jobQueue=self.job_queue,
            jobDefinition=self.job_definition,
            parameters={
                "recipe": recipe,
                "model": live.model,
                "version": version,
                "dataset": address,
                "run": run,
                "output": f"s3://{self.bucket.name}/candidates/{live.model}/{version}/",
                "parent": f"models:/{live.model}/{live.version}",
                "live": f"s3://{self.bucket.name}/models/{live.model}/{live.version}/",
            },
        )
        self.registry.record_run(run, {**body, "job_id": job["jobId"]})

    def _report(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return json.loads(self.bucket.read(f"candidates/{body['model']}/{body['version']}/run.json"))
        except NotFound:
            return {}

    def _require(self, run: str) -> dict[str, Any]:
        body = self.registry.run(run)
        if body is None:
            raise NotFound(f"no training run {run!r}")
        return body


def _reasons(frozen: Frozen) -> str:
    """How many texts and pieces of feedback were left out, by reason."""
    counts = sorted(frozen.dataset.lineage["left_out"].items())
    return ", ".join(f"{count} {reason}" for reason, count in counts if count) or "no feedback"
