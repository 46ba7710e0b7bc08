"""Keeps a text to JSON, or to a JSON schema, by telling which tokens may follow. Stands on llguidance.

Imported when a request first asks for JSON. White space in a value is one blank after colons and commas, as
`json.dumps` writes it: a small model that may go on with blanks for ever sometimes does.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import llguidance
import numpy as np

from pawl.errors import InvalidRequest

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
SCHEMA_SIZE = 65_536
Allowed = np.ndarray[Any, np.dtype[np.bool_]]


class Grammars:
    """What constraints need to know of a tokenizer; made once, in tenths of a second."""

    def __init__(self, tokenizer_json: str, vocabulary: int, eos_ids: Sequence[int]) -> None:
        self._tokenizer = llguidance.LLTokenizer(tokenizer_json, n_vocab=vocabulary, eos_token=list(eos_ids))
        self._vocabulary = vocabulary

    def constrain(self, schema: Mapping[str, Any] | None) -> "Constraint":
        """The constraint to a schema, or to any JSON object; InvalidRequest when the schema cannot be enforced."""
        options: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        try:
            text = json.dumps(schema or ANY_OBJECT)
            if len(text) > SCHEMA_SIZE:
                raise InvalidRequest(f"json_schema: {len(text)} characters, want at most {SCHEMA_SIZE}")
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides=options)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidRequest("json_schema: want a JSON Schema, an object that is not too deep") from error
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        matcher.compute_bitmask()  # what a grammar cannot do shows here at the latest
        if matcher.is_error():
            raise InvalidRequest(
                "json_schema cannot be enforced: it contradicts itself, is too large, refers to another document or "
                "uses a keyword that constrained decoding does not know"
            )
        return Constraint(matcher, self._vocabulary)


class Constraint:
    """Where one text stands in its grammar."""

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    @property
    def is_complete(self) -> bool:
        """Whether the value has ended, so that nothing may follow."""
        return self._matcher.is_stopped()

    def allowed(self) -> Allowed:
        """Which tokens may follow, shape (vocabulary,); the end of the text is one of them when the value may end."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, count=self._vocabulary, bitorder="little").view(np.bool_)

    def forced(self) -> list[int]:
        """The tokens that must follow, one after the other; none where there is a choice, or nothing may follow."""
        tokens = self._matcher.compute_ff_tokens()
        self._check()
        return tokens

    def accept(self, token: int) -> None:
        """Go on by a token that was allowed."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidRequest("json_schema: the text grew too complex to follow: want a simpler schema")
