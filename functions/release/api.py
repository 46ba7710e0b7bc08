"""The release API: GET /releases/{model}, POST /releases/{model}/rollback and /promote; for operators, by IAM."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from pawl.versions import vars_of
from pawl.web import application
from release.releases import Releases
from release.trial import Trial


class Target(BaseModel):
    """The version to promote."""

    model_config = ConfigDict(extra="forbid")

    version: str


def build(releases: Releases, now_ms: Callable[[], int]) -> FastAPI:
    """The web application over `releases`."""
    app = application("Pawl releases")

    @app.get("/releases/{model}")
    def show(model: str) -> dict[str, Any]:
        registry = releases.registry
        live, canary = registry.live(model), registry.canary()
        ours = Trial.from_item(canary).shown() if canary and canary["model"] == model else None
        versions = [vars_of(each) for each in registry.versions(model)]
        return {"live": vars_of(live), "versions": versions, "canary": ours}

    @app.post("/releases/{model}/rollback")
    def roll_back(model: str) -> dict[str, Any]:
        return vars_of(releases.roll_back(model, now_ms()))

    @app.post("/releases/{model}/promote")
    def promote(model: str, target: Target) -> dict[str, Any]:
        return vars_of(releases.promote(model, target.version, now_ms()))

    return app
