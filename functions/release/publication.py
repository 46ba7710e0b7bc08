"""What a candidate becomes that has passed: signed, stored among the models, and a version of the models layer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pawl.bucket import Bucket
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE
from pawl.registry import Registry, VersionRecord
from pawl.signing import Signer, sign
from release.deployment import Deployment, layer_archive


@dataclass(frozen=True, slots=True)
class Publication:
    """Publishes versions of one deployment's models."""

    bucket: Bucket
    registry: Registry
    deployment: Deployment
    signer: Signer

    def publish(self, record: VersionRecord, files: Mapping[str, bytes]) -> VersionRecord:
        """Sign what has passed its gates, keep it, and make a layer version of it; the record tells which."""
        files = self._signed(record, files)
        self._store_model(record, files)
        published = replace(
            record, layer_arn=self._publish_layer(record, files), replaces=self.deployment.shares().main
        )
        self.registry.record_version(published)
        return published

    def _signed(self, record: VersionRecord, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The bundle's own files, the evidence of its gates, and the signature over both."""
        self.deployment.trust(self.signer.public_key)
        evidence = json.dumps(record.gates, indent=1).encode()
        signature = sign(files[MANIFEST], evidence, self.signer)
        own = {name: data for name, data in files.items() if name in {*record.manifest["files"], MANIFEST}}
        return {**own, EVIDENCE: evidence, SIGNATURE: signature}

    def _store_model(self, record: VersionRecord, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            self.bucket.write(f"models/{record.model}/{record.version}/{name}", data)

    def _publish_layer(self, record: VersionRecord, files: Mapping[str, bytes]) -> str:
        """A layer with this version as its model's candidate, and the live versions of all other models served."""
        bundles = {(record.model, record.version): self._bundle_files(files)}
        for other in self.registry.models():
            live = self.registry.live(other)
            if other != record.model and live.layer_arn:  # a reward model has none: it judges and is not asked
                stored = self.bucket.read_folder(f"models/{other}/{live.version}/")
                bundles[other, live.version] = self._bundle_files(stored)
        key = f"layers/{record.model}-{record.version}.zip"
        archive = layer_archive(bundles, {record.model: {"candidate": record.version}})
        return self.deployment.publish_layer(key, archive, f"{record.model} {record.version}")

    def _bundle_files(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        listed: Mapping[str, Any] = json.loads(files[MANIFEST])["files"]
        names = {*listed, MANIFEST, EVIDENCE, SIGNATURE}
        return {name: data for name, data in files.items() if name in names}
