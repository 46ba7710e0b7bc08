"""OpenAI's embeddings over an embedder whose vectors are a text's words and letters."""

import base64
import struct
from typing import Any

import numpy as np
import pytest
from tests.unit.parrots import KEYS, World

from pawl.bundle import Manifest


@pytest.fixture
def world(manifest: Manifest) -> World:
    return World(manifest)


def test_embeddings_are_numbers_in_the_order_of_the_inputs(world: World) -> None:
    body = world.embed(input=["one two", "three"], encoding_format="float", dimensions=2)

    assert body["data"] == [
        {"object": "embedding", "index": 0, "embedding": [2.0, 0.699999988]},
        {"object": "embedding", "index": 1, "embedding": [1.0, 0.5]},
    ]
    assert (body["object"], body["model"]) == ("list", "embed@3")
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert np.float32(0.699999988) == np.float32(0.7)


def test_embeddings_as_base64_are_little_endian_floats(world: World) -> None:
    (row,) = world.embed(encoding_format="base64")["data"]

    assert base64.b64decode(row["embedding"]) == struct.pack("<2f", 2, 0.6)


def test_an_embedding_is_captured_without_its_vector(world: World) -> None:
    body = world.embed(input=["one", "two"], user="ada")

    record = world.offered[0]()
    assert KEYS.verify(body["id"], now_ms=record.unix_ms, valid_days=1).rows == 2
    assert (record.inference_id, record.model) == (body["id"], "embed")
    assert (record.inputs, record.outputs) == ({"text": ["one", "two"]}, {})
    assert len(record.features.pop("latency_ms")) == 2
    assert record.features == {"tokens": [1, 1]}
    assert world.counts("embed") == (1, 2, 0)


def test_an_embedding_that_fails_is_counted_and_not_captured(world: World) -> None:
    status, error = world.error("embeddings", {"model": "embed", "input": "bite"})

    assert (status, "Ada" in error["message"]) == (500, False)
    assert (world.offered, world.counts("embed")) == ([], (0, 0, 1))


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": None}, "input", None),
        ({"input": []}, "input", None),
        ({"input": [1, 2]}, "input", None),
        ({"input": [[1, 2]]}, "input", None),
        ({"input": ["a", 1]}, "input", None),
        ({"input": "\udc00"}, "input", None),
        ({"input": list("abcde")}, "input", None),
        ({"dimensions": 3}, "dimensions", "unsupported_value"),
        ({"dimensions": True}, "dimensions", None),
        ({"encoding_format": "hex"}, "encoding_format", None),
        ({"extra": 1}, "extra", None),
        ({"user": 7}, "user", None),
    ],
)
def test_a_request_for_embeddings_that_does_not_fit_is_refused(
    world: World, fields: dict[str, Any], param: str, code: str | None
) -> None:
    status, error = world.error("embeddings", {"model": "embed", "input": "a", **fields})

    assert (status, error["param"], error["code"]) == (400, param, code)
