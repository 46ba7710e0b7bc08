"""Every route of the document is asked by schemathesis, as an API Gateway with keys would let it through."""

import importlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from tests.functional.embedders import seal_embedder
from tests.functional.generators import seal_generator
from tests.functional.tensor_models import seal_mirror, seal_sums

from inference import web
from inference.engine import Engine
from inference.oip import HEADER_LENGTH
from inference.schema import OPEN
from inference.service import Service
from pawl.bundle import Bundle
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.signing import read_trust

KEY = "k3y0fACl13ntTh4tM4yAsk"
LIMITS = ("max_tokens", "max_completion_tokens")
CONFIG = {
    "headers": {"x-api-key": KEY},
    "seed": 1,
    "generation": {"deterministic": True, "max-examples": 10, "database": "none"},
    "suppress-health-check": ["filter_too_much"],
    "checks": {
        # Loading and unloading are part of the protocol and not offered: 501 is the answer that the document promises.
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "501"]},
        # A schema knows neither the models nor their tensors, so what it allows may still fit none of them.
        "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "501"]},
    },
}


class Captured:
    """Makes each record at once, so that one that cannot be made fails the test."""

    def offer(self, make: Callable[[], CaptureRecord], size: int) -> None:
        make().to_json()


@pytest.fixture(scope="module")
def application(make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The web application over a tiny model of each kind, behind a check of keys."""
    root = tmp_path_factory.mktemp("models")
    models = root / "pawl_models"
    triage = make_bundle("1", "any")
    target = models / "triage" / "1"
    target.mkdir(parents=True)
    for path in triage.path.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    seal_mirror(models / "mirror" / "1")
    seal_sums(models / "sums" / "1")
    seal_generator(models / "parrot" / "1")
    seal_embedder(models / "compass" / "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        importlib.invalidate_caches()
        service = Service(Engine(read_trust("", allow_unsigned=True)), ReceiptKeys("1:" + "s" * 32), Captured(), 4)
        yield with_keys(web.build(service))


def with_keys(app: Any) -> Any:
    """What API Gateway does before it calls a function."""

    async def guarded(
        scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        headers = dict(scope.get("headers", []))
        if scope["type"] != "http" or scope["path"] in OPEN or headers.get(b"x-api-key") == KEY.encode():
            return await app(scope, receive, send)
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 403, "headers": head})
        await send({"type": "http.response.body", "body": b'{"error":"Forbidden"}'})

    return guarded


class Asked:
    """What schemathesis asked of each route, and what it did not like about the answers."""

    def __init__(self, api: Any) -> None:
        self.statuses: dict[str, set[int]] = {}
        self.failures: set[str] = set()
        for event in from_schema(api).execute():
            if isinstance(event, (events.FatalError, events.NonFatalError)):
                self.failures.add(str(event.info))
            if isinstance(event, events.ScenarioFinished):
                self._note(event.label or "", event.recorder)

    def _note(self, label: str, recorder: Any) -> None:
        statuses = self.statuses.setdefault(label, set())
        statuses |= {each.response.status_code for each in recorder.interactions.values() if each.response}
        for checks in recorder.checks.values():
            for check in checks:
                if check.failure_info:
                    failure = check.failure_info
                    self.failures.add(
                        f"{label}: {failure.failure.title}: {failure.failure.message}: {failure.code_sample}"
                    )


@pytest.fixture(scope="module")
def api(application: Any) -> Any:
    """The document as it is published, with names of models that are here in most of the requests."""
    made = schemathesis.openapi.from_asgi("/openapi.json", application, config=SchemathesisConfig.from_dict(CONFIG))

    @made.hook
    def map_path_parameters(context: Any, path_parameters: Any) -> Any:
        for name, value in (("model", "triage"), ("version", "live")):
            if isinstance((path_parameters or {}).get(name), str) and len(path_parameters[name]) % 2:
                path_parameters[name] = value
        return path_parameters

    @made.hook
    def map_body(context: Any, body: Any) -> Any:
        name = body.get("model") if isinstance(body, dict) else None
        if isinstance(name, str) and 0 < len(name) <= 100:
            body["model"] = "compass" if "input" in body else "parrot"
            for limit in LIMITS if "messages" in body else LIMITS[:1] if "prompt" in body else ():
                if type(body.get(limit, 8)) is int and body.get(limit, 8) > 0:
                    body[limit] = 4  # or a text would go on to the context's end
        return body

    @made.hook
    def map_case(context: Any, case: Any) -> Any:
        if case.media_type == "application/json" and str((case.headers or {}).get(HEADER_LENGTH)) == "0":
            del case.headers[HEADER_LENGTH]  # under it any bytes are one raw text, which no document can say
        return case

    return made


@pytest.fixture(scope="module")
def asked(api: Any) -> Asked:
    return Asked(api)


def test_no_answer_differs_from_what_the_document_says(asked: Asked) -> None:
    assert not asked.failures, "\n\n".join(sorted(asked.failures))


def test_every_route_was_asked_and_gave_its_answer(asked: Asked, api: Any) -> None:
    promised = {
        f"{verb.upper()} {path}": "200" in operation["responses"]
        for path, operations in api.raw_schema["paths"].items()
        for verb, operation in operations.items()
    }

    assert set(promised) <= set(asked.statuses)
    without = {label for label, is_promised in promised.items() if is_promised != (200 in asked.statuses[label])}
    assert without == set()
    assert asked.statuses["POST /v2/models/{model}/infer"] >= {200, 400, 405}
    assert set[int]().union(*asked.statuses.values()) == {200, 400, 403, 404, 405, 501}
    assert 501 in asked.statuses["POST /v2/repository/models/{model}/load"]


def test_the_document_lies_beside_the_routes_and_says_how_to_send_the_key(api: Any) -> None:
    found = api.raw_schema

    assert found["servers"][0]["url"] == "."
    assert found["components"]["securitySchemes"] == {
        "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"}
    }
    open_routes = {
        path for path, verbs in found["paths"].items() for each in verbs.values() if each.get("security") == []
    }
    assert open_routes == set(OPEN)
    assert found["security"] == [{"api_key": []}]


def test_requests_and_replies_of_both_protocols_are_described_whole(api: Any) -> None:
    paths = api.raw_schema["paths"]

    infer, chat = paths["/v2/models/{model}/infer"]["post"], paths["/v1/chat/completions"]["post"]
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert set(infer["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert chat["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/OpenAiError")
    assert not any("422" in operation["responses"] for verbs in paths.values() for operation in verbs.values())
