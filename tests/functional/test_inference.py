"""The inference function as a whole: API Gateway events in, the protocol's replies and captured records out."""

import base64
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pawl.bundle import Bundle
from pawl.receipt import ReceiptKeys

ROOT = Path(__file__).parents[2]
INFER = "/v2/models/{model}/infer"
VERSION_INFER = "/v2/models/{model}/versions/{version}/infer"
HEADER = "Inference-Header-Content-Length"
Handler = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def folders(layer: Callable[[Bundle], Path], starter: Bundle, make_bundle: Callable[..., Bundle]) -> dict[str, Path]:
    """Two versions in one layer; the second answers every word with the label before the right one."""
    return {"1": layer(starter), "2": layer(make_bundle("2", "any", right=[]))}


@pytest.fixture
def app(start: Callable[[str], ModuleType], folders: dict[str, Path]) -> Iterator[ModuleType]:
    module = start("inference.app")
    yield module
    assert module.capture.flush(10)


@pytest.fixture
def call(app: ModuleType, context: Any) -> Handler:
    return lambda event: app.handler(event, context)


def request(*texts: Any, **fields: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return {"inputs": [tensor], **fields}


def test_a_request_is_answered_with_labels_and_probabilities(
    call: Handler, event: Callable[[str], dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(event("api_gateway_infer"))

    assert (reply["statusCode"], reply["headers"]) == (200, {"Content-Type": "application/json"})
    body = body_of(reply)
    label, probabilities = body.pop("outputs")
    assert (body["model_name"], body["model_version"]) == ("triage", "2")
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "BYTES", [2])
    assert (probabilities["name"], probabilities["datatype"], probabilities["shape"]) == (
        "probabilities",
        "FP32",
        [2, 3],
    )
    assert label["data"] == ["account", "other"]
    # "refund my invoice" is [CLS], two words that each say 2 log 8, and one that says nothing.
    said = [1.0, math.exp(4 * math.log(8) / 4), 1.0]
    assert probabilities["data"][:3] == pytest.approx([each / sum(said) for each in said], abs=1e-6)
    assert probabilities["data"][3:] == pytest.approx([0.1, 0.1, 0.8], abs=1e-6)


def test_a_version_of_its_own_route_answers_although_it_is_not_the_newest(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    asked = {
        version: rest("POST", VERSION_INFER, request("refund"), model="triage", version=version) for version in "12"
    }

    answers = {version: body_of(call(event)) for version, event in asked.items()}

    assert [answers[version]["model_version"] for version in "12"] == ["1", "2"]
    assert [answers[version]["outputs"][0]["data"] for version in "12"] == [["billing"], ["account"]]


def test_live_is_accepted_where_a_version_is_and_means_the_newest(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("POST", VERSION_INFER, request("refund"), model="triage", version="live"))

    assert body_of(reply)["model_version"] == "2"


def test_the_requests_own_id_comes_back(
    call: Handler, event: Callable[[str], dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    assert body_of(call(event("api_gateway_infer")))["id"] == "ticket-4711"


def test_a_request_without_an_id_gets_its_receipt_as_id(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    body = body_of(call(rest("POST", INFER, request("refund"), model="triage")))

    assert body["id"] == body["parameters"]["inference_id"]


def test_the_receipt_says_which_version_answered_and_when(
    call: Handler, event: Callable[[str], dict[str, Any]], body_of: Callable[..., Any], keys: ReceiptKeys, now_ms: int
) -> None:
    inference_id = body_of(call(event("api_gateway_infer")))["parameters"]["inference_id"]

    receipt = keys.verify(inference_id, now_ms=now_ms, valid_days=1)

    assert (receipt.model, receipt.model_version, receipt.function_version, receipt.rows) == ("triage", "2", "3", 2)
    assert 0 <= receipt.unix_ms - now_ms < 60_000


def test_an_answer_reaches_the_capture_queue_exactly_once(
    app: ModuleType, call: Handler, event: Callable[[str], dict[str, Any]], body_of: Callable[..., Any], cloud: Any
) -> None:
    inference_id = body_of(call(event("api_gateway_infer")))["parameters"]["inference_id"]
    assert app.capture.flush(10)

    (record,) = cloud.messages("capture")

    assert (record["inference_id"], record["model"], record["version"]) == (inference_id, "triage", "2")
    assert record["inputs"] == {"text": ["refund my invoice", "password"]}
    assert record["outputs"] == {"label": ["account", "other"]}
    assert record["features"]["tokens"] == [4, 2]
    assert record["features"]["confidence"][1] == 0.8
    assert record["features"]["projection_2"] == [0.0, 1.0]


def test_who_asked_is_captured_under_a_pseudonym_alone(
    app: ModuleType, call: Handler, rest: Callable[..., dict[str, Any]], keys: ReceiptKeys, cloud: Any
) -> None:
    for parameters in ({"user": "ada@example.org"}, {}):
        asked = request("refund", parameters=parameters)
        assert call(rest("POST", INFER, asked, model="triage"))["statusCode"] == 200
    assert app.capture.flush(10)

    records = cloud.messages("capture")

    assert sorted(record.get("subject", "") for record in records) == ["", keys.pseudonym("ada@example.org")]
    assert "example.org" not in json.dumps(records)


def test_a_refused_request_is_not_captured(
    app: ModuleType, call: Handler, rest: Callable[..., dict[str, Any]], cloud: Any
) -> None:
    call(rest("POST", INFER, {"inputs": []}, model="triage"))

    assert app.capture.flush(10)
    assert cloud.messages("capture") == []


def test_many_answers_are_captured_each_once(
    app: ModuleType, call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], cloud: Any
) -> None:
    event = rest("POST", INFER, request("refund"), model="triage")
    given = {body_of(call(event))["parameters"]["inference_id"] for _ in range(25)}
    assert app.capture.flush(10)

    captured = [record["inference_id"] for record in cloud.messages("capture")]

    assert len(captured) == 25
    assert set(captured) == given


def test_an_unknown_model_is_404_and_says_which_there_are(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("POST", INFER, request("refund"), model="triagge"))

    assert (reply["statusCode"], body_of(reply)) == (404, {"error": "no model 'triagge' here: there are ['triage']"})


def test_an_unknown_version_is_404_and_says_which_there_are(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("POST", VERSION_INFER, request("refund"), model="triage", version="3"))

    assert reply["statusCode"] == 404
    assert body_of(reply) == {"error": "no version '3' of 'triage' here: there are ['1', '2']"}


BAD_BODIES = {
    "empty": (None, "the body is empty"),
    "not JSON": ("{", "the body is not JSON"),
    "NaN": ('{"inputs": [{"data": [NaN]}]}', "NaN is not a JSON number"),
    "a list": ("[]", "the body must be an object"),
    "an unknown field": ({"input": []}, "unknown fields ['input']"),
    "an id that is a number": (request("refund", id=7), "id must be a string"),
    "nested parameters": (request("refund", parameters={"a": {}}), "strings, numbers and booleans"),
    "no inputs": ({}, "inputs must be a list of tensors: ['text']"),
    "two inputs": ({"inputs": [{}, {}]}, "this model takes exactly the inputs ['text']"),
    "another input": ({"inputs": [{"name": "texts", "datatype": "BYTES"}]}, "takes exactly the inputs ['text']"),
    "another datatype": ({"inputs": [{"name": "text", "datatype": "FP32"}]}, "with datatype BYTES"),
    "a number as text": (request("refund", 7), "data[1] of 'text' must be a string"),
    "a lone surrogate": (request("refund", "\ud800"), "data[1] of 'text' holds half a surrogate pair"),
    "a wrong shape": (
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a"]}]},
        "shape [2] of 'text' holds 2 elements, data has 1",
    ),
    "no rows": (request(), "shape [0] of 'text' holds no elements"),
    "too many rows": (request(*"abcde"), "5 rows: want 1 to 4"),
    "an unknown output": (request("refund", outputs=[{"name": "score"}]), "no output 'score'"),
}


@pytest.mark.parametrize("bad", BAD_BODIES)
def test_a_bad_body_is_400_and_says_what_would_be_right(
    bad: str, call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    body, explanation = BAD_BODIES[bad]

    reply = call(rest("POST", INFER, body, model="triage"))

    assert (reply["statusCode"], list(body_of(reply))) == (400, ["error"])
    assert explanation in body_of(reply)["error"]


def test_only_the_outputs_that_were_asked_for_are_given(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("POST", INFER, request("refund", outputs=[{"name": "label"}]), model="triage"))

    assert [output["name"] for output in body_of(reply)["outputs"]] == ["label"]


def test_a_tensor_may_be_nested_by_rows(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    nested = {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["hello"], ["login"]]}

    reply = call(rest("POST", VERSION_INFER, {"inputs": [nested]}, model="triage", version="1"))

    assert body_of(reply)["outputs"][0]["data"] == ["other", "account"]


def test_a_base64_body_is_read_as_what_it_encodes(
    call: Handler, event: Callable[[str], dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    plain = event("api_gateway_infer")
    encoded = {**plain, "isBase64Encoded": True, "body": base64.b64encode(plain["body"].encode()).decode()}

    assert body_of(call(encoded))["outputs"] == body_of(call(plain))["outputs"]


@pytest.mark.parametrize("name", [HEADER, HEADER.lower(), HEADER.upper()])
def test_the_header_of_the_binary_extension_is_read_in_any_case(
    name: str, call: Handler, rest: Callable[..., dict[str, Any]]
) -> None:
    event = rest("POST", INFER, "refund", model="triage")
    event["headers"] = {**event["headers"], name: "0"}

    reply = call(event)

    length = int(reply["headers"][HEADER])
    head = json.loads(base64.b64decode(reply["body"])[:length])
    assert (reply["statusCode"], reply["headers"]["Content-Type"]) == (200, "application/octet-stream")
    assert [output["shape"] for output in head["outputs"]] == [[1], [1, 3]]


def test_a_header_that_is_no_length_is_400(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    event = rest("POST", INFER, request("refund"), model="triage")
    event["headers"] = {**event["headers"], HEADER: "-1"}

    reply = call(event)

    assert (reply["statusCode"], body_of(reply)) == (400, {"error": f"{HEADER} must be a whole number of bytes"})


def test_a_request_without_headers_is_json(call: Handler, rest: Callable[..., dict[str, Any]]) -> None:
    assert call(rest("POST", INFER, request("refund"), model="triage") | {"headers": None})["statusCode"] == 200


@pytest.mark.parametrize("alias", ["live", "candidate"])
def test_an_alias_of_the_layer_is_accepted_where_a_version_is(
    alias: str,
    folders: dict[str, Path],
    call: Handler,
    rest: Callable[..., dict[str, Any]],
    body_of: Callable[..., Any],
) -> None:
    (folders["1"].parent / "aliases.json").write_text('{"live": "1", "candidate": "2"}')
    wanted = {"live": "1", "candidate": "2"}[alias]

    reply = body_of(call(rest("POST", VERSION_INFER, request("refund"), model="triage", version=alias)))
    about = body_of(call(rest("GET", "/v2/models/{model}/versions/{version}", model="triage", version=alias)))

    assert (reply["model_version"], about["properties"]["version"]) == (wanted, wanted)


def test_aliases_that_cannot_be_read_are_503_with_the_files_name(
    folders: dict[str, Path], call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    (folders["1"].parent / "aliases.json").write_text("{")

    reply = call(rest("POST", INFER, request("refund"), model="triage"))

    assert (reply["statusCode"], body_of(reply)) == (503, {"error": "triage: aliases.json is not JSON"})


@pytest.mark.parametrize("route", ["/v2/models/stats", "/v2/models/{model}/stats"])
def test_answers_are_counted_by_version(
    route: str, call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    call(rest("POST", VERSION_INFER, request("refund", "hello"), model="triage", version="1"))
    call(rest("POST", VERSION_INFER, request("refund", "hello", "x", "y", "z"), model="triage", version="1"))

    first, second = body_of(call(rest("GET", route, model="triage")))["model_stats"]

    assert (first["version"], first["inference_count"], first["execution_count"]) == ("1", 2, 1)
    assert (second["version"], second["inference_count"], second["last_inference"]) == ("2", 0, 0)


@pytest.mark.parametrize("act", ["load", "unload"])
def test_models_are_not_loaded_by_request(
    act: str, call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("POST", f"/v2/repository/models/{{model}}/{act}", {}, model="triage"))

    assert reply["statusCode"] == 501
    assert body_of(reply)["error"].startswith("models come in immutable layers")


def test_the_document_is_published(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("GET", "/openapi.json"))

    assert (reply["statusCode"], body_of(reply)["openapi"]) == (200, "3.1.0")
    assert INFER in body_of(reply)["paths"]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "reference.json", "card.md"])
def test_a_bundle_with_an_altered_byte_is_not_served_and_the_file_is_named(
    name: str,
    folders: dict[str, Path],
    call: Handler,
    rest: Callable[..., dict[str, Any]],
    body_of: Callable[..., Any],
) -> None:
    data = bytearray((folders["1"] / name).read_bytes())
    data[-2] ^= 1
    (folders["1"] / name).write_bytes(data)

    reply = call(rest("POST", VERSION_INFER, request("refund"), model="triage", version="1"))

    assert (reply["statusCode"], body_of(reply)) == (503, {"error": f"triage 1: {name} does not match its digest"})


def test_an_error_of_ours_is_500_and_neither_reply_nor_log_quotes_the_text(
    app: ModuleType, rest: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], context: Any
) -> None:
    event = rest("POST", INFER, "a secret that is no body", model="triage") | {"pathParameters": None}

    reply = app.handler(event, context)

    assert (reply["statusCode"], json.loads(reply["body"])) == (
        500,
        {"error": "internal error; request 8f5072b1-7d4e-4f0e-9e0b-6f1f2b1c9a10"},
    )
    logged, counted = map(json.loads, capsys.readouterr().out.splitlines())
    assert (logged["level"], logged["error"], logged["request_id"]) == ("ERROR", "TypeError", context.aws_request_id)
    assert "secret" not in json.dumps([logged, counted])


def test_what_failed_is_counted_by_function_version_and_what_was_refused_is_not(
    app: ModuleType, rest: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], context: Any
) -> None:
    app.handler(rest("POST", INFER, "no JSON", model="triage"), context)
    assert capsys.readouterr().out == ""

    app.handler(rest("POST", INFER, "no path", model="triage") | {"pathParameters": None}, context)

    counted = json.loads(capsys.readouterr().out.splitlines()[1])
    assert (counted["function"], counted["version"], counted["AnswersFailed"]) == ("pawl-InferenceFunction", "3", 1)
    (about,) = counted["_aws"]["CloudWatchMetrics"]
    assert (about["Namespace"], about["Dimensions"]) == ("Pawl", [["function", "version"]])


ROUTES = {
    "/v2": {
        "name": "pawl",
        "version": "2",
        "extensions": ["binary_tensor_data", "classification", "model_repository", "statistics"],
    },
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
    "/v2/models": {"models": ["triage"]},
}


@pytest.mark.parametrize("route", ROUTES)
def test_the_servers_own_routes_answer(
    route: str, call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("GET", route))

    assert (reply["statusCode"], body_of(reply)) == (200, ROUTES[route])


def test_a_models_metadata_tells_its_tensors_and_where_it_comes_from(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], starter: Bundle
) -> None:
    reply = call(rest("GET", "/v2/models/{model}/versions/{version}", model="triage", version="1"))

    assert body_of(reply) == {
        "name": "triage",
        "versions": ["1", "2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
        ],
        "properties": {
            "version": "1",
            "digest": starter.digest,
            "kind": "text-classifier",
            "labels": "billing,account,other",
            "dataset": starter.manifest.lineage.dataset,
            "run": "run-1",
        },
    }


def test_metadata_without_a_version_is_the_newest_ones(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    assert body_of(call(rest("GET", "/v2/models/{model}", model="triage")))["properties"]["version"] == "2"


def test_a_model_is_ready_once_it_opens(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("GET", "/v2/models/{model}/ready", model="triage"))

    assert (reply["statusCode"], body_of(reply)) == (200, {"name": "triage", "ready": True})


@pytest.mark.parametrize("route", ["/v2/health/ready", "/v2/models/{model}/ready"])
def test_nothing_is_ready_that_does_not_open(
    route: str,
    folders: dict[str, Path],
    call: Handler,
    rest: Callable[..., dict[str, Any]],
    body_of: Callable[..., Any],
) -> None:
    (folders["2"] / "tokenizer.json").unlink()

    reply = call(rest("GET", route, model="triage"))

    assert (reply["statusCode"], body_of(reply)) == (503, {"error": "triage 2: tokenizer.json is missing"})


def test_the_repository_index_lists_every_version(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("POST", "/v2/repository/index", {}))

    assert body_of(reply) == [
        {"name": "triage", "version": "1", "state": "READY", "reason": ""},
        {"name": "triage", "version": "2", "state": "READY", "reason": ""},
    ]


def test_the_repository_index_lists_the_versions_that_are_ready_where_it_is_asked_for_these(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], folders: dict[str, Path]
) -> None:
    (folders["1"] / "tokenizer.json").unlink()
    assert (
        call(rest("GET", "/v2/models/{model}/versions/{version}/ready", model="triage", version="1"))["statusCode"]
        == 503
    )

    all_of_them, ready, refused = (
        call({**rest("POST", "/v2/repository/index"), "body": body})
        for body in ('{"ready":false}', '{"ready":true}', '{"ready":1}')
    )

    assert [(each["version"], each["state"]) for each in body_of(all_of_them)] == [("1", "UNAVAILABLE"), ("2", "READY")]
    assert [each["version"] for each in body_of(ready)] == ["2"]
    assert (refused["statusCode"], body_of(refused)) == (400, {"error": "ready must be true or false"})


def test_an_unknown_model_is_404_on_the_other_routes_too(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("GET", "/v2/models/{model}", model="triagge"))

    assert (reply["statusCode"], body_of(reply)) == (404, {"error": "no model 'triagge' here: there are ['triage']"})


def test_no_route_is_404_in_the_protocols_form(
    call: Handler, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> None:
    reply = call(rest("GET", "/v2/nowhere"))

    assert (reply["statusCode"], body_of(reply)) == (404, {"error": "no route GET /v2/nowhere"})


class RuntimeApi(BaseHTTPRequestHandler):
    """Lambda's Extensions API as far as an internal extension needs it; `invoke` lets an invocation begin."""

    asks: threading.Semaphore
    registered: list[dict[str, str]]
    invoke: threading.Semaphore

    def do_POST(self) -> None:
        self.registered.append({"name": self.headers["Lambda-Extension-Name"], "path": self.path})
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"Lambda-Extension-Identifier": "extension-1"})

    def do_GET(self) -> None:
        self.asks.release()
        self.invoke.acquire()
        self._answer({})

    def _answer(self, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": "2"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[RuntimeApi]]:
    api = type(
        "Api", (RuntimeApi,), {"registered": [], "asks": threading.Semaphore(0), "invoke": threading.Semaphore(0)}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), api)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    terminate = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", f"127.0.0.1:{server.server_port}")
    yield api
    signal.signal(signal.SIGTERM, terminate)
    api.invoke.release(100)
    server.shutdown()
    thread.join()
    server.server_close()


def test_on_lambda_a_record_is_sent_once_the_reply_has_left_and_before_the_environment_may_freeze(
    cloud: Any,
    runtime: type[RuntimeApi],
    folders: dict[str, Path],
    start: Callable[[str], ModuleType],
    event: Callable[[str], dict[str, Any]],
    context: Any,
) -> None:
    app = start("inference.app")
    assert runtime.asks.acquire(timeout=10)
    assert runtime.registered == [{"name": "pawl-capture", "path": "/2020-01-01/extension/register"}]

    runtime.invoke.release()
    reply = app.handler(event("api_gateway_infer"), context)
    assert cloud.messages("capture") == []
    del reply

    assert runtime.asks.acquire(timeout=10)
    assert len(cloud.messages("capture")) == 1


IMPORTED = """
import json, sys
before = set(sys.modules)
from inference.app import handler
from types import SimpleNamespace
event = json.load(sys.stdin)
reply = handler(event, SimpleNamespace(function_version="3", aws_request_id="r"))
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"status": reply["statusCode"], "roots": sorted(roots - sys.stdlib_module_names)}))
"""


def test_the_first_answer_of_a_process_imports_neither_a_web_framework_nor_the_sdk(
    cloud: Any, runtime: type[RuntimeApi], folders: dict[str, Path], event: Callable[[str], dict[str, Any]]
) -> None:
    paths = [ROOT / "functions", ROOT / "layers" / "core", folders["1"].parents[2]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}

    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        input=json.dumps(event("api_gateway_infer")),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    seen = json.loads(done.stdout.splitlines()[0])  # what follows is that no queue took the record
    assert seen["status"] == 200
    unwanted = {"fastapi", "starlette", "mangum", "pydantic", "boto3", "botocore", "aws_lambda_powertools"}
    assert unwanted & set(seen["roots"]) == set()
    assert set(seen["roots"]) == {"inference", "numpy", "onnxruntime", "pawl", "pawl_models", "tokenizers"}
