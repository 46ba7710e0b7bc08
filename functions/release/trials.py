"""The one canary of a deployment, looked at again and again: counted, compared with the alias, judged, told to it.

Counting takes the longest and needs no lease. What a look found is kept by one write over the very state that was read:
of two looks at the same moment one is for nothing, and nothing is counted twice.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from pawl.bucket import Bucket
from pawl.errors import Conflict, NotFound
from pawl.events import Announcer
from pawl.registry import Registry
from pawl.versions import STARTER, Live, VersionRecord
from release.deployment import Deployment
from release.evidence import Evidence
from release.reconciliation import Finding, Shares, reconcile
from release.terms import FILE, CanaryPolicy
from release.trial import Trial, begin_trial, judge


@dataclass(frozen=True, slots=True)
class Trials:
    """Starts a canary, and takes it forward as far as what has come in allows."""

    bucket: Bucket
    registry: Registry
    deployment: Deployment
    evidence: Evidence
    announcer: Announcer

    def terms(self, model: str) -> str:
        """A model's own policy as JSON, empty where it has none; SettingsError where its file is none."""
        try:
            text = self.bucket.read(f"models/{model}/{FILE}").decode("utf-8", "replace")
        except NotFound:
            return "{}"
        CanaryPolicy.from_json(text)
        return text

    def current(self) -> Trial | None:
        """The canary under way, of whatever model."""
        item = self.registry.canary()
        return None if item is None else Trial.from_item(item)

    def start(self, record: VersionRecord, live: Live, now_ms: int) -> bool:
        """Give a published candidate its first share of the traffic; False while another one has its canary."""
        against = (live.version, record.replaces)
        deployed = (record.function_version, record.layer_arn)
        trial = begin_trial((record.model, record.version), deployed, against, self.terms(record.model), now_ms)
        trial = trial.noted("shadow" if trial.phase == "shadow" else "started", "all gates passed", now_ms)
        if not self.registry.keep_canary(trial.to_item(), None):
            return False
        self.settle(trial, now_ms)
        return True

    def count(self, trial: Trial, now_ms: int) -> Trial:
        """The trial with all that has come in, not kept yet."""
        return self.evidence.count(trial, trial.policy, now_ms)

    def take(self, counted: Trial, now_ms: int) -> Trial:
        """Keep what was counted with what follows from it: from the alias, or if that was as left, a verdict."""
        trial = self._reconciled(counted, now_ms)
        if trial is counted:
            trial = counted.follow(judge(counted, counted.policy, now_ms), counted.policy, now_ms)
        return self.keep(replace(trial, looked_ms=now_ms))

    def keep(self, trial: Trial) -> Trial:
        """Keep a trial in the place of the state that it was made from; Conflict when that is no longer there."""
        kept = replace(trial, number=trial.number + 1)
        if not self.registry.keep_canary(kept.to_item(), trial.number):
            raise Conflict(f"the canary of {trial.model} {trial.version} was changed at the same moment: look again")
        return kept

    def settle(self, trial: Trial, now_ms: int) -> None:
        """Make alias, registry and listeners agree with a kept trial that goes on; again changes nothing."""
        if trial.is_settled:
            return
        weights = {trial.function_version: trial.weight} if trial.weight else {}
        self.deployment.share(Shares(trial.baseline, weights))
        self.deployment.reattach(trial.baseline)
        self.record(trial, "canary")
        self._announce(trial, now_ms)
        self.keep(replace(trial, is_settled=True))

    def withdraw(self, trial: Trial) -> None:
        """Give the candidate's share back to whatever answers the rest, or answered it before."""
        main = self.deployment.shares().main
        self.deployment.share(Shares(trial.baseline if main == trial.function_version else main, {}))

    def record(self, trial: Trial, state: str) -> VersionRecord:
        """Let the version's own record tell its state, where it is deployed, and what was done in its canary."""
        known = self.registry.version(trial.model, trial.version)
        if known is None:
            raise NotFound(f"{trial.model} {trial.version} is not registered")
        told = [asdict(note) for note in trial.notes]
        deployed = replace(known, function_version=trial.function_version, replaces=trial.baseline)
        record = replace(deployed, state=state, canary=told, updated_at=trial.notes[-1].at)
        self.registry.record_version(record)
        return record

    def layer(self, function_version: str) -> str:
        """The models layer of a function version, by ARN; the template's own as `starter`."""
        arn = self.deployment.models_layer(function_version)
        records = [each for model in self.registry.models() for each in self.registry.versions(model)]
        published = {layer for each in records for layer in (each.layer_arn, *each.left_layers)}
        return arn if arn in published else STARTER

    def _reconciled(self, trial: Trial, now_ms: int) -> Trial:
        """The trial after what happened to the alias since it was told; the very same if nothing did."""
        found = self.deployment.shares()
        finding = self._compare(trial, found)
        match finding.kind:
            case "as planned":
                return trial
            case "put back":
                return trial.shifted(trial.weight, now_ms).noted("put back", finding.because, now_ms)
            case "taken":
                share = found.weights.get(trial.function_version, 0.0)
                return replace(trial.shifted(share, now_ms), phase="asking").noted("asks", finding.because, now_ms)
            case "deployed":
                return self._deployed(trial, found.main, finding, now_ms)
            case "moved back":
                version = self._retired(trial.model)[self.layer(found.main)]
                return trial.stopped("stopped", finding.because, now_ms, version)

    def _compare(self, trial: Trial, found: Shares) -> Finding:
        if found.main == trial.baseline:
            return reconcile(trial, found, "", "", frozenset())
        known = frozenset(self._retired(trial.model))
        return reconcile(trial, found, self.layer(found.main), self.deployment.live_layer(), known)

    def _deployed(self, trial: Trial, baseline: str, finding: Finding, now_ms: int) -> Trial:
        """The candidate on the code that was just deployed, beside the live version on the same."""
        version = self.deployment.publish_function(trial.layer_arn, f"{trial.model} {trial.version}")
        moved = replace(trial.shifted(trial.weight, now_ms), function_version=version, baseline=baseline)
        return moved.noted("deployed", finding.because, now_ms)

    def _retired(self, model: str) -> dict[str, str]:
        """The versions that were live once, by their layer."""
        return {each.layer_arn: each.version for each in self.registry.versions(model) if each.state == "retired"}

    def _announce(self, trial: Trial, now_ms: int) -> None:
        """Say that it has begun, or that a person is asked."""
        name, last = f"{trial.model} {trial.version}", trial.notes[-1]
        if last.what in ("started", "shadow"):
            self.say(
                "CanaryStarted", f"canary/{trial.model}/{trial.version}", trial, now_ms, f"{name} has begun its canary."
            )
        elif last.what == "asks":
            then = f"pawl promote {name}, or pawl rollback {trial.model}"
            told = f"The canary of {name} is undecided: {last.because}. Decide it: {then}."
            self.say("CanaryUndecided", f"undecided/{trial.model}/{trial.version}", trial, now_ms, told)

    def say(self, type: str, id: str, trial: Trial, now_ms: int, sentence: str, **more: Any) -> None:
        """Announce a fact of a trial, with a sentence for people."""
        data = {"version": trial.version, "live": trial.live, "because": trial.because, "sentence": sentence, **more}
        self.announcer.announce(type, id=id, subject=trial.model, unix_ms=now_ms, data=data)
