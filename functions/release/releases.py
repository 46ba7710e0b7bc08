"""A candidate's way through its gates and its canary to being live, or refused; and the way back.

Every step can be repeated: a version that was decided on is not decided again, a layer that was published is used
again, and the pointer moves only from where it was read. One release at a time holds the lease of its model, and one
canary at a time the alias: other candidates wait until it has ended.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from pawl.bucket import Bucket
from pawl.errors import Conflict
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.registry import Live, Registry, VersionRecord
from pawl.signing import Signer
from release.candidates import refuse
from release.deployment import Deployment
from release.endings import Endings
from release.examination import Examination
from release.gates import GatePolicy
from release.pointer import Pointer, pointing_at
from release.publication import Publication
from release.terms import CanaryPolicy
from release.trial import Trial
from release.trials import Trials

_DECIDED = {"live", "retired", "refused", "rolled_back", "stopped", "superseded", "collected"}
_LOOK_LEASE_MS = 120_000


@dataclass(frozen=True, slots=True)
class Releases:
    """Decides on candidates, and does what people ask for."""

    bucket: Bucket
    registry: Registry
    deployment: Deployment
    announcer: Announcer
    policy: GatePolicy
    signer: Signer
    trials: Trials
    clock: Callable[[], int]

    def consider(self, model: str, version: str, now_ms: int) -> VersionRecord:
        """Let a candidate through its gates and into its canary, or refuse it; decided before, nothing changes."""
        known = self.registry.version(model, version)
        if known and known.state in _DECIDED:
            return known
        with self.registry.release_lease(model, f"release/{version}", now_ms):
            if known and self.registry.live(model).version == version:
                return self._pointer.complete(known, now_ms)
            if busy := self._busy(model, version, now_ms):
                return known if known and busy.version == version else self._wait(model, version, now_ms)
            if not (known and known.layer_arn):  # else it passed, and no gate may refuse it now
                files = self.bucket.read_folder(f"candidates/{model}/{version}/")
                record, gates = self._examination.examine(model, version, files)
                record = replace(record, gates=[asdict(gate) for gate in gates], updated_at=isoformat(now_ms))
                if not all(gate.passed for gate in gates):
                    return refuse(record, self.registry, self.announcer, now_ms)
                known = self._publication.publish(record, files)
            return self._introduce(known, now_ms)

    def look(self, now_ms: int) -> Trial | None:
        """Take the canary under way forward, or let the next that waits have its turn; the canary after it."""
        trial = self.trials.current()
        if trial is None:
            self._next_waiting(now_ms)
            return self.trials.current()
        if trial.is_due(now_ms):
            is_open = trial.is_acting or not trial.is_settled
            counted = trial if is_open else self.trials.count(trial, now_ms)
            with self.registry.release_lease(trial.model, f"canary/{trial.version}", now_ms, _LOOK_LEASE_MS):
                self._endings.go_on(trial if is_open else self.trials.take(counted, self.clock()))
        return self.trials.current()

    def roll_back(self, model: str, now_ms: int) -> Live:
        """Take back the candidate in its canary, or point live at what was live before; Conflict without either."""
        with self.registry.release_lease(model, "rollback", now_ms):
            trial = self.trials.current()
            if trial and trial.model == model and trial.phase != "promoting":  # that one is as good as live
                self._endings.go_on(trial)
                if not trial.is_ending:
                    self._endings.stop(self.trials.current() or trial, "rolled_back", "a person took it back", now_ms)
                return self.registry.live(model)
            trial = self._endings.unfinished()
            live = self.registry.live(model)
            if live.previous is None:
                raise Conflict(f"{model} {live.version} has no version before it to go back to")
            if trial:
                self._endings.stop(trial, "waiting", f"{model} {live.version} was rolled back: it begins again", now_ms)
            back = Live(**live.previous)
            self._pointer.repoint(live, replace(back, reason=f"rollback from {live.version}"), now_ms)
            told = f"{model} {live.version} was rolled back by a person. {model} {back.version} answers again."
            self.announcer.announce(
                "ReleaseRolledBack",
                id=f"rollback/{model}/{live.version}/{live.moved_at}",
                subject=model,
                unix_ms=now_ms,
                data={"from": live.version, "to": back.version, "sentence": told},
            )
            return self.registry.live(model)

    def promote(self, model: str, version: str, now_ms: int) -> Live:
        """Point live at the candidate in its canary, or at a version that was live; Conflict for any other."""
        with self.registry.release_lease(model, f"promote/{version}", now_ms):
            trial = self._endings.unfinished()
            if trial and (trial.model, trial.version) == (model, version):
                promoted = replace(trial, phase="promoting").noted("promoted", "a person promoted it", now_ms)
                self._endings.go_on(self.trials.keep(promoted))
                return self.registry.live(model)
            live, record = self.registry.live(model), self.registry.version(model, version)
            if record is None or version == live.version or not record.function_version:
                state = record.state if record else "unknown"
                raise Conflict(f"{model} {version} is {state}: only a retired version can be promoted again")
            if trial:
                self._endings.stop(trial, "waiting", f"{model} {version} was promoted: it begins again", now_ms)
            self._pointer.repoint(live, pointing_at(record, live, "promoted again"), now_ms)
            return self.registry.live(model)

    def _busy(self, model: str, version: str, now_ms: int) -> Trial | None:
        """The canary that is in a candidate's way, which may be its own; an older one may have to give way."""
        trial = self.trials.current()
        if trial is None or trial.model != model or trial.version == version or trial.policy.another == "wait":
            return trial
        trial = self._endings.unfinished()
        if trial:
            self._endings.stop(trial, "superseded", f"{model} {version} came in its place", now_ms)
        return None

    def _wait(self, model: str, version: str, now_ms: int) -> VersionRecord:
        self.registry.let_wait(model, version)
        record = VersionRecord(model, version, "waiting", "", updated_at=isoformat(now_ms))
        self.registry.record_version(record)
        return record

    def _next_waiting(self, now_ms: int) -> None:
        """The newest candidate that waits of the first model has its turn; older ones of it are superseded."""
        waiting = self.registry.waiting()
        ours = [version for model, version in waiting if model == waiting[0][0]]
        for version in ours[:-1]:
            known = self.registry.version(waiting[0][0], version)
            if known and known.state == "waiting":
                self.registry.record_version(replace(known, state="superseded", updated_at=isoformat(now_ms)))
            self.registry.wait_no_longer(waiting[0][0], version)
        if ours:
            self.consider(waiting[0][0], ours[-1], now_ms)
            self.registry.wait_no_longer(waiting[0][0], ours[-1])

    def _introduce(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """Let a published version answer: everything at once, or as much as its canary allows."""
        described = f"{record.model} {record.version}"
        function_version = self.deployment.publish_function(record.layer_arn, described)
        record = replace(record, function_version=function_version)
        self.registry.record_version(record)
        terms = CanaryPolicy.from_json(self.trials.terms(record.model))
        if terms.at_once:
            return self._pointer.release(record, "all gates passed", now_ms)
        if not self.trials.start(record, self.registry.live(record.model), self.clock()):  # its gates took their time
            return self._wait(record.model, record.version, now_ms)
        return self.registry.version(record.model, record.version) or record

    @property
    def _publication(self) -> Publication:
        return Publication(self.bucket, self.registry, self.deployment, self.signer)

    @property
    def _examination(self) -> Examination:
        return Examination(self.bucket, self.registry, self.policy, self.trials)

    @property
    def _pointer(self) -> Pointer:
        return Pointer(self.registry, self.deployment, self.announcer, self.trials)

    @property
    def _endings(self) -> Endings:
        return Endings(self.registry, self.trials, self._pointer, self.clock)
