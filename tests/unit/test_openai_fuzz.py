"""Whatever comes in, the OpenAI routes answer or refuse it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.parrots import HELLO, IN_TIME, World

from inference import openai
from pawl.bundle import Manifest

any_text = st.text(st.characters(exclude_categories=()), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(any_text, children, max_size=4),
    max_leaves=10,
)
roles = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles, "content": any_text | json_values}, optional={"name": any_text | json_values}
    ),
    max_size=3,
)
forms = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "json_object", "json_schema"])}, optional={"json_schema": json_values}
)
FITTING: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "parrot", "messages": HELLO},
    "completions": {"model": "parrot", "prompt": "say it"},
    "embeddings": {"model": "embed", "input": "say it"},
}
TEXT_FIELDS = (
    *("max_tokens", "temperature", "top_k", "seed", "n", "stop", "stream", "stream_options", "logprobs"),
    *("response_format", "metadata"),
)
SHARED: dict[str, Sequence[str]] = {
    "chat/completions": (*TEXT_FIELDS, "top_logprobs", "tools"),
    "completions": (*TEXT_FIELDS, "echo"),
    "embeddings": ("encoding_format", "dimensions", "metadata"),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["parrot", "embed", "parrot@live", "parrot@9"]),
    "messages": messages,
    "prompt": any_text | st.lists(any_text) | st.lists(st.integers(-1, 120)),
    "input": any_text | st.lists(any_text, max_size=5),
    "encoding_format": st.sampled_from(["float", "base64"]),
    "dimensions": st.integers(1, 3),
    "echo": st.booleans(),
    "max_tokens": st.integers(-1, 9),
    "temperature": st.floats(-1, 3),
    "top_k": st.integers(-2, 5),
    "seed": st.integers(),
    "n": st.integers(0, 9),
    "stop": any_text | st.lists(any_text, max_size=5),
    "stream": st.booleans(),
    "stream_options": st.fixed_dictionaries({}, optional={"include_usage": json_values}),
    "logprobs": st.booleans() | st.integers(-1, 6),
    "top_logprobs": st.integers(-1, 21),
    "response_format": forms,
    "metadata": json_values,
    "tools": json_values,
}


def changes(route: str) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """Fields to change: mostly to something like a right value, every fourth time to anything; sometimes made up."""
    names = sorted(name for name in VALUES if name in {**FITTING[route], **dict.fromkeys(SHARED[route])})
    values = {
        name: st.integers(0, 3).flatmap(lambda one_in, fit=VALUES[name]: json_values if one_in == 0 else fit)
        for name in names
    }
    known = st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), values[name]))
    made_up = st.tuples(any_text, json_values)
    return st.integers(0, 9).flatmap(lambda one_in: st.lists(made_up if one_in == 0 else known, max_size=3))


@pytest.mark.parametrize("route", openai.ROUTES)
def test_whatever_comes_in_is_answered_or_refused_in_openai_s_form(route: str, manifest: Manifest) -> None:
    world = World(manifest)
    bodies = changes(route).map(lambda changed: json.dumps(FITTING[route] | dict(changed)))
    anything = st.integers(0, 9).flatmap(lambda one_in: json_values.map(json.dumps) if one_in else st.binary())

    @settings(max_examples=400)
    @given(st.integers(0, 9).flatmap(lambda one_in: anything if one_in == 0 else bodies))
    def check(body: str | bytes) -> None:
        answer = openai.complete(openai.ROUTES[route](world.service, body, IN_TIME))
        assert answer.status in (200, 400, 404)
        assert isinstance(answer.body, str)
        assert "server_error" not in answer.body
        if answer.status != 200:
            assert json.loads(answer.body)["error"].keys() == {"message", "type", "param", "code"}

    check()
    name = "embed" if route == "embeddings" else "parrot"
    assert world.counts(name)[0] == len(world.offered) > 40
