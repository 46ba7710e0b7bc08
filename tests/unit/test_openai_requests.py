"""OpenAI requests as their bodies come in: what each field means here, and which are refused and how."""

import json
from typing import Any

import pytest

from inference.embeddings import EmbeddingRequest, parse_embedding
from inference.options import Options
from inference.prompts import ChatRequest, CompletionRequest, parse_chat, parse_completion
from inference.refusals import RefusedField
from pawl.errors import InvalidRequest
from pawl.sampling import Sampling

ASKED: dict[str, Any] = {"model": "parrot", "messages": [{"role": "user", "content": "say it"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def chat(**fields: Any) -> ChatRequest:
    return parse_chat(json.dumps(ASKED | fields))


def completion(**fields: Any) -> CompletionRequest:
    return parse_completion(json.dumps({"model": "parrot", "prompt": "say it", **fields}), 4)


def said(*messages: dict[str, Any]) -> list[dict[str, str]]:
    return chat(messages=messages).messages


def test_a_plain_chat_goes_on_to_the_context_s_end_as_the_model_would() -> None:
    assert chat() == ChatRequest("parrot", ASKED["messages"], Options(Sampling(), 1, False, False))


def test_a_plain_completion_has_sixteen_tokens() -> None:
    assert completion() == CompletionRequest("parrot", ["say it"], False, Options(Sampling(16), 1, False, False))


def test_every_field_of_the_sampling_reaches_it() -> None:
    given: dict[str, Any] = {
        "max_tokens": 9,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "seed": -3,
    }

    assert chat(**given, stop=["a", "b"]).options.sampling == Sampling(**given, stop=("a", "b"))


def test_null_means_what_leaving_out_means() -> None:
    fields = ("max_tokens", "temperature", "top_p", "stop", "seed", "n", "stream", "logprobs", "tools", "user", "store")

    assert chat(**dict.fromkeys(fields), response_format=None, stream_options=None) == chat()


def test_the_newer_name_of_the_token_limit_comes_first() -> None:
    assert chat(max_tokens=5, max_completion_tokens=3).options.sampling.max_tokens == 3


def test_minus_one_is_another_word_for_every_token() -> None:
    assert chat(top_k=-1).options.sampling.top_k == 0


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, None),
        ({"logprobs": False, "top_logprobs": 0}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 20}, 20),
    ],
)
def test_log_probabilities_of_a_chat_are_a_flag_and_a_count(fields: dict[str, Any], wanted: int | None) -> None:
    assert chat(**fields).options.sampling.top_logprobs == wanted


def test_log_probabilities_of_a_completion_are_a_count() -> None:
    assert completion(logprobs=5).options.sampling.top_logprobs == 5


def test_a_reply_may_be_bound_to_json_or_to_a_schema() -> None:
    assert chat(response_format={"type": "text"}).options.sampling == Sampling()
    assert chat(response_format={"type": "json_object"}).options.sampling == Sampling(json=True)
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}
    assert chat(response_format=form).options.sampling == Sampling(json_schema=SCHEMA)


def test_a_stream_may_include_its_usage() -> None:
    options = chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}).options

    assert (options.is_stream, options.includes_usage) == (True, True)


def test_the_seeds_of_several_texts_follow_each_other_around_the_end() -> None:
    options = chat(n=2, seed=2**63 - 1).options

    assert [options.sampling_of(i).seed for i in range(2)] == [2**63 - 1, -(2**63)]
    assert chat(n=2).options.sampling_of(1).seed is None


def test_parts_of_text_are_lines_of_a_message() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]

    assert said({"role": "user", "content": parts}) == [{"role": "user", "content": "one\ntwo"}]


def test_a_developer_is_what_templates_call_the_system() -> None:
    spoken = said({"role": "developer", "content": ""}, {"role": "user", "content": "hi", "name": "ada"})

    assert spoken == [{"role": "system", "content": ""}, {"role": "user", "content": "hi", "name": "ada"}]


def test_an_answer_may_be_sent_back_as_its_client_dumps_it() -> None:
    dumped = {"role": "assistant", "content": "a", "refusal": None, "annotations": [], "tool_calls": None}

    assert said(dumped, ASKED["messages"][0])[0] == {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_cache_key": "b", "metadata": {"c": "d"}},
        {"store": False, "service_tier": "auto", "parallel_tool_calls": True, "tool_choice": "auto"},
        {"tools": [], "functions": [], "function_call": "none", "logit_bias": {}, "modalities": ["text"]},
        {"audio": None, "prediction": None, "reasoning_effort": "none", "verbosity": "medium"},
    ],
)
def test_fields_that_ask_for_nothing_are_taken(fields: dict[str, Any]) -> None:
    assert chat(**fields) == chat()


@pytest.mark.parametrize(
    ("fields", "user"),
    [({"user": "ada"}, "ada"), ({"user": "ada", "safety_identifier": "a-7"}, "a-7"), ({"user": None}, ""), ({}, "")],
)
def test_who_asks_is_told_by_the_newer_of_two_names(fields: dict[str, Any], user: str) -> None:
    assert chat(**fields).options.user == user


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        *[
            (fields, next(iter(fields)), "unsupported_parameter")
            for fields in (
                {"tools": [{"type": "function"}]},
                {"tool_choice": "required"},
                {"functions": [{}]},
                {"logit_bias": {"7": 1}},
                {"modalities": ["text", "audio"]},
                {"audio": {"voice": "a"}},
                {"store": True},
                {"service_tier": "priority"},
                {"reasoning_effort": "high"},
                {"web_search_options": {}},
            )
        ],
        *[
            (fields, next(iter(fields)), None)
            for fields in (
                {"topp": 1},
                {"suffix": "a"},
                {"temperature": 2.1},
                {"temperature": "1"},
                {"temperature": True},
                {"temperature": 10**400},
                {"top_p": -0.1},
                {"top_k": -2},
                {"min_p": 1.1},
                {"repetition_penalty": 0},
                {"presence_penalty": -2.1},
                {"frequency_penalty": []},
                {"max_tokens": 0},
                {"max_tokens": 16.0},
                {"max_completion_tokens": -1},
                {"max_tokens": 2**31},
                {"seed": 2**63},
                {"n": 0},
                {"n": 9},
                {"n": True},
                {"stop": 7},
                {"stop": ""},
                {"stop": ["a", ""]},
                {"stop": list("abcde")},
                {"stop": "x" * 257},
                {"stop": "\ud800"},
                {"stop": "a", "response_format": {"type": "json_object"}},
                {"stream": 1},
                {"stream_options": {}},
                {"stream_options": [], "stream": True},
                {"logprobs": 1},
                {"top_logprobs": 1},
                {"top_logprobs": 21, "logprobs": True},
                {"user": 7},
                {"metadata": []},
                {"parallel_tool_calls": "no"},
                {"response_format": "json"},
                {"messages": None},
                {"messages": []},
                {"messages": {}},
                {"messages": ["hi"]},
            )
        ],
        ({"stream": True, "stream_options": {"extra": 1}}, "stream_options.extra", None),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", None),
        ({"response_format": {"type": "xml"}}, "response_format.type", None),
        ({"response_format": {"type": "text", "schema": {}}}, "response_format.schema", None),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
            "response_format.json_schema",
            None,
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "a": 1}}},
            "response_format.json_schema.a",
            None,
        ),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_its_name(fields: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(RefusedField) as refused:
        chat(**fields)

    assert (refused.value.param, refused.value.code, refused.value.status) == (param, code, 400)
    assert str(refused.value).startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ({}, "role", None),
        ({"role": "user"}, "content", None),
        ({"role": "user", "content": None}, "content", None),
        ({"role": "user", "content": []}, "content", None),
        ({"role": "user", "content": "half \udc00"}, "content", None),
        ({"role": "parrot", "content": "a"}, "role", None),
        ({"role": ["user"], "content": "a"}, "role", None),
        ({"role": "user", "content": "a", "name": 7}, "name", None),
        ({"role": "user", "content": "a", "mood": "good"}, "mood", None),
        ({"role": "tool", "content": "a", "tool_call_id": "b"}, "role", "unsupported_value"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "tool_calls", "unsupported_parameter"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "content[0]", "unsupported_value"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}, "content[1]", "unsupported_value"),
        ({"role": "user", "content": [{"type": "text", "text": 7}]}, "content[0].text", None),
        ({"role": "user", "content": [{"type": "text", "text": "\ud800"}]}, "content[0].text", None),
    ],
)
def test_a_message_that_does_not_fit_is_refused_by_its_place(
    message: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RefusedField) as refused:
        said(ASKED["messages"][0], message)

    assert (refused.value.param, refused.value.code) == (f"messages[1].{param}", code)


def test_a_refusal_says_what_would_be_right_and_quotes_no_text() -> None:
    with pytest.raises(RefusedField, match=r"^temperature: want a number from 0 to 2$"):
        chat(temperature=3)
    with pytest.raises(RefusedField, match=r"unknown fields 'extra1', 'extra2': want .*temperature"):
        chat(extra2="secret", extra1="secret")
    with pytest.raises(RefusedField, match=r"want one of system, developer, user, assistant$"):
        said({"role": "secret", "content": "secret"})


@pytest.mark.parametrize(
    ("given", "prompts"),
    [("", [""]), ("a", ["a"]), (["a", "b"], ["a", "b"]), ([7, 8], [[7, 8]]), ([[7], [8, 9]], [[7], [8, 9]])],
)
def test_prompts_are_texts_or_token_ids(given: Any, prompts: list[Any]) -> None:
    assert completion(prompt=given).prompts == prompts


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", None),
        ({"prompt": []}, "prompt", None),
        ({"prompt": [[]]}, "prompt", None),
        ({"prompt": ["a", 7]}, "prompt", None),
        ({"prompt": [7, "a"]}, "prompt", None),
        ({"prompt": [[7], "a"]}, "prompt", None),
        ({"prompt": [True]}, "prompt", None),
        ({"prompt": [-1]}, "prompt", None),
        ({"prompt": "\ud800"}, "prompt", None),
        ({"prompt": list("abcde")}, "prompt", None),
        ({"prompt": ["a", "b"], "n": 3}, "prompt", None),
        ({"logprobs": True}, "logprobs", None),
        ({"logprobs": 6}, "logprobs", None),
        ({"echo": "yes"}, "echo", None),
        ({"echo": True, "logprobs": 1}, "echo", "unsupported_parameter"),
        ({"echo": True, "prompt": [7]}, "echo", "unsupported_parameter"),
        ({"suffix": "a"}, "suffix", "unsupported_parameter"),
        ({"best_of": 2}, "best_of", "unsupported_parameter"),
        ({"max_completion_tokens": 2}, "max_completion_tokens", None),
        ({"messages": []}, "messages", None),
    ],
)
def test_a_completion_that_does_not_fit_is_refused_by_its_field(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RefusedField) as refused:
        completion(**fields)

    assert (refused.value.param, refused.value.code) == (param, code)


def test_as_many_texts_as_rows_are_taken_and_the_best_of_all_is_all() -> None:
    assert completion(prompt=["a", "b"], n=2, best_of=2, suffix=None).options.n == 2


def test_a_request_for_embeddings_is_texts_and_a_form() -> None:
    body = {"model": "embed", "input": "a", "dimensions": 384, "encoding_format": "base64", "user": "ada"}

    assert parse_embedding(json.dumps(body), 4) == EmbeddingRequest("embed", ["a"], True, 384, "ada")
    assert parse_embedding('{"model":"embed","input":["a",""]}', 4) == EmbeddingRequest("embed", ["a", ""], False, None)


@pytest.mark.parametrize("body", ["", "[]", "null", "{", b"\xff", '{"model": NaN}', "[" * 100_000, '"' + "a" * 9])
def test_a_body_that_is_no_object_is_refused(body: str | bytes) -> None:
    for parse in (parse_chat, lambda body: parse_completion(body, 4), lambda body: parse_embedding(body, 4)):
        with pytest.raises(InvalidRequest, match=r"^the body "):
            parse(body)
