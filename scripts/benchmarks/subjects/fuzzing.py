"""Requests as no client should send them: valid ones broken at random, by a fixed seed, as API Gateway passes them on.

Each of `BREAKS` is one way in which a body can be wrong; not all end in an error: a request may survive its break.
Only the standard library.
"""

import base64
import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Event = dict[str, Any]
Body = dict[str, Any]

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    "",
    "\ud800",
    "\0",
    "a" * 5000,
    [],
    {},
    [[]],
    [[["deep"]]],
    {"text": {"text": 1}},
    float("nan"),
    float("-inf"),
)
HEADER_LENGTH = "Inference-Header-Content-Length"
BIG_BODY_BYTES = 6_000_000
_BIG_DATA_BYTES = BIG_BODY_BYTES - 10_000
_BIG_EVERY = 500


def events(count: int, seed: int = 0) -> Iterator[Event]:
    """So many broken requests; one in a few hundred is as big as API Gateway and Lambda let through."""
    chance = random.Random(seed)
    for number in range(count):
        resource, path, body = chance.choice(_SEEDS)
        if number % _BIG_EVERY == _BIG_EVERY - 1:
            data: bytes | str = _big(chance, body)
        else:
            data = chance.choice(BREAKS)(chance, copy.deepcopy(body))
        if chance.random() < 0.05:
            path = {**path, "model": chance.choice(["", "nobody", "../triage", "triage\0", "x" * 300])}
        yield _event(chance, resource, path, data)


def _break_value(chance: random.Random, body: Body) -> str:
    """A value anywhere becomes one of another type or range."""
    for _ in range(chance.randint(1, 3)):
        holder, key = chance.choice(list(_places(body)))
        holder[key] = copy.deepcopy(chance.choice(ODD_VALUES))
    return json.dumps(body)


def _break_keys(chance: random.Random, body: Body) -> str:
    """A field is missing, or one is there that nobody knows."""
    holder, key = chance.choice([place for place in _places(body) if isinstance(place[0], dict)])
    if chance.random() < 0.5:
        del holder[key]
    else:
        holder[str(key) + "_"] = chance.choice(ODD_VALUES)
    return json.dumps(body)


def _break_shape(chance: random.Random, body: Body) -> str:
    """The shape does not fit the data."""
    for tensor in body.get("inputs", []):
        tensor["shape"] = [chance.choice([-1, 0, 1, 2, 2**31, 2**63]) for _ in range(chance.randint(0, 4))]
    return json.dumps(body)


def _truncate(chance: random.Random, body: Body) -> str:
    """The end is missing."""
    text = json.dumps(body)
    return text[: chance.randrange(len(text))]


def _flip_bytes(chance: random.Random, body: Body) -> bytes:
    """Some bytes are others: often no JSON any more, often no UTF-8."""
    data = bytearray(json.dumps(body).encode())
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def _nest(chance: random.Random, body: Body) -> str:
    """Deep JSON, alone or as a value of a request."""
    depth = chance.choice([50, 900, 5000, 100_000])
    nest = chance.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth])
    return nest if chance.random() < 0.5 else json.dumps({**body, "parameters": "@"}).replace('"@"', nest)


def _noise(chance: random.Random, body: Body) -> bytes:
    """Anything at all."""
    return chance.randbytes(chance.randint(0, 400))


def _binary(chance: random.Random, body: Body) -> bytes:
    """The binary extension with sizes that do not sum, elements that claim more bytes than there are, or no head."""
    sizes = [chance.choice([-1, 0, 3, 4, 9, 2**31, "4", None]) for _ in range(chance.randint(1, 2))]
    inputs = [
        {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}} for size in sizes
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": chance.random() < 0.5}}).encode()
    length = chance.choice([0, 4, 5, 2**31, 2**32 - 1])
    return head + length.to_bytes(4, "little") + chance.randbytes(chance.choice([0, 4, 5, 40]))


def _intact(chance: random.Random, body: Body) -> str:
    """Nothing is wrong with it: what came before must not have broken the server."""
    return json.dumps(body)


BREAKS: tuple[Callable[[random.Random, Body], bytes | str], ...] = (
    _break_value,
    _break_value,
    _break_keys,
    _break_shape,
    _truncate,
    _flip_bytes,
    _nest,
    _noise,
    _binary,
    _intact,
)


def _big(chance: random.Random, body: Body) -> bytes:
    """One huge text, or many small rows."""
    rows = ["a long text " * (_BIG_DATA_BYTES // 12)] if chance.random() < 0.5 else ["row"] * (_BIG_DATA_BYTES // 7)
    tensor = {"name": "text", "shape": [len(rows)], "datatype": "BYTES", "data": rows}
    wide = {"inputs": [tensor]} if "inputs" in body else {**body, "prompt": rows[0], "input": rows[0]}
    return json.dumps(wide).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _event(chance: random.Random, resource: str, path: dict[str, str], data: bytes | str) -> Event:
    headers = {"Content-Type": "application/json"}
    if chance.random() < (0.8 if isinstance(data, bytes) else 0.05):
        end = data.find(b'"parameters": {"binary_data_output"') if isinstance(data, bytes) else -1
        right = data.rfind(b"}}") + 2 if isinstance(data, bytes) and end > 0 else len(data)
        headers[HEADER_LENGTH] = str(chance.choice([right, right, right, 0, -1, 7, 10**9, "x", right + 1]))
    is_binary = isinstance(data, bytes)
    name = resource.replace("{model}", path.get("model", ""))
    return {
        "httpMethod": "POST",
        "resource": resource,
        "path": name,
        "pathParameters": path or None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "headers": headers,
        "multiValueHeaders": {key: [value] for key, value in headers.items()},
        "requestContext": {"requestId": "bench", "resourcePath": resource, "httpMethod": "POST", "stage": "v1"},
        "body": base64.b64encode(data).decode() if isinstance(data, bytes) else data,
        "isBase64Encoded": is_binary,
    }


def _texts(*texts: str) -> Body:
    return {
        "id": "a",
        "parameters": {"priority": 1},
        "inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}],
        "outputs": [{"name": "label"}, {"name": "probabilities", "parameters": {"classification": 2}}],
    }


_INFER = "/v2/models/{model}/infer"
_SEEDS: tuple[tuple[str, dict[str, str], Body], ...] = (
    (_INFER, {"model": "triage"}, _texts("where is my parcel")),
    (_INFER, {"model": "triage"}, _texts("cancel my plan", "the app crashes")),
    ("/v2/models/{model}/versions/{version}/infer", {"model": "triage", "version": "live"}, _texts("a refund please")),
    ("/v1/embeddings", {}, {"model": "embed", "input": ["one text", "another"], "encoding_format": "float"}),
    ("/v1/completions", {}, {"model": "assistant", "prompt": "Once", "max_tokens": 1, "temperature": 0, "n": 1}),
    (
        "/v1/chat/completions",
        {},
        {
            "model": "assistant",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "max_tokens": 2,
            "stop": ["."],
            "seed": 1,
        },
    ),
)
