"""What people are answered by: the alias, the parameter that the template reads, and the registry's pointer, as one.

The alias moves first and the pointer last: until it has moved, whoever died in between does all of it again. A version
that comes back takes no other model back: where others have moved on, it gets a layer with what is live of them.
"""

from dataclasses import dataclass, replace

from pawl.errors import Conflict, NotFound
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.registry import Registry
from pawl.versions import STARTER, Live, VersionRecord, vars_of
from release.collection import Collection
from release.deployment import Deployment
from release.layers import Layers
from release.reconciliation import Shares
from release.terms import CanaryPolicy
from release.trials import Trials


@dataclass(frozen=True, slots=True)
class Pointer:
    """Moves what is live, and does what follows from that."""

    registry: Registry
    deployment: Deployment
    announcer: Announcer
    trials: Trials
    layers: Layers

    def release(self, record: VersionRecord, reason: str, now_ms: int) -> VersionRecord:
        """Answer everything with a version that is new."""
        live = self.registry.live(record.model)
        self.deployment.point_live(record.function_version, record.layer_arn)
        self.deployment.reattach(record.function_version)
        replaced = {"function_version": record.replaces, "layer_arn": self.trials.layer(record.replaces)}
        previous = {**vars_of(live), **replaced, "previous": None}
        moved_at = isoformat(now_ms)
        pointer = Live(
            record.model, record.version, record.function_version, record.layer_arn, moved_at, reason, previous
        )
        if not self.registry.move_live(pointer, live.version):
            raise Conflict(f"the live version of {record.model} changed during the release of {record.version}")
        return self.complete(record, now_ms)

    def complete(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """What follows once the pointer has moved; a release that died right after it goes on here."""
        previous = Live(**(self.registry.live(record.model).previous or {}))
        retired = self._known(record.model, previous.version).moved(
            previous.layer_arn, previous.function_version, record.beside
        )
        self.registry.record_version(replace(retired, state="retired", updated_at=isoformat(now_ms)))
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

    def repoint(self, live: Live, target: Live, now_ms: int) -> None:
        """Answer everything with a version that was live before; at once where no other model has moved meanwhile."""
        target = self._deployed(target)
        self.deployment.point_live(target.function_version, target.layer_arn)
        self.deployment.reattach(target.function_version)
        self._set_state(live.model, live.version, "retired", now_ms)
        self._set_state(live.model, target.version, "live", now_ms)
        if not self.registry.move_live(replace(target, moved_at=isoformat(now_ms)), live.version):
            raise Conflict(f"the live version of {live.model} changed at the same moment")

    def restore(self) -> str:
        """Answer with the models that are live, by the settings deployed last; the function version that does.

        A deployment publishes a version for new code and for no new setting, and one that fails moves the alias back to
        where the last one had left it. Conflict where that is so in the middle of a canary.
        """
        main, layer = self.deployment.shares().main, self.deployment.live_layer()
        held = self.deployment.models_layer(main)
        wanted = held if layer == STARTER else layer
        if wanted == held and not self.deployment.is_outdated(main):
            return main
        if self.trials.current():
            raise Conflict("a canary is under way: once it has ended, or was rolled back, this can be done")
        version = self.deployment.publish_function(wanted, f"in the place of {main}")
        self.deployment.share(Shares(version, {}))
        return version

    def _deployed(self, target: Live) -> Live:
        """The pointer to where a version is deployed beside what is live of all other models, by today's settings."""
        record = self.layers.refreshed(self._known(target.model, target.version))
        if not record.function_version or self.deployment.is_outdated(record.function_version):
            described = f"{record.model} {record.version}"
            record = replace(record, function_version=self.deployment.publish_function(record.layer_arn, described))
            self.registry.record_version(record)
        return replace(target, function_version=record.function_version, layer_arn=record.layer_arn)

    def _close_incidents(self, record: VersionRecord, now_ms: int) -> None:
        for version, incident in self.registry.rollbacks(record.model).items():
            if "closed_at" not in incident:
                closed = {"closed_at": isoformat(now_ms), "closed_because": f"version {record.version} is live"}
                self.registry.record_rollback(record.model, version, {**incident, **closed})

    def _collect(self, model: str, now_ms: int) -> None:
        terms = CanaryPolicy.from_json(self.trials.terms(model))
        Collection(self.registry, self.deployment).collect(terms, self.trials.current(), isoformat(now_ms))

    def _set_state(self, model: str, version: str, state: str, now_ms: int) -> None:
        known = self._known(model, version)
        self.registry.record_version(replace(known, state=state, updated_at=isoformat(now_ms)))

    def _known(self, model: str, version: str) -> VersionRecord:
        known = self.registry.version(model, version)
        if known is None:
            raise NotFound(f"{model} {version} is not registered: run scripts/pawl seed after the first deployment")
        return known


def pointing_at(record: VersionRecord, live: Live, reason: str) -> Live:
    """The pointer to a version that was live once, in the place of what is."""
    previous = {**vars_of(live), "previous": None}
    return Live(record.model, record.version, record.function_version, record.layer_arn, "", reason, previous)
