"""The web application that every HTTPS function begins with: errors in one form, mapped in one place.

Every error answers `{"error": "what was wrong and what would be right"}`, as the Open Inference Protocol has it. What
nobody foresaw answers 500 and is logged by type and place alone: an exception's own text may quote a payload.
"""

import logging
from collections.abc import Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mangum import Mangum
from starlette.exceptions import HTTPException

from pawl.errors import PawlError, log_failure


def application(title: str) -> FastAPI:
    """An application without routes, whose errors all have our form."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(PawlError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unforeseen)
    return app


def gateway(app: FastAPI) -> Mangum:
    """The application as a Lambda handler for API Gateway; Mangum would run its lifespan on every invocation."""
    logging.getLogger("mangum.http").disabled = True  # it logs what `_answer_unforeseen` has logged, with the text
    return Mangum(app, lifespan="off")


def explain(errors: Sequence[Any]) -> str:
    """What pydantic found wrong: which field, and what it should be; never what was sent."""
    found = ((".".join(str(part) for part in each["loc"]), str(each["msg"])) for each in errors)
    return "; ".join(f"{where}: {what}" if where else what for where, what in found)


async def _answer_ours(request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, PawlError) else 500
    return JSONResponse({"error": str(error)}, status)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": explain(cast(RequestValidationError, error).errors())}, 400)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    ours = error if isinstance(error, HTTPException) else HTTPException(500)
    return JSONResponse({"error": f"no route {request.method} {request.url.path}"}, ours.status_code, ours.headers)


async def _answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    request_id = getattr(request.scope.get("aws.context"), "aws_request_id", request.scope.get("request_id", ""))
    log_failure(error, request_id)
    return JSONResponse({"error": f"internal error; request {request_id}"}, 500)
