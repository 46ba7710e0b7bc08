"""Entry point of the inference function. POST .../infer is answered here, without a web framework and without an SDK;
every other route goes to `inference.web`, which is imported when it is first asked for."""

import base64
import json
import os
import time
from functools import partial
from typing import Any

from inference.capture import Capture, QueueSender, print_lost_metric
from inference.engine import Engine
from inference.oip import parse_infer, render_infer
from inference.settings import Settings
from pawl.errors import InvalidRequest, PawlError, log_failure
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.settings import read_settings

settings = read_settings(Settings, os.environ)
keys = ReceiptKeys(settings.receipt_keys)
engine = Engine()
capture = Capture(
    QueueSender(settings.capture_queue_url),
    os.environ.get("AWS_LAMBDA_RUNTIME_API"),
    partial(print_lost_metric, os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local")),
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway request (REST API, proxy integration)."""
    try:
        if event["httpMethod"] == "POST" and event["resource"].endswith("/infer"):
            path = event["pathParameters"]
            return _reply(200, infer(_body(event), path["model"], path.get("version"), context.function_version))
        from inference import web

        return web.handler(engine)(event, context)
    except PawlError as error:
        return _reply(error.status, json.dumps({"error": str(error)}))
    except Exception as error:
        log_failure(error, context.aws_request_id)
        return _reply(500, json.dumps({"error": f"internal error; request {context.aws_request_id}"}))
    finally:
        capture.end_invocation()


def infer(body: str | bytes, model_name: str, version: str | None, function_version: str) -> str:
    """The reply to an inference request, as JSON; the answer is captured on the way."""
    model = engine.get(model_name, version)
    request = parse_infer(body, model.manifest, settings.row_limit)
    answer = model.predict(request.texts)
    now_ms = time.time_ns() // 1_000_000
    inference_id = keys.sign(
        model=model.manifest.name,
        model_version=model.manifest.version,
        function_version=function_version,
        rows=len(request.texts),
        payload="\0".join(request.texts).encode("utf-8", "surrogatepass"),
        unix_ms=now_ms,
        random=os.urandom(10),
    )
    capture.offer(
        CaptureRecord(
            inference_id,
            model.manifest.name,
            model.manifest.version,
            now_ms,
            {"text": request.texts},
            {"label": answer.outputs["label"]},
            answer.features,
        )
    )
    return render_infer(model.manifest, request.id or inference_id, inference_id, answer.outputs, request.outputs)


def _body(event: dict[str, Any]) -> str | bytes:
    body = event["body"]
    if not body:
        raise InvalidRequest('the body is empty: want {"inputs": [...]}')
    return base64.b64decode(body) if event.get("isBase64Encoded") else body


def _reply(status: int, body: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": body}
