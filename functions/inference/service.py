"""What a request comes to, whichever server it came through: the answer, its receipt, and its capture.

Knows neither Lambda nor a web framework: the Lambda handler, the container's HTTP and gRPC servers all call it.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol, cast

import numpy as np

from inference.engine import Engine
from inference.oip import HEADER_LENGTH, InferRequest, parse_infer, render_infer
from inference.statistics import Statistics
from pawl.bundle import Manifest, Tensor
from pawl.model import Answer, Column, Features, Model, Parameter
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord

JSON = "application/json"
BINARY = "application/octet-stream"
EVENTS = "text/event-stream"
GENERATOR, TENSORS = "text-generator", "tensors"
"""Kinds that are answered apart: by a deadline, and with the rows of others."""
_CAPTURED_WIDTH = 64
"""The most values a row of a numeric tensor that is captured; wider ones leave only their features."""
_TOKEN_BYTES = 40
"""What a token takes in the list in which a model keeps them for its features; a byte of text makes one at most."""
Run = Callable[[Model, Mapping[str, Column], Mapping[str, Parameter]], Answer]
RunAsync = Callable[[Model, Mapping[str, Column], Mapping[str, Parameter]], Awaitable[Answer]]


class Call(NamedTuple):
    """Who answers, and how many seconds are left for it; ClientLeft instead where nobody waits any more."""

    function_version: str
    remaining_s: Callable[[], float] = lambda: float("inf")

    def within(self, remaining_s: Callable[[], float]) -> "Call":
        """The same call for somebody who has no more seconds than `remaining_s` says."""
        return Call(self.function_version, lambda: min(self.remaining_s(), remaining_s()))


class Asked(NamedTuple):
    """A checked request to a model, of `size` bytes."""

    model: Model
    request: InferRequest
    size: int


class Reply(NamedTuple):
    """A complete HTTP reply."""

    status: int
    body: str | bytes
    content_type: str = JSON
    headers: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stream:
    """A reply that comes piece by piece: server-sent events."""

    status: int
    chunks: Iterator[str]
    content_type: str = EVENTS


class Generator(Protocol):
    """A model that ends its texts when a deadline has come."""

    def predict(
        self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter], deadline: Callable[[], bool]
    ) -> Answer: ...


class Capturer(Protocol):
    """Takes what makes a record, which holds about `size` bytes, and makes it when the reply has left."""

    def offer(self, make: Callable[[], CaptureRecord], size: int) -> None: ...


class Service:
    """Answers requests by the engine's models; `run` is what calls a model (the container's batches calls).

    `run_async` is the same for an event loop, and None where nothing is gained by it.
    """

    def __init__(self, engine: Engine, keys: ReceiptKeys, capture: Capturer, row_limit: int) -> None:
        self.engine = engine
        self.statistics = Statistics()
        self.row_limit = row_limit
        self.run: Run = _predict
        self.run_async: RunAsync | None = None
        self._keys = keys
        self._capture = capture

    def infer(
        self, body: str | bytes, header_length: int | None, model_name: str, version: str | None, call: Call
    ) -> Reply:
        """The reply to an Open Inference Protocol request; the answer is captured on the way."""
        asked = self.read(self.engine.get(model_name, version), body, header_length)
        began = time.perf_counter_ns()
        try:
            answer = self._run(asked.model, asked.request, call)
        except Exception:
            self.statistics.count_failure(asked.model.manifest, time.perf_counter_ns() - began)
            raise
        return self.reply(asked, call, answer, time.perf_counter_ns() - began)

    def read(self, model: Model, body: str | bytes, header_length: int | None) -> Asked:
        """What an Open Inference Protocol request asks of a model, checked."""
        return Asked(model, parse_infer(body, header_length, model.manifest, self.row_limit), len(body))

    def reply(self, asked: Asked, call: Call, answer: Answer, took_ns: int) -> Reply:
        """The reply to a request whose model has answered, and which is counted and captured with it."""
        model, request, size = asked
        manifest = model.manifest
        payload = _payload(request.inputs)
        inference_id, unix_ms = self.receipt(manifest, request.rows, payload, call)
        self.statistics.count_success(manifest, request.rows, took_ns, unix_ms, answer.run)
        make = partial(_captured, inference_id, unix_ms, manifest, request, answer, took_ns)
        held = max(size, len(payload)) + _TOKEN_BYTES * min(len(payload), request.rows * manifest.max_tokens)
        self.record(make, held + sum(map(size_of, answer.outputs.values())), request.user)
        text, binary = render_infer(manifest, request, inference_id, answer)
        if not any(wanted.is_binary for wanted in request.outputs):
            return Reply(200, text)
        head = text.encode()
        return Reply(200, head + binary, BINARY, {HEADER_LENGTH: str(len(head))})

    def _run(self, model: Model, request: InferRequest, call: Call) -> Answer:
        if model.manifest.kind == GENERATOR:  # may take longer than there is time
            generator = cast(Generator, model)
            return generator.predict(request.inputs, request.parameters, lambda: call.remaining_s() <= 0)
        return self.run(model, request.inputs, request.parameters)

    def receipt(self, manifest: Manifest, rows: int, payload: bytes, call: Call) -> tuple[str, int]:
        """A signed inference_id for an answer given now, and that time in milliseconds since 1970."""
        now_ms = time.time_ns() // 1_000_000
        inference_id = self._keys.sign(
            model=manifest.name,
            model_version=manifest.version,
            function_version=call.function_version,
            rows=rows,
            payload=payload,
            unix_ms=now_ms,
            random=os.urandom(10),
        )
        return inference_id, now_ms

    def record(self, make: Callable[[], CaptureRecord], size: int, user: str = "") -> None:
        """Capture an answer; `make` is called off the reply's path, and what it makes names `user` by a pseudonym.

        `size` is about how many bytes are held until then.
        """
        self._capture.offer(partial(self._of_subject, make, user) if user else make, size)

    def _of_subject(self, make: Callable[[], CaptureRecord], user: str) -> CaptureRecord:
        return replace(make(), subject=self._keys.pseudonym(user))


def _predict(model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]) -> Answer:
    return model.predict(inputs, parameters)


def _payload(inputs: Mapping[str, Column]) -> bytes:
    """What the receipt's digest covers: texts, or the raw tensors in the model's order."""
    parts = [_bytes_of(column) for column in inputs.values()]
    return parts[0] if len(parts) == 1 else b"\0".join(parts)


def _bytes_of(column: Column) -> bytes:
    if isinstance(column, np.ndarray):
        if column.dtype != object:
            return column.tobytes()
        column = column.ravel().tolist()
    return "\0".join(column).encode()


def size_of(column: Column) -> int:
    """About how many bytes an output takes: what is listed one by one is texts."""
    return column.nbytes if isinstance(column, np.ndarray) else len("".join(column))


def _captured(
    inference_id: str, unix_ms: int, manifest: Manifest, request: InferRequest, answer: Answer, took_ns: int
) -> CaptureRecord:
    """The record of an answer: texts as they are, numbers of a tensor model where they are few."""
    return CaptureRecord(
        inference_id,
        manifest.name,
        manifest.version,
        unix_ms,
        _columns(manifest, manifest.inputs, request.inputs, request.rows),
        _columns(manifest, manifest.outputs, answer.outputs, request.rows),
        timed(answer.features(), request.rows, took_ns),
    )


def timed(features: Features, rows: int, took_ns: int) -> Features:
    """The features of an answer with how long its model ran, in milliseconds: told once, in the first of its rows."""
    return {**features, "latency_ms": [round(took_ns / 1e6, 3), *[None] * (rows - 1)]}


def _columns(
    manifest: Manifest, tensors: list[Tensor], values: Mapping[str, Column], rows: int
) -> dict[str, list[object]]:
    """One entry a row; a tensor that all rows share stands in each of them."""
    captured: dict[str, list[object]] = {}
    for tensor in tensors:
        column = values[tensor.name]
        if tensor.datatype != "BYTES" and manifest.kind != TENSORS:
            continue
        if not isinstance(column, np.ndarray):
            captured[tensor.name] = list(column)
        else:
            each = column if tensor.shape[:1] == [-1] else np.repeat(column[None], rows, axis=0)
            if len(each) == rows and each.size <= rows * _CAPTURED_WIDTH:
                captured[tensor.name] = each.tolist()
    return captured
