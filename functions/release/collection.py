"""Removes what no alias, no canary and no way back needs any more: old versions of the function and of its layer.

What the template published is known by having no description, and its newest two stay whatever they serve: a stack
that rolls back an update points its alias at the one before. A layer is removed only where a release published it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pawl.registry import Registry
from pawl.versions import STARTER, VersionRecord
from release.deployment import Deployment, Published
from release.terms import CanaryPolicy
from release.trial import Trial

_UNDER_WAY = ("live", "candidate", "waiting", "canary")
_GONE_BY = ("retired", "rolled_back", "stopped", "superseded")
_TEMPLATES_KEPT = 2


@dataclass(frozen=True, slots=True)
class Collection:
    """The old versions of one deployment."""

    registry: Registry
    deployment: Deployment

    def collect(self, policy: CanaryPolicy, trial: Trial | None, updated_at: str) -> list[str]:
        """Remove what is no longer needed and return the function versions that were removed.

        A version is gone before its record tells it, one after the other: a crash leaves the rest to the next time.
        """
        records = [each for model in self.registry.models() for each in self.registry.versions(model)]
        published = list(self.deployment.published())
        kept = self._kept(records, published, policy.rollback_depth, trial)
        needed = self._needed_layers(records, [each for each in published if each.version in kept], trial)
        gone = [each.version for each in published if each.version not in kept]
        gone_by = [each for each in records if each.state in _GONE_BY and each.function_version not in {*kept, ""}]
        for version in sorted({*gone, *(each.function_version for each in gone_by)}, key=int):
            self.deployment.remove_function(version)
            for record in (each for each in gone_by if each.function_version == version):
                self._remove_layers(replace(record.moved(), state="collected"), needed, updated_at)
        for record in (each for each in records if each not in gone_by and set(each.left_layers) - needed):
            self._remove_layers(record, needed, updated_at)
        return gone

    def _remove_layers(self, record: VersionRecord, needed: set[str], updated_at: str) -> None:
        """Remove the layers that a version has left, but for those that others still need."""
        for layer_arn in sorted({*record.left_layers} - needed):
            self.deployment.remove_layer(layer_arn)
        left = [each for each in record.left_layers if each in needed]
        self.registry.record_version(replace(record, left_layers=left, updated_at=updated_at))

    def _kept(
        self, records: list[VersionRecord], published: list[Published], depth: int, trial: Trial | None
    ) -> set[str]:
        shares = self.deployment.shares()
        kept = {shares.main, *shares.weights}
        if trial:
            kept |= {trial.function_version, trial.baseline}
        for model in self.registry.models():
            live = self.registry.live(model)
            kept |= {live.function_version, (live.previous or {}).get("function_version", "")}
            kept |= kept_of([each for each in records if each.model == model], depth)
        templates = [each.version for each in published if not each.description]
        return kept | set(sorted(templates, key=int)[-_TEMPLATES_KEPT:])

    def _needed_layers(self, records: list[VersionRecord], kept: list[Published], trial: Trial | None) -> set[str]:
        needed = {each.layer_arn for each in kept}
        if trial:
            needed.add(trial.layer_arn)
        needed |= {each.layer_arn for each in records if each.state in _UNDER_WAY}
        return {*needed, self.deployment.live_layer(), STARTER, ""}


def kept_of(records: Iterable[VersionRecord], depth: int) -> set[str]:
    """The function versions of a model's records that stay: what is under way, and the newest `depth` of the others."""
    found = sorted(records, key=lambda each: int(each.version))
    under_way = {each.function_version for each in found if each.state in _UNDER_WAY}
    gone_by = [each.function_version for each in found if each.state in _GONE_BY and each.function_version]
    return under_way | set(gone_by[-depth:])
