"""Errors in OpenAI's form, `{"error": {"message", "type", "param", "code"}}`, for the routes that speak its protocol.

Its clients raise an exception of a type for each status and try again after any 5xx, so what this server does not offer
answers 400 here, where the Open Inference Protocol has 501.
"""

import json
import os
from typing import Any

from inference.service import Reply
from pawl.errors import InvalidRequest, NotFound, PawlError, UnsupportedRequest, log_failure

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class RefusedField(InvalidRequest):
    """A field that is wrong: `param` is its path in the request, `code` OpenAI's word for what is wrong with it."""

    def __init__(self, param: str, message: str, code: str | None = None) -> None:
        super().__init__(f"{param}: {message}")
        self.param = param
        self.code = code


def refuse(error: Exception) -> Reply:
    """The reply to a request that failed; what is this server's own fault is logged, by type and place alone."""
    status = error.status if isinstance(error, PawlError) else 500
    request_id = os.urandom(8).hex()
    if status in (500, 503):
        log_failure(error, request_id)
    if not isinstance(error, PawlError):
        return _reply(500, f"internal error; request {request_id}")
    if isinstance(error, RefusedField):
        return _reply(400, str(error), error.param, error.code)
    if isinstance(error, NotFound):
        return _reply(404, str(error), "model", "model_not_found")
    if isinstance(error, UnsupportedRequest):
        return _reply(400, str(error), code="unsupported_parameter")
    return _reply(status, str(error))


def _reply(status: int, message: str, param: str | None = None, code: str | None = None) -> Reply:
    kind = _KINDS.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
    return Reply(status, json.dumps({"error": error}))
