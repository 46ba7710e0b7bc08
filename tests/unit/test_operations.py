"""`scripts/pawl`, less the deployment that it acts on."""

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from operations.__main__ import COMMANDS
from operations.stack import OperationError, Stack
from operations.troubles import next_step
from pawl.feedback import FeedbackTable
from pawl.versions import Elsewhere


def test_status_tells_what_is_live_and_what_is_only_watched() -> None:
    watched = {"churn": Elsewhere("churn", "7", 1_784_020_867_124), "triage": Elsewhere("triage", "0", 1)}
    registry = SimpleNamespace(models=lambda: ["triage"], models_elsewhere=lambda: list(watched), elsewhere=watched.get)
    canary = {"version": "3", "weight": 0.25}
    live = {"model": "triage", "version": "2"}
    answers = {("GET", "/releases/triage"): {"live": live, "versions": [], "canary": canary}}
    stack = SimpleNamespace(registry=registry, call=lambda verb, path: answers[verb, path])

    assert COMMANDS["status"](stack, argparse.Namespace()) == {
        "triage": {"model": "triage", "version": "2", "canary": "3 at 25%"},
        "churn": {"model": "churn", "version": "7", "newest_ms": 1_784_020_867_124, "served": "elsewhere"},
    }


class Refusing(BaseHTTPRequestHandler):
    """An API that answers every path with the status that stands in it."""

    def do_GET(self) -> None:
        body = json.dumps({"error": "no"}).encode()
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "eu-central-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        stack = Stack()
        stack.outputs = {"ApiUrl": f"http://127.0.0.1:{server.server_port}"}
        yield stack
        server.shutdown()
        serving.join()


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize(
    ("status", "step"), [(403, "execute-api:Invoke"), (404, "pawl models"), (409, "pawl releases"), (418, "pawl logs")]
)
def test_what_a_route_refuses_is_told_with_the_next_step(stack: Stack, status: int, step: str) -> None:
    with pytest.raises(OperationError, match=f"GET /{status}: {status} no") as refused:
        stack.call("GET", f"/{status}")

    assert step in next_step(refused.value)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_an_api_that_is_not_there_is_told_with_the_next_step(stack: Stack) -> None:
    stack.outputs = {"ApiUrl": "http://127.0.0.1:1"}

    with pytest.raises(OperationError, match="refused") as refused:
        stack.call("GET", "/jobs")

    assert "address" in next_step(refused.value)


def test_all_feedback_is_read_page_by_page() -> None:
    pages = {None: {"Items": [{"n": 1}], "LastEvaluatedKey": "second"}, "second": {"Items": [{"n": 2}]}}
    table = SimpleNamespace(scan=lambda ExclusiveStartKey=None, **how: pages[ExclusiveStartKey])

    assert list(FeedbackTable(table).all()) == [{"n": 1}, {"n": 2}]
