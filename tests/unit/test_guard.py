"""The guard around an application that answers what it was sent: ASGI messages in, ASGI messages out, no network."""

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from inference.admission import Admission, parse_keys
from inference.guard import BODY_LIMIT, Guard
from inference.metrics import Metrics
from pawl.errors import SettingsError, TooBusy

KEY = "k" * 16


@dataclass
class Echo:
    """Answers 200 with the body that it was sent; `fails` says when."""

    fails: str = ""
    bodies: list[bytes] = field(default_factory=list[bytes])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        assert not message["more_body"]
        if self.fails == "before":
            raise ArithmeticError("a secret")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        if self.fails == "amid":
            raise ArithmeticError("a secret")
        await send({"type": "http.response.body"})


@dataclass
class Network:
    """One request and what came back; chunks that are numbers are seconds of silence."""

    path: str = "/v2/models/triage/infer"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunks: Sequence[bytes | float] = (b"",)
    sent: list[Any] = field(default_factory=list[Any])
    is_stuck: bool = False

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    def ask(self, guard: Guard) -> "Network":
        chunks = list(self.chunks)

        async def receive() -> Any:
            while isinstance(chunk := chunks.pop(0), float):
                await asyncio.sleep(chunk)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            if self.is_stuck and message["type"] == "http.response.body":
                await asyncio.sleep(60)
            self.sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        asyncio.run(guard({"type": "http", "path": self.path, "headers": headers}, receive, send))
        return self


@pytest.fixture
def admission() -> Admission:
    admission = Admission([KEY], limit=2, byte_limit=BODY_LIMIT + 1)
    admission.has_loaded = True
    return admission


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def guard(echo: Echo, admission: Admission, metrics: Metrics) -> Guard:
    return Guard(echo, admission, metrics, patience_s=0.05)


@pytest.mark.parametrize(
    "headers", [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}]
)
def test_a_request_with_a_key_gets_through(guard: Guard, headers: dict[str, str]) -> None:
    asked = Network(headers=headers, chunks=[b"he", b"llo"]).ask(guard)

    assert (asked.status, asked.body) == (200, b"hello")


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": "k" * 15}, {"x-api-key": ""}, {"authorization": KEY}, {"authorization": f"Basic {KEY}"}],
)
def test_a_request_without_a_key_is_refused_before_its_body_is_read(
    guard: Guard, echo: Echo, headers: dict[str, str]
) -> None:
    asked = Network(headers=headers, chunks=[]).ask(guard)

    assert (asked.status, echo.bodies) == (401, [])
    assert json.loads(asked.body) == {"error": "want an API key: the header x-api-key, or Authorization: Bearer"}
    assert (b"www-authenticate", b"Bearer") in asked.sent[0]["headers"]


def test_without_keys_everybody_may_ask(echo: Echo, metrics: Metrics) -> None:
    assert Network().ask(Guard(echo, Admission([], 1, BODY_LIMIT), metrics, 30)).status == 200


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_an_openai_client_is_refused_in_the_form_that_it_knows(guard: Guard, prefix: str) -> None:
    error = json.loads(Network(f"{prefix}/chat/completions").ask(guard).body)["error"]

    assert set(error) == {"message", "type", "param", "code"}


def test_a_body_that_says_it_is_too_large_is_refused_unread(guard: Guard, echo: Echo) -> None:
    headers = {"x-api-key": KEY, "content-length": str(BODY_LIMIT + 1)}

    asked = Network(headers=headers, chunks=[]).ask(guard)

    assert (asked.status, echo.bodies) == (413, [])
    assert json.loads(asked.body) == {"error": "the body is too large: want at most 6000000 bytes"}


def test_a_body_that_turns_out_too_large_is_refused_and_one_of_the_limit_is_not(guard: Guard) -> None:
    half = bytes(BODY_LIMIT // 2)

    asked = [Network(headers={"x-api-key": KEY}, chunks=[half, half, more]).ask(guard) for more in (b"", b"1")]

    assert [each.status for each in asked] == [200, 413]


def test_a_body_that_does_not_come_in_time_is_refused(guard: Guard, echo: Echo) -> None:
    asked = Network(headers={"x-api-key": KEY}, chunks=[b"he", 10.0, b"llo"]).ask(guard)

    assert (asked.status, echo.bodies) == (408, [])
    assert json.loads(asked.body) == {"error": "the body did not come within 0.05 s"}


def test_more_requests_than_the_limit_are_refused_and_told_to_come_again(guard: Guard, admission: Admission) -> None:
    with admission.enter(), admission.enter():
        asked = Network(headers={"x-api-key": KEY}).ask(guard)

    assert asked.status == 429
    assert (b"retry-after", b"1") in asked.sent[0]["headers"]
    assert Network(headers={"x-api-key": KEY}).ask(guard).status == 200


def test_bodies_on_their_way_and_being_answered_have_a_limit_together_and_give_it_back(
    guard: Guard, echo: Echo, admission: Admission
) -> None:
    body = bytes(BODY_LIMIT - 10)
    with admission.hold() as count:
        count(12)
        asked = Network(headers={"x-api-key": KEY}, chunks=[body[:1000], body[1000:]]).ask(guard)
        small = Network(headers={"x-api-key": KEY}, chunks=[b"hello"]).ask(guard)
        assert admission.bytes_held == 12

    assert (asked.status, small.status, echo.bodies) == (429, 200, [b"hello"])
    assert (b"retry-after", b"1") in asked.sent[0]["headers"]
    assert json.loads(asked.body) == {"error": f"bodies of {BODY_LIMIT + 1} bytes are under way: try again soon"}
    assert (admission.bytes_held, Network(headers={"x-api-key": KEY}, chunks=[body]).ask(guard).status) == (0, 200)


def test_a_body_counts_as_large_as_it_is_inflated_and_in_the_form_of_its_protocol(
    guard: Guard, echo: Echo, admission: Admission
) -> None:
    plain = bytes(BODY_LIMIT)
    headers = {"x-api-key": KEY, "content-encoding": "gzip"}

    assert Network(headers=headers, chunks=[gzip.compress(plain)]).ask(guard).status == 200
    with admission.hold() as count:
        count(2)
        assert Network(headers=headers, chunks=[gzip.compress(plain)]).ask(guard).status == 429
    statuses = [
        Network(path, {**headers, "content-encoding": coding}, [b"{}"]).ask(guard)
        for path in ("/v2/models/triage/infer", "/v1/embeddings")
        for coding in ("gzip", "br")
    ]

    assert echo.bodies == [plain]
    assert [each.status for each in statuses] == [400, 415, 400, 415]
    assert json.loads(statuses[0].body) == {"error": "the body is not gzip, as its Content-Encoding says"}
    assert json.loads(statuses[2].body)["error"]["message"] == "the body is not gzip, as its Content-Encoding says"


def test_a_client_that_does_not_read_its_answer_is_left_and_that_is_no_error_of_ours(
    guard: Guard, admission: Admission, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Network(headers={"x-api-key": KEY}, is_stuck=True).ask(guard)

    assert [message["type"] for message in asked.sent] == ["http.response.start"]
    assert (admission.in_flight, capsys.readouterr().out) == (0, "")


@pytest.mark.parametrize("fails", ["before", "amid"])
def test_an_error_nobody_foresaw_is_logged_without_its_text(
    guard: Guard, echo: Echo, fails: str, capsys: pytest.CaptureFixture[str]
) -> None:
    echo.fails = fails

    Network(headers={"x-api-key": KEY}).ask(guard)

    log = json.loads(capsys.readouterr().out)
    assert (log["level"], log["error"]) == ("ERROR", "ArithmeticError")
    assert "secret" not in json.dumps(log)


def test_liveness_and_readiness_need_no_key_and_no_place(guard: Guard, admission: Admission) -> None:
    with admission.enter(), admission.enter():
        asked = [Network(f"/v2/health/{each}").ask(guard) for each in ("live", "ready")]

    assert [each.status for each in asked] == [200, 200]


@pytest.mark.parametrize(("has_loaded", "is_draining"), [(False, False), (True, True)])
def test_readiness_is_false_until_models_are_open_and_once_the_server_ends(
    guard: Guard, admission: Admission, has_loaded: bool, is_draining: bool
) -> None:
    admission.has_loaded, admission.is_draining = has_loaded, is_draining

    assert [Network(f"/v2/health/{each}").ask(guard).status for each in ("live", "ready")] == [200, 503]
    assert Network(headers={"x-api-key": KEY}).ask(guard).status == 200


def test_metrics_need_a_key_and_count_requests_but_neither_probes_nor_themselves(guard: Guard) -> None:
    keyed = {"x-api-key": KEY}
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics", "/v2/models", "/v1/models", "/nowhere"):
        Network(path, keyed).ask(guard)

    asked = Network("/metrics", keyed).ask(guard)

    counted = [line for line in asked.body.decode().splitlines() if line.startswith("pawl_requests_total")]
    assert sorted(counted) == [
        'pawl_requests_total{model="",protocol="openai",status="200",version=""} 1.0',
        'pawl_requests_total{model="",protocol="rest",status="200",version=""} 2.0',
    ]
    assert Network("/metrics").ask(guard).status == 401


def test_refused_requests_are_counted_with_their_status(guard: Guard) -> None:
    Network().ask(guard)

    body = Network("/metrics", {"x-api-key": KEY}).ask(guard).body.decode()
    assert 'pawl_requests_total{model="",protocol="rest",status="401",version=""} 1.0' in body


def test_a_place_is_given_back_when_its_request_fails() -> None:
    admission = Admission([], 1, BODY_LIMIT)
    with pytest.raises(ArithmeticError), admission.enter():
        raise ArithmeticError

    with admission.enter(), pytest.raises(TooBusy, match="1 requests are being answered"), admission.enter():
        pass
    assert admission.in_flight == 0


def test_keys_are_joined_by_commas_and_must_be_hard_to_guess() -> None:
    assert parse_keys(f"{KEY}, {'j' * 20},") == [KEY, "j" * 20]
    assert parse_keys("") == []
    with pytest.raises(SettingsError, match="at least 16"):
        parse_keys(f"{KEY},short")
