"""Two thousand spoilt requests through the handler: refused or answered, never an error of the server's own."""

import base64
import json
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.functional.tensor_models import seal_mirror, seal_sums

from inference.oip import HEADER_LENGTH
from pawl.bundle import Bundle

INFER = "/v2/models/{model}/infer"
ODD = [None, True, -1, 0, 1.5, 2**63, 10**30, "", "text", [], [[]], {}, {"a": None}, "\ud800", [1, "a"], -0.0, 1e308]
ODD_TEXTS = [
    "NaN",
    "-Infinity",
    "1e400",
    "[" * 2000,
    '{"a":' * 2000,
    "9" * 5000,
    '"\\ud800"',
    "\x00",
    "'",
    "",
    "\u2028",
]
ODD_LENGTHS = [None, "0", "1", "-1", "x", "", "1.0", "99999999", "9" * 5000]


@pytest.fixture
def app(
    start: Callable[[str], ModuleType], layer: Callable[[Bundle], Path], starter: Bundle, tmp_path: Path
) -> Iterator[ModuleType]:
    """A text classifier and two tensor models."""
    layer(starter)
    layer(seal_mirror(tmp_path / "mirror"))
    layer(seal_sums(tmp_path / "sums"))
    module = start("inference.app")
    yield module
    assert module.capture.flush(10)


def text_request() -> tuple[str, dict[str, Any], bytes]:
    texts = ["refund my invoice", "światło"]
    raw = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    output = {"name": "probabilities", "parameters": {"classification": 2, "binary_data": False}}
    return (
        "triage",
        {"id": "7", "inputs": [tensor], "outputs": [output, {"name": "label"}], "parameters": {"a": 1}},
        raw,
    )


def sums_request() -> tuple[str, dict[str, Any], bytes]:
    left = {"name": "left", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4, 5, 6.5]]}
    right = {"name": "right", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
    matrix = {"name": "matrix", "shape": [3, 2], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
    body = {"inputs": [left, right, matrix], "parameters": {"binary_data_output": True}}
    return "sums", body, struct.pack("<12f", *range(12))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value with every key or index in it."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key])]
    return found


def spoil(chance: random.Random) -> tuple[str, bytes, str | None]:
    """A model's name, a body and the header of the binary extension: right but for a few things."""
    model, body, binary = chance.choice([text_request, sums_request])()
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        container, key = chance.choice(places(body))
        change = chance.randrange(4)
        if change == 0:
            container[key] = chance.choice(ODD)
        elif change == 1:
            del container[key]
        elif change == 2 and isinstance(container, dict):
            container[chance.choice(["extra", "data", "shape", "name", "parameters"])] = chance.choice(ODD)
        else:
            container[key] = [container[key]] * chance.choice([1, 2, 70])
    text = json.dumps(body)
    if chance.random() < 0.1:
        where = chance.randrange(len(text))
        text = text[:where] + chance.choice(ODD_TEXTS) + text[where + chance.randrange(3) :]
    head = text.encode("utf-8", "surrogatepass")
    raw = bytearray(head + binary)
    for _ in range(chance.choice([0, 0, 0, 0, 1, 4])):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    del raw[len(raw) - chance.choice([0, 0, 0, 0, 0, 0, 1, len(raw) // 2]) :]
    length = str(len(head)) if chance.random() < 0.9 else chance.choice(ODD_LENGTHS)
    return chance.choice([model] * 9 + ["triage"]), bytes(raw), length


def test_a_spoilt_request_is_refused_or_answered_and_never_an_error_of_ours(
    app: ModuleType, rest: Callable[..., dict[str, Any]], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, statuses = random.Random(11), Counter[int]()
    for number in range(2000):
        model, raw, length = spoil(chance)
        event = rest("POST", INFER, None, model=model)
        event["headers"] = {**event["headers"], **({} if length is None else {HEADER_LENGTH.lower(): length})}
        if number % 8 == 0:
            event |= {"body": raw.decode("utf-8", "surrogateescape"), "isBase64Encoded": False}
        else:
            event |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}

        reply = app.handler(event, context)

        statuses[reply["statusCode"]] += 1
        assert reply["statusCode"] in (200, 400), (number, reply["body"][:200])
        if reply["statusCode"] == 400:
            (message,) = json.loads(reply["body"]).values()
            assert 0 < len(message) < 1000, (number, message)

    assert min(statuses[200], statuses[400]) >= 250
    assert "ERROR" not in capsys.readouterr().out


def test_six_megabytes_of_anything_are_answered_or_refused(
    app: ModuleType, rest: Callable[..., dict[str, Any]], context: Any
) -> None:
    size = 4_400_000  # as much as fits into Lambda's 6 MB in base64
    bodies = {
        "one word": (json.dumps({"inputs": [text_tensor("a" * size)]}), 200),
        "many words": (json.dumps({"inputs": [text_tensor("ab " * 100_000)]}), 200),
        "other letters": (json.dumps({"inputs": [text_tensor("ś " * 100_000)]}), 200),
        "many rows": (json.dumps({"inputs": [text_tensor(*["a"] * 200_000)]}), 400),
        "many inputs": (json.dumps({"inputs": [text_tensor("a")] * 50_000}), 400),
        "many outputs": (json.dumps({"inputs": [text_tensor("a")], "outputs": [{"name": "label"}] * 200_000}), 400),
        "many parameters": (
            json.dumps({"inputs": [text_tensor("a")], "parameters": {str(i): i for i in range(300_000)}}),
            200,
        ),
        "a long name": (json.dumps({"inputs": [text_tensor("a")], "outputs": [{"name": "a" * size}]}), 400),
        "deep": ('{"inputs":' + "[" * size, 400),
        "digits": ('{"inputs": ' + "9" * size, 400),
        "spaces": (" " * size, 400),
    }
    for name, (body, status) in bodies.items():
        event = rest("POST", INFER, None, model="triage")
        event |= {"body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True}

        reply = app.handler(event, context)

        assert (reply["statusCode"], name) == (status, name)
        assert len(reply["body"]) < 2000


def text_tensor(*texts: str) -> dict[str, Any]:
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
