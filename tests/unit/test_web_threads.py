"""Which thread asks the engine: a model may be read whole for it, and the event loop has others to answer meanwhile."""

import asyncio
import threading
from collections.abc import Callable

import httpx
import pytest

from inference import web
from inference.engine import Engine
from inference.service import Service
from pawl.model import Model
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
    def offer(self, make: Callable[[], CaptureRecord]) -> None:
        """Keeps nothing."""


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
