"""A conversation as the prompt that its model was trained on: the chat template, rendered as transformers renders it.

Imports jinja2, so only for those who chat. Templates run in a sandbox and see messages, markers and the date.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pawl.errors import InvalidBundle, InvalidRequest


class ChatTemplate:
    """A compiled template and the markers that it may write."""

    def __init__(self, source: str, bos_token: str | None, eos_token: str | None) -> None:
        self._source = source
        self._markers = {"bos_token": bos_token or "", "eos_token": eos_token or ""}
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source, {"raise_exception": _refuse, "strftime_now": _now})
        except TemplateError as error:
            raise InvalidBundle("chat_template.jinja is not a template") from error

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt for the next answer; InvalidRequest when the template refuses the conversation."""
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **self._markers
            )
        except (TemplateError, TypeError, KeyError, ValueError, ArithmeticError, AttributeError) as error:
            raise InvalidRequest(f"messages do not fit the model's chat template{self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        """What the template itself says, unless it quotes somebody."""
        said = str(error)
        return f": {said}" if said and said in self._source else ""


class _Generation(Extension):
    """`{% generation %}` marks what the model is trained to say; here it says nothing."""

    tags = {"generation"}  # noqa: RUF012  as the base class has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
