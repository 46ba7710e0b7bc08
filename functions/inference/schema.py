"""The OpenAPI document of inference: what each route takes and gives.

Written out by hand and used for nothing but the document: requests are read by `inference.oip` and by the OpenAI
modules, which know the models and so refuse more than a schema can. What a schema here forbids, they refuse.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response

from inference.oip import HEADER_LENGTH
from inference.options import CHOICES, STOPS
from inference.prompts import COMPLETION_LOGPROBS, ROLES
from inference.service import BINARY, EVENTS, JSON
from inference.tensors import DTYPES
from pawl.sampling import RANGES, STOP_LENGTH, WHOLE_RANGES

Schema = dict[str, Any]
DESCRIPTION = """Models behind the Open Inference Protocol v2 and OpenAI's API.

The `inference_id` of an answer, which is its `id` in OpenAI's API, is what feedback refers to. Clients send their key
as `x-api-key`; OpenAI's own take it as a default header."""
OPEN = ("/v2/health/live", "/v2/health/ready", "/openapi.json")
"""What needs no key."""
_ERRORS = {
    400: "The request is wrong; the message says what would be right.",
    401: "No key, or one that is not known, at the container.",
    403: "No key, or one that is not known, at API Gateway.",
    404: "No such model or version.",
    405: "No such method.",
    413: "The request or its reply is too large.",
    415: "A Content-Encoding other than gzip and deflate.",
    429: "More requests than the key, or the server, may take.",
    500: "The server's own fault.",
    501: "Part of the protocol, not offered here.",
    503: "A model cannot be opened, or the server is not ready.",
}
_ALWAYS = (401, 403, 429, 500, 503)
_GATEWAYS = {403: "Error", 429: "AnyError", 503: "AnyError"}
"""API Gateway answers in one form on all routes."""


def ref(name: str) -> Schema:
    """A reference to one of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def route(*errors: int, body: Mapping[str, Schema] | None = None, error: str = "Error", **reply: Schema) -> Schema:
    """The keywords of a route that takes `body` (schemas by media type) and gives `json`, `binary` or `events`."""
    kinds = {"json": JSON, "binary": BINARY, "events": EVENTS}
    content = {kinds[kind]: {"schema": schema} for kind, schema in reply.items()}
    answers: dict[int, Schema] = {200: {"description": "The answer.", "content": content}} if content else {}
    for status in sorted({*errors, *_ALWAYS, *((400, 413, 415) if body else ())}):
        shape = _GATEWAYS.get(status, error)
        answers[status] = {"description": _ERRORS[status], "content": {JSON: {"schema": ref(shape)}}}
    extra: Schema = {}
    if body is not None:
        given = {kind: {"schema": schema} for kind, schema in body.items()}
        extra["requestBody"] = {"required": True, "content": given}
    if body is not None and BINARY in body:
        extra["parameters"] = [_HEADER]
    kind = {} if content else {"response_class": Response}
    return {"response_model": None, "responses": answers, "openapi_extra": extra, **kind}


def document(app: FastAPI) -> Schema:
    """The document of the application's routes."""
    found = get_openapi(title="Pawl inference", version="2", description=DESCRIPTION, routes=app.routes)
    found["servers"] = [
        {"url": ".", "description": "Where this document lies: the stage of the API, or the container."}
    ]
    found["components"] = {"schemas": COMPONENTS, "securitySchemes": {"api_key": _KEY}}
    found["security"] = [{"api_key": []}]
    for path, operations in found["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)  # the framework's own word for 400
            if "content" not in operation["responses"]["200"]:
                del operation["responses"]["200"]
            if path in OPEN:
                operation["security"] = []
    return found


def _object(required: str = "", is_open: bool = False, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "required": required.split()}
    return schema if is_open else {**schema, "additionalProperties": False}


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _whole(low: int, high: int) -> Schema:
    return _maybe({"type": "integer", "minimum": low, "maximum": high})


_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ANY: Schema = {}
_NOTHING: Schema = {"description": "Known, and not offered: leave it out, or let it ask for nothing."}
_KEY = {"type": "apiKey", "in": "header", "name": "x-api-key"}
_HEADER = {
    "name": HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "Where the JSON ends and the tensors begin; 0: the body is one tensor. Left out: it is all JSON.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
}
_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_SHAPE = _list({"type": "integer", "minimum": 0, "maximum": (1 << 31) - 1})
_DATATYPE = {"enum": [*DTYPES, "BYTES"]}
_TENSOR_ABOUT = _object("name datatype shape", name=_TEXT, datatype=_DATATYPE, shape=_list({"type": "integer"}))
_TIMES = _object("count ns", count=_COUNT, ns=_COUNT)
_HINTS: Schema = {
    **dict.fromkeys(("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"), _maybe(_TEXT)),
    "metadata": _maybe({"type": "object"}),
    "parallel_tool_calls": _maybe(_FLAG),
}
_NEUTRAL: Schema = dict.fromkeys(("store", "service_tier", "logit_bias"), _NOTHING)
_STOP = {"type": "string", "minLength": 1, "maxLength": STOP_LENGTH}
_SAMPLED: Schema = {
    "model": {"type": "string", "minLength": 1, "maxLength": 100, "description": "name, name@version or name@alias"},
    "max_tokens": _whole(*WHOLE_RANGES["max_tokens"]),
    "stop": {"anyOf": [_STOP, _list(_STOP, maxItems=STOPS), {"type": "null"}]},
    "seed": _whole(*WHOLE_RANGES["seed"]),
    "n": _whole(1, CHOICES),
    "top_k": _whole(-1, WHOLE_RANGES["top_k"][1]),
    "stream": _maybe(_FLAG),
    "stream_options": _maybe(_object(include_usage=_maybe(_FLAG), include_obfuscation=_NOTHING)),
    "response_format": {
        "anyOf": [
            {"type": "null"},
            _object("type", type={"enum": ["text", "json_object"]}),
            _object(
                "type json_schema",
                type={"const": "json_schema"},
                json_schema=_object("schema", name=_ANY, schema={"type": "object"}, strict=_ANY, description=_ANY),
            ),
        ]
    },
    **{name: _maybe({"type": "number", "minimum": low, "maximum": high}) for name, (low, high) in RANGES.items()},
    **_HINTS,
    **_NEUTRAL,
}
_PART = _object("type text", type={"const": "text"}, text=_TEXT)
_MESSAGE = _object(
    "role content",
    role={"enum": list(ROLES)},
    content={"anyOf": [_TEXT, _list(_PART, minItems=1)]},
    name=_maybe(_TEXT),
    **dict.fromkeys(("annotations", "audio", "function_call", "refusal", "tool_calls"), _NOTHING),
)
_TOOLS = ("tools", "tool_choice", "functions", "function_call", "modalities", "reasoning_effort", "verbosity", "audio")
_LATER = ("moderation", "prediction", "prompt_cache_options", "web_search_options")
_IDS = _list(_COUNT, minItems=1)
_USAGE = _object(
    "prompt_tokens total_tokens", True, prompt_tokens=_COUNT, completion_tokens=_COUNT, total_tokens=_COUNT
)
_CHOICE: Schema = {"index": _COUNT, "finish_reason": {"enum": ["stop", "length"]}}


def _answer(kind: str, choice: Schema) -> Schema:
    about = {"object": {"const": kind}, "id": _TEXT, "created": _COUNT, "model": _TEXT, "usage": _USAGE}
    return _object("id object created model choices usage", True, choices=_list(choice, minItems=1), **about)


COMPONENTS: dict[str, Schema] = {
    "Error": _object("error", error=_TEXT),
    "OpenAiError": _object(
        "error",
        error=_object("message type param code", message=_TEXT, type=_TEXT, param=_maybe(_TEXT), code=_maybe(_TEXT)),
    ),
    "AnyError": {"anyOf": [ref("Error"), ref("OpenAiError")]},
    "Server": _object("name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "Live": _object("live", live=_FLAG),
    "Ready": _object("ready", ready=_FLAG),
    "Models": _object("models", models=_list(_TEXT)),
    "Model": _object(
        "name versions platform inputs outputs properties",
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_TENSOR_ABOUT),
        outputs=_list(_TENSOR_ABOUT),
        properties={"type": "object", "additionalProperties": _TEXT},
    ),
    "ModelReady": _object("name ready", name=_TEXT, ready={"const": True}),
    "Statistics": _object(
        "model_stats",
        model_stats=_list(
            _object(
                "name version last_inference inference_count execution_count inference_stats batch_stats",
                name=_TEXT,
                version=_TEXT,
                last_inference=_COUNT,
                inference_count=_COUNT,
                execution_count=_COUNT,
                batch_stats=_list(_ANY),
                inference_stats=_object(
                    "success fail queue compute_input compute_infer compute_output",
                    **dict.fromkeys(
                        ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"), _TIMES
                    ),
                ),
            )
        ),
    ),
    "Index": _list(
        _object(
            "name version state reason",
            name=_TEXT,
            version=_TEXT,
            state={"enum": ["READY", "UNAVAILABLE"]},
            reason=_TEXT,
        )
    ),
    "InferRequest": _object(
        "inputs",
        id=_maybe(_TEXT),
        parameters=_maybe(_PARAMETERS),
        inputs=_list(
            _object(
                "name datatype shape",
                name=_TEXT,
                datatype=_DATATYPE,
                shape=_SHAPE,
                parameters=_maybe(_PARAMETERS),
                data={"type": "array", "description": "Nested or flat, row-major."},
            ),
            minItems=1,
        ),
        outputs=_maybe(_list(_object("name", name=_TEXT, parameters=_maybe(_PARAMETERS)))),
    ),
    "InferReply": _object(
        "model_name model_version id parameters outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters=_object("inference_id", inference_id=_TEXT, cut_by={"const": "deadline"}),
        outputs=_list(
            _object(
                "name datatype shape",
                name=_TEXT,
                datatype=_DATATYPE,
                shape=_SHAPE,
                parameters=_PARAMETERS,
                data={"type": "array"},
            )
        ),
    ),
    "ChatRequest": _object(
        "model messages",
        messages=_list(_MESSAGE, minItems=1),
        max_completion_tokens=_whole(*WHOLE_RANGES["max_tokens"]),
        logprobs=_maybe(_FLAG),
        top_logprobs=_whole(*WHOLE_RANGES["top_logprobs"]),
        **_SAMPLED,
        **dict.fromkeys((*_TOOLS, *_LATER), _NOTHING),
    ),
    "CompletionRequest": _object(
        "model prompt",
        prompt={"anyOf": [_TEXT, _list(_TEXT, minItems=1), _IDS, _list(_IDS, minItems=1)]},
        logprobs=_whole(0, COMPLETION_LOGPROBS),
        echo=_maybe(_FLAG),
        best_of=_whole(1, CHOICES),
        suffix=_NOTHING,
        **_SAMPLED,
    ),
    "EmbeddingRequest": _object(
        "model input",
        model=_SAMPLED["model"],
        input={"anyOf": [_TEXT, _list(_TEXT, minItems=1)]},
        encoding_format={"enum": ["float", "base64", None]},
        dimensions=_whole(1, 1 << 20),
        **_HINTS,
    ),
    "ChatReply": _answer(
        "chat.completion",
        _object(
            "index message finish_reason",
            True,
            message=_object("role content", True, role={"const": "assistant"}, content=_TEXT),
            **_CHOICE,
        ),
    ),
    "CompletionReply": _answer("text_completion", _object("index text finish_reason", True, text=_TEXT, **_CHOICE)),
    "EmbeddingReply": _object(
        "object data model usage id",
        object={"const": "list"},
        model=_TEXT,
        id=_TEXT,
        usage=_USAGE,
        data=_list(
            _object(
                "object index embedding",
                object={"const": "embedding"},
                index=_COUNT,
                embedding={"anyOf": [_list({"type": "number"}), {**_TEXT, "description": "base64 of float32"}]},
            )
        ),
    ),
    "OpenAiModel": _object(
        "id object created owned_by", True, id=_TEXT, object={"const": "model"}, created=_COUNT, owned_by=_TEXT
    ),
    "OpenAiModels": _object("object data", object={"const": "list"}, data=_list(ref("OpenAiModel"))),
}
EXAMPLES: Mapping[str, Schema] = {
    "InferRequest": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["where is my parcel?"]}]},
    "ChatRequest": {"model": "assistant", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8},
    "CompletionRequest": {"model": "assistant", "prompt": "Once upon a time", "max_tokens": 8},
    "EmbeddingRequest": {"model": "embed", "input": ["where is my parcel?"]},
}
for _name, _example in EXAMPLES.items():
    COMPONENTS[_name]["examples"] = [_example]
INFER = {JSON: ref("InferRequest"), BINARY: {"type": "string", "format": "binary"}}
BYTES: Schema = {"type": "string", "format": "binary"}
STREAM: Schema = {
    "type": "string",
    "description": "Server-sent events, each a piece of the answer, and at last [DONE].",
}
