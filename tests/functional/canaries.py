"""A deployment with a canary, and a clock that is told what time it is."""

import dataclasses
import io
import json
import zipfile
from types import ModuleType
from typing import Any

import boto3
from moto.awslambda_simple.models import lambda_simple_backends

from pawl.errors import NotFound
from pawl.identity import day_of, isoformat, uuid7_hex
from pawl.profile import Profile
from pawl.registry import SERVED
from pawl.versions import Live, VersionRecord

PARAMETER = "/pawl/pawl/live-models-layer"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
BEGAN_MS = 1_784_020_020_000
POLICY = {
    "weights": [0.1, 0.5],
    "step_hours": 0,
    "longest_step_hours": 2,
    "longest_hours": 24,
    "smallest_sample": 20,
    "margin": 0.2,
    "feedback_minutes": 1,
    "collect_minutes": 1,
}


class World:
    """A deployment with a canary, and a clock that is told what time it is."""

    def __init__(self, app: ModuleType, cloud: Any, functions: Any) -> None:
        self.app, self.cloud, self.functions = app, cloud, functions
        self.now_ms = BEGAN_MS
        self.said = 0
        self.releases = dataclasses.replace(app.releases, clock=lambda: self.now_ms)

    def terms(self, **changes: Any) -> None:
        self.cloud.bucket.write("models/triage/canary.json", json.dumps({**POLICY, **changes}).encode())

    def publish(self, model: str, version: str) -> VersionRecord:
        """What the gates leave of a candidate that has passed, in a layer beside what is live of other models."""
        try:
            self.cloud.bucket.read(f"models/{model}/{version}/manifest.json")
        except NotFound:
            manifest = json.loads(self.cloud.bucket.read("models/triage/1/manifest.json"))
            manifest["files"].pop("reference.json")
            self.cloud.bucket.write(f"models/{model}/{version}/manifest.json", json.dumps(manifest).encode())
        return self.releases._layers.publish(VersionRecord(model, version, "candidate", "d" * 64))

    def introduce(self, version: str, model: str = "triage") -> VersionRecord:
        """Its canary."""
        return self.releases._introduce(self.publish(model, version), self.now_ms)

    def serve_another(self, **terms: Any) -> None:
        """Another model in the starter layer, on terms of its own."""
        for name, data in self.cloud.bucket.read_folder("models/triage/1/").items():
            self.cloud.bucket.write(f"models/embed/1/{name}", data)
        self.cloud.registry.record_version(VersionRecord("embed", "1", "live", "e" * 64))
        self.cloud.registry.move_live(Live("embed", "1", reason="starter"), None)
        self.cloud.bucket.write("models/embed/canary.json", json.dumps(terms).encode())

    def held(self) -> dict[str, str]:
        """What people are answered by: the version of each model in the layer that the alias serves."""
        *_, region, account, _, name, number = self.layer(self.alias()[0]).split(":")
        stored = lambda_simple_backends[account][region].get_layer_version(name, number)
        with zipfile.ZipFile(io.BytesIO(stored.code_bytes)) as layer:
            names = [name.split("/")[2:] for name in layer.namelist() if name.endswith("/manifest.json")]
        return {model: version for model, version, _ in names}

    def stop_by_hand(self) -> None:
        """Version 2 is live and 3 in its canary, when a hand moves the alias back to 1."""
        self.terms(at_once=True)
        self.introduce("2")
        self.terms()
        self.introduce("3")
        self.move_alias("1", {})
        self.wait(2)
        self.look()

    def wait(self, minutes: float) -> None:
        self.now_ms += round(minutes * MINUTE_MS)

    def look(self) -> Any:
        return self.releases.look(self.now_ms)

    def rate(self, version: str, good: int, bad: int, metric: str = "thumbs_up") -> None:
        """So many answers of a version, given now and rated at once."""
        for value in [True] * good + [False] * bad:
            self.said += 1
            uuid = uuid7_hex(self.now_ms, self.said.to_bytes(10, "big"))
            item = {"pk": f"triage#{day_of(self.now_ms)}", "sk": f"{uuid}#{metric}#ada", "metric": metric}
            item |= {"value": value, "model_version": version, "given_at": isoformat(self.now_ms + 1000)}
            self.cloud.feedback_items.put_item(Item=item)

    def answer(self, version: str, columns: dict[str, list[Any]]) -> None:
        """A batch of answers as collect profiles it."""
        self.said += 1
        profile = Profile.open()
        profile.update(columns)
        uuid = uuid7_hex(self.now_ms, self.said.to_bytes(10, "big"))
        self.cloud.traffic.store_profile("triage", version, f"{uuid}-0123456789ab", profile)

    def alias(self) -> tuple[str, dict[str, float]]:
        alias = self.functions.get_alias(FunctionName="inference", Name="live")
        return alias["FunctionVersion"], (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}

    def move_alias(self, main: str, weights: dict[str, float]) -> None:
        """What a hand does, or a deployment."""
        routing = {"AdditionalVersionWeights": weights}
        self.functions.update_alias(FunctionName="inference", Name="live", FunctionVersion=main, RoutingConfig=routing)

    def deploy(self) -> str:
        """What `sam deploy` does with new code: another version of the function as it stands, and the alias on it."""
        self.functions.update_function_configuration(FunctionName="inference", MemorySize=self.said + 2000)
        version = self.functions.publish_version(FunctionName="inference")["Version"]
        self.move_alias(version, {})
        return version

    def end_lease(self) -> None:
        """What three minutes do when somebody died with a lease, but for the time."""
        if lease := self.cloud.state.get_item(Key={"pk": "leases", "sk": SERVED}).get("Item"):
            self.cloud.state.put_item(Item={**lease, "until_ms": 0})

    def record(self, version: str) -> VersionRecord:
        found = self.cloud.registry.version("triage", version)
        assert found is not None
        return found

    def whats(self, version: str) -> list[str]:
        return [note["what"] for note in self.record(version).canary]

    def state(self) -> dict[str, Any]:
        """All that has to agree."""
        live = self.cloud.registry.live("triage")
        main, weights = self.alias()
        return {
            "live": live.version,
            "main": main,
            "weights": weights,
            "parameter": boto3.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"],
            "latest": self.layer("$LATEST") == self.layer(main),
            "canary": self.cloud.registry.canary() is not None,
        }

    def layer(self, qualifier: str) -> str:
        about = self.functions.get_function_configuration(FunctionName="inference", Qualifier=qualifier)
        return next(each["Arn"] for each in about["Layers"] if ":pawl-models:" in each["Arn"])
