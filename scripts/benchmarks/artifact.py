"""The built artifact that is measured: what a function sees of it on Lambda, in Lambda's order."""

import os
from pathlib import Path

from artifacts.signing import local_key

PARTS = ("InferenceFunction", "CoreLayer", "ServingLayer", "ModelsLayer")


def environment(build: Path) -> dict[str, str]:
    """The environment of a process that runs the built function: its code, then its layers, nothing compiled anew."""
    path = [build / PARTS[0], *(build / layer / "python" for layer in PARTS[1:])]
    return {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORT_DISABLE_TELEMETRY": "1",  # as the template has it
        "TRUSTED_KEYS": local_key().trusted,
    }


def bundle(build: Path, name: str) -> Path:
    """The folder of a model's newest version in the built models layer; FileNotFoundError when there is none."""
    versions = sorted((build / PARTS[3]).glob(f"python/pawl_models/{name}/[1-9]*"), key=lambda path: int(path.name))
    if not versions:
        raise FileNotFoundError(f"{build} has no model {name!r}: build it with scripts/build")
    return versions[-1]
