"""The OpenAI routes of the inference function, asked by the `openai` package itself.

A small server turns what the client sends into API Gateway events, as the gateway does: a key is wanted, and a path's
parameters are decoded. Nothing of the client is changed but its base URL and a header for the key.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import numpy as np
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel
from tests.functional.embedders import MODEL as COMPASS
from tests.functional.embedders import seal_embedder
from tests.functional.generators import MODEL as PARROT
from tests.functional.generators import seal_generator

from pawl.bundle import Bundle
from pawl.receipt import ReceiptKeys

ROOT = Path(__file__).parents[2]
KEY = "k3y0fACl13ntTh4tM4yAsk"
SAY = [{"role": "user", "content": "what does the parrot say?"}]


@dataclass
class Context:
    """Lambda's context, with a clock that the test sets: it says `left_ms` each time but the last, then nothing."""

    looks: int = 1_000_000
    left_ms: int = 30_000
    function_version: str = "3"
    aws_request_id: str = "8f5072b1-7d4e-4f0e-9e0b-6f1f2b1c9a10"

    def get_remaining_time_in_millis(self) -> int:
        self.looks -= 1
        return self.left_ms if self.looks >= 0 else 0


class Gateway(BaseHTTPRequestHandler):
    """API Gateway before the function; `server` knows the handler and how events are made."""

    server: Any

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: str | None) -> None:
        reply = self._ask(body) if self.headers["x-api-key"] == KEY else {"statusCode": 403, "body": '{"message":"F"}'}
        raw = reply["body"].encode()
        self.send_response(reply["statusCode"])
        for name, value in {**reply.get("headers", {}), "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def _ask(self, body: str | None) -> Any:
        before, slash, name = self.path.rpartition("/models/")
        resource, path = (f"{before}/models/{{model}}", {"model": unquote(name)}) if slash else (self.path, {})
        event = self.server.rest(self.command, resource, body, **path)
        event["headers"] = {**event["headers"], **dict(self.headers)}
        return self.server.handler(event, self.server.context)


@pytest.fixture
def parrot(tmp_path: Path, layer: Callable[[Bundle], Path]) -> Bundle:
    """A text generator in the layer."""
    bundle = seal_generator(tmp_path / PARROT / "1")
    layer(bundle)
    return bundle


@pytest.fixture
def app(
    start: Callable[[str], ModuleType], parrot: Bundle, starter: Bundle, tmp_path: Path, layer: Callable[[Bundle], Path]
) -> Iterator[ModuleType]:
    layer(seal_embedder(tmp_path / COMPASS / "1"))
    layer(starter)
    module = start("inference.app")
    yield module
    assert module.capture.flush(10)


@pytest.fixture
def gateway(app: ModuleType, rest: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """The server, which calls the handler once at a time and from one thread, as Lambda does."""
    server: Any = HTTPServer(("127.0.0.1", 0), Gateway)
    server.handler, server.rest, server.context = app.handler, rest, Context()

    def serve() -> None:
        with asyncio.Runner() as runner:
            asyncio.set_event_loop(runner.get_loop())
            server.serve_forever(poll_interval=0.01)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["v1", "openai/v1"])
def client(gateway: Any, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    url = f"http://127.0.0.1:{gateway.server_port}/{getattr(request, 'param', 'v1')}"
    with OpenAI(base_url=url, api_key="not needed", default_headers={"x-api-key": KEY}, max_retries=0) as client:
        yield client


one_prefix = pytest.mark.parametrize("client", ["v1"], indirect=True)


def test_the_models_are_listed_with_what_they_are(client: OpenAI) -> None:
    listed = client.models.list().data

    assert [(each.id, each.kind) for each in listed] == [  # type: ignore[attr-defined]
        (COMPASS, "text-embedder"),
        (PARROT, "text-generator"),
        ("triage", "text-classifier"),
    ]
    assert {(each.object, each.owned_by) for each in listed} == {("model", "pawl")}
    assert {each.created for each in listed} == {1784019600}  # 2026-07-14T09:00:00Z


def test_a_model_is_found_by_name_version_and_alias(client: OpenAI) -> None:
    for name in (PARROT, f"{PARROT}@1", f"{PARROT}@live"):
        found = client.models.retrieve(name)
        assert (found.id, found.version) == (name, "1")  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve(f"{PARROT}@2")
    assert refused.value.code == "model_not_found"


def test_a_chat_is_answered_and_its_id_is_a_receipt(
    client: OpenAI, keys: ReceiptKeys, now_ms: int, parrot: Bundle
) -> None:
    reply = client.chat.completions.create(model=PARROT, messages=SAY, max_tokens=8, seed=1, n=2, user="ada")

    receipt = keys.verify(reply.id, now_ms=now_ms, valid_days=1)
    assert (receipt.model, receipt.model_version, receipt.function_version, receipt.rows) == (PARROT, "1", "3", 2)
    assert (reply.model, reply.system_fingerprint) == (f"{PARROT}@1", parrot.digest[:12])
    assert [choice.finish_reason for choice in reply.choices] == ["length", "length"]
    assert reply.choices[0].message.content != reply.choices[1].message.content
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 16
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 16


def test_the_same_seed_gives_the_same_text_whole_or_streamed(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": PARROT, "messages": SAY, "max_tokens": 24, "seed": 5, "temperature": 0.8}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))

    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == (
        whole.choices[0].message.content
    )
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len({each.id for each in chunks}) == 1


@one_prefix
def test_the_client_puts_a_stream_together_to_the_whole_reply(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": PARROT, "messages": SAY, "stop": ["e", "a"], "seed": 5, "logprobs": True, "n": 2}
    with client.chat.completions.stream(**asked) as stream:
        joined = stream.get_final_completion()

    whole = client.chat.completions.create(**asked)
    assert [each.message.content for each in joined.choices] == [each.message.content for each in whole.choices]
    assert [each.finish_reason for each in joined.choices] == ["stop", "stop"]
    told = [each.logprobs.content for each in joined.choices if each.logprobs]
    assert told == [each.logprobs.content for each in whole.choices if each.logprobs]
    assert all(told)


def test_a_completion_goes_on_with_each_prompt_whole_or_streamed(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": PARROT, "prompt": ["the parrot says", "un café"], "seed": 2, "echo": True}
    whole = client.completions.create(**asked)
    texts = ["", ""]
    for each in client.completions.create(**asked, stream=True):
        texts[each.choices[0].index] += each.choices[0].text

    assert [choice.text for choice in whole.choices] == texts
    assert texts[0].startswith("the parrot says")
    assert texts[1].startswith("un café")
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 32


@one_prefix
def test_token_ids_say_the_same_as_their_text_and_must_be_the_model_s(client: OpenAI) -> None:
    said = client.completions.create(model=PARROT, prompt=[40, 41, 42], temperature=0)

    assert said.choices == client.completions.create(model=PARROT, prompt=[[40, 41, 42]], temperature=0).choices
    with pytest.raises(openai.BadRequestError, match="the token ids of parrot go from 0 to"):
        client.completions.create(model=PARROT, prompt=[40, 1_000_000])


@one_prefix
def test_log_probabilities_come_with_the_likeliest_tokens(client: OpenAI) -> None:
    chat = client.chat.completions.create(
        model=PARROT, messages=SAY, max_tokens=5, temperature=0, logprobs=True, top_logprobs=3
    )
    text = client.completions.create(model=PARROT, prompt="the parrot", max_tokens=5, temperature=0, logprobs=2)

    told = chat.choices[0].logprobs
    assert told is not None and told.content is not None
    assert len(told.content) == 5
    for token in told.content:
        assert token.top_logprobs[0].logprob == token.logprob
        assert len(token.top_logprobs) == 3
    listed = text.choices[0].logprobs
    assert listed is not None and listed.text_offset is not None and listed.tokens is not None
    assert [len(each or "") for each in (listed.text_offset, listed.tokens, listed.token_logprobs)] == [5, 5, 5]
    said = text.choices[0].text
    begins = [said[place:].startswith(token) for place, token in zip(listed.text_offset, listed.tokens, strict=True)]
    assert begins == [not token.startswith("bytes:") for token in listed.tokens]


class Bird(BaseModel):
    """What the parrot must answer."""

    name: str
    is_alive: bool


@one_prefix
def test_an_answer_is_parsed_into_the_type_that_was_asked_for(client: OpenAI) -> None:
    reply = client.chat.completions.parse(model=PARROT, messages=SAY, seed=3, max_tokens=400, response_format=Bird)

    assert isinstance(reply.choices[0].message.parsed, Bird)


@one_prefix
def test_a_json_answer_is_an_object(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model=PARROT, messages=SAY, seed=4, max_tokens=600, response_format={"type": "json_object"}
    )

    assert reply.choices[0].finish_reason == "stop"
    assert isinstance(json.loads(reply.choices[0].message.content or ""), dict)


@one_prefix
def test_a_stop_string_ends_the_text_before_it(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": PARROT, "prompt": "the parrot says", "max_tokens": 40, "temperature": 0}
    whole = client.completions.create(**asked).choices[0]
    stop = whole.text[6:9]
    cut = client.completions.create(**asked, stop=[stop, "never said"]).choices[0]

    assert (whole.finish_reason, cut.finish_reason) == ("length", "stop")
    assert cut.text == whole.text[: whole.text.index(stop)]


@one_prefix
def test_extras_that_other_servers_know_are_taken(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": PARROT, "prompt": "the", "max_tokens": 12, "temperature": 2, "seed": 1}
    greedy = client.completions.create(**{**asked, "temperature": 0})
    picked = client.completions.create(**asked, extra_body={"top_k": 1, "min_p": 0, "repetition_penalty": 1})

    assert picked.choices[0].text == greedy.choices[0].text


@one_prefix
def test_a_text_cut_by_the_function_s_end_says_so(client: OpenAI, gateway: Any) -> None:
    gateway.context = Context(looks=6)
    choice = client.chat.completions.create(model=PARROT, messages=SAY, temperature=0).choices[0]

    assert choice.finish_reason == "length"
    assert choice.pawl == {"cut_by": "deadline"}  # type: ignore[attr-defined]
    assert choice.message.content


def test_embeddings_are_vectors_of_length_one_whichever_way_they_travel(
    client: OpenAI, keys: ReceiptKeys, now_ms: int
) -> None:
    texts = ["north", "east", "north east"]
    packed = client.embeddings.create(model=COMPASS, input=texts)  # as base64, unless told otherwise
    plain = client.embeddings.create(model=COMPASS, input=texts, encoding_format="float", dimensions=3)

    assert [each.embedding for each in packed.data[:2]] == [[0, 1, 0], [1, 0, 0]]
    assert packed.data[2].embedding == pytest.approx([0.5**0.5, 0.5**0.5, 0], abs=1e-6)
    assert [[np.float32(value) for value in each.embedding] for each in plain.data] == (
        [each.embedding for each in packed.data]
    )
    assert [each.index for each in plain.data] == [0, 1, 2]
    assert plain.usage.prompt_tokens == plain.usage.total_tokens == 7  # a token before each text
    receipt = keys.verify(plain.id, now_ms=now_ms, valid_days=1)  # type: ignore[attr-defined]
    assert (receipt.model, receipt.rows) == (COMPASS, 3)


@one_prefix
def test_embeddings_that_are_not_offered_are_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="compass has 3"):
        client.embeddings.create(model=COMPASS, input="north", dimensions=2)
    with pytest.raises(openai.BadRequestError, match="token ids are not offered"):
        client.embeddings.create(model=COMPASS, input=[1, 2])
    with pytest.raises(openai.BadRequestError, match="5 texts: want 1 to 4"):
        client.embeddings.create(model=COMPASS, input=["north"] * 5)


@one_prefix
@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model"),
        ({"model": "triage"}, openai.BadRequestError, "model"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
        ({"extra_body": {"best": 1}}, openai.BadRequestError, "best"),
        ({"messages": [{"role": "user", "content": "a parrot " * 600}]}, openai.BadRequestError, "messages"),
        ({"messages": [], "stream": True}, openai.BadRequestError, "messages"),
    ],
)
def test_what_does_not_fit_is_an_exception_of_its_own_that_names_the_field(
    client: OpenAI, fields: dict[str, Any], kind: type[openai.APIStatusError], param: str
) -> None:
    with pytest.raises(kind) as refused:
        client.chat.completions.create(**{"model": PARROT, "messages": SAY, **fields})

    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert param in refused.value.message


@one_prefix
def test_feedback_takes_the_id_of_an_answer(
    client: OpenAI,
    start: Callable[[str], ModuleType],
    rest: Callable[..., dict[str, Any]],
    body_of: Callable[..., Any],
    cloud: Any,
) -> None:
    said = client.chat.completions.create(model=PARROT, messages=SAY, max_tokens=2)
    body = {"metric_name": "thumbs_up", "value": True, "inference_id": said.id}

    reply = start("feedback.app").handler(rest("POST", "/feedback", body, sender="feedback"), Context())

    assert (reply["statusCode"], list(body_of(reply))) == (200, ["feedback_id"])
    (item,) = cloud.feedback_items.scan()["Items"]
    assert said.id.split(".")[1] in json.dumps(item, default=str)


@one_prefix
def test_a_client_without_the_key_is_kept_out(client: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(default_headers={"x-api-key": "guessed"}).models.list()


@one_prefix
def test_an_answer_and_a_stream_are_captured_once_each(client: OpenAI, app: ModuleType, cloud: Any) -> None:
    whole = client.chat.completions.create(model=PARROT, messages=SAY, max_tokens=4, temperature=0)
    streamed = list(client.completions.create(model=PARROT, prompt="the", max_tokens=4, temperature=0, stream=True))

    assert app.capture.flush(10)
    records = {each["inference_id"]: each for each in cloud.messages("capture")}
    assert records.keys() == {whole.id, streamed[0].id}
    assert records[whole.id]["inputs"] == {"messages": [json.dumps(SAY, separators=(",", ":"))]}
    assert records[whole.id]["outputs"]["text"] == [whole.choices[0].message.content]
    assert records[streamed[0].id]["inputs"] == {"prompt": ["the"]}
    assert records[streamed[0].id]["outputs"]["text"] == ["".join(each.choices[0].text for each in streamed)]
    assert set(records[whole.id]["features"]) == {
        "prompt_tokens",
        "tokens",
        "finish_reason",
        "logprob",
        "latency_ms",
    }


FIRST = """
import json, sys
from types import SimpleNamespace
from inference.app import handler
context = SimpleNamespace(function_version="3", aws_request_id="r", get_remaining_time_in_millis=lambda: 29_000)
reply = handler(json.load(sys.stdin), context)
roots = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({"status": reply["statusCode"], "roots": sorted(roots - sys.stdlib_module_names)}))
"""


@pytest.mark.parametrize(
    ("route", "asked"),
    [
        ("/v1/chat/completions", {"model": PARROT, "messages": SAY, "max_tokens": 2}),
        ("/v1/completions", {"model": PARROT, "prompt": "the parrot", "max_tokens": 2}),
        ("/v1/embeddings", {"model": COMPASS, "input": "north"}),
    ],
)
def test_the_first_answer_of_a_process_imports_neither_a_web_framework_nor_the_sdk(
    route: str, asked: dict[str, Any], app: ModuleType, tmp_path: Path, rest: Callable[..., dict[str, Any]]
) -> None:
    paths = [ROOT / "functions", ROOT / "layers" / "core", tmp_path / "python"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}

    done = subprocess.run(
        [sys.executable, "-c", FIRST],
        input=json.dumps(rest("POST", route, asked)),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    seen = json.loads(done.stdout.splitlines()[0])
    assert seen["status"] == 200
    unwanted = {"fastapi", "starlette", "mangum", "pydantic", "boto3", "botocore", "aws_lambda_powertools"}
    assert unwanted & set(seen["roots"]) == set()
