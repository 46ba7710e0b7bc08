"""What a candidate becomes that has passed: signed, stored among the models, and a version of the models layer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pawl.bucket import Bucket
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE
from pawl.signing import Signer, sign
from pawl.versions import VersionRecord
from release.deployment import Deployment
from release.layers import Layers


@dataclass(frozen=True, slots=True)
class Publication:
    """Publishes versions of one deployment's models."""

    bucket: Bucket
    deployment: Deployment
    layers: Layers
    signer: Signer

    def publish(self, record: VersionRecord, files: Mapping[str, bytes]) -> VersionRecord:
        """Sign what has passed its gates, keep it, and make a layer version of it; the record tells which."""
        for name, data in self._signed(record, files).items():
            self.bucket.write(f"models/{record.model}/{record.version}/{name}", data)
        return self.layers.publish(record)

    def _signed(self, record: VersionRecord, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The bundle's own files, the evidence of its gates, and the signature over both."""
        self.deployment.trust(self.signer.public_key)
        evidence = json.dumps(record.gates, indent=1).encode()
        signature = sign(files[MANIFEST], evidence, self.signer)
        own = {name: data for name, data in files.items() if name in {*record.manifest["files"], MANIFEST}}
        return {**own, EVIDENCE: evidence, SIGNATURE: signature}
