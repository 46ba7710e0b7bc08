"""A canary's two arms as clients see them: a request that names a version is answered by it, whichever arm it came to.

Both arms run here, each as a process of its own would: with its own modules, its own layer and its own number. The
alias is moto's; `Invoke`, which moto only pretends, calls the other arm's handler.
"""

import importlib
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.functional.embedders import MODEL as COMPASS
from tests.functional.embedders import seal_embedder

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.receipt import ReceiptKeys
from release.deployment import layer_archive

INFER = "/v2/models/{model}/infer"
VERSION = "/v2/models/{model}/versions/{version}"
BODY = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["weather"]}]}
EMBED = {"input": "north", "model": ""}
NAMED = {"1": "1", "2": "2", "live": "1", "candidate": "2"}
"""Which version answers a request that names this."""


class Functions:
    """The Lambda service between the arms: the alias, and invocations by number."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.arms: dict[str, Arm] = {}
        self.calls: list[str] = []
        self.is_throttled = self.has_died = False

    def get_alias(self, **request: str) -> Any:
        self.calls.append("GetAlias")
        if self.is_throttled:
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "GetAlias")
        return self.client.get_alias(**request)

    def invoke(self, *, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:
        self.calls.append(f"Invoke {Qualifier}")
        if self.is_throttled:
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")
        if self.has_died:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "exit status 137"}')}
        reply = self.arms[Qualifier](json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(reply).encode())}

    def share(self, weights: dict[str, float], main: str = "1") -> None:
        routing = {"AdditionalVersionWeights": weights}
        self.client.update_alias(FunctionName="inference", Name="live", FunctionVersion=main, RoutingConfig=routing)


class Arm:
    """One function version: its modules and its layer are in place while it is asked."""

    def __init__(self, number: str, app: ModuleType, layer: Path, lambdas: Functions, context: Any) -> None:
        self.app, self.context = app, context
        self.models = ModuleType("pawl_models")
        self.models.__path__ = [str(layer)]
        self.arms: Any = importlib.import_module("inference.arms")
        self.arms.open_arms = lambda: self.arms.own
        self.arms.own = self.arms.Arms("inference", number, lambda: lambdas)
        self.modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "inference"}
        lambdas.arms[number] = self

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        names = ["pawl_models", *(name for name in sys.modules if name.split(".")[0] == "inference")]
        before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        sys.modules.update({**self.modules, "pawl_models": self.models})
        try:
            return dict(self.app.handler(event, self.context))
        finally:
            for name in [name for name in sys.modules if name.split(".")[0] in ("inference", "pawl_models")]:
                self.modules[name] = sys.modules.pop(name)
            sys.modules.update(before)

    def forget_alias(self) -> None:
        """As if the seconds had passed for which the alias is remembered."""
        self.arms.own._shared = self.arms.Shared()


def files_of(bundle: Bundle) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.path.iterdir()}


@pytest.fixture
def lambdas(functions: Any) -> Functions:
    functions.update_function_configuration(FunctionName="inference", MemorySize=2000)
    functions.publish_version(FunctionName="inference")
    made = Functions(functions)
    made.share({"2": 0.2})
    return made


@pytest.fixture
def arms(
    start: Callable[[str], ModuleType],
    lambdas: Functions,
    starter: Bundle,
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
    tmp_path: Path,
    context: Any,
) -> Iterator[dict[str, Arm]]:
    """Function version 1 with version 1 of a classifier and of an embedder, 2 with their candidates."""
    bundles = {
        number: {
            ("triage", number): files_of(starter if number == "1" else make_bundle("2", dataset.digest)),
            (COMPASS, number): files_of(seal_embedder(tmp_path / COMPASS / number, number)),
        }
        for number in "12"
    }
    for number, aliases in (("1", {}), ("2", {name: {"candidate": "2"} for name in ("triage", COMPASS)})):
        layer = tmp_path / f"layer-{number}"
        zipfile.ZipFile(io.BytesIO(layer_archive(bundles[number], aliases))).extractall(layer)
        Arm(
            number,
            start("inference.app"),
            layer / "python" / "pawl_models",
            lambdas,
            type(context)(function_version=number),
        )
    yield lambdas.arms
    for arm in lambdas.arms.values():
        assert arm.app.capture.flush(10)


@pytest.fixture(params=["1", "2"])
def arm(arms: dict[str, Arm], request: pytest.FixtureRequest) -> Arm:
    """The arm that a request happens to come to."""
    return arms[request.param]


def test_a_request_that_names_a_version_is_answered_by_it_whichever_arm_it_came_to(
    arm: Arm, rest: Callable[..., Any], body_of: Any, keys: ReceiptKeys, now_ms: int
) -> None:
    for named, version in NAMED.items():
        reply = arm(rest("POST", f"{VERSION}/infer", BODY, model="triage", version=named))

        body = body_of(reply)
        receipt = keys.verify(body["parameters"]["inference_id"], now_ms=now_ms, valid_days=1)
        assert (reply["statusCode"], body["model_version"]) == (200, version)
        assert (receipt.model_version, receipt.function_version) == (version, version)
        assert body["outputs"][0]["data"] == [{"1": "billing", "2": "other"}[version]]


def test_metadata_and_readiness_are_those_of_the_version_that_was_named(
    arm: Arm, rest: Callable[..., Any], body_of: Any
) -> None:
    for named, version in NAMED.items():
        about = body_of(arm(rest("GET", VERSION, model="triage", version=named)))
        ready = arm(rest("GET", f"{VERSION}/ready", model="triage", version=named))

        assert (about["properties"]["version"], about["versions"]) == (version, [version])
        assert (ready["statusCode"], body_of(ready)) == (200, {"name": "triage", "ready": True})


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_openai_s_clients_name_a_version_behind_the_model_s_name(
    arm: Arm, prefix: str, rest: Callable[..., Any], body_of: Any, keys: ReceiptKeys, now_ms: int
) -> None:
    for named, version in NAMED.items():
        name = f"{COMPASS}@{named}"
        vectors = body_of(arm(rest("POST", f"{prefix}/embeddings", {**EMBED, "model": name})))
        about = body_of(arm(rest("GET", f"{prefix}/models/{{model}}", model=name)))

        assert keys.verify(vectors["id"], now_ms=now_ms, valid_days=1).model_version == version
        assert (about["id"], about["version"]) == (name, version)


def test_where_no_version_is_named_the_arm_answers_itself_and_nobody_is_asked_for_the_alias(
    arm: Arm, lambdas: Functions, rest: Callable[..., Any], body_of: Any
) -> None:
    body = body_of(arm(rest("POST", INFER, BODY, model="triage")))
    unknown = arm(rest("POST", INFER, BODY, model="triagge"))

    assert body["model_version"] == arm.context.function_version
    assert (unknown["statusCode"], lambdas.calls) == (404, [])


def test_a_version_that_neither_arm_has_gets_the_protocol_s_404_and_each_arm_is_asked_once(
    arms: dict[str, Arm], lambdas: Functions, rest: Callable[..., Any], body_of: Any
) -> None:
    reply = arms["1"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="3"))
    openai = arms["1"](rest("POST", "/v1/embeddings", {**EMBED, "model": f"{COMPASS}@3"}))

    assert (reply["statusCode"], body_of(reply)) == (404, {"error": "no version '3' of 'triage' here: there are ['2']"})
    assert (openai["statusCode"], body_of(openai)["error"]["code"]) == (404, "model_not_found")
    assert lambdas.calls == ["GetAlias", "Invoke 2", "Invoke 2"]


def test_no_client_can_say_that_a_request_was_handed_on(
    arms: dict[str, Arm], rest: Callable[..., Any], body_of: Any
) -> None:
    mark = arms["1"].app.HANDED_ON
    event = rest("POST", f"{VERSION}/infer", {**BODY, "parameters": {mark: 1}}, model="triage", version="2")
    event |= {"queryStringParameters": {mark: "1"}, "headers": {**event["headers"], mark: "1"}}

    assert body_of(arms["1"](event))["model_version"] == "2"
    assert arms["1"]({**event, mark: 1})["statusCode"] == 404


def test_the_arm_that_answers_captures_once(
    arms: dict[str, Arm], rest: Callable[..., Any], body_of: Any, cloud: Any
) -> None:
    answered = body_of(arms["1"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="2")))
    for each in arms.values():
        assert each.app.capture.flush(10)

    (record,) = cloud.messages("capture")
    assert (record["inference_id"], record["version"]) == (answered["parameters"]["inference_id"], "2")


def test_without_a_canary_live_is_what_is_here_and_there_is_no_candidate(
    arms: dict[str, Arm], lambdas: Functions, rest: Callable[..., Any], body_of: Any
) -> None:
    lambdas.share({}, main="2")  # what has passed its canary

    live = body_of(arms["2"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="live")))
    candidate = arms["2"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="candidate"))

    assert live["model_version"] == "2"
    assert (candidate["statusCode"], body_of(candidate)) == (
        404,
        {"error": "no candidate of 'triage' here: there are ['2']"},
    )
    assert set(lambdas.calls) == {"GetAlias"}


@pytest.mark.parametrize("fault", ["is_throttled", "has_died"])
def test_where_the_other_arm_gives_no_answer_the_client_is_told_to_try_again_and_neither_arm_is_blamed(
    fault: str,
    arms: dict[str, Arm],
    lambdas: Functions,
    rest: Callable[..., Any],
    body_of: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = rest("POST", f"{VERSION}/infer", BODY, model="triage", version="2")
    assert arms["1"](asked)["statusCode"] == 200
    setattr(lambdas, fault, True)

    reply = arms["1"](asked)
    openai = arms["1"](rest("POST", "/v1/embeddings", {**EMBED, "model": f"{COMPASS}@2"}))

    said = "the version asked for is the canary's other arm's, which gave no answer: try again"
    assert (reply["statusCode"], body_of(reply)) == (503, {"error": said})
    assert (openai["statusCode"], body_of(openai)["error"]["type"]) == (503, "server_error")
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "AnswersFailed" in line]
    assert [(each["AnswersFailed"], "version" in each) for each in counted] == [(1, False)] * 2


def test_what_fails_in_the_other_arm_is_no_figure_of_the_canary(
    arms: dict[str, Arm], rest: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(arms["2"].app.service, "infer", fail)

    reply = arms["1"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="2"))

    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "AnswersFailed" in line]
    assert (reply["statusCode"], [(each["AnswersFailed"], "version" in each) for each in counted]) == (
        500,
        [(1, False)],
    )


def test_where_the_alias_cannot_be_read_what_is_here_answers(
    arms: dict[str, Arm], lambdas: Functions, rest: Callable[..., Any], body_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lambdas.is_throttled = True

    live = arms["1"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="live"))
    missing = arms["1"](rest("POST", f"{VERSION}/infer", BODY, model="triage", version="2"))

    assert (live["statusCode"], missing["statusCode"]) == (200, 404)
    logged = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (logged["level"], logged["error"], logged["request_id"]) == ("ERROR", "ClientError", "arms")


def test_what_was_handed_on_is_answered_before_the_first_arm_ends(arms: dict[str, Arm], now_ms: int) -> None:
    app, context = arms["2"].app, arms["2"].context

    assert app._call({}, context).remaining_s() == 28.0
    assert 3.0 < app._call({app.HANDED_ON: now_ms + 5_000}, context).remaining_s() <= 4.0


def test_a_function_that_was_long_in_starting_answers_before_api_gateway_has_given_up(
    arms: dict[str, Arm], now_ms: int
) -> None:
    app, context = arms["2"].app, arms["2"].context

    def remaining_s(asked_ms: int) -> float:
        return app._call({"requestContext": {"requestTimeEpoch": asked_ms}}, context).remaining_s()

    assert 22.0 < remaining_s(now_ms - 5_000) <= 23.0
    assert remaining_s(now_ms - 3_600_000) == 28.0  # an event of a test, or one that was kept
    assert remaining_s(now_ms + 5_000) == 28.0
