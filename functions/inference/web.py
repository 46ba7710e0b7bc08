"""The routes of the Open Inference Protocol that are not on the hot path: health, metadata, repository index."""

import functools
from typing import Any

from fastapi import FastAPI
from mangum import Mangum

from inference.engine import Engine
from pawl.bundle import Tensor
from pawl.web import application, gateway

PLATFORM = "onnx_onnxv1"
EXTENSIONS = ["model_repository"]


def build(engine: Engine) -> FastAPI:
    """The web application over the models of `engine`."""
    app = application("Pawl inference")

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

    return app


@functools.cache
def handler(engine: Engine) -> Mangum:
    """The application as a Lambda handler, built when it is first needed."""
    return gateway(build(engine))


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
