"""The release function as a whole: a candidate's arrival in, a live model or a refusal with its reasons out."""

import base64
import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError

from pawl import p256
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, Bundle, Manifest, open_bundle, seal
from pawl.dataset import FrozenDataset, freeze
from pawl.datasets import Datasets
from pawl.registry import SERVED
from pawl.signing import read_trust
from pawl.versions import Elsewhere
from training.correction import Correction, correct

PARAMETER = "/pawl/pawl/live-models-layer"
TRUSTED = "/pawl/pawl/trusted-keys"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def app(
    functions: Any, start: Callable[[str], ModuleType], cloud: Any, starter: Bundle, dataset: FrozenDataset, kms: Any
) -> ModuleType:
    """The function, with a generous latency gate and no cold starts: these tests run beside others.

    Time has tests of its own.
    """
    cloud.seed(starter, dataset)
    cloud.bucket.write("models/triage/canary.json", b'{"at_once": true}')
    module = start("release.app")
    policy = dataclasses.replace(module.releases.policy, latency_ratio=50.0, cold_start_runs=0)
    signer = dataclasses.replace(module.releases.signer, client=kms)
    module.releases = dataclasses.replace(module.releases, policy=policy, signer=signer)
    return module


@pytest.fixture
def offer(cloud: Any, event: Callable[[str], dict[str, Any]]) -> Callable[[Bundle], dict[str, Any]]:
    """Stores a candidate as training does; returns the event of its manifest's arrival."""

    def store(bundle: Bundle) -> dict[str, Any]:
        version = bundle.manifest.version
        cloud.store_files(f"candidates/triage/{version}/", bundle)
        cloud.bucket.write(f"candidates/triage/{version}/run.json", b"{}")
        arrival = event("sqs_candidate_created")
        told = json.loads(arrival["Records"][0]["body"])
        told["detail"]["object"]["key"] = f"candidates/triage/{version}/{MANIFEST}"
        arrival["Records"][0]["body"] = json.dumps(told)
        return arrival

    return store


@pytest.fixture
def better(make_bundle: Callable[..., Bundle], dataset: FrozenDataset) -> Bundle:
    """Version 2: right on every word."""
    return make_bundle("2", dataset.digest)


@pytest.fixture
def recalibrated(starter: Bundle, dataset: FrozenDataset, cloud: Any, tmp_path: Path) -> Callable[..., Bundle]:
    """Makes version 2 of the starter's own graph, logits scaled, and recent questions that it answers rightly."""

    def make(scale: float) -> Bundle:
        words = [row for row in dataset.splits["holdout"] if row.text != "weather"]
        recent = [dataclasses.replace(row, text=" ".join([row.text] * times)) for row in words for times in (3, 4)]
        frozen = freeze("triage", {**dataset.splits, "recent": recent}, {"parent": dataset.digest})
        Datasets(cloud.bucket).store(frozen)
        for name in starter.manifest.files:
            (tmp_path / name).write_bytes((starter.path / name).read_bytes())
        correct(starter.path / "model.onnx", Correction(scale, np.zeros(3)), tmp_path / "model.onnx")
        about = {each.name: getattr(starter.manifest, each.name) for each in dataclasses.fields(Manifest)}
        lineage = dataclasses.replace(starter.manifest.lineage, dataset=frozen.digest, recipe="recalibrate")
        del about["files"]
        return seal(tmp_path, **{**about, "version": "2", "lineage": lineage})

    return make


@pytest.fixture
def release(app: ModuleType, offer: Callable[..., dict[str, Any]], context: Any) -> Callable[[Bundle], None]:
    """Offers a candidate and lets the function deal with it."""

    def go(bundle: Bundle) -> None:
        assert app.handler(offer(bundle), context) == {"batchItemFailures": []}

    return go


@pytest.fixture
def ask(app: ModuleType, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], context: Any) -> Ask:
    """Asks the release API about `triage`, as an operator; returns status and answer."""

    def send(method: str, action: str = "", body: Any = None, model: str = "triage") -> tuple[int, Any]:
        # The application of the started module, with its own gates: these routes never judge.
        reply = app.handler(rest(method, "/releases/{model}" + action, body, sender="operator", model=model), context)
        return reply["statusCode"], body_of(reply)

    return send


@pytest.fixture
def deployed(functions: Any, cloud: Any) -> Callable[..., dict[str, Any]]:
    """What answers, what the next deployment would deploy, and what the registry holds for live and for versions."""

    def look(*versions: str) -> dict[str, Any]:
        alias = functions.get_alias(FunctionName="inference", Name="live")["FunctionVersion"]
        live = cloud.registry.live("triage")
        records = [cloud.registry.version("triage", each) for each in versions] or cloud.registry.versions("triage")
        return {
            "alias": alias,
            "serves": models_layer(functions, alias),
            "parameter": boto3.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"],
            "live": live.version,
            "live_function": live.function_version,
            "live_layer": live.layer_arn,
            "states": {each.version: each.state for each in records},
        }

    return look


def models_layer(functions: Any, qualifier: str) -> str:
    about = functions.get_function_configuration(FunctionName="inference", Qualifier=qualifier)
    (arn,) = [layer["Arn"] for layer in about["Layers"] if ":pawl-models:" in layer["Arn"]]
    return arn


def layer_arn(number: int) -> str:
    return f"arn:aws:lambda:eu-central-1:123456789012:layer:pawl-models:{number}"


STARTER = {
    "alias": "1",
    "serves": layer_arn(1),
    "parameter": "starter",
    "live": "1",
    "live_function": "",
    "live_layer": "starter",
    "states": {"1": "live"},
}
RELEASED = {
    "alias": "2",
    "serves": layer_arn(2),
    "parameter": layer_arn(2),
    "live": "2",
    "live_function": "2",
    "live_layer": layer_arn(2),
    "states": {"1": "retired", "2": "live"},
}


GATES = [
    "integrity",
    "signature",
    "licence",
    "size",
    "leak",
    "holdout",
    "slices",
    "fairness",
    "calibration",
    "perturbations",
    "attack",
    "determinism",
    "latency",
    "cold start",
]
"""The gates of every classifier."""


def gates_of(cloud: Any, version: str = "2") -> dict[str, bool]:
    return {gate["name"]: gate["passed"] for gate in cloud.registry.version("triage", version).gates}


def test_a_good_candidate_goes_live_in_alias_parameter_and_registry_alike(
    release: Callable[[Bundle], None], better: Bundle, deployed: Callable[[], dict[str, Any]], cloud: Any
) -> None:
    release(better)

    assert deployed() == RELEASED
    live = cloud.registry.live("triage")
    assert (live.reason, live.previous["version"], live.previous["function_version"]) == ("all gates passed", "1", "1")
    assert gates_of(cloud) == dict.fromkeys([*GATES, "recent", "mended", "learned", "broken"], True)
    (announced,) = cloud.announced()
    assert (announced["type"], announced["source"]) == ("ModelReleased", "pawl.release")
    assert (announced["id"], announced["data"]) == ("released/triage/2", {"version": "2", "previous": "1"})


def test_a_recalibrated_candidate_goes_live_though_it_answers_no_better_and_ends_the_drift(
    release: Callable[[Bundle], None],
    recalibrated: Callable[..., Bundle],
    deployed: Callable[[], dict[str, Any]],
    start: Callable[[str], ModuleType],
    event: Callable[[str], dict[str, Any]],
    context: Any,
    cloud: Any,
) -> None:
    cloud.registry.open_incident("triage", "1", {"number": 1, "cure": {"action": "recalibrate_confidences"}})

    release(recalibrated(scale=2.0))

    assert deployed() == RELEASED
    assert gates_of(cloud) == dict.fromkeys(GATES, True)
    start("drift.check").handler(event("scheduled_event"), context)
    assert cloud.registry.incidents("triage")["1"]["closed_because"] == "version 2 is live"
    assert [each["type"] for each in cloud.announced()] == ["ModelReleased", "DriftEnded"]


def test_a_recalibrated_candidate_that_knows_less_how_sure_to_be_is_refused(
    release: Callable[[Bundle], None],
    recalibrated: Callable[..., Bundle],
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
) -> None:
    release(recalibrated(scale=0.5))

    assert deployed()["live"] == "1"
    assert [name for name, passed in gates_of(cloud).items() if not passed] == ["calibration"]


def test_the_published_layer_holds_the_sealed_files_their_evidence_and_signature_and_names_the_candidate(
    release: Callable[[Bundle], None], better: Bundle, cloud: Any
) -> None:
    release(better)

    with zipfile.ZipFile(io.BytesIO(cloud.bucket.read("layers/triage-2.zip"))) as layer:
        held = {name: layer.read(name) for name in layer.namelist()}
    root, names = "python/pawl_models/triage/2", [MANIFEST, *better.manifest.files]
    added = {f"{root}/{name}": cloud.bucket.read(f"models/triage/2/{name}") for name in (EVIDENCE, SIGNATURE)}
    added["python/pawl_models/triage/aliases.json"] = b'{"candidate": "2"}'
    assert held == {f"{root}/{name}": (better.path / name).read_bytes() for name in names} | added


def test_what_is_released_is_signed_and_inference_is_told_to_trust_the_signer(
    release: Callable[[Bundle], None], better: Bundle, functions: Any, cloud: Any, app: ModuleType, tmp_path: Path
) -> None:
    release(better)

    told = functions.get_function_configuration(FunctionName="inference", Qualifier="2")["Environment"]["Variables"]
    key = base64.b64encode(app.releases.signer.public_key).decode()
    assert told == {"RECEIPT_KEYS": "1:secret", "TRUSTED_KEYS": f"starter's,{key}"}
    assert boto3.client("ssm").get_parameter(Name=TRUSTED)["Parameter"]["Value"] == told["TRUSTED_KEYS"]
    for name, data in cloud.bucket.read_folder("models/triage/2/").items():
        (tmp_path / name).write_bytes(data)
    predicate = read_trust(key).check(open_bundle(tmp_path))
    assert predicate is not None
    assert predicate["pawl"] == {
        "run": "run-2",
        "dataset": better.manifest.lineage.dataset,
        "code": "tests",
        "parent": None,
        "gates": cloud.registry.version("triage", "2").gates,
    }


def test_the_key_joins_the_trusted_ones_once(
    release: Callable[[Bundle], None], make_bundle: Callable[..., Bundle], dataset: FrozenDataset, better: Bundle
) -> None:
    release(better)
    before = boto3.client("ssm").get_parameter(Name=TRUSTED)["Parameter"]["Value"]

    release(make_bundle("3", dataset.digest))

    assert boto3.client("ssm").get_parameter(Name=TRUSTED)["Parameter"]["Value"] == before
    assert before.count(",") == 1


def test_what_is_refused_is_not_signed(
    release: Callable[[Bundle], None], make_bundle: Callable[..., Bundle], dataset: FrozenDataset, cloud: Any, kms: Any
) -> None:
    release(make_bundle("2", dataset.digest, right=["refund", "login"]))

    assert list(cloud.bucket.keys("models/triage/2/")) == []
    assert kms.signed == 0


def test_the_key_is_asked_as_kms_wants_it(functions: Any, start: Callable[[str], ModuleType]) -> None:
    """moto's answer is over the digest's digest: it takes every message for a raw one."""
    signer = start("release.app").releases.signer

    point = p256.parse_public_key(signer.public_key)
    assert p256.verify(point, hashlib.sha256(b"message").digest(), signer.sign(b"message"))


def test_a_model_that_is_served_elsewhere_is_in_no_release_s_way(
    release: Callable[[Bundle], None], better: Bundle, deployed: Callable[[], dict[str, Any]], cloud: Any
) -> None:
    cloud.registry.see_elsewhere(Elsewhere("churn", "7", 1_784_020_867_124))

    release(better)

    assert deployed() == RELEASED
    assert cloud.registry.models() == ["triage"]


def test_a_released_model_is_stored_with_the_evidence_that_it_passed(
    release: Callable[[Bundle], None], better: Bundle, cloud: Any
) -> None:
    release(better)

    assert cloud.registry.manifest("triage", "2") == better.manifest
    evidence = json.loads(cloud.bucket.read("models/triage/2/evidence.json"))
    assert [gate["passed"] for gate in evidence] == [True] * (len(GATES) + 4)


def test_the_other_layers_of_the_function_stay_as_they_are(
    release: Callable[[Bundle], None], better: Bundle, functions: Any
) -> None:
    release(better)

    about = functions.get_function_configuration(FunctionName="inference", Qualifier="2")
    assert [layer["Arn"].split(":layer:")[1] for layer in about["Layers"]] == [
        "pawl-core:1",
        "pawl-serving:1",
        "pawl-models:2",
    ]


def test_the_same_arrival_again_changes_nothing(
    app: ModuleType,
    release: Callable[[Bundle], None],
    offer: Callable[..., dict[str, Any]],
    better: Bundle,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    release(better)
    arrival = offer(better)
    cloud.announced()
    cloud.faults.reset()

    app.handler(arrival, context)

    assert cloud.faults.writes == []
    assert deployed() == RELEASED
    assert cloud.announced() == []


def test_a_worse_candidate_is_refused_with_reasons_and_nothing_moves(
    release: Callable[[Bundle], None],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
) -> None:
    release(make_bundle("2", dataset.digest, right=["refund", "login"]))

    assert deployed() == {**STARTER, "states": {"1": "live", "2": "refused"}}
    (announced,) = cloud.announced()
    assert (announced["type"], announced["id"]) == ("ReleaseRefused", "refused/triage/2")
    assert announced["data"]["version"] == "2"
    failed = {gate["name"]: gate for gate in announced["data"]["gates"]}
    assert (list(failed), failed["holdout"]["passed"]) == (["holdout", "broken", "calibration"], False)
    assert failed["holdout"]["measured"] == "accuracy 0.3333 on 6 rows"
    assert failed["holdout"]["wanted"] == (
        "at least 0.5247: the live version's 0.8333 less 0.02 and 0.2887 that may be chance"
    )
    assert (failed["holdout"]["value"], failed["holdout"]["threshold"]) == (0.3333, 0.5247)
    assert (failed["holdout"]["evidence"]["lost"], failed["holdout"]["evidence"]["won"]) == (3, 0)


def test_a_refused_candidate_is_not_judged_again(
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    cloud: Any,
    context: Any,
) -> None:
    arrival = offer(make_bundle("2", dataset.digest, right=[]))
    app.handler(arrival, context)
    cloud.announced()
    cloud.faults.reset()

    app.handler(arrival, context)

    assert (cloud.faults.writes, cloud.announced()) == ([], [])


def recent_of(texts: dict[str, str], dataset: FrozenDataset, cloud: Any) -> FrozenDataset:
    row = type(dataset.splits["train"][0])
    recent = [row(text, label, {}, "traffic") for text, label in texts.items()]
    frozen = freeze("triage", {**dataset.splits, "recent": recent}, {"parent": dataset.digest})
    Datasets(cloud.bucket).store(frozen)
    return frozen


@pytest.mark.parametrize(("text", "label", "passed"), [("refund", "account", False), ("refund", "billing", True)])
def test_a_candidate_that_is_only_as_good_on_recent_traffic_is_refused_unless_live_has_it_all_right(
    text: str,
    label: str,
    passed: bool,
    release: Callable[[Bundle], None],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    cloud: Any,
    deployed: Callable[[], dict[str, Any]],
) -> None:
    """Ten rows that both versions have wrong, or right."""
    frozen = recent_of({f"{text} {n}": label for n in range(10)}, dataset, cloud)

    release(make_bundle("2", frozen.digest))

    assert gates_of(cloud)["recent"] == passed
    assert deployed()["live"] == ("2" if passed else "1")


def test_a_candidate_that_is_better_on_recent_traffic_goes_live(
    release: Callable[[Bundle], None],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    cloud: Any,
    deployed: Callable[[], dict[str, Any]],
) -> None:
    frozen = recent_of({f"weather {n}": "other" for n in range(10)}, dataset, cloud)

    release(make_bundle("2", frozen.digest))

    assert deployed() == RELEASED


def test_a_candidate_that_is_much_slower_is_refused(
    app: ModuleType,
    release: Callable[[Bundle], None],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    cloud: Any,
    deployed: Callable[[], dict[str, Any]],
) -> None:
    policy = dataclasses.replace(app.releases.policy, latency_ratio=1.5)
    app.releases = dataclasses.replace(app.releases, policy=policy)

    release(make_bundle("2", dataset.digest, ballast=100))

    assert gates_of(cloud) == {**dict.fromkeys(gates_of(cloud), True), "latency": False}
    assert deployed()["live"] == "1"


def test_a_candidate_that_lost_a_label_is_refused(
    release: Callable[[Bundle], None], make_bundle: Callable[..., Bundle], dataset: FrozenDataset, cloud: Any
) -> None:
    release(make_bundle("2", dataset.digest, labels=["billing", "account", "rest"]))

    (signature,) = [gate for gate in cloud.registry.version("triage", "2").gates if gate["name"] == "signature"]
    assert (signature["passed"], signature["measured"]) == (False, "labels lost: other")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "reference.json", "card.md"])
def test_an_altered_candidate_is_refused_before_anything_of_it_is_opened(
    name: str,
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    better: Bundle,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    arrival = offer(better)
    altered = bytearray(cloud.bucket.read(f"candidates/triage/2/{name}"))
    altered[-2] ^= 1
    cloud.bucket.write(f"candidates/triage/2/{name}", bytes(altered))

    app.handler(arrival, context)

    (gate,) = cloud.registry.version("triage", "2").gates
    assert (gate["name"], gate["passed"]) == ("integrity", False)
    assert gate["measured"] == f"triage 2: {name} does not match its digest"
    assert deployed() == {**STARTER, "states": {"1": "live", "2": "refused"}}


@pytest.mark.parametrize(
    "manifest", [b"{", b"{}", b"[]", b'{"name": "../../etc"}', b'{"files": {"../model.onnx": {}}}']
)
def test_a_candidate_whose_manifest_is_none_is_refused(
    manifest: bytes,
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    better: Bundle,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    arrival = offer(better)
    cloud.bucket.write("candidates/triage/2/manifest.json", manifest)

    app.handler(arrival, context)

    assert gates_of(cloud) == {"integrity": False}
    assert deployed()["live"] == "1"


def test_a_candidate_that_calls_itself_another_version_is_refused(
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    better: Bundle,
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    cloud: Any,
    context: Any,
) -> None:
    arrival = offer(better)
    cloud.store_files("candidates/triage/2/", make_bundle("7", dataset.digest))

    app.handler(arrival, context)

    assert gates_of(cloud) == {"integrity": False}


def test_a_rollback_restores_what_answered_before(
    release: Callable[[Bundle], None],
    better: Bundle,
    ask: Ask,
    deployed: Callable[[], dict[str, Any]],
    functions: Any,
    cloud: Any,
) -> None:
    release(better)
    cloud.announced()

    status, live = ask("POST", "/rollback")

    assert (status, live["version"], live["reason"]) == (200, "1", "rollback from 2")
    assert deployed() == {**STARTER, "live_function": "1", "states": {"1": "live", "2": "retired"}}
    assert models_layer(functions, "$LATEST") == layer_arn(1)
    (announced,) = cloud.announced()
    told = "triage 2 was rolled back by a person. triage 1 answers again."
    assert (announced["type"], announced["id"][:18]) == ("ReleaseRolledBack", "rollback/triage/2/")
    assert announced["data"] == {"from": "2", "to": "1", "sentence": told}


def test_a_version_that_was_rolled_back_can_be_promoted_again(
    release: Callable[[Bundle], None],
    better: Bundle,
    ask: Ask,
    deployed: Callable[[], dict[str, Any]],
    functions: Any,
) -> None:
    release(better)
    ask("POST", "/rollback")

    status, live = ask("POST", "/promote", {"version": "2"})

    assert (status, live["reason"], live["previous"]["version"]) == (200, "promoted again", "1")
    assert deployed() == RELEASED
    assert models_layer(functions, "$LATEST") == layer_arn(2)
    assert ask("POST", "/rollback")[0] == 200
    assert deployed()["live"] == "1"


def test_after_a_rollback_the_next_candidate_is_released_on_top_of_what_is_live(
    release: Callable[[Bundle], None],
    better: Bundle,
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    ask: Ask,
    deployed: Callable[[], dict[str, Any]],
) -> None:
    release(better)
    ask("POST", "/rollback")

    release(make_bundle("3", dataset.digest))

    assert deployed() == {
        "alias": "3",
        "serves": layer_arn(3),
        "parameter": layer_arn(3),
        "live": "3",
        "live_function": "3",
        "live_layer": layer_arn(3),
        "states": {"1": "retired", "2": "retired", "3": "live"},
    }
    assert ask("POST", "/rollback")[1]["version"] == "1"
    assert deployed()["parameter"] == "starter"


def test_where_nothing_was_live_before_there_is_no_rollback(ask: Ask, deployed: Callable[[], dict[str, Any]]) -> None:
    status, answer = ask("POST", "/rollback")

    assert (status, answer) == (409, {"error": "triage 1 has no version before it to go back to"})
    assert deployed() == STARTER


@pytest.mark.parametrize(("version", "state"), [("1", "retired"), ("2", "live"), ("3", "refused"), ("9", "unknown")])
def test_only_a_version_that_was_live_once_is_promoted(
    version: str,
    state: str,
    release: Callable[[Bundle], None],
    better: Bundle,
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    ask: Ask,
    deployed: Callable[[], dict[str, Any]],
) -> None:
    release(better)
    release(make_bundle("3", dataset.digest, right=[]))

    status, answer = ask("POST", "/promote", {"version": version})

    if state == "retired":
        assert (status, deployed()["live"], deployed()["alias"]) == (200, "1", "1")
    else:
        wanted = "only a retired version can be promoted again, or one whose canary was stopped by hand"
        error = f"triage {version} is {state}: {wanted}"
        assert (status, answer, deployed()["live"]) == (409, {"error": error}, "2")


def test_the_api_shows_what_is_live_and_every_version(
    release: Callable[[Bundle], None], better: Bundle, ask: Ask
) -> None:
    release(better)

    status, shown = ask("GET")

    assert (status, shown["live"]["version"], shown["live"]["layer_arn"]) == (200, "2", layer_arn(2))
    assert [(each["version"], each["state"]) for each in shown["versions"]] == [("1", "retired"), ("2", "live")]
    assert ask("GET", model="triagge")[0] == 404


def test_a_promotion_that_names_no_version_is_400(ask: Ask) -> None:
    assert ask("POST", "/promote", {}) == (400, {"error": "body.version: Field required"})


def test_a_release_waits_while_another_one_holds_the_lease(
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    better: Bundle,
    ask: Ask,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    arrival = offer(better)

    with cloud.registry.release_lease(SERVED, app.now_ms()):
        app.handler(arrival, context)
        assert ask("POST", "/rollback")[0] == 409
    assert deployed() == STARTER
    app.handler({}, context)

    assert deployed() == RELEASED


def assert_agreement(deployed: dict[str, Any], version: str, where: Any) -> None:
    """Alias, parameter, registry and states all mean the same version."""
    assert deployed["live"] == version, where
    assert deployed["live_function"] == deployed["alias"], where
    assert deployed["live_layer"] == deployed["parameter"] == deployed["serves"], where
    live = [each for each, state in deployed["states"].items() if state == "live"]
    assert live == [version], where
    assert set(deployed["states"].values()) <= {"live", "retired"}, where


def expire_lease(cloud: Any) -> None:
    """What three minutes do: a process that died with a lease left it behind."""
    if lease := cloud.state.get_item(Key={"pk": "leases", "sk": SERVED}).get("Item"):
        cloud.state.put_item(Item={**lease, "until_ms": 0})


@pytest.mark.parametrize("way", ["die_at", "fail_at"])
def test_a_release_that_crashed_at_any_point_ends_the_same_when_its_event_comes_again(
    way: str,
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    """Each round releases the next version on top of the last one and crashes one write later."""
    for number in range(1, 100):
        version = str(number + 1)
        arrival = offer(make_bundle(version, dataset.digest))
        getattr(cloud.faults, way)(number)
        try:
            app.handler(arrival, context)
            break
        except (cloud.faults.Died, EndpointConnectionError):
            where = (number, cloud.faults.writes[-1])
            cloud.faults.reset()
        expire_lease(cloud)
        app.handler(arrival, context)

        assert_agreement(deployed(str(number), version), version, where)
        assert {each["id"] for each in cloud.announced()} == {f"released/triage/{version}"}, where
        assert cloud.registry.live("triage").previous["version"] == str(number), where
    assert number > 15
    cloud.faults.reset()
    assert_agreement(deployed(str(number), version), version, "no crash")


def test_a_release_that_died_once_it_was_answering_is_finished_without_being_judged_again(
    app: ModuleType,
    offer: Callable[..., dict[str, Any]],
    better: Bundle,
    deployed: Callable[[], dict[str, Any]],
    cloud: Any,
    context: Any,
) -> None:
    arrival = offer(better)
    app.releases.deployment.trust(app.releases.signer.public_key)  # else that is the first parameter to be written
    cloud.faults.die_on("ssm.PutParameter")
    with pytest.raises(cloud.faults.Died):
        app.handler(arrival, context)
    cloud.faults.reset()
    assert (deployed()["alias"], deployed()["live"]) == ("2", "1")
    policy = dataclasses.replace(app.releases.policy, latency_ratio=0.0)  # nothing is fast enough any more
    app.releases = dataclasses.replace(app.releases, policy=policy)
    expire_lease(cloud)

    app.handler(arrival, context)

    assert deployed() == RELEASED


def test_a_rollback_that_crashed_at_any_point_is_finished_by_asking_again(
    app: ModuleType,
    release: Callable[[Bundle], None],
    better: Bundle,
    rest: Callable[..., dict[str, Any]],
    deployed: Callable[[], dict[str, Any]],
    ask: Ask,
    cloud: Any,
    context: Any,
) -> None:
    release(better)
    event = rest("POST", "/releases/{model}/rollback", sender="operator", model="triage")
    for number in range(1, 30):
        cloud.faults.die_at(number)
        status = app.handler(event, context)["statusCode"]
        where = (number, cloud.faults.writes[-1])
        cloud.faults.reset()
        if status == 200:
            break
        expire_lease(cloud)
        app.handler(event, context)

        now = deployed()
        assert (now["alias"], now["parameter"], now["live"]) == ("1", "starter", "1"), where
        assert now["states"] == {"1": "live", "2": "retired"}, where
        assert ask("POST", "/promote", {"version": "2"})[0] == 200, where
        assert deployed() == RELEASED, where
    assert number > 8
