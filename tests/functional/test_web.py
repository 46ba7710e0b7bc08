"""The form of errors that all HTTPS functions share."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pawl.errors import Conflict
from pawl.web import application, gateway


class Context:
    aws_request_id = "request-1"


def ask(path: str) -> tuple[int, Any]:
    app = application("test")

    @app.get("/unforeseen")
    def unforeseen() -> None:
        raise ValueError("what a user wrote")

    @app.get("/ours")
    def ours() -> None:
        raise Conflict("somebody else was first: try again")

    event = {
        "resource": path,
        "path": path,
        "httpMethod": "GET",
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"identity": {"sourceIp": "127.0.0.1"}},
        "body": None,
        "isBase64Encoded": False,
    }
    reply = gateway(app)(event, Context())  # type: ignore[arg-type]
    return reply["statusCode"], json.loads(reply["body"])


def test_an_unforeseen_error_is_answered_and_logged_without_its_text(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert ask("/unforeseen") == (500, {"error": "internal error; request request-1"})
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["error"], line["request_id"]) == ("ERROR", "ValueError", "request-1")
    assert line["frames"][-1].startswith("test_web.py:")
    assert "what a user wrote" not in json.dumps(line) + caplog.text


def test_an_error_of_ours_has_its_own_status() -> None:
    assert ask("/ours") == (409, {"error": "somebody else was first: try again"})


def test_an_unknown_route_is_named() -> None:
    assert ask("/nowhere") == (404, {"error": "no route GET /nowhere"})


def test_a_method_that_a_route_does_not_have_is_named_with_those_it_has() -> None:
    app = application("test")

    @app.get("/here")
    def here() -> None: ...

    reply = TestClient(app).post("/here")

    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")
    assert reply.json() == {"error": "no route POST /here"}
