"""A candidate's way through its gates and its canary to being live, or refused; and the way back.

Every step can be repeated: a version that was decided on is not decided again, a layer that was published is used
again, and the pointer moves only from where it was read. One release at a time holds the lease of its model, and one
canary at a time the alias: other candidates wait until it has ended.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pawl.bucket import Bucket
from pawl.errors import Conflict, InvalidBundle, NotFound, SettingsError
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.registry import Live, Registry, VersionRecord, vars_of
from pawl.signing import Signer
from release.candidates import WHOLE, refuse, unpack
from release.card import card_key, render
from release.collection import Collection
from release.deployment import Deployment
from release.gates import Case, Contender, Gate, GatePolicy, judge_candidate
from release.incident import incident_of, sentence
from release.publication import Publication
from release.terms import FILE, CanaryPolicy
from release.trial import Trial
from release.trials import Trials

_DECIDED = {"live", "retired", "refused", "rolled_back", "stopped", "superseded", "collected"}
_LOOK_LEASE_MS = 120_000


@dataclass(frozen=True, slots=True)
class Releases:
    """Decides on candidates and moves the live pointer."""

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
                return self._complete(known, now_ms)
            if busy := self._busy(model, version, now_ms):
                return known if known and busy.version == version else self._wait(model, version, now_ms)
            if not (known and known.layer_arn):  # else it passed, and no gate may refuse it now
                files = self.bucket.read_folder(f"candidates/{model}/{version}/")
                record, gates = self._judge(model, version, files)
                gates += self._terms_gate(model)
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
                self._go_on(trial if is_open else self.trials.take(counted, self.clock()))
        return self.trials.current()

    def roll_back(self, model: str, now_ms: int) -> Live:
        """Take back the candidate in its canary, or point live at what was live before; Conflict without either."""
        with self.registry.release_lease(model, "rollback", now_ms):
            trial = self.trials.current()
            if trial and trial.model == model and trial.phase != "promoting":  # that one is as good as live
                self._go_on(trial)
                if not trial.is_ending:
                    self._stop(self.trials.current() or trial, "rolled_back", "a person took it back", now_ms)
                return self.registry.live(model)
            trial = self._unfinished()
            live = self.registry.live(model)
            if live.previous is None:
                raise Conflict(f"{model} {live.version} has no version before it to go back to")
            if trial:
                self._stop(trial, "waiting", f"{model} {live.version} was rolled back: it begins again", now_ms)
            back = Live(**live.previous)
            self._repoint(live, replace(back, reason=f"rollback from {live.version}"), now_ms)
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
            trial = self._unfinished()
            if trial and (trial.model, trial.version) == (model, version):
                promoted = replace(trial, phase="promoting").noted("promoted", "a person promoted it", now_ms)
                self._go_on(self.trials.keep(promoted))
                return self.registry.live(model)
            live, record = self.registry.live(model), self.registry.version(model, version)
            if record is None or version == live.version or not record.function_version:
                state = record.state if record else "unknown"
                raise Conflict(f"{model} {version} is {state}: only a retired version can be promoted again")
            if trial:
                self._stop(trial, "waiting", f"{model} {version} was promoted: it begins again", now_ms)
            self._repoint(live, self._target(record, live, "promoted again"), now_ms)
            return self.registry.live(model)

    def _target(self, record: VersionRecord, live: Live, reason: str) -> Live:
        previous = {**vars_of(live), "previous": None}
        return Live(record.model, record.version, record.function_version, record.layer_arn, "", reason, previous)

    def _repoint(self, live: Live, target: Live, now_ms: int) -> None:
        """Answer with a version that is deployed already: the alias first, the pointer last.

        Until the pointer has moved, the same request does all of it again.
        """
        self.deployment.point_live(target.function_version, target.layer_arn)
        self.deployment.reattach(target.function_version)
        self._set_state(live.model, live.version, "retired", now_ms)
        self._set_state(live.model, target.version, "live", now_ms)
        if not self.registry.move_live(replace(target, moved_at=isoformat(now_ms)), live.version):
            raise Conflict(f"the live version of {live.model} changed at the same moment")

    def _busy(self, model: str, version: str, now_ms: int) -> Trial | None:
        """The canary that is in a candidate's way, which may be its own; an older one may have to give way."""
        trial = self.trials.current()
        if trial is None or trial.model != model or trial.version == version or trial.policy.another == "wait":
            return trial
        trial = self._unfinished()
        if trial:
            self._stop(trial, "superseded", f"{model} {version} came in its place", now_ms)
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

    def _unfinished(self) -> Trial | None:
        """The canary under way, once what it had decided already is done."""
        trial = self.trials.current()
        if trial is None or not (trial.is_acting or not trial.is_settled):
            return trial
        self._go_on(trial)
        return self.trials.current()

    def _go_on(self, trial: Trial) -> None:
        """What follows from where a kept canary stands; again changes nothing."""
        match trial.phase:
            case "promoting":
                self._promote(trial)
            case "rolling_back":
                self._take_back(trial)
            case "stopping":
                self._end(trial)
            case _:
                self.trials.settle(trial, self.clock())

    def _promote(self, trial: Trial) -> None:
        now_ms, live = self.clock(), self.registry.live(trial.model)
        if live.version == trial.version:
            self._complete(self.trials.record(trial, "live"), now_ms)
        else:
            self._release(self.trials.record(trial, "canary"), trial.because, now_ms)
        self.registry.end_canary(trial.model, trial.version)

    def _take_back(self, trial: Trial) -> None:
        """Everybody is answered by the live version again; then the incident is kept, and told."""
        self.trials.withdraw(trial)
        restored_ms = self.clock()
        self.trials.record(trial, "rolled_back")
        incident = incident_of(trial, restored_ms)
        if trial.version not in self.registry.rollbacks(trial.model):
            self.registry.record_rollback(trial.model, trial.version, incident)
        told = {"from": trial.version, "to": trial.live, "figures": trial.figures(), "seconds": incident["seconds"]}
        fact = f"rolled-back/{trial.model}/{trial.version}"
        self.trials.say("ReleaseRolledBack", fact, trial, restored_ms, sentence(trial), **told)
        self.registry.end_canary(trial.model, trial.version)

    def _stop(self, trial: Trial, ends_as: str, because: str, now_ms: int) -> None:
        self._end(self.trials.keep(trial.stopped(ends_as, because, now_ms)))

    def _end(self, trial: Trial) -> None:
        """End a canary that had no verdict of its own; one that begins again goes through its gates once more."""
        self.trials.withdraw(trial)
        record = self.trials.record(trial, trial.ends_as)
        if trial.ends_as == "waiting":
            self.registry.record_version(replace(record, layer_arn="", function_version=""))
            self.registry.let_wait(trial.model, trial.version)
        if trial.moved_to:
            self._follow_hand(trial)
        told = f"The canary of {trial.model} {trial.version} was stopped: {trial.because}."
        fact = f"stopped/{trial.model}/{trial.version}/{trial.verdict_ms}"
        self.trials.say("CanaryStopped", fact, trial, self.clock(), told, state=trial.ends_as)
        self.registry.end_canary(trial.model, trial.version)

    def _follow_hand(self, trial: Trial) -> None:
        """Let pointer and parameter say what a hand has made the alias do."""
        live, record = self.registry.live(trial.model), self.registry.version(trial.model, trial.moved_to)
        if record and live.version != trial.moved_to:
            self._repoint(live, self._target(record, live, trial.because), self.clock())

    def _terms_gate(self, model: str) -> list[Gate]:
        """A gate that is failed by a policy which cannot be read; none where there is nothing to say."""
        try:
            self.trials.terms(model)
        except SettingsError as error:
            return [Gate("canary", False, str(error), f"models/{model}/{FILE} as functions/release/terms.py has it")]
        return []

    def _judge(self, model: str, version: str, files: Mapping[str, bytes]) -> tuple[VersionRecord, list[Gate]]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            try:
                candidate = unpack(folder / "candidate", files)
                if (candidate.manifest.name, candidate.manifest.version) != (model, version):
                    raise InvalidBundle(f"the manifest names {candidate.manifest.name} {candidate.manifest.version}")
                contender = Contender.of(candidate)
            except InvalidBundle as error:
                gate = Gate("integrity", False, str(error), WHOLE)
                return VersionRecord(model, version, "candidate", ""), [gate]
            gates = [Gate("integrity", True, candidate.digest, WHOLE)]
            live_version = self.registry.live(model).version
            live = unpack(folder / "live", self.bucket.read_folder(f"models/{model}/{live_version}/"))
            gates += judge_candidate(Case(contender, Contender.of(live), self.bucket, self.policy))
            about = json.loads(candidate.manifest.to_json())
            card = render(about, [asdict(gate) for gate in gates])
            self.bucket.write(card_key(model, version), card.encode())
            return VersionRecord(model, version, "candidate", candidate.digest, about), gates

    @property
    def _publication(self) -> Publication:
        return Publication(self.bucket, self.registry, self.deployment, self.signer)

    def _introduce(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """Let a published version answer: everything at once, or as much as its canary allows."""
        described = f"{record.model} {record.version}"
        function_version = self.deployment.publish_function(record.layer_arn, described)
        record = replace(record, function_version=function_version)
        self.registry.record_version(record)
        terms = CanaryPolicy.from_json(self.trials.terms(record.model))
        if terms.at_once:
            return self._release(record, "all gates passed", now_ms)
        if not self.trials.start(record, self.registry.live(record.model), now_ms):
            return self._wait(record.model, record.version, now_ms)
        return self.registry.version(record.model, record.version) or record

    def _release(self, record: VersionRecord, reason: str, now_ms: int) -> VersionRecord:
        """Answer everything with a deployed version: the alias first, the pointer last."""
        live = self.registry.live(record.model)
        self.deployment.point_live(record.function_version, record.layer_arn)
        self.deployment.reattach(record.function_version)
        previous = {**vars_of(live), "function_version": record.replaces, "previous": None}
        moved_at = isoformat(now_ms)
        pointer = Live(
            record.model, record.version, record.function_version, record.layer_arn, moved_at, reason, previous
        )
        if not self.registry.move_live(pointer, live.version):
            raise Conflict(f"the live version of {record.model} changed during the release of {record.version}")
        return self._complete(record, now_ms)

    def _complete(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """What follows once the pointer has moved; a release that died right after it goes on here."""
        previous = Live(**(self.registry.live(record.model).previous or {}))
        self._set_state(record.model, previous.version, "retired", now_ms, previous)
        self._close_incidents(record, now_ms)
        self.announcer.announce(
            "ModelReleased",
            id=f"released/{record.model}/{record.version}",
            subject=record.model,
            unix_ms=now_ms,
            data={"version": record.version, "previous": previous.version},
        )
        released = replace(record, state="live")
        self.registry.record_version(released)
        self._collect(record.model, now_ms)
        return released

    def _close_incidents(self, record: VersionRecord, now_ms: int) -> None:
        for version, incident in self.registry.rollbacks(record.model).items():
            if "closed_at" not in incident:
                closed = {"closed_at": isoformat(now_ms), "closed_because": f"version {record.version} is live"}
                self.registry.record_rollback(record.model, version, {**incident, **closed})

    def _collect(self, model: str, now_ms: int) -> None:
        terms = CanaryPolicy.from_json(self.trials.terms(model))
        Collection(self.registry, self.deployment).collect(terms, self.trials.current(), isoformat(now_ms))

    def _set_state(self, model: str, version: str, state: str, now_ms: int, deployed: Live | None = None) -> None:
        """Note a version's state, and where it is deployed when that was not known."""
        known = self.registry.version(model, version)
        if known is None:
            raise NotFound(f"{model} {version} is not registered: run scripts/pawl seed after the first deployment")
        if deployed:
            known = replace(known, function_version=deployed.function_version, layer_arn=deployed.layer_arn)
        self.registry.record_version(replace(known, state=state, updated_at=isoformat(now_ms)))
