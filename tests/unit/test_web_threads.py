"""Which thread asks the engine: a model may be read whole for it, and the event loop has others to answer meanwhile."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
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
