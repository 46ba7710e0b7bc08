"""How an OpenAI request wants its texts: sampled how, how many, in one piece or as they grow.

Fields that OpenAI knows and this server does not offer are accepted where they ask for nothing (`NEUTRAL`) and refused
by name elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inference.fields import HINTS, Fields
from pawl.errors import InvalidRequest
from pawl.narrowing import is_object
from pawl.sampling import RANGES, WHOLE_RANGES, Sampling

CHOICES = 8
STOPS = 4
NEUTRAL: Mapping[str, Sequence[Any]] = {
    "store": (False,),
    "service_tier": ("auto", "default"),
    "logit_bias": ({},),
}
FIELDS = {
    *("model", "max_tokens", "stop", "seed", "n", "stream", "stream_options", "logprobs", "response_format", "top_k"),
    *RANGES,
    *HINTS,
}
"""What chats and plain completions have in common."""
_DEFAULT = Sampling()


@dataclass(frozen=True, slots=True)
class Options:
    """How a request wants its texts; `n` for each prompt."""

    sampling: Sampling
    n: int
    is_stream: bool
    includes_usage: bool
    user: str = ""

    def sampling_of(self, number: int) -> Sampling:
        """How a prompt's text of that number is sampled: with a seed of its own, the same one in every request."""
        seed = self.sampling.seed
        return self.sampling if seed is None else replace(self.sampling, seed=(seed + number + 2**63) % 2**64 - 2**63)


def parse_options(fields: Fields, top_logprobs: int | None, default_tokens: int | None) -> Options:
    """The options of a request, whose field `logprobs` the two protocols read differently."""
    is_stream, about = fields.flag("stream"), fields.object("stream_options")
    if about and not is_stream:
        raise fields.refuse("stream_options", "wants stream: true")
    if about:
        about.check_names({"include_usage"}, {"include_obfuscation": (False, True)})
    sampling = _parse_sampling(fields, top_logprobs, default_tokens)
    n = fields.whole("n", 1, CHOICES) or 1
    return Options(sampling, n, is_stream, about is not None and about.flag("include_usage"), fields.user())


def _parse_sampling(fields: Fields, top_logprobs: int | None, default_tokens: int | None) -> Sampling:
    limit = fields.whole("max_tokens", *WHOLE_RANGES["max_tokens"])
    newer = fields.whole("max_completion_tokens", *WHOLE_RANGES["max_tokens"])
    top_k = fields.whole("top_k", -1, WHOLE_RANGES["top_k"][1])  # -1 is other servers' word for all
    is_json, schema = _parse_format(fields)
    given: dict[str, Any] = {
        **{name: fields.number(name, getattr(_DEFAULT, name), *ends) for name, ends in RANGES.items()},
        "max_tokens": newer or limit or default_tokens,
        "top_k": max(top_k or 0, 0),
        "stop": _parse_stop(fields),
        "seed": fields.whole("seed", *WHOLE_RANGES["seed"]),
    }
    try:
        return Sampling(**given, top_logprobs=top_logprobs, json=is_json, json_schema=schema)
    except InvalidRequest as error:
        raise fields.refuse("stop", str(error).removeprefix("stop: ")) from error


def _parse_stop(fields: Fields) -> tuple[str, ...]:
    if fields.raw.get("stop") is None:
        return ()
    stops = fields.texts("stop")
    if stops is None or len(stops) > STOPS:
        raise fields.refuse("stop", f"want a string, or a list of at most {STOPS} strings")
    return tuple(stops)


def _parse_format(fields: Fields) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether the text must be a JSON object, and the schema that it must fit if there is one."""
    form = fields.object("response_format")
    if form is None:
        return False, None
    kind = form.raw.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise form.refuse("type", "want text, json_object or json_schema")
    form.check_names({"type", "json_schema"} if kind == "json_schema" else {"type"}, {})
    return kind == "json_object", _parse_schema(form) if kind == "json_schema" else None


def _parse_schema(form: Fields) -> Mapping[str, Any]:
    about = form.object("json_schema")
    schema = about.raw.get("schema") if about else None
    if about is None or not is_object(schema):
        raise form.refuse("json_schema", 'want {"name": ..., "schema": {...}}')
    about.check_names({"name", "schema", "strict", "description"}, {})
    return schema
