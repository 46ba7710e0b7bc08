"""The job API: POST /jobs, GET /jobs, GET /jobs/{id}, POST /jobs/{id}/cancel; for operators, by IAM."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from pawl.errors import Conflict
from pawl.web import application
from retrain.runs import Runs


class JobRequest(BaseModel):
    """Ask for a training run of a model."""

    model_config = ConfigDict(extra="forbid")

    model: str


def build(runs: Runs, now_ms: Callable[[], int], new_cause: Callable[[], str]) -> FastAPI:
    """The web application over `runs`."""
    app = application("Pawl jobs")

    @app.post("/jobs", status_code=202)
    def start(job: JobRequest) -> dict[str, Any]:
        decision, run = runs.consider(job.model, "person", new_cause(), now_ms())
        if run is None:
            raise Conflict(f"no run was started: {decision.because}")
        return runs.show(run)

    @app.get("/jobs")
    def list_all() -> dict[str, Any]:
        return {"jobs": runs.show_all()}

    @app.get("/jobs/{run}")
    def show(run: str) -> dict[str, Any]:
        return runs.show(run)

    @app.post("/jobs/{run}/cancel")
    def cancel(run: str) -> dict[str, Any]:
        return runs.cancel(run)

    return app
