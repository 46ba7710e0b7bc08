"""The routes of the Open Inference Protocol that are not on the hot path: health, metadata, repository index."""

import functools
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from mangum import Mangum
from starlette.exceptions import HTTPException

from inference.engine import Engine
from pawl.bundle import Tensor
from pawl.errors import PawlError, UnsupportedRequest

PLATFORM = "onnx_onnxv1"
EXTENSIONS = ["model_repository"]


def build(engine: Engine) -> FastAPI:
    """The web application over the models of `engine`; its errors have the protocol's form."""
    app = FastAPI(title="Pawl inference", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(PawlError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return {"name": "pawl", "version": "2", "extensions": EXTENSIONS}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        for name in engine.models():
            engine.get(name)
        return {"ready": bool(engine.models())}

    @app.get("/v2/models")
    async def models() -> dict[str, list[str]]:
        return {"models": list(engine.models())}

    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    async def metadata(model: str, version: str | None = None) -> dict[str, Any]:
        opened = engine.get(model, version)
        manifest = opened.manifest
        return {
            "name": model,
            "versions": engine.models()[model],
            "platform": PLATFORM,
            "inputs": [_tensor(each) for each in manifest.inputs],
            "outputs": [_tensor(each) for each in manifest.outputs],
            "properties": {
                "version": manifest.version,
                "digest": opened.digest,
                "kind": manifest.kind,
                "labels": ",".join(manifest.labels),
                "dataset": manifest.lineage.dataset,
                "run": manifest.lineage.run,
            },
        }

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    async def model_ready(model: str, version: str | None = None) -> dict[str, Any]:
        engine.get(model, version)
        return {"name": model, "ready": True}

    @app.post("/v2/repository/index")
    async def index() -> list[dict[str, str]]:
        return [
            {"name": name, "version": version, "state": "READY", "reason": ""}
            for name, versions in engine.models().items()
            for version in versions
        ]

    @app.post("/v2/repository/models/{model}/{action}")
    async def change(model: str, action: str) -> None:
        raise UnsupportedRequest(f"{action}: models are layers and layers are immutable; a release changes them")

    return app


@functools.cache
def gateway(engine: Engine) -> Mangum:
    """The application as a Lambda handler, built once; Mangum would run its lifespan on every invocation."""
    return Mangum(build(engine), lifespan="off")


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, PawlError) else 500
    return JSONResponse({"error": str(error)}, status)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": f"no route {request.method} {request.url.path}"}, status)


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
