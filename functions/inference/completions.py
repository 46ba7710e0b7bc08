"""Texts in the forms of OpenAI's replies: a chat's or a plain completion's, complete or as server-sent events.

A choice that the function's deadline has cut says so in a field of its own, `"pawl": {"cut_by": "deadline"}`, beside
`"finish_reason": "length"`; clients keep fields that they do not know.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from inference.generation import Choice, Generation
from inference.refusals import refuse
from inference.service import Reply, Stream

if TYPE_CHECKING:
    from pawl.completion import Piece, Token

_LOWEST = -9999.0
"""What OpenAI writes where there is no chance at all; JSON has no infinity."""


class Form(Protocol):
    """How a protocol writes its texts; `whole` and `part` are the `object` of a complete reply and of an event."""

    @property
    def whole(self) -> str: ...

    @property
    def part(self) -> str: ...

    def choice(self, choice: Choice) -> dict[str, Any]:
        """A finished text."""
        ...

    def first(self, choice: Choice) -> dict[str, Any] | None:
        """What the first event of a text says before any of it."""
        ...

    def events(self, choice: Choice, piece: "Piece") -> Iterator[dict[str, Any]]:
        """What the events of a piece say."""
        ...


class ChatForm:
    """chat/completions: a text is the content of a message."""

    whole, part = "chat.completion", "chat.completion.chunk"

    def __init__(self, has_logprobs: bool) -> None:
        self._has_logprobs = has_logprobs

    def choice(self, choice: Choice) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        return {"index": choice.index, "message": message, "logprobs": self._logprobs(choice.tokens), **_end(choice)}

    def first(self, choice: Choice) -> dict[str, Any] | None:
        return {"index": choice.index, "delta": {"role": "assistant", "content": ""}, **_NOT_YET}

    def events(self, choice: Choice, piece: "Piece") -> Iterator[dict[str, Any]]:
        if piece.text or piece.tokens:
            logprobs = self._logprobs(piece.tokens)
            delta = {"content": piece.text}
            yield {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        if piece.finish_reason:
            yield {"index": choice.index, "delta": {}, "logprobs": None, **_end(choice)}

    def _logprobs(self, tokens: Sequence["Token"]) -> dict[str, Any] | None:
        if not self._has_logprobs:
            return None
        content = [
            {**_token(token.data, token.logprob), "top_logprobs": [_token(*each) for each in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}


class TextForm:
    """completions: a text goes on with its prompt, and with `echo` begins with it."""

    whole = part = "text_completion"

    def __init__(self, has_logprobs: bool, echo: bool) -> None:
        self._has_logprobs = has_logprobs
        self._echo = echo

    def choice(self, choice: Choice) -> dict[str, Any]:
        text = choice.prompt.text + choice.text if self._echo else choice.text
        return {"index": choice.index, "text": text, "logprobs": self._logprobs(choice.tokens), **_end(choice)}

    def first(self, choice: Choice) -> dict[str, Any] | None:
        return {"index": choice.index, "text": choice.prompt.text, **_NOT_YET} if self._echo else None

    def events(self, choice: Choice, piece: "Piece") -> Iterator[dict[str, Any]]:
        logprobs = self._logprobs(piece.tokens)
        yield {"index": choice.index, "text": piece.text, "logprobs": logprobs, **_end(choice)}

    def _logprobs(self, tokens: Sequence["Token"]) -> dict[str, Any] | None:
        """The older form: lists side by side, and where in the text each token begins."""
        if not self._has_logprobs:
            return None
        return {
            "tokens": [_name(token.data) for token in tokens],
            "token_logprobs": [max(token.logprob, _LOWEST) for token in tokens],
            "top_logprobs": [_by_name((*token.top, (token.data, token.logprob))) for token in tokens],
            "text_offset": [token.offset for token in tokens],
        }


def reply(generation: Generation, form: Form) -> Reply:
    """The complete reply, once every text has ended."""
    for _ in generation.pieces():
        pass
    choices = [form.choice(choice) for choice in generation.choices]
    body = {**_head(generation, form.whole), "choices": choices, "usage": generation.usage()}
    return Reply(200, json.dumps(body, separators=(",", ":")))


def stream(generation: Generation, form: Form) -> Stream:
    """The reply as server-sent events, while the texts grow; the last event is always `[DONE]`."""
    return Stream(200, _events(generation, form))


def _events(generation: Generation, form: Form) -> Iterator[str]:
    head = _head(generation, form.part)
    if generation.options.includes_usage:
        head["usage"] = None
    begun = -1
    try:
        for choice, piece in generation.pieces():
            if choice.index > begun:
                begun = choice.index
                if first := form.first(choice):
                    yield _event({**head, "choices": [first]})
            for each in form.events(choice, piece):
                yield _event({**head, "choices": [each]})
        if generation.options.includes_usage:
            yield _event({**head, "choices": [], "usage": generation.usage()})
    except Exception as error:  # the status has left long ago: what went wrong can only be an event
        yield f"data: {refuse(error).body}\n\n"
    yield "data: [DONE]\n\n"


def _event(body: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n"


def _head(generation: Generation, kind: str) -> dict[str, Any]:
    """What every reply and every event of one request says."""
    return {
        "id": generation.inference_id,
        "object": kind,
        "created": generation.unix_ms // 1000,
        "model": f"{generation.manifest.name}@{generation.manifest.version}",
        "system_fingerprint": generation.digest[:12],
    }


_NOT_YET: Mapping[str, Any] = {"logprobs": None, "finish_reason": None}


def _end(choice: Choice) -> dict[str, Any]:
    ending: dict[str, Any] = {"finish_reason": choice.finish_reason}
    return {**ending, "pawl": {"cut_by": "deadline"}} if choice.is_cut else ending


def _token(data: bytes, logprob: float) -> dict[str, Any]:
    return {"token": _show(data), "logprob": max(logprob, _LOWEST), "bytes": list(data)}


def _show(data: bytes) -> str:
    return data.decode(errors="replace")


def _by_name(tokens: Sequence[tuple[bytes, float]]) -> dict[str, float]:
    """The log probabilities of tokens, the likeliest first; of those that stand for the same bytes it alone is told."""
    found: dict[str, float] = {}
    for data, logprob in tokens:
        found.setdefault(_name(data), max(logprob, _LOWEST))
    return found


def _name(data: bytes) -> str:
    """A token where it has but a name: one that is no text by itself by its bytes, as OpenAI writes them."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
