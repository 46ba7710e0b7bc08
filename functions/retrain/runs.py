"""Training runs: gather what the decision needs, freeze, submit, and follow the job to its end.

A run is named by the fact that caused it, so a second delivery of the same event finds the run and changes nothing. It
is recorded before its job is submitted: a crash in between submits the same version from the same dataset again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pawl.bucket import Bucket
from pawl.errors import Conflict, NotFound
from pawl.events import Announcer
from pawl.feedback import FeedbackTable
from pawl.identity import isoformat
from pawl.registry import Registry
from pawl.versions import Live
from retrain.counting import count_learnable
from retrain.decision import ALIGN, Decision, Policy, Reason, State, decide_elsewhere, decide_retrain, postpone
from retrain.fleet import Fleet
from retrain.orders import Order, Orders

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

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
    orders: Orders
    policy: Policy
    fleet: Fleet
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
        if reason == "judge":
            self._end_run_of_judge(model)
        decision = decide_retrain(self._state(live, reason, run, cure, now_ms), self.policy, now_ms)
        if decision.recipe is not None and not self.registry.claim_run(model, run):
            decision = postpone("another run began at the same moment")
        if decision.is_postponed and reason == "feedback":
            self.registry.postpone_feedback(model, cause, now_ms)
        if decision.recipe is None:
            return decision, None
        order = self.orders.make(decision.recipe, live, now_ms, decision.method)
        if isinstance(order, str):
            self.registry.end_run(model, run)
            return Decision("wait", order), None
        self._submit(run, order, decision.because, now_ms)
        return decision, run

    def consider_again(self, model: str, now_ms: int) -> tuple[Decision, str | None] | None:
        """Decide once more on feedback that came while no run might begin; None where none waits.

        That there is enough is told once only, and the next time after as much again. What a run has learned from that
        began since, for whatever cause, is no cause for another.
        """
        waiting = self.registry.postponed_feedback(model)
        if waiting is None:
            return None
        cause, since_ms = waiting
        if any(_served(body) == model and _froze_since(body, since_ms) for body in self.registry.runs()):
            decision, run = Decision("wait", "a run that began since has learned from it"), None
        else:
            decision, run = self.consider(model, "feedback", cause, now_ms)
        if not decision.is_postponed:
            self.registry.end_postponement(model)
        return decision, run

    def end(self, job: Mapping[str, Any], now_ms: int) -> None:
        """Note that a Batch job succeeded or failed; told again, nothing changes."""
        run = str(job["jobName"]).removeprefix(_JOB_PREFIX)
        body = self.registry.run(run)
        if body is None or body["job_id"] != job["jobId"]:
            return
        if "ended_ms" not in body:
            self._record_end(run, body, job, now_ms)
        self.registry.end_run(_served(body), run)

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
            "serves": _served(body),
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
            "estimated_cost_usd": round(seconds / 3600 * self.instance_hour_usd * body.get("nodes", 1), 4),
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

    def _state(self, live: Live, reason: Reason, run: str, cure: str, now_ms: int) -> State:
        active = self.registry.active_run(live.model)
        incident = self.registry.incident(live.model, live.version)
        bodies = [body for body in self.registry.runs() if _served(body) == live.model]
        selection = self.orders.selection(live, now_ms)
        feedback = self.feedback.within(live.model, *selection.window_ms)
        known = count_learnable(feedback, selection, self.orders.learned_until_ms(live))
        return State(
            live.model,
            self.registry.manifest(live.model, live.version).kind,
            live.version,
            reason,
            incident is not None,
            known.labels,
            None if active == run else active,
            max((int(body["ended_ms"]) for body in bodies if "ended_ms" in body), default=None),
            cure or str((incident or {}).get("cure", {}).get("action", "")),
            self._unused_judge(live.model, run, bodies),
            known.thumbs,
        )

    def _unused_judge(self, model: str, run: str, bodies: Iterable[Mapping[str, Any]]) -> str:
        """The released reward model's version, unless another run aligns, or has aligned, the model with it."""
        judge = self.orders.judge(model)
        if judge is None:
            return ""
        used = {
            body["judge"]
            for body in bodies
            if body.get("recipe") == ALIGN and body["sk"] != run and body["status"] not in ("failed", "cancelled")
        }
        return "" if judge.version in used else judge.version

    def _end_run_of_judge(self, model: str) -> None:
        """Make room for what follows a released reward model: its bundle proves that its run is over, which Batch may
        say later."""
        judge = self.orders.judge(model)
        if judge is not None:
            self.registry.end_run(model, self.registry.manifest(judge.model, judge.version).lineage.run)

    def _submit(self, run: str, order: Order, because: str, now_ms: int) -> None:
        known = self.registry.run(run)
        version = known["version"] if known else self.registry.next_version(order.model)
        site = self.fleet.site(order.recipe)
        body = {
            "model": order.model,
            "serves": order.serves,
            "version": version,
            "recipe": order.recipe,
            "dataset": order.dataset,
            "judge": order.judge,
            "status": "pending",
            "because": because,
            "created_ms": now_ms,
            "nodes": site.nodes,
            "job_id": "",
        }
        self.registry.record_run(run, body)
        job = self.batch.submit_job(
            jobName=_JOB_PREFIX + run,
            jobQueue=site.queue,
            jobDefinition=site.definition,
            parameters={
                "recipe": order.recipe,
                "model": order.model,
                "version": version,
                "dataset": f"s3://{self.bucket.name}/datasets/{order.dataset}/",
                "run": run,
                "output": f"s3://{self.bucket.name}/candidates/{order.model}/{version}/",
                "parent": order.parent,
                "live": order.live,
                **order.more,
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


def _served(body: Mapping[str, Any]) -> str:
    """The model whose loop a run turns; one that was recorded before models had judges makes what it serves."""
    return str(body.get("serves", body["model"]))


def _froze_since(body: Mapping[str, Any], since_ms: int) -> bool:
    """Whether a run began since then with a dataset of its own: one that aligns with a judge takes the judge's."""
    return int(body["created_ms"]) > since_ms and not body.get("judge")
