"""What a candidate's files come to in front of the gates, and the card that tells it."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pawl.bucket import Bucket
from pawl.errors import InvalidBundle, SettingsError
from pawl.registry import Registry
from pawl.versions import VersionRecord
from release.candidates import WHOLE, unpack
from release.card import card_key, render
from release.gates import Case, Contender, Gate, GatePolicy, judge_candidate
from release.terms import FILE
from release.trials import Trials


@dataclass(frozen=True, slots=True)
class Examination:
    """Puts candidates through their gates."""

    bucket: Bucket
    registry: Registry
    policy: GatePolicy
    trials: Trials

    def examine(self, model: str, version: str, files: Mapping[str, bytes]) -> tuple[VersionRecord, list[Gate]]:
        """The record of a candidate, and what each gate found."""
        record, gates = self._judge(model, version, files)
        return record, [*gates, *self._terms_gate(model)]

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

    def _terms_gate(self, model: str) -> list[Gate]:
        """A gate that is failed by a policy which cannot be read; none where there is nothing to say."""
        try:
            self.trials.terms(model)
        except SettingsError as error:
            return [Gate("canary", False, str(error), f"models/{model}/{FILE} as functions/release/terms.py has it")]
        return []
