"""OpenAI's protocol over the models here: chat/completions, completions, embeddings and models, without a framework.

A reply's `id` is the inference_id that feedback takes. Nothing comes out of these functions but replies: errors have
OpenAI's form. Each route's modules are imported when it is first asked for, since a cold start waits for every one.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from inference.names import split_name
from inference.refusals import refuse
from inference.service import Call, Reply, Service, Stream
from pawl.bundle import layer_folder, read_manifest
from pawl.errors import InvalidBundle, NotFound
from pawl.identity import unix_ms

Given = ParamSpec("Given")
Answer = TypeVar("Answer", bound=Reply | Stream)


def complete(answer: Reply | Stream) -> Reply:
    """An answer in one piece: a stream's events joined, for a server that can send only whole replies."""
    if isinstance(answer, Reply):
        return answer
    return Reply(answer.status, "".join(answer.chunks), answer.content_type)


def _refusing(answer: Callable[Given, Answer]) -> Callable[Given, Answer | Reply]:
    """The function, with whatever it raises as a reply."""

    @functools.wraps(answer)
    def answer_or_refuse(*args: Given.args, **kwargs: Given.kwargs) -> Answer | Reply:
        try:
            return answer(*args, **kwargs)
        except Exception as error:
            return refuse(error)

    return answer_or_refuse


@_refusing
def chat(service: Service, body: str | bytes, call: Call) -> Reply | Stream:
    """POST chat/completions: the next message of a conversation."""
    from inference import texts

    return texts.chat(service, body, call)


@_refusing
def completions(service: Service, body: str | bytes, call: Call) -> Reply | Stream:
    """POST completions: how texts go on."""
    from inference import texts

    return texts.completions(service, body, call)


@_refusing
def embeddings(service: Service, body: str | bytes, call: Call) -> Reply:
    """POST embeddings: texts as vectors."""
    from inference.embeddings import embed

    return embed(service, body, call)


@_refusing
def models(service: Service) -> Reply:
    """GET models: every model here; one whose manifest is broken is left out."""
    found: list[Mapping[str, Any]] = []
    for name, versions in service.engine.models().items():
        try:
            found.append(_about(name, service.engine.resolve(name, None), name, versions))
        except (InvalidBundle, NotFound):
            continue
    return Reply(200, json.dumps({"object": "list", "data": found}))


@_refusing
def model(service: Service, name: str) -> Reply:
    """GET models/{model}: one of them, also by `name@version` or `name@alias`."""
    base, version = split_name(name)
    number = service.engine.resolve(base, version)
    return Reply(200, json.dumps(_about(base, number, name, service.engine.models()[base])))


ROUTES: Mapping[str, Callable[[Service, str | bytes, Call], Reply | Stream]] = {
    "chat/completions": chat,
    "completions": completions,
    "embeddings": embeddings,
}
"""What is asked by POST, by its path below `/v1`."""


def _about(base: str, version: str, name: str, versions: Sequence[str]) -> Mapping[str, Any]:
    """A model in OpenAI's words, and in fields of our own what it is; its manifest is read, the model not opened."""
    manifest = read_manifest(layer_folder(base, version))
    return {
        "id": name,
        "object": "model",
        "created": unix_ms(manifest.created_at) // 1000,
        "owned_by": "pawl",
        "kind": manifest.kind,
        "version": version,
        "versions": versions,
    }
