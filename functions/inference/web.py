"""Every route of inference as one web application: the container serves it whole; on Lambda it answers what is not on
the hot path (health, metadata, statistics, repository, lists of models, the OpenAPI document).

What asks the engine may read a whole model from the disk, so those routes are not `async`: each takes a thread. A
request to a model that is open waits for its run without one, where the service can do that.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from mangum import Mangum
from starlette.types import Message, Receive, Scope, Send

from inference import embeddings, metadata, openai
from inference.names import split_name
from inference.oip import HEADER_LENGTH, parse_header_length, parse_object
from inference.refusals import refuse
from inference.schema import BYTES, INFER, STREAM, Schema, document, ref, route
from inference.service import GENERATOR, JSON, Call, Reply, RunAsync, Service, Stream, size_of
from pawl.errors import ClientLeft, InvalidRequest, UnsupportedRequest
from pawl.model import Answer, Model
from pawl.web import application, gateway

_SMALL_BYTES = 32_768
"""A body or an answer of so many bytes takes about a millisecond to be read or written."""
_OWN_CALL = Call("0")
"""Outside Lambda there is no function version."""
_Answer = Callable[..., Awaitable[Response]]


class _Plain(APIRoute):
    """A route that is given requests as they are: the framework reads nothing of them, which takes it 30 us."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        endpoint: _Answer = self.endpoint

        async def answer(request: Request) -> Response:
            return await endpoint(request, **request.path_params)

        return answer


def build(service: Service, call: Call = _OWN_CALL) -> FastAPI:
    """The web application over the models of `service`; `call` says who answers, and when to end."""
    app = application("Pawl inference")
    _add_inference_routes(app, service, call)  # the first to match are found soonest
    _add_server_routes(app, service)
    _add_model_routes(app, service)
    _add_repository_routes(app, service)
    for prefix in ("/v1", "/openai/v1"):
        _add_openai_routes(app, service, call, prefix)
    return app


@functools.cache
def handler(service: Service) -> Mangum:
    """The application as a Lambda handler, built when it is first needed."""
    return gateway(build(service))


def _add_server_routes(app: FastAPI, service: Service) -> None:
    @app.get("/openapi.json", **route(json={"type": "object"}))
    async def openapi() -> Response:
        return JSONResponse(document(app))

    @app.get("/v2", **route(json=ref("Server")))
    async def server() -> dict[str, Any]:
        return metadata.server()

    @app.get("/v2/health/live", **route(json=ref("Live")))
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", **route(json=ref("Ready")))
    def ready() -> dict[str, bool]:
        metadata.check_ready(service.engine)
        return {"ready": True}

    @app.get("/v2/models", **route(json=ref("Models")))
    def models() -> dict[str, list[str]]:
        return {"models": list(service.engine.models())}

    @app.get("/v2/models/stats", **route(json=ref("Statistics")))
    def statistics() -> dict[str, Any]:
        return service.statistics.report(metadata.versions(service.engine))


def _add_model_routes(app: FastAPI, service: Service) -> None:
    engine = service.engine

    @app.get("/v2/models/{model}", **route(404, json=ref("Model")))
    def live_metadata(model: str) -> dict[str, Any]:
        return metadata.model(engine, model, None)

    @app.get("/v2/models/{model}/versions/{version}", **route(404, json=ref("Model")))
    def version_metadata(model: str, version: str) -> dict[str, Any]:
        return metadata.model(engine, model, version)

    @app.get("/v2/models/{model}/ready", **route(404, json=ref("ModelReady")))
    def live_ready(model: str) -> dict[str, Any]:
        engine.get(model)
        return {"name": model, "ready": True}

    @app.get("/v2/models/{model}/versions/{version}/ready", **route(404, json=ref("ModelReady")))
    def version_ready(model: str, version: str) -> dict[str, Any]:
        engine.get(model, version)
        return {"name": model, "ready": True}

    @app.get("/v2/models/{model}/stats", **route(404, json=ref("Statistics")))
    def model_statistics(model: str) -> dict[str, Any]:
        return service.statistics.report(metadata.versions(engine, model))

    @app.get("/v2/models/{model}/versions/{version}/stats", **route(404, json=ref("Statistics")))
    def version_statistics(model: str, version: str) -> dict[str, Any]:
        return service.statistics.report(metadata.versions(engine, model, version))


def _add_repository_routes(app: FastAPI, service: Service) -> None:
    @app.post("/v2/repository/index", **route(json=ref("Index")))
    async def index(request: Request) -> list[dict[str, str]]:
        return await run_in_threadpool(metadata.index, service.engine, _wants_ready(await request.body()))

    @app.post("/v2/repository/models/{model}/load", **route(501))
    async def load(model: str) -> None:
        raise UnsupportedRequest(metadata.FIXED_MODELS)

    @app.post("/v2/repository/models/{model}/unload", **route(501))
    async def unload(model: str) -> None:
        raise UnsupportedRequest(metadata.FIXED_MODELS)


def _add_inference_routes(app: FastAPI, service: Service, call: Call) -> None:
    about = route(404, 501, body=INFER, json=ref("InferReply"), binary=BYTES)

    async def infer(request: Request, model: str, version: str | None) -> Response:
        length = parse_header_length(request.headers.get(HEADER_LENGTH))
        body = await request.body()
        opened = service.engine.opened(model, version) if len(body) <= _SMALL_BYTES else None
        if service.run_async is None or opened is None or opened.manifest.kind == GENERATOR:
            return await _respond(request, call, service.infer, body, length, model, version)
        return _response(await _infer(service, service.run_async, opened, body, length, call))

    @_post(app, "/v2/models/{model}/infer", about)
    async def infer_live(request: Request, model: str) -> Response:
        return await infer(request, model, None)

    @_post(app, "/v2/models/{model}/versions/{version}/infer", about)
    async def infer_version(request: Request, model: str, version: str) -> Response:
        return await infer(request, model, version)


def _add_openai_routes(app: FastAPI, service: Service, call: Call, prefix: str) -> None:
    async def answer(path: str, request: Request) -> Response:
        return await _respond(request, call, openai.ROUTES[path], service, await request.body())

    @_post(app, f"{prefix}/chat/completions", _openai("ChatRequest", json=ref("ChatReply"), events=STREAM))
    async def chat_completions(request: Request) -> Response:
        return await answer("chat/completions", request)

    @_post(app, f"{prefix}/completions", _openai("CompletionRequest", json=ref("CompletionReply"), events=STREAM))
    async def completions(request: Request) -> Response:
        return await answer("completions", request)

    @_post(app, f"{prefix}/embeddings", _openai("EmbeddingRequest", json=ref("EmbeddingReply")))
    async def embed(request: Request) -> Response:
        body = await request.body()
        if service.run_async is None or len(body) > _SMALL_BYTES:
            return await _respond(request, call, openai.embeddings, service, body)
        return _response(await _embed(service, service.run_async, body, call))

    @app.get(f"{prefix}/models", **route(error="OpenAiError", json=ref("OpenAiModels")))
    def models() -> Response:
        return _response(openai.models(service))

    @app.get(f"{prefix}/models/{{model}}", **route(404, error="OpenAiError", json=ref("OpenAiModel")))
    def model(model: str) -> Response:
        return _response(openai.model(service, model))


def _post(app: FastAPI, path: str, about: Schema) -> Callable[[_Answer], _Answer]:
    """Decorates what answers the requests that are sent to a path."""

    def add(answer: _Answer) -> _Answer:
        app.router.add_api_route(path, answer, methods=["POST"], route_class_override=_Plain, **about)
        return answer

    return add


async def _infer(service: Service, run: RunAsync, model: Model, body: bytes, length: int | None, call: Call) -> Reply:
    """`Service.infer` on the event loop."""
    asked = service.read(model, body, length)
    answering = run(model, asked.request.inputs, asked.request.parameters)
    return await _finish(service, model, answering, functools.partial(service.reply, asked, call))


async def _embed(service: Service, run: RunAsync, body: bytes, call: Call) -> Reply:
    """`openai.embeddings` on the event loop."""
    try:
        request = embeddings.parse_embedding(body, service.row_limit)
        is_open = service.engine.opened(*split_name(request.model)) is not None
        opening = functools.partial(embeddings.open_embedder, service, request)
        model = opening() if is_open else await run_in_threadpool(opening)
        answering = run(model, {"text": request.texts}, {})
        return await _finish(
            service, model, answering, functools.partial(embeddings.reply, service, request, model, call)
        )
    except Exception as error:
        return refuse(error)


async def _finish(
    service: Service, model: Model, answering: Awaitable[Answer], reply: Callable[[Answer, int], Reply]
) -> Reply:
    """The reply once the model has answered; what is large is written by a thread, for the event loop is for all."""
    began = time.perf_counter_ns()
    try:
        answer = await answering
    except Exception:
        service.statistics.count_failure(model.manifest, time.perf_counter_ns() - began)
        raise
    finish = functools.partial(reply, answer, time.perf_counter_ns() - began)
    size = sum(map(size_of, answer.outputs.values()))
    return finish() if size <= _SMALL_BYTES else await run_in_threadpool(finish)


def _wants_ready(body: bytes) -> bool:
    """Whether a request for the index, which may have no body, asks for the versions that are ready."""
    asked = parse_object(body, 'want {"ready": true}') if body else {}
    if not isinstance(asked.get("ready", False), bool):
        raise InvalidRequest("ready must be true or false")
    return asked.get("ready", False)


def _openai(body: str, **reply: Schema) -> Schema:
    return route(404, body={JSON: ref(body)}, error="OpenAiError", **reply)


async def _respond(request: Request, call: Call, answer: Any, *arguments: Any) -> Response:
    """The answer as an HTTP response; a model's run takes a thread, so that others are answered meanwhile.

    A text whose client leaves ends with the token that is being made.
    """
    client = _Client(request.receive)
    watch = asyncio.create_task(client.watch())
    try:
        given = await run_in_threadpool(answer, *arguments, call.within(client.remaining_s))
    finally:
        watch.cancel()
        await asyncio.wait([watch])
    return _EventResponse(given, client) if isinstance(given, Stream) else _response(given)


class _Client:
    """Whoever waits for an answer, and whether they still do."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.has_left = False

    def remaining_s(self) -> float:
        """As long as it takes, but ClientLeft once they have."""
        if self.has_left:
            raise ClientLeft("whoever asked has left")
        return float("inf")

    async def receive(self) -> Message:
        """What comes from them next; that they have left is noted."""
        message = await self._receive()
        self.has_left = self.has_left or message["type"] == "http.disconnect"
        return message

    async def watch(self) -> None:
        """Note when they leave."""
        while not self.has_left:
            await self.receive()


class _EventResponse(StreamingResponse):
    """A stream that is closed when its client has gone: a text left open would keep its model's generator to itself."""

    def __init__(self, answer: Stream, client: _Client) -> None:
        super().__init__(answer.chunks, answer.status, media_type=answer.content_type)
        self._chunks = answer.chunks
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, self._client.receive, send)
        finally:  # no thread is in it any more: Starlette waits for the piece that is being made
            if isinstance(self._chunks, Generator):
                self._chunks.close()


def _response(answer: Reply) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), answer.content_type)
