"""The routes for a text, from the request to its reply: chat/completions and completions."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from inference.completions import ChatForm, Form, TextForm, reply, stream
from inference.generation import Generation, Prompt
from inference.names import open_named
from inference.options import Options
from inference.prompts import parse_chat, parse_completion, show_messages
from inference.refusals import RefusedField
from inference.service import GENERATOR, Call, Reply, Service, Stream
from pawl.errors import InvalidRequest, UnsupportedRequest

if TYPE_CHECKING:
    from pawl.generator import TextGenerator


def chat(service: Service, body: str | bytes, call: Call) -> Reply | Stream:
    """The next message of a conversation."""
    request = parse_chat(body)
    model = _open(service, request.model)
    try:
        ids = model.chat_ids(request.messages)
    except UnsupportedRequest as error:
        raise RefusedField("model", str(error), "unsupported_value") from error
    except InvalidRequest as error:
        raise RefusedField("messages", str(error)) from error
    prompt = Prompt(ids, show_messages(request.messages))
    form = ChatForm(request.options.sampling.top_logprobs is not None)
    return _generate(service, model, [prompt], request.options, "messages", form, call)


def completions(service: Service, body: str | bytes, call: Call) -> Reply | Stream:
    """How texts go on."""
    request = parse_completion(body, service.row_limit)
    model = _open(service, request.model)
    prompts = [_read_prompt(model, each) for each in request.prompts]
    form = TextForm(request.options.sampling.top_logprobs is not None, request.echo)
    return _generate(service, model, prompts, request.options, "prompt", form, call)


def _open(service: Service, name: str) -> "TextGenerator":
    return cast("TextGenerator", open_named(service, name, GENERATOR))


def _read_prompt(model: "TextGenerator", prompt: str | list[int]) -> Prompt:
    """A prompt as ids; those that a client gives itself must be the model's."""
    if isinstance(prompt, str):
        return Prompt(model.text_ids(prompt), prompt)
    if max(prompt) >= model.vocabulary:
        raise RefusedField("prompt", f"the token ids of {model.manifest.name} go from 0 to {model.vocabulary - 1}")
    return Prompt(prompt, json.dumps(prompt))


def _generate(
    service: Service,
    model: "TextGenerator",
    prompts: Sequence[Prompt],
    options: Options,
    column: str,
    form: Form,
    call: Call,
) -> Reply | Stream:
    for prompt in prompts:
        _check_length(model, prompt, column)
    try:
        generation = Generation(service, model, prompts, options, column, call)
    except InvalidRequest as error:  # the prompts are checked: what is left is a schema that cannot be enforced
        raise RefusedField("response_format", str(error)) from error
    return stream(generation, form) if options.is_stream else reply(generation, form)


def _check_length(model: "TextGenerator", prompt: Prompt, column: str) -> None:
    count, name = len(prompt.ids), model.manifest.name
    if count == 0:
        raise RefusedField(column, f"{name} needs a token to begin with: want a text that is not empty")
    if count >= model.context:
        message = f"{count} tokens: {name} has a context of {model.context}, prompt and answer together"
        raise RefusedField(column, message, "context_length_exceeded")
