"""What stands between the network and the web application: keys, limits, readiness, metrics.

A pure ASGI application around another one. It reads a body whole before the application sees the request, so that a
body that is too large or too slow costs neither a thread nor a place among the requests under way; what is held of
bodies, on their way and being answered, has a limit of its own.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from inference.admission import Admission
from inference.encoding import inflate
from inference.metrics import CONTENT_TYPE, Metrics, Sighting
from inference.refusals import refuse
from inference.service import Reply
from pawl.errors import ClientLeft, InvalidRequest, NotFound, NotReady, PawlError, TooLarge, Unauthorized, log_failure

BODY_LIMIT = 6_000_000
"""The most bytes of a body: what Lambda takes, so that a client can move between the two."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
_LIVE, _READY, _METRICS = "/v2/health/live", "/v2/health/ready", "/metrics"
_OPENAI = ("/v1/", "/openai/v1/")


class TooSlow(InvalidRequest):
    """A body that did not come in time."""

    status = 408


class Guard:
    """The application as the network may see it. A body, and each piece of a reply, has `patience_s` to pass."""

    def __init__(self, app: Application, admission: Admission, metrics: Metrics, patience_s: float) -> None:
        self._app = app
        self._admission = admission
        self._metrics = metrics
        self._patience_s = patience_s

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path == _LIVE:
            await self._app(scope, receive, send)
        elif path == _READY:
            await self._answer_ready(scope, receive, send)
        elif path == _METRICS:
            await self._answer_metrics(scope, send)
        else:
            with self._metrics.watch("openai" if path.startswith(_OPENAI) else "rest") as sighting:
                await self._answer(scope, receive, _Answer(send, sighting, self._patience_s))

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, answer: "_Answer") -> None:
        scope["request_id"] = request_id = os.urandom(8).hex()
        try:
            self._check_key(scope)
            with self._admission.hold() as count:
                body = await self._read(scope, receive, count)
                with self._admission.enter():
                    plain = inflate(body, _header(scope, b"content-encoding"), BODY_LIMIT)
                    count(len(plain) - len(body))
                    await self._app(scope, _replay(plain, receive), answer.send)
        except PawlError as error:
            await _reply(answer.send, refused(scope["path"], error))
        except Exception as error:  # the application has answered 500 and logged it, unless its answer had begun
            if not answer.is_over:
                log_failure(error, request_id)

    async def _answer_ready(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            self._admission.check_ready()
        except NotReady as error:
            await _reply(send, refused(_READY, error))
        else:
            await self._app(scope, receive, send)

    async def _answer_metrics(self, scope: MutableMapping[str, Any], send: Send) -> None:
        try:
            self._check_key(scope)
            await _reply(send, Reply(200, self._metrics.render(), CONTENT_TYPE))
        except Unauthorized as error:
            await _reply(send, refused(_METRICS, error))

    def _check_key(self, scope: MutableMapping[str, Any]) -> None:
        self._admission.check_key(_header(scope, b"x-api-key"), _header(scope, b"authorization"))

    async def _read(self, scope: MutableMapping[str, Any], receive: Receive, count: Callable[[int], None]) -> bytes:
        """The whole body, counted as it comes; TooLarge before it is read where its length is told."""
        too_large = TooLarge(f"the body is too large: want at most {BODY_LIMIT} bytes")
        length = _header(scope, b"content-length") or "0"
        if length.isdigit() and int(length) > BODY_LIMIT:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._patience_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientLeft("whoever asked has left amid the body")
                    chunk = message.get("body", b"")
                    count(len(chunk))
                    body += chunk
                    if len(body) > BODY_LIMIT:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise TooSlow(f"the body did not come within {self._patience_s:g} s") from error


class Exposition:
    """The metrics and nothing else, for a port that only whoever gathers them can reach: no key is asked for."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] == _METRICS:
            await _reply(send, Reply(200, self._metrics.render(), CONTENT_TYPE))
        else:
            await _reply(send, refused(scope["path"], NotFound(f"want {_METRICS}: nothing else is here")))


class _Answer:
    """Passes an answer on, and keeps what became of it. A client that does not read it in time is left."""

    def __init__(self, send: Send, sighting: Sighting, patience_s: float) -> None:
        self.is_over = False
        self._send = send
        self._sighting = sighting
        self._patience_s = patience_s

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._sighting.status = str(message["status"])
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send(message)
        except TimeoutError:
            self.is_over = True
            raise
        self.is_over = message["type"] == "http.response.body" and not message.get("more_body", False)


def refused(path: str, error: PawlError) -> Reply:
    """The reply to a request that comes no further, in the form of its protocol."""
    if path.startswith(_OPENAI):
        return refuse(error)
    return Reply(error.status, json.dumps({"error": str(error)}))


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that has been read, in one piece; then whatever else comes: that the client has gone."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _reply(send: Send, reply: Reply) -> None:
    body = reply.body.encode() if isinstance(reply.body, str) else reply.body
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", str(len(body)).encode())]
    headers += _EXTRA.get(reply.status, [])
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_EXTRA = {
    401: [(b"www-authenticate", b"Bearer")],
    408: [(b"connection", b"close")],
    429: [(b"retry-after", b"1")],
    503: [(b"retry-after", b"1")],
}


def _header(scope: MutableMapping[str, Any], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
