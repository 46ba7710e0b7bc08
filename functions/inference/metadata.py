"""What the server says of itself and of its models: one source for REST and gRPC, so that they cannot disagree."""

from collections.abc import Iterator
from typing import Any

from inference.engine import Engine
from pawl.bundle import MANIFEST, Tensor, layer_roots
from pawl.errors import NotFound, NotReady, PawlError

PLATFORM = "onnx_onnxv1"
EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "statistics"]
FIXED_MODELS = "models come in immutable layers: a release changes them, no request does"


def server() -> dict[str, Any]:
    """Name, protocol version, extensions."""
    return {"name": "pawl", "version": "2", "extensions": EXTENSIONS}


def check_ready(engine: Engine) -> None:
    """Raise the first of `failures`, if there is one."""
    for error in failures(engine):
        raise error


def failures(engine: Engine) -> Iterator[PawlError]:
    """What keeps a server from being ready: that there is no model, or the error of each that does not open."""
    names = engine.models()
    if not names:
        places = ", ".join(map(str, layer_roots())) or "the folder that MODELS names, or in a layer"
        yield NotReady(f"no models here: want <name>/<version>/{MANIFEST} in {places}")
    for name in names:
        try:
            engine.get(name)
        except PawlError as error:
            yield error


def model(engine: Engine, name: str, version: str | None) -> dict[str, Any]:
    """A model's tensors, its versions, and where this one comes from; it is opened for that."""
    opened = engine.get(name, version)
    manifest = opened.manifest
    return {
        "name": name,
        "versions": engine.models()[name],
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


def index(engine: Engine, is_ready: bool = False) -> list[dict[str, str]]:
    """Every version here, or those that are ready; one that failed to open when it was last asked for says why."""
    return [
        {"name": name, "version": version, "state": "UNAVAILABLE" if reason else "READY", "reason": reason}
        for name, version in versions(engine)
        for reason in [engine.failure(name, version)]
        if not (is_ready and reason)
    ]


def versions(engine: Engine, name: str | None = None, version: str | None = None) -> list[tuple[str, str]]:
    """The versions meant: one, all of a model, or all there are; NotFound when there is none."""
    found = engine.models()
    if name is None:
        return [(each, number) for each, numbers in found.items() for number in numbers]
    if name not in found:
        raise NotFound(f"no model {name!r} here: there are {sorted(found)}")
    return [(name, number) for number in ([engine.resolve(name, version)] if version else found[name])]


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
