"""How a canary ends: promoted, taken back, or stopped by other than its own verdict.

Each ending is written down before it is acted on, and stays until it is done: whoever finds it does all of it again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pawl.registry import Registry
from release.incident import incident_of, sentence
from release.pointer import Pointer, pointing_at
from release.trial import Trial
from release.trials import Trials


@dataclass(frozen=True, slots=True)
class Endings:
    """Does what a kept canary has decided."""

    registry: Registry
    trials: Trials
    pointer: Pointer
    clock: Callable[[], int]

    def go_on(self, trial: Trial) -> None:
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

    def unfinished(self) -> Trial | None:
        """The canary under way, once what it had decided already is done."""
        trial = self.trials.current()
        if trial is None or not (trial.is_acting or not trial.is_settled):
            return trial
        self.go_on(trial)
        return self.trials.current()

    def stop(self, trial: Trial, ends_as: str, because: str, now_ms: int) -> None:
        """End a canary for a reason other than its own verdict; its version gets the state `ends_as`."""
        self._end(self.trials.keep(trial.stopped(ends_as, because, now_ms)))

    def _promote(self, trial: Trial) -> None:
        now_ms, live = self.clock(), self.registry.live(trial.model)
        if live.version == trial.version:
            self.pointer.complete(self.trials.record(trial, "live"), now_ms)
        else:
            self.pointer.release(self.trials.record(trial, "canary"), trial.because, now_ms)
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

    def _end(self, trial: Trial) -> None:
        """End a canary that had no verdict of its own; one that begins again goes through its gates once more."""
        self.trials.withdraw(trial)
        record = self.trials.record(trial, trial.ends_as)
        if trial.ends_as == "waiting":
            self.registry.record_version(record.moved())
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
            self.pointer.repoint(live, pointing_at(record, live, trial.because), self.clock())
