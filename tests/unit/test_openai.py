"""The OpenAI routes answer whole replies and errors over a generator that says the same thing every time."""

import json
from typing import Any

import pytest
from tests.unit.parrots import HELLO, IN_TIME, KEYS, World, late_after

from inference import openai
from inference.refusals import refuse
from pawl import errors
from pawl.bundle import Manifest


@pytest.fixture
def world(manifest: Manifest) -> World:
    return World(manifest)


def test_a_chat_is_answered_in_openai_s_form(world: World) -> None:
    body = world.chat()

    identifier, created = body.pop("id"), body.pop("created")
    receipt = KEYS.verify(identifier, now_ms=created * 1000, valid_days=1)
    assert created == receipt.unix_ms // 1000
    assert (receipt.model, receipt.model_version, receipt.function_version, receipt.rows) == ("parrot", "3", "7", 1)
    assert body == {
        "object": "chat.completion",
        "model": "parrot@3",
        "system_fingerprint": "0123456789ab",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Polly wants a nut", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }


def test_a_completion_is_answered_in_openai_s_form(world: World) -> None:
    body = world.complete(max_tokens=2)

    assert (body["object"], body["model"]) == ("text_completion", "parrot@3")
    assert body["choices"] == [{"index": 0, "text": "Polly wants", "logprobs": None, "finish_reason": "length"}]
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


@pytest.mark.parametrize("model", ["parrot", "parrot@3", "parrot@live"])
def test_a_model_is_asked_for_by_name_version_or_alias(world: World, model: str) -> None:
    assert world.chat(model=model)["model"] == "parrot@3"


def test_each_of_several_texts_has_a_seed_of_its_own_and_the_prompt_counts_once(world: World) -> None:
    body = world.chat(n=3, seed=41, max_tokens=1)

    assert [each["message"]["content"] for each in body["choices"]] == ["Polly41", "Polly42", "Polly43"]
    assert [each["index"] for each in body["choices"]] == [0, 1, 2]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert KEYS.verify(body["id"], now_ms=body["created"] * 1000, valid_days=1).rows == 3
    assert world.counts() == (1, 3, 0)


def test_every_prompt_of_a_list_gets_n_texts_in_its_order(world: World) -> None:
    body = world.complete(prompt=["one", "two words"], n=2, seed=5, max_tokens=1, echo=True)

    assert [each["text"] for each in body["choices"]] == [
        "onePolly5",
        "onePolly6",
        "two wordsPolly5",
        "two wordsPolly6",
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_token_ids_are_a_prompt_as_they_are(world: World) -> None:
    assert world.complete(prompt=[5, 6, 7])["usage"]["prompt_tokens"] == 3
    assert world.complete(prompt=[[5, 6, 7], [8]])["usage"]["prompt_tokens"] == 4
    assert world.offered[-1]().inputs == {"prompt": ["[5, 6, 7]", "[8]"]}


def test_an_answer_is_captured_with_its_messages_and_what_the_profile_counts(world: World) -> None:
    body = world.chat(n=2, user="ada", metadata={"of": "ada"})

    (make,) = world.offered
    record = make()
    assert (record.inference_id, record.model, record.version) == (body["id"], "parrot", "3")
    assert record.inputs == {"messages": ['[{"role":"user","content":"say it"}]'] * 2}
    assert record.outputs == {"text": ["Polly wants a nut"] * 2, "finish_reason": ["stop", "stop"]}
    latency = record.features.pop("latency_ms")
    assert latency[0] >= 0 and latency[1:] == [None]
    assert record.features == {
        "prompt_tokens": [3, 3],
        "tokens": [4, 4],
        "finish_reason": ["stop", "stop"],
        "logprob": [-0.25, -0.25],
    }
    assert "ada" not in record.to_json()


def test_a_text_that_its_client_leaves_is_captured_as_far_as_it_went(world: World) -> None:
    left = iter([1.0, 1.0])

    def remaining_s() -> float:
        for seconds in left:
            return seconds
        raise errors.ClientLeft

    body = json.dumps({"model": "parrot", "prompt": "say it"})
    reply = openai.complete(openai.completions(world.service, body, IN_TIME.within(remaining_s)))

    assert (reply.status, world.parrot.is_busy) == (499, False)
    assert [make().outputs for make in world.offered] == [{"text": ["Polly wants"], "finish_reason": ["cancelled"]}]
    assert world.counts() == (1, 1, 0)


def test_a_text_that_the_deadline_cuts_says_so_and_comes_back_as_far_as_it_is(world: World) -> None:
    body = world.ask("chat/completions", late_after(2), model="parrot", messages=HELLO)

    assert body["choices"][0]["message"]["content"] == "Polly wants"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["pawl"] == {"cut_by": "deadline"}
    assert world.offered[0]().outputs["finish_reason"] == ["length"]


def test_when_the_time_is_up_the_texts_not_begun_are_cut_as_well(world: World) -> None:
    body = world.ask("completions", late_after(4), model="parrot", prompt="say", n=3)

    assert [each["text"] for each in body["choices"]] == ["Polly wants a nut", "", ""]
    assert [each["finish_reason"] for each in body["choices"]] == ["stop", "length", "length"]
    assert ["pawl" in each for each in body["choices"]] == [False, True, True]


def test_a_text_that_ends_by_its_own_limit_is_not_called_cut(world: World) -> None:
    choice = world.chat(max_completion_tokens=1)["choices"][0]

    assert (choice["finish_reason"], "pawl" in choice) == ("length", False)


def test_log_probabilities_of_a_chat_come_with_bytes_and_never_as_infinity(world: World) -> None:
    body = world.chat(logprobs=True, top_logprobs=2, max_tokens=1)

    polly = {"token": "Polly", "logprob": -0.25, "bytes": [80, 111, 108, 108, 121]}
    halves = [
        {"token": "\ufffd", "logprob": -2.5, "bytes": [240, 159]},
        {"token": "\ufffd", "logprob": -3.5, "bytes": [231, 140]},
        {"token": "\ufffd", "logprob": -9999.0, "bytes": [240, 159]},
    ]
    assert body["choices"][0]["logprobs"] == {
        "content": [{**polly, "top_logprobs": [polly, *halves]}],
        "refusal": None,
    }


def test_log_probabilities_of_a_completion_are_lists_with_offsets(world: World) -> None:
    assert world.complete(logprobs=0, max_tokens=3)["choices"][0]["logprobs"] == {
        "tokens": ["Polly", " wants", " a"],
        "token_logprobs": [-0.25, -0.25, -0.25],
        "top_logprobs": [{"Polly": -0.25}, {" wants": -0.25}, {" a": -0.25}],
        "text_offset": [0, 5, 11],
    }


def test_tokens_that_are_no_text_are_named_by_their_bytes_so_that_none_takes_the_place_of_another(world: World) -> None:
    told = world.complete(logprobs=1, max_tokens=1)["choices"][0]["logprobs"]

    assert told["top_logprobs"] == [{"Polly": -0.25, r"bytes:\xf0\x9f": -2.5, r"bytes:\xe7\x8c": -3.5}]


def test_the_tokens_of_a_stop_string_are_paid_for_and_told_in_the_record(world: World) -> None:
    world.parrot.stop_tokens = 5

    assert world.chat()["usage"] == {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    assert world.offered[0]().features["tokens"] == [9]


def test_an_answer_that_fails_is_a_500_without_its_text_and_is_not_captured(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.parrot.fails_at = 2
    status, error = world.error("chat/completions", {"model": "parrot", "messages": HELLO})

    assert (status, error["type"]) == (500, "server_error")
    assert "Ada" not in error["message"] + capsys.readouterr().out
    assert (world.offered, world.counts()) == ([], (0, 0, 1))


@pytest.mark.parametrize("route", openai.ROUTES)
@pytest.mark.parametrize(
    ("model", "status", "param", "code"),
    [
        ("nobody", 404, "model", "model_not_found"),
        ("parrot@9", 404, "model", "model_not_found"),
        ("parrot@", 404, "model", "model_not_found"),
        ("@3", 404, "model", "model_not_found"),
        ("triage", 400, "model", "unsupported_value"),
        ("x" * 101, 400, "model", None),
        (None, 400, "model", None),
        (7, 400, "model", None),
        ("\ud800", 400, "model", None),
    ],
)
def test_a_model_that_is_not_here_or_of_another_kind_is_refused(
    world: World, route: str, model: Any, status: int, param: str, code: str | None
) -> None:
    asked = {"chat/completions": {"messages": HELLO}, "completions": {"prompt": "a"}, "embeddings": {"input": "a"}}

    answered, error = world.error(route, {"model": model, **asked[route]})

    assert (answered, error["type"]) == (status, "invalid_request_error")
    assert (error["param"], error["code"]) == (param, code)


def test_a_model_that_cannot_be_opened_is_not_ready(world: World) -> None:
    status, error = world.error("embeddings", {"model": "broken", "input": "a"})

    assert (status, error["type"]) == (503, "server_error")
    assert error["message"] == "broken 1: model.onnx is missing"


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.InvalidRequest("a"), 400, "invalid_request_error", None),
        (errors.UnsupportedRequest("a"), 400, "invalid_request_error", "unsupported_parameter"),
        (errors.Unauthorized("a"), 401, "authentication_error", None),
        (errors.NotFound("a"), 404, "invalid_request_error", "model_not_found"),
        (errors.TooLarge("a"), 413, "invalid_request_error", None),
        (errors.TooBusy("a"), 429, "rate_limit_error", None),
        (errors.PawlError("a"), 500, "server_error", None),
        (errors.NotReady("a"), 503, "server_error", None),
    ],
)
def test_every_error_of_ours_has_a_form_that_clients_map_to_a_type(
    error: errors.PawlError, status: int, kind: str, code: str | None
) -> None:
    reply = refuse(error)

    told = json.loads(reply.body)["error"]
    assert (reply.status, told["message"], told["type"], told["code"]) == (status, "a", kind, code)


def test_a_prompt_longer_than_the_context_is_refused_with_both_counts(world: World) -> None:
    status, error = world.error("completions", {"model": "parrot", "prompt": ["word", "word " * 32]})

    assert (status, error["param"], error["code"]) == (400, "prompt", "context_length_exceeded")
    assert error["message"] == "prompt: 32 tokens: parrot has a context of 32, prompt and answer together"
    assert world.complete(prompt="word " * 31)["usage"]["prompt_tokens"] == 31


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("", "want a text that is not empty"), ([100], "from 0 to 99"), ([[1], [2, 10**30]], "from 0 to 99")],
)
def test_a_prompt_that_the_model_has_no_tokens_for_is_refused(world: World, prompt: Any, message: str) -> None:
    status, error = world.error("completions", {"model": "parrot", "prompt": prompt})

    assert (status, error["param"]) == (400, "prompt")
    assert error["message"].endswith(message)


def test_a_schema_that_cannot_be_enforced_is_refused_by_its_field(world: World) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "riddle"}}}

    status, error = world.error(
        "chat/completions", {"model": "parrot", "messages": HELLO, "response_format": form, "stream": True}
    )

    assert (status, error["param"]) == (400, "response_format")
