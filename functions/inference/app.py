"""Entry point of the inference function. Inference over both protocols is answered here, without a web framework and
without an SDK; every other route goes to `inference.web`, which is imported when it is first asked for."""

# ruff: noqa: E402
import gc

gc.disable()  # until a reply has left: what is imported and opened before the first stays, and looking costs 5 %

import base64
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from inference.capture import open_capture
from inference.delivery import FAILED, print_metric
from inference.engine import Engine
from inference.extension import follow
from inference.oip import HEADER_LENGTH, parse_header_length
from inference.service import Call, Reply, Service
from inference.settings import Settings
from pawl.errors import PawlError, log_failure
from pawl.receipt import ReceiptKeys
from pawl.settings import read_settings
from pawl.signing import read_trust

MARGIN_S = 1.0
"""How long before Lambda ends the function an answer must be complete."""
GATEWAY_MS = 29_000
"""How long API Gateway waits; its time begins before a cold function is started, Lambda's only after that."""
HANDED_ON = "handed_on_until_ms"
"""The mark in an event that a canary's other arm handed on: when that arm ends, in milliseconds since 1970. API Gateway
makes the event's fields, so no client can set it."""
REPLY_BYTES = 6_291_556
_SMALL_BYTES = REPLY_BYTES // 6 - 1000
"""A body of so many characters fits however JSON escapes it."""

settings = read_settings(Settings, os.environ)
capture = open_capture(settings, os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"))


def arm() -> str:
    """Which arm of a canary this process is."""
    from inference.arms import open_arms

    return open_arms().own()


engine = Engine(read_trust(settings.trusted_keys, settings.allow_unsigned), arm)
service = Service(engine, ReceiptKeys(settings.receipt_keys), capture, settings.row_limit)


def answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway request (REST API, proxy integration), or a copy of one that nobody sees."""
    if "shadow" in event:
        from inference.shadow import answer_unseen

        return answer_unseen(service, event["shadow"], _call(event, context))
    reply = _answer(event, context)
    status = reply["statusCode"]
    if status == 404 and HANDED_ON not in event:
        from inference.arms import answer_elsewhere

        until_ms = round(time.time() * 1000) + context.get_remaining_time_in_millis()
        return answer_elsewhere({**event, HANDED_ON: until_ms}) or reply
    if status >= 500:  # a canary compares what came to its arms at random, and not what was handed on
        version = "" if HANDED_ON in event else context.function_version
        print_metric(context.function_name, FAILED, 1, f"status {status}", version)
    return reply


def _answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        respond = HOT_ROUTES.get(event["resource"]) if event["httpMethod"] == "POST" else None
        if respond:
            return _to_gateway(respond(event, _call(event, context)))
        from inference import web

        return web.handler(service)(event, context)
    except PawlError as error:
        return _to_gateway(Reply(error.status, json.dumps({"error": str(error)})))
    except Exception as error:
        log_failure(error, context.aws_request_id)
        return _to_gateway(Reply(500, json.dumps({"error": f"internal error; request {context.aws_request_id}"})))


def infer(event: dict[str, Any], call: Call) -> Reply:
    """POST /v2/models/{model}[/versions/{version}]/infer."""
    path = event["pathParameters"]
    return service.infer(_body(event), _header_length(event["headers"]), path["model"], path.get("version"), call)


def ask_openai(route: str, event: dict[str, Any], call: Call) -> Reply:
    """POST /v1/...; a stream is answered complete, because Lambda behind API Gateway sends a reply as a whole."""
    from inference import openai

    return openai.complete(openai.ROUTES[route](service, _body(event), call))


HOT_ROUTES: Mapping[str, Callable[[dict[str, Any], Call], Reply]] = {
    "/v2/models/{model}/infer": infer,
    "/v2/models/{model}/versions/{version}/infer": infer,
    **{
        f"{prefix}/{route}": partial(ask_openai, route)
        for prefix in ("/v1", "/openai/v1")
        for route in ("chat/completions", "completions", "embeddings")
    },
}


def _call(event: Mapping[str, Any], context: Any) -> Call:
    asked_ms = event.get("requestContext", {}).get("requestTimeEpoch", 0)

    def remaining_s() -> float:
        left_ms, now_ms = context.get_remaining_time_in_millis(), time.time() * 1000
        if HANDED_ON in event:
            left_ms = min(left_ms, event[HANDED_ON] - now_ms)
        if 0 < now_ms - asked_ms < GATEWAY_MS:  # what is older was not asked through API Gateway just now
            left_ms = min(left_ms, GATEWAY_MS - (now_ms - asked_ms))
        return left_ms / 1000 - MARGIN_S

    return Call(context.function_version, remaining_s)


def _body(event: dict[str, Any]) -> str | bytes:
    body = event["body"] or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body


def _header_length(headers: Mapping[str, str] | None) -> int | None:
    """The binary extension's header, in whichever case a client or a proxy has written it."""
    for name, value in (headers or {}).items():
        if len(name) == len(HEADER_LENGTH) and name.lower() == HEADER_LENGTH.lower():
            return parse_header_length(value)
    return None


def _to_gateway(reply: Reply) -> dict[str, Any]:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    body = reply.body if isinstance(reply.body, str) else base64.b64encode(reply.body).decode()
    answer: dict[str, Any] = {"statusCode": reply.status, "headers": headers, "body": body}
    if body is not reply.body:
        answer["isBase64Encoded"] = True
    if len(body) > _SMALL_BYTES and len(json.dumps(answer)) > REPLY_BYTES:
        wanted = "want one below the 6 MB that Lambda sends: ask for fewer rows or fewer outputs"
        return _to_gateway(Reply(413, json.dumps({"error": f"the reply is too large: {wanted}"})))
    return answer


handler = follow(answer, capture, os.environ.get("AWS_LAMBDA_RUNTIME_API"))
