"""What a stack needs around its first deployment: the parameter before it, the starter models and datasets after it."""

from pathlib import Path

from botocore.exceptions import ClientError

from operations.stack import Stack
from pawl.bundle import MANIFEST, Bundle, open_bundle
from pawl.dataset import thaw
from pawl.identity import isoformat
from pawl.items import error_code
from pawl.registry import STARTER, Live, VersionRecord
from pawl.store import Datasets


def prepare(stack: Stack) -> str:
    """Make the parameter that the template reads the live layer from, unless it is there; returns its value.

    CloudFormation reads it before it makes anything, so no template can make it. A release that moved it is respected.
    """
    name = f"/pawl/{stack.name}/live-models-layer"
    parameters = stack.client("ssm")
    try:
        return parameters.get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
    parameters.put_parameter(Name=name, Value=STARTER, Type="String")
    return STARTER


def seed(stack: Stack, starter: Path, now_ms: int) -> list[str]:
    """Register the starter models that the stack does not know yet; returns their names.

    `starter` holds `models/<name>/<version>/` and `datasets/<digest>/`, as the build leaves them.
    """
    for folder in sorted((starter / "datasets").iterdir()):
        Datasets(stack.bucket).store(thaw({path.name: path.read_bytes() for path in folder.iterdir()}))
    bundles = [open_bundle(path.parent) for path in sorted((starter / "models").glob(f"*/*/{MANIFEST}"))]
    known = stack.registry.models()
    return [
        bundle.manifest.name
        for bundle in bundles
        if bundle.manifest.name not in known and _register(stack, bundle, now_ms)
    ]


def _register(stack: Stack, bundle: Bundle, now_ms: int) -> bool:
    name, version = bundle.manifest.name, bundle.manifest.version
    for file in [*bundle.manifest.files, MANIFEST]:
        stack.bucket.write(f"models/{name}/{version}/{file}", (bundle.path / file).read_bytes())
    stack.registry.count_versions_from(name, version)
    stack.registry.record_version(VersionRecord(name, version, "live", bundle.digest, updated_at=isoformat(now_ms)))
    return stack.registry.move_live(Live(name, version, moved_at=isoformat(now_ms), reason="starter"), None)
