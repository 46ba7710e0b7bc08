"""A candidate's way through its gates and its canary to being live, or refused; and the way back.

Every step can be repeated: a version that was decided on is not decided again, a layer that was published is used
again, and the pointer moves only from where it was read. One alias answers with all models, so one at a time changes
what is live, for as long as that takes and no gate longer; and one canary at a time shares the alias: other candidates
wait until it has ended.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from pawl.bucket import Bucket
from pawl.errors import Conflict
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.registry import SERVED, Registry
from pawl.signing import Signer
from pawl.versions import Live, VersionRecord
from release.candidates import refuse
from release.deployment import Deployment
from release.endings import Endings
from release.examination import Examination
from release.gates import GatePolicy
from release.layers import Layers
from release.pointer import Pointer, pointing_at
from release.publication import Publication
from release.terms import CanaryPolicy
from release.trial import Trial
from release.trials import Trials

_DECIDED = {"live", "retired", "refused", "rolled_back", "stopped", "superseded", "collected"}
_PROMOTED = {"retired", "stopped", "live"}
"""Live is, by its record alone, where a promotion or a rollback died before the pointer moved."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with what each gate found, its files, and the live version beside which it was judged."""

    record: VersionRecord
    files: dict[str, bytes]
    live: str


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
        """Let a candidate through its gates and into its canary, or refuse it; decided before, nothing changes.

        Gates take minutes and hold nobody up: of two deliveries that judge the same candidate, the later one finds what
        the other has made of it.
        """
        known = self.registry.version(model, version)
        if known and known.state in _DECIDED:
            return known
        judged = self._judge(model, version, now_ms) if self._has_its_turn(model, version, known) else None
        with self.registry.release_lease(SERVED, self.clock()):
            return self._settle(model, version, judged, now_ms)

    def look(self, now_ms: int) -> Trial | None:
        """Take the canary under way forward, or let the next that waits have its turn; the canary after it."""
        trial = self.trials.current()
        if trial is None:
            self._next_waiting(now_ms)
            return self.trials.current()
        if trial.is_due(now_ms):
            is_open = trial.is_acting or not trial.is_settled
            counted = trial if is_open else self.trials.count(trial, now_ms)
            with self.registry.release_lease(SERVED, self.clock()):
                if is_open:
                    self._endings.unfinished()
                else:
                    self._endings.go_on(self.trials.take(counted, self.clock()))
        return self.trials.current()

    def refresh(self) -> str:
        """Let what was deployed last answer with what is live, after a deployment; the function version that does."""
        with self.registry.release_lease(SERVED, self.clock()):
            return self._pointer.restore()

    def roll_back(self, model: str, now_ms: int) -> Live:
        """Take back the candidate in its canary, or point live at what was live before; Conflict without either."""
        with self.registry.release_lease(SERVED, self.clock()):
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
        """Point live at the candidate in its canary, at one that a hand stopped there, or at a version that was live.

        Conflict for any other: what its canary has found worse is not to be made live by a word.
        """
        with self.registry.release_lease(SERVED, self.clock()):
            trial = self._endings.unfinished()
            if trial and (trial.model, trial.version) == (model, version):
                promoted = replace(trial, phase="promoting").noted("promoted", "a person promoted it", now_ms)
                self._endings.go_on(self.trials.keep(promoted))
                return self.registry.live(model)
            live, record = self.registry.live(model), self.registry.version(model, version)
            is_live = version == live.version
            if record and record.state == "stopped" and is_live:
                self._pointer.complete(record, now_ms)
                return live
            if record is None or is_live or record.state not in _PROMOTED:
                state = record.state if record else "unknown"
                wanted = "only a retired version can be promoted again, or one whose canary was stopped by hand"
                raise Conflict(f"{model} {version} is {state}: {wanted}")
            if trial:
                self._endings.stop(trial, "waiting", f"{model} {version} was promoted: it begins again", now_ms)
            if record.state == "stopped":
                self._pointer.release(self._deployed(record), "a person promoted it", now_ms)
            else:
                self._pointer.repoint(live, pointing_at(record, live, "promoted again"), now_ms)
            return self.registry.live(model)

    def _has_its_turn(self, model: str, version: str, known: VersionRecord | None) -> bool:
        """Whether a candidate is to be judged now: it has not passed yet, and no canary is in its way."""
        trial = self.trials.current()
        is_free = trial is None or (trial.model == model and trial.policy.another == "supersede")
        return is_free and not _has_passed(known) and self.registry.live(model).version != version

    def _judge(self, model: str, version: str, now_ms: int) -> Judged:
        live, files = self.registry.live(model).version, self.bucket.read_folder(f"candidates/{model}/{version}/")
        record, gates = self._examination.examine(model, version, files)
        record = replace(record, gates=[asdict(gate) for gate in gates], updated_at=isoformat(now_ms))
        return Judged(record, files, live)

    def _settle(self, model: str, version: str, judged: Judged | None, now_ms: int) -> VersionRecord:
        """What becomes of a candidate, judged or not, as things stand now that nobody else can change them."""
        known = self.registry.version(model, version)
        if known and (known.state in _DECIDED or self._is_in_its_canary(known)):
            return known
        live = self.registry.live(model).version
        if known and live == version:
            return self._pointer.complete(known, now_ms)
        has_passed, record = _has_passed(known), known or VersionRecord(model, version, "candidate", "")
        if has_passed or (judged and judged.live != live):
            judged = None
        if judged:
            record = replace(judged.record, left_layers=record.left_layers)
            if not all(gate["passed"] for gate in record.gates):
                return refuse(record, self.registry, self.announcer, now_ms)
        if not (judged or has_passed) or not self._makes_way(record, now_ms):
            return self._wait(record, now_ms)
        return self._introduce(self._publication.publish(record, judged.files) if judged else record, now_ms)

    def _is_in_its_canary(self, record: VersionRecord) -> bool:
        trial = self.trials.current()
        return trial is not None and (trial.model, trial.version) == (record.model, record.version)

    def _makes_way(self, record: VersionRecord, now_ms: int) -> bool:
        """Whether no canary is in a candidate's way, or the one that was has given way."""
        trial = self._endings.unfinished()
        if trial and trial.model == record.model and trial.policy.another == "supersede":
            self._endings.stop(trial, "superseded", f"{record.model} {record.version} came in its place", now_ms)
            return True
        return trial is None

    def _wait(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """Let a candidate wait; when it has its turn it is judged beside what is live then."""
        self.registry.let_wait(record.model, record.version)
        waiting = replace(record.moved(), state="waiting", updated_at=isoformat(now_ms))
        self.registry.record_version(waiting)
        return waiting

    def _next_waiting(self, now_ms: int) -> None:
        """The newest candidate that waits of the first model has its turn; older ones of it are superseded."""
        waiting = self.registry.waiting()
        ours = [version for model, version in waiting if model == waiting[0][0]]
        for version in ours[:-1]:
            known = self.registry.version(waiting[0][0], version)
            if known and known.state == "waiting":
                self.registry.record_version(replace(known, state="superseded", updated_at=isoformat(now_ms)))
            self.registry.wait_no_longer(waiting[0][0], version)
        if ours and self.consider(waiting[0][0], ours[-1], now_ms).state != "waiting":
            self.registry.wait_no_longer(waiting[0][0], ours[-1])

    def _introduce(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """Let a published version answer: everything at once, or as much as its canary allows."""
        record = self._deployed(record)
        terms = CanaryPolicy.from_json(self.trials.terms(record.model))
        if terms.at_once:
            return self._pointer.release(record, "all gates passed", now_ms)
        if not self.trials.start(record, self.registry.live(record.model), self.clock()):
            return record if self._is_in_its_canary(record) else self._wait(record, now_ms)
        return self.registry.version(record.model, record.version) or record

    def _deployed(self, record: VersionRecord) -> VersionRecord:
        """The record of a version that is deployed beside what is live now, and in the place of what answers now.

        Where that is the version itself, an earlier release has died in between, and knew what it was to replace.
        """
        record = self._layers.refreshed(record)
        version = self.deployment.publish_function(record.layer_arn, f"{record.model} {record.version}")
        main = self.deployment.shares().main
        is_itself = self.deployment.models_layer(main) in (record.layer_arn, *record.left_layers)
        record = replace(record, function_version=version, replaces=record.replaces if is_itself else main)
        self.registry.record_version(record)
        return record

    @property
    def _layers(self) -> Layers:
        return Layers(self.bucket, self.registry, self.deployment)

    @property
    def _publication(self) -> Publication:
        return Publication(self.bucket, self.deployment, self._layers, self.signer)

    @property
    def _examination(self) -> Examination:
        return Examination(self.bucket, self.registry, self.policy, self.trials)

    @property
    def _pointer(self) -> Pointer:
        return Pointer(self.registry, self.deployment, self.announcer, self.trials, self._layers)

    @property
    def _endings(self) -> Endings:
        return Endings(self.registry, self.trials, self._pointer, self.clock)


def _has_passed(known: VersionRecord | None) -> bool:
    """Whether a candidate was let through its gates already; then none of them may refuse it."""
    return known is not None and known.state in ("candidate", "canary") and bool(known.layer_arn)
