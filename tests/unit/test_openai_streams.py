"""The OpenAI routes' server-sent events: their order, and what becomes of a stream that ends before its time."""

import json

import pytest
from tests.unit.parrots import HELLO, IN_TIME, SAID, World, events

from inference import openai
from pawl.bundle import Manifest


@pytest.fixture
def world(manifest: Manifest) -> World:
    return World(manifest)


def test_offsets_go_on_from_event_to_event(world: World) -> None:
    told = events(world.stream("completions", prompt="say", logprobs=1, n=2))

    offsets = [(each["choices"][0]["index"], each["choices"][0]["logprobs"]["text_offset"]) for each in told]
    assert offsets == [(i, place) for i in (0, 1) for place in ([0], [5], [11], [13], [])]


def test_a_chat_s_events_begin_with_the_role_and_end_with_the_reason(world: World) -> None:
    told = events(world.stream("chat/completions", messages=HELLO))

    assert {each["object"] for each in told} == {"chat.completion.chunk"}
    assert len({(each["id"], each["created"], each["model"], each["system_fingerprint"]) for each in told}) == 1
    choices = [each["choices"][0] for each in told]
    assert choices[0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": None,
    }
    assert [each["delta"].get("content") for each in choices[1:]] == [*SAID, None]
    assert [each["finish_reason"] for each in choices] == [None] * 5 + ["stop"]
    assert not any("usage" in each for each in told)


def test_a_completion_s_events_are_its_text_and_an_echo_comes_first(world: World) -> None:
    told = events(world.stream("completions", prompt="say it", echo=True, max_tokens=2))

    assert [(each["choices"][0]["text"], each["choices"][0]["finish_reason"]) for each in told] == [
        ("say it", None),
        ("Polly", None),
        (" wants", "length"),
    ]


def test_several_texts_are_streamed_one_after_the_other(world: World) -> None:
    told = events(world.stream("chat/completions", messages=HELLO, n=2, max_tokens=1, seed=8))

    parts = [(each["choices"][0]["index"], each["choices"][0]["delta"].get("content")) for each in told]
    assert parts == [(0, ""), (0, "Polly8"), (0, None), (1, ""), (1, "Polly9"), (1, None)]


def test_usage_comes_last_where_it_was_asked_for_and_is_null_before(world: World) -> None:
    told = events(world.stream("chat/completions", messages=HELLO, stream_options={"include_usage": True}))

    assert told[-1]["choices"] == []
    assert told[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert [each["usage"] for each in told[:-1]] == [None] * 6


def test_a_stream_is_joined_where_a_server_sends_only_whole_replies(world: World) -> None:
    answer = openai.chat(world.service, json.dumps({"model": "parrot", "messages": HELLO, "stream": True}), IN_TIME)
    joined = openai.complete(answer)

    assert (joined.status, joined.content_type) == (200, "text/event-stream")
    assert isinstance(joined.body, str)
    assert joined.body.endswith("}\n\ndata: [DONE]\n\n")
    assert joined.body.count("data: ") == 7
    assert openai.complete(joined) is joined


def test_a_stream_is_captured_and_counted_when_it_has_ended(world: World) -> None:
    chunks = world.stream("chat/completions", messages=HELLO)

    for _ in range(4):
        next(chunks)
    assert (world.offered, world.counts()) == ([], (0, 0, 0))
    assert len(list(chunks)) == 3
    assert [make().outputs["text"] for make in world.offered] == [["Polly wants a nut"]]
    assert world.counts() == (1, 1, 0)


def test_what_a_client_was_sent_before_it_went_away_is_captured_and_the_generator_is_free(world: World) -> None:
    chunks = world.stream("chat/completions", messages=HELLO, n=2)
    first = [json.loads(next(chunks).removeprefix("data: ")) for _ in range(3)]
    assert world.parrot.is_busy

    chunks.close()  # type: ignore[attr-defined]

    assert not world.parrot.is_busy
    (make,) = world.offered
    assert make().inference_id == first[0]["id"]
    assert make().outputs == {"text": ["Polly wants", ""], "finish_reason": ["cancelled", "cancelled"]}
    assert make().features["tokens"] == [2, 0]
    assert world.counts() == (1, 2, 0)


def test_a_stream_that_fails_in_the_middle_ends_with_an_error_event(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.parrot.fails_at = 2
    *told, last = events(world.stream("chat/completions", messages=HELLO))

    assert [each["choices"][0]["delta"]["content"] for each in told] == ["", "Polly", " wants"]
    error = last["error"]
    logged = json.loads(capsys.readouterr().out)
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
    assert error["message"] == f"internal error; request {logged['request_id']}"
    assert (logged["error"], "Ada" in json.dumps(logged)) == ("RuntimeError", False)
    assert world.offered[0]().outputs == {"text": ["Polly wants"], "finish_reason": ["error"]}
    assert world.counts() == (0, 0, 1)
