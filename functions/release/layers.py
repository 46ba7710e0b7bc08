"""What a version of the models layer holds: one version of a model, and beside it the live versions of all others.

A function version has one layer, so whoever moves one model moves the others with it. Which versions these are stands
in the record of the one: where they are no longer the live ones, a new layer is published before anything moves.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pawl.bucket import Bucket
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE
from pawl.registry import Registry
from pawl.versions import VersionRecord
from release.deployment import Deployment, layer_archive


@dataclass(frozen=True, slots=True)
class Layers:
    """Makes layers of the models in the bucket."""

    bucket: Bucket
    registry: Registry
    deployment: Deployment

    def beside(self, model: str) -> dict[str, str]:
        """The live versions of all other models served; a reward model is in no layer, it judges and is not asked."""
        others = [self.registry.live(other) for other in self.registry.models() if other != model]
        return {live.model: live.version for live in others if live.layer_arn}

    def publish(self, record: VersionRecord) -> VersionRecord:
        """Make a layer of a version that is stored among the models; the record tells which, and what else it holds."""
        beside = self.beside(record.model)
        held = {**beside, record.model: record.version}
        bundles = {(model, version): self._bundle_files(model, version) for model, version in held.items()}
        aliases = {record.model: {"candidate": record.version}} if record.state == "candidate" else {}
        name = f"{record.model} {record.version}"
        key = f"layers/{record.model}-{record.version}.zip"
        layer_arn = self.deployment.publish_layer(key, layer_archive(bundles, aliases), name)
        published = record.moved(layer_arn, beside=beside)
        self.registry.record_version(published)
        return published

    def refreshed(self, record: VersionRecord) -> VersionRecord:
        """The record of a version whose layer holds what is live of all other models; most often it is as it was."""
        return record if record.layer_arn and record.beside == self.beside(record.model) else self.publish(record)

    def _bundle_files(self, model: str, version: str) -> dict[str, bytes]:
        files = self.bucket.read_folder(f"models/{model}/{version}/")
        listed: Mapping[str, Any] = json.loads(files[MANIFEST])["files"]
        names = {*listed, MANIFEST, EVIDENCE, SIGNATURE}
        return {name: data for name, data in files.items() if name in names}
