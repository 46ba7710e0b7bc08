"""Which thread asks the engine: a model may be read whole for it, and the event loop has others to answer meanwhile."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from inference import web
from inference.engine import Engine
from inference.service import Service
from pawl.bundle import Manifest, Tensor
from pawl.model import Answer, Column, Model, Parameter
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.signing import read_trust


class Watched(Engine):
    """An engine without models that notes who asks it."""

    def __init__(self) -> None:
        super().__init__(read_trust(""))
        self.asked_by: set[threading.Thread] = set()

    def models(self) -> dict[str, list[str]]:
        self.asked_by.add(threading.current_thread())
        return super().models()

    def get(self, name: str, version: str | None = None) -> Model:
        self.asked_by.add(threading.current_thread())
        return super().get(name, version)

    def resolve(self, name: str, version: str | None) -> str:
        self.asked_by.add(threading.current_thread())
        return super().resolve(name, version)


class Nowhere:
    """Keeps nothing, but notes who writes the reply."""

    def __init__(self) -> None:
        self.offered_by: set[threading.Thread] = set()

    def offer(self, make: Callable[[], CaptureRecord], size: int) -> None:
        self.offered_by.add(threading.current_thread())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/health/ready"),
        ("GET", "/v2/models"),
        ("GET", "/v2/models/stats"),
        ("GET", "/v2/models/triage"),
        ("GET", "/v2/models/triage/ready"),
        ("GET", "/v2/models/triage/stats"),
        ("GET", "/v2/models/triage/versions/1"),
        ("GET", "/v2/models/triage/versions/1/ready"),
        ("GET", "/v2/models/triage/versions/1/stats"),
        ("POST", "/v2/models/triage/infer"),
        ("POST", "/v2/repository/index"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/triage"),
        ("POST", "/v1/embeddings"),
    ],
)
def test_the_engine_is_never_asked_on_the_event_loop(method: str, path: str) -> None:
    engine = Watched()
    app = web.build(Service(engine, ReceiptKeys("1:" + "s" * 32), Nowhere(), row_limit=4))

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            await client.request(method, path, json={"model": "triage", "input": "hello"})

    asyncio.run(ask())

    assert engine.asked_by
    assert threading.main_thread() not in engine.asked_by


class Echo:
    """A model that is open, says each text so many times, and notes who runs it."""

    digest = "1"

    def __init__(self, manifest: Manifest, times: int) -> None:
        self.manifest = manifest
        self.run_by: set[threading.Thread] = set()
        self._times = times

    def predict(
        self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter], deadline: Any = None
    ) -> Answer:
        self.run_by.add(threading.current_thread())
        return Answer({"label": [self._times * text for text in inputs["text"]]}, dict)


@pytest.mark.parametrize(
    ("kind", "length", "times", "is_awaited", "is_written_here"),
    [
        ("classifier", 20, 1, True, True),
        ("classifier", 20, 4_000, True, False),
        ("classifier", 70_000, 1, False, False),
        ("text-generator", 20, 1, False, False),
    ],
    ids=["small", "large answer", "large", "generator"],
)
def test_a_small_request_to_an_open_model_waits_on_the_event_loop(
    manifest: Manifest, kind: str, length: int, times: int, is_awaited: bool, is_written_here: bool
) -> None:
    model: Any = Echo(replace(manifest, kind=kind, outputs=[Tensor("label", "BYTES", [-1])]), times)
    awaited: list[Mapping[str, Column]] = []

    class Opened(Watched):
        def opened(self, name: str, version: str | None = None) -> Model | None:
            return model

    async def run(model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]) -> Answer:
        awaited.append(inputs)
        return await asyncio.to_thread(model.predict, inputs, parameters)

    capture, engine = Nowhere(), Opened()
    service = Service(engine, ReceiptKeys("1:" + "s" * 32), capture, row_limit=4)
    service.run_async = run
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x" * length]}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(web.build(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/v2/models/triage/infer", json={"inputs": [tensor]})

    reply = asyncio.run(ask())

    assert (reply.status_code, reply.json()["outputs"][0]["data"]) == (200, ["x" * length * times])
    assert bool(awaited) == is_awaited
    assert threading.main_thread() not in {*model.run_by, *engine.asked_by}
    assert (capture.offered_by == {threading.main_thread()}) == is_written_here


class Embedder(Echo):
    """An embedder whose vector of a text is its length, and zero."""

    def predict(
        self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter], deadline: Any = None
    ) -> Answer:
        self.run_by.add(threading.current_thread())
        texts = list(inputs["text"])
        vectors = np.array([[len(text), 0] for text in texts], np.float32)
        return Answer({"embedding": vectors}, lambda: {"tokens": [1] * len(texts)})


@pytest.mark.parametrize(
    ("is_open", "length", "is_awaited"),
    [(True, 20, True), (False, 20, True), (True, 70_000, False)],
    ids=["open", "still to be opened", "large"],
)
def test_small_embeddings_wait_on_the_event_loop_and_models_are_opened_by_a_thread(
    manifest: Manifest, is_open: bool, length: int, is_awaited: bool
) -> None:
    about = replace(manifest, kind="text-embedder", outputs=[Tensor("embedding", "FP32", [-1, 2])])
    model: Any = Embedder(about, 1)
    awaited: list[Mapping[str, Column]] = []

    class Opening(Watched):
        def opened(self, name: str, version: str | None = None) -> Model | None:
            return model if is_open else None

        def get(self, name: str, version: str | None = None) -> Model:
            self.asked_by.add(threading.current_thread())
            return model

    async def run(model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]) -> Answer:
        awaited.append(inputs)
        return await asyncio.to_thread(model.predict, inputs, parameters)

    engine = Opening()
    service = Service(engine, ReceiptKeys("1:" + "s" * 32), Nowhere(), row_limit=4)
    service.run_async = run

    async def ask(**fields: Any) -> httpx.Response:
        transport = httpx.ASGITransport(web.build(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/v1/embeddings", json={"model": "embed", "input": "x" * length, **fields})

    reply = asyncio.run(ask())
    refused = asyncio.run(ask(dimensions=3))

    assert [row["embedding"] for row in reply.json()["data"]] == [[length, 0]]
    assert bool(awaited) == is_awaited
    assert (threading.main_thread() in engine.asked_by) == (is_open and is_awaited)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "dimensions")
    assert (
        service.statistics.report([(about.name, about.version)])["model_stats"][0]["inference_stats"]["success"][
            "count"
        ]
        == 1
    )
