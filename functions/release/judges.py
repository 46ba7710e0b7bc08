"""How a reward model is released: gates and a signature as for all, but no layer of its own and no canary.

It answers nobody: it judges in training jobs and in the release of the model whose answers it is for, both of which
read it from the bucket. No layer holds it, whose 250 MB are for what is served. There is nothing to give traffic to and
nothing to roll back; a better one takes its place.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pawl.bucket import Bucket
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, parse_manifest
from pawl.errors import Conflict, InvalidBundle, InvalidDataset, NotFound, SettingsError
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.pairset import judged_by
from pawl.registry import Registry
from pawl.reward import KIND
from pawl.signing import Signer, sign
from pawl.versions import Live, VersionRecord
from release.candidates import WHOLE, refuse, unpack
from release.card import card_key, render
from release.gate import Case, Contender, Gate
from release.gates import judge_candidate
from release.origin import licence_gate, size_gate
from release.policy import GatePolicy, read_policy
from release.rewards import judge_first

_DECIDED = {"live", "retired", "refused"}


@dataclass(frozen=True, slots=True)
class Judges:
    """Decides on reward models."""

    bucket: Bucket
    registry: Registry
    announcer: Announcer
    policy: GatePolicy
    signer: Signer
    clock: Callable[[], int]

    def concern(self, model: str, version: str) -> bool:
        """Whether a candidate says that it is a reward model."""
        try:
            return parse_manifest(self.bucket.read(f"candidates/{model}/{version}/{MANIFEST}")).kind == KIND
        except (InvalidBundle, NotFound):
            return False

    def consider(self, model: str, version: str, now_ms: int) -> VersionRecord:
        """Let a reward model through its gates and release or refuse it; decided before, nothing changes."""
        known = self.registry.version(model, version)
        if known and known.state in _DECIDED:
            return known
        live = self._live(model)
        if known and live and live.version == version:
            return self._complete(known, now_ms)
        files = self.bucket.read_folder(f"candidates/{model}/{version}/")
        record, gates = self._judge(model, version, files, live)
        record = replace(record, gates=[asdict(gate) for gate in gates], updated_at=isoformat(now_ms))
        with self.registry.release_lease(model, self.clock()):
            return self._settle(record, files, live, now_ms)

    def _settle(
        self, record: VersionRecord, files: Mapping[str, bytes], live: Live | None, now_ms: int
    ) -> VersionRecord:
        """What becomes of a reward model that was judged, unless another delivery has come to the end meanwhile."""
        known = self.registry.version(record.model, record.version)
        if known and known.state in _DECIDED:
            return known
        if record.manifest:
            self.bucket.write(card_key(record.model, record.version), render(record.manifest, record.gates).encode())
        if not all(gate["passed"] for gate in record.gates):
            return refuse(record, self.registry, self.announcer, now_ms)
        return self._release(record, files, live, now_ms)

    def _live(self, model: str) -> Live | None:
        try:
            return self.registry.live(model)
        except NotFound:
            return None

    def _judge(
        self, model: str, version: str, files: Mapping[str, bytes], live: Live | None
    ) -> tuple[VersionRecord, list[Gate]]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            try:
                candidate = Contender.of(unpack(folder / "candidate", files))
                if (candidate.manifest.name, candidate.manifest.version) != (model, version):
                    raise InvalidBundle(f"the manifest names {candidate.manifest.name} {candidate.manifest.version}")
            except InvalidBundle as error:
                return VersionRecord(model, version, "candidate", ""), [Gate("integrity", False, str(error), WHOLE)]
            digest, about = candidate.bundle.digest, json.loads(candidate.manifest.to_json())
            record = VersionRecord(model, version, "candidate", digest, about)
            gates = [Gate("integrity", True, digest, WHOLE)]
            if live is None:
                return record, [*gates, *self._first(candidate)]
            before = unpack(folder / "live", self.bucket.read_folder(f"models/{model}/{live.version}/"))
            case = Case(candidate, Contender.of(before), self.bucket, self.policy)
            return record, [*gates, *judge_candidate(case)]

    def _first(self, candidate: Contender) -> list[Gate]:
        """The gates of a model's first reward model, which has no other beside it."""
        name = candidate.manifest.name
        try:
            policy = read_policy(self.bucket, name, self.policy)
        except SettingsError as error:
            return [Gate("policy", False, str(error), f"a valid models/{name}/policy.json, or none")]
        gates = [licence_gate(candidate.manifest, policy), size_gate(candidate.manifest, policy)]
        try:
            return [*gates, *judge_first(Case(candidate, candidate, self.bucket, policy))]
        except (InvalidDataset, NotFound) as error:
            return [*gates, Gate("data", False, str(error), "the data that the candidate is to be judged by")]

    def _release(
        self, record: VersionRecord, files: Mapping[str, bytes], live: Live | None, now_ms: int
    ) -> VersionRecord:
        """Sign and store it, and let the pointer say that it judges from now on."""
        evidence = json.dumps(record.gates, indent=1).encode()
        own = {name: data for name, data in files.items() if name in {*record.manifest["files"], MANIFEST}}
        signed = {**own, EVIDENCE: evidence, SIGNATURE: sign(files[MANIFEST], evidence, self.signer)}
        for name, data in signed.items():
            self.bucket.write(f"models/{record.model}/{record.version}/{name}", data)
        self.registry.record_version(record)
        pointer = Live(record.model, record.version, "", "", isoformat(now_ms), "all gates passed", None)
        if not self.registry.move_live(pointer, live.version if live else None):
            raise Conflict(f"the live version of {record.model} changed during the release of {record.version}")
        return self._complete(record, now_ms)

    def _complete(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """What follows once the pointer has moved; a release that died right after it goes on here."""
        for other in self.registry.versions(record.model):
            if other.state == "live" and other.version != record.version:
                self.registry.record_version(replace(other, state="retired", updated_at=isoformat(now_ms)))
        self.announcer.announce(
            "ModelReleased",
            id=f"released/{record.model}/{record.version}",
            subject=record.model,
            unix_ms=now_ms,
            data={"version": record.version, "kind": KIND, "judges": judged_by(record.model)},
        )
        released = replace(record, state="live", updated_at=isoformat(now_ms))
        self.registry.record_version(released)
        return released
