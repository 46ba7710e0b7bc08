"""OpenAI requests for a text, `chat/completions` and `completions`: what comes in, checked and in our own words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.fields import Fields
from inference.names import parse_name
from inference.oip import parse_object
from inference.options import CHOICES, FIELDS, NEUTRAL, Options, parse_options
from pawl.narrowing import is_list, is_object
from pawl.sampling import WHOLE_RANGES

COMPLETION_TOKENS = 16
"""How long a completion gets where its request does not say, as with OpenAI; a chat goes on to the context's end."""
COMPLETION_LOGPROBS = 5
ROLES: Mapping[str, str] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""A message's role, and what chat templates call it."""
CHAT_FIELDS = FIELDS | {"messages", "max_completion_tokens", "top_logprobs"}
CHAT_NEUTRAL: Mapping[str, Sequence[Any]] = {
    **NEUTRAL,
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "audio": (),
    "moderation": (),
    "prediction": (),
    "prompt_cache_options": (),
    "web_search_options": (),
}
MESSAGE_NEUTRAL: Mapping[str, Sequence[Any]] = {
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "refusal": (),
    "tool_calls": ([],),
}
"""What clients send back beside the text of an answer that they were given."""
COMPLETION_FIELDS = FIELDS | {"prompt", "echo", "best_of"}
COMPLETION_NEUTRAL: Mapping[str, Sequence[Any]] = {**NEUTRAL, "suffix": ("",)}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request for the next message of a conversation."""

    model: str
    messages: list[dict[str, str]]
    options: Options


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A checked request for how texts, or rows of token ids, go on; `echo`: the reply begins with the prompt."""

    model: str
    prompts: list[str] | list[list[int]]
    echo: bool
    options: Options


def parse_chat(body: str | bytes) -> ChatRequest:
    """The chat request in `body`; RefusedField names what is wrong, and says what would be right."""
    fields = Fields(parse_object(body, 'want {"model": ..., "messages": [...]}'))
    fields.check_names(CHAT_FIELDS, CHAT_NEUTRAL)
    fields.check_hints()
    model = parse_name(fields)
    raw = fields.raw.get("messages")
    if not is_list(raw) or not raw or not all(is_object(each) for each in raw):
        raise fields.refuse("messages", 'want a list of messages: {"role": ..., "content": ...}')
    messages = [_parse_message(Fields(each, f"messages[{i}]")) for i, each in enumerate(raw)]
    top, wants_logprobs = fields.whole("top_logprobs", *WHOLE_RANGES["top_logprobs"]), fields.flag("logprobs")
    if top and not wants_logprobs:
        raise fields.refuse("top_logprobs", "wants logprobs: true")
    return ChatRequest(model, messages, parse_options(fields, (top or 0) if wants_logprobs else None, None))


def parse_completion(body: str | bytes, row_limit: int) -> CompletionRequest:
    """The completion request in `body`, for at most `row_limit` texts in all."""
    fields = Fields(parse_object(body, 'want {"model": ..., "prompt": ...}'))
    fields.check_names(COMPLETION_FIELDS, COMPLETION_NEUTRAL)
    fields.check_hints()
    model = parse_name(fields)
    prompts = fields.texts("prompt") or _parse_ids(fields)
    options = parse_options(fields, fields.whole("logprobs", 0, COMPLETION_LOGPROBS), COMPLETION_TOKENS)
    if fields.whole("best_of", 1, CHOICES) not in (None, options.n):
        raise fields.refuse("best_of", "not offered here: leave it out, or make it equal to n", "unsupported_parameter")
    if len(prompts) * options.n > row_limit:
        raise fields.refuse("prompt", f"{len(prompts)} prompts, n = {options.n}: want at most {row_limit} texts in all")
    echo = fields.flag("echo")
    if echo and (options.sampling.top_logprobs is not None or not isinstance(prompts[0], str)):
        raise fields.refuse("echo", "not offered together with logprobs or token ids", "unsupported_parameter")
    return CompletionRequest(model, prompts, echo, options)


def show_messages(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as one line of JSON, as its record keeps it."""
    return json.dumps(messages, ensure_ascii=False, separators=(",", ":"))


def _parse_message(fields: Fields) -> dict[str, str]:
    if fields.raw.get("role") in ("tool", "function"):
        raise fields.refuse("role", "tools are not offered here", "unsupported_value")
    fields.check_names({"role", "content", "name"}, MESSAGE_NEUTRAL)
    role = ROLES.get(fields.text("role") or "")
    if role is None:
        raise fields.refuse("role", f"want one of {', '.join(ROLES)}")
    message = {"role": role, "content": _parse_content(fields)}
    name = fields.text("name")
    return {**message, "name": name} if name else message


def _parse_content(fields: Fields) -> str:
    """A message's text; each part of a list begins a line of its own, as with other servers."""
    content = fields.raw.get("content")
    if isinstance(content, str):
        return fields.check_text("content", content)
    if not is_list(content) or not content:
        raise fields.refuse("content", 'want a string or a list of parts: {"type": "text", "text": ...}')
    return "\n".join(_parse_part(fields, f"content[{i}]", part) for i, part in enumerate(content))


def _parse_part(fields: Fields, where: str, part: Any) -> str:
    if not is_object(part) or part.get("type") != "text" or not part.keys() <= {"type", "text"}:
        wanted = 'only text is offered here: want {"type": "text", "text": ...}'
        raise fields.refuse(where, wanted, "unsupported_value")
    if not isinstance(part.get("text"), str):
        raise fields.refuse(f"{where}.text", "want a string")
    return fields.check_text(f"{where}.text", part["text"])


def _parse_ids(fields: Fields) -> list[list[int]]:
    """Token ids: one row of them, or a list of rows."""
    value = fields.raw.get("prompt")
    rows: Any = [value] if is_list(value) and value and type(value[0]) is int else value
    if not is_list(rows) or not rows or not all(is_list(row) and row for row in rows):
        raise fields.refuse("prompt", "want a string, a list of strings, token ids, or a list of token id lists")
    if not all(type(each) is int and each >= 0 for row in rows for each in row):
        raise fields.refuse("prompt", "token ids are whole numbers from 0")
    return rows
