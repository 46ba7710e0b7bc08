"""Many calls of the built handler, in steps: `python endurance.py CALLS STEP`.

After each step it collects garbage, prints how many calls there were and waits for a line, so that its memory is read
at rest. No text comes twice, some requests hold many rows and some are wrong, as traffic is: what is kept by text or by
error would show. Every hundredth asks for an embedding, a completion, a chat or one whose answer has a schema.
"""

import gc
import json
import sys
from typing import Any

from built_handler import Context, answer, event, settle, tell

_WORDS = "where is my parcel please cancel the plan at the end of this month and refund what i paid"


SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


def asked(number: int) -> dict[str, Any]:
    """The event of a call."""
    if number % 100 != 42:
        return event(body(number))
    text, few = f"{_WORDS[number % 31 :]} {number}", {"model": "assistant", "max_tokens": 8}
    chat = {**few, "messages": [{"role": "user", "content": text}]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    routes = (
        ("/v1/embeddings", {"model": "embed", "input": text}),
        ("/v1/completions", {**few, "prompt": text}),
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", {**chat, "response_format": form}),
    )
    route, wanted = routes[number // 100 % len(routes)]
    return event(json.dumps(wanted), route)


def body(number: int) -> str:
    """The request of a call: one text, but eight in every fiftieth, and a wrong shape in every hundredth."""
    rows = 8 if number % 50 == 7 else 1
    texts = [f"{_WORDS[(number + row) % 31 :][: 20 + number % 40]} {number} {row}" for row in range(rows)]
    shape = [rows + 1] if number % 100 == 13 else [rows]
    return json.dumps({"inputs": [{"name": "text", "shape": shape, "datatype": "BYTES", "data": texts}]})


def main() -> None:
    """Call by call, a line every step."""
    calls, step = int(sys.argv[1]), int(sys.argv[2])
    for number in range(calls):
        if number % step == 0:
            _rest(number)
        status = answer(asked(number), Context())["statusCode"]
        if status != (400 if number % 100 == 13 else 200):
            sys.exit(f"call {number} was answered with {status}")
        settle()
    _rest(calls)


def _rest(number: int) -> None:
    gc.collect()
    tell(str(number))
    sys.stdin.readline()


if __name__ == "__main__":
    main()
