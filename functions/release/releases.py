"""A candidate's way to being live, or refused; and the way back.

Every step can be repeated: a version that was decided on is not decided again, a layer that was published is used
again, and the pointer moves only from where it was read. One release at a time holds the lease of its model.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pawl.bucket import Bucket
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, Bundle, open_bundle
from pawl.errors import Conflict, InvalidBundle, NotFound
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.registry import Live, Registry, VersionRecord, vars_of
from pawl.signing import Signer, sign
from release.card import card_key, render
from release.deployment import Deployment, layer_archive
from release.gates import Case, Contender, Gate, GatePolicy, judge_candidate

_DECIDED = {"live", "retired", "refused"}


@dataclass(frozen=True, slots=True)
class Releases:
    """Decides on candidates and moves the live pointer."""

    bucket: Bucket
    registry: Registry
    deployment: Deployment
    announcer: Announcer
    policy: GatePolicy
    signer: Signer

    def consider(self, model: str, version: str, now_ms: int) -> VersionRecord:
        """Let a candidate through its gates and release or refuse it; decided before, nothing changes."""
        known = self.registry.version(model, version)
        if known and known.state in _DECIDED:
            return known
        with self.registry.release_lease(model, f"release/{version}", now_ms):
            if known and self.registry.live(model).version == version:
                return self._complete(known, now_ms)
            if known and known.layer_arn:  # it passed and may be answering already: no gate may refuse it now
                return self._release(known, {}, now_ms)
            files = self.bucket.read_folder(f"candidates/{model}/{version}/")
            record, gates = self._judge(model, version, files)
            record = replace(record, gates=[asdict(gate) for gate in gates], updated_at=isoformat(now_ms))
            if not all(gate.passed for gate in gates):
                return self._refuse(record, now_ms)
            return self._release(record, files, now_ms)

    def roll_back(self, model: str, now_ms: int) -> Live:
        """Point live at what was live before; Conflict when nothing was."""
        with self.registry.release_lease(model, "rollback", now_ms):
            live = self.registry.live(model)
            if live.previous is None:
                raise Conflict(f"{model} {live.version} has no version before it to go back to")
            back = Live(**live.previous)
            self._repoint(live, replace(back, reason=f"rollback from {live.version}"), now_ms)
            self.announcer.announce(
                "ReleaseRolledBack",
                id=f"rollback/{model}/{live.version}/{live.moved_at}",
                subject=model,
                unix_ms=now_ms,
                data={"from": live.version, "to": back.version},
            )
            return self.registry.live(model)

    def promote(self, model: str, version: str, now_ms: int) -> Live:
        """Point live at a version that was live before; Conflict when it never passed its gates."""
        with self.registry.release_lease(model, f"promote/{version}", now_ms):
            live, record = self.registry.live(model), self.registry.version(model, version)
            if record is None or version == live.version or not record.function_version:
                state = record.state if record else "unknown"
                raise Conflict(f"{model} {version} is {state}: only a retired version can be promoted again")
            previous = {**vars_of(live), "previous": None}
            target = Live(model, version, record.function_version, record.layer_arn, "", "promoted again", previous)
            self._repoint(live, target, now_ms)
            return self.registry.live(model)

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

    def _judge(self, model: str, version: str, files: Mapping[str, bytes]) -> tuple[VersionRecord, list[Gate]]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            try:
                candidate = self._unpack(folder / "candidate", files)
                if (candidate.manifest.name, candidate.manifest.version) != (model, version):
                    raise InvalidBundle(f"the manifest names {candidate.manifest.name} {candidate.manifest.version}")
                contender = Contender.of(candidate)
            except InvalidBundle as error:
                gate = Gate("integrity", False, str(error), "a bundle whose every file matches its digest")
                return VersionRecord(model, version, "candidate", ""), [gate]
            gates = [Gate("integrity", True, candidate.digest, "a bundle whose every file matches its digest")]
            live_version = self.registry.live(model).version
            live = self._unpack(folder / "live", self.bucket.read_folder(f"models/{model}/{live_version}/"))
            gates += judge_candidate(Case(contender, Contender.of(live), self.bucket, self.policy))
            about = json.loads(candidate.manifest.to_json())
            card = render(about, [asdict(gate) for gate in gates])
            self.bucket.write(card_key(model, version), card.encode())
            return VersionRecord(model, version, "candidate", candidate.digest, about), gates

    def _refuse(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        failed = [gate for gate in record.gates if not gate["passed"]]
        self.announcer.announce(
            "ReleaseRefused",
            id=f"refused/{record.model}/{record.version}",
            subject=record.model,
            unix_ms=now_ms,
            data={"version": record.version, "gates": failed},
        )
        refused = replace(record, state="refused")
        self.registry.record_version(refused)
        return refused

    def _release(self, record: VersionRecord, files: Mapping[str, bytes], now_ms: int) -> VersionRecord:
        live = self.registry.live(record.model)
        if not record.layer_arn:
            files = self._signed(record, files)
            self._store_model(record, files)
            record = replace(
                record, layer_arn=self._publish_layer(record, files), replaces=self.deployment.live_function_version()
            )
            self.registry.record_version(record)
        record = replace(record, function_version=self.deployment.publish_function(record.layer_arn))
        self.deployment.point_live(record.function_version, record.layer_arn)
        previous = {**vars_of(live), "function_version": record.replaces, "previous": None}
        pointer = Live(
            record.model,
            record.version,
            record.function_version,
            record.layer_arn,
            isoformat(now_ms),
            "all gates passed",
            previous,
        )
        self.registry.record_version(record)
        if not self.registry.move_live(pointer, live.version):
            raise Conflict(f"the live version of {record.model} changed during the release of {record.version}")
        return self._complete(record, now_ms)

    def _complete(self, record: VersionRecord, now_ms: int) -> VersionRecord:
        """What follows once the pointer has moved; a release that died right after it goes on here."""
        previous = Live(**(self.registry.live(record.model).previous or {}))
        self._set_state(record.model, previous.version, "retired", now_ms, previous)
        self.announcer.announce(
            "ModelReleased",
            id=f"released/{record.model}/{record.version}",
            subject=record.model,
            unix_ms=now_ms,
            data={"version": record.version, "previous": previous.version},
        )
        released = replace(record, state="live")
        self.registry.record_version(released)
        return released

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
        """A layer with this version and the live versions of all other models."""
        bundles = {(record.model, record.version): self._bundle_files(files)}
        for other in self.registry.models():
            if other != record.model:
                version = self.registry.live(other).version
                stored = self.bucket.read_folder(f"models/{other}/{version}/")
                bundles[other, version] = self._bundle_files(stored)
        key = f"layers/{record.model}-{record.version}.zip"
        return self.deployment.publish_layer(key, layer_archive(bundles), f"{record.model} {record.version}")

    def _bundle_files(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        listed: Mapping[str, Any] = json.loads(files[MANIFEST])["files"]
        names = {*listed, MANIFEST, EVIDENCE, SIGNATURE}
        return {name: data for name, data in files.items() if name in names}

    def _unpack(self, folder: Path, files: Mapping[str, bytes]) -> Bundle:
        folder.mkdir()
        for name, data in files.items():
            if "/" in name:
                raise InvalidBundle(f"{name!r} leaves the bundle")
            (folder / name).write_bytes(data)
        return open_bundle(folder)

    def _set_state(self, model: str, version: str, state: str, now_ms: int, deployed: Live | None = None) -> None:
        """Note a version's state, and where it is deployed when that was not known."""
        known = self.registry.version(model, version)
        if known is None:
            raise NotFound(f"{model} {version} is not registered: run scripts/pawl seed after the first deployment")
        if deployed:
            known = replace(known, function_version=deployed.function_version, layer_arn=deployed.layer_arn)
        self.registry.record_version(replace(known, state=state, updated_at=isoformat(now_ms)))
