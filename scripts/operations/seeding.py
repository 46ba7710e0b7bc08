"""What a stack needs around its first deployment: parameters before it, the starter models and datasets after it."""

import base64
from pathlib import Path

from botocore.exceptions import ClientError

from operations.stack import Stack
from pawl.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle
from pawl.dataset import thaw
from pawl.datasets import Datasets
from pawl.identity import isoformat
from pawl.items import error_code
from pawl.versions import STARTER, Live, VersionRecord


def prepare(stack: Stack, key: str) -> dict[str, str]:
    """Make the parameters that the template reads, unless they are there; returns their values by name.

    CloudFormation reads them before it makes anything, so no template can make them. What the stack's releases have
    written is respected; what an earlier stack of this name left is not, since a new one knows nothing of its models.
    `key`, which has signed this machine's starter models, joins the keys that are trusted already.
    """
    kept = {
        name: _parameter(stack, name) if stack.is_deployed else None for name in ("live-models-layer", "trusted-keys")
    }
    layer, keys = kept["live-models-layer"] or STARTER, (kept["trusted-keys"] or "").split(",")
    wanted = {
        "live-models-layer": layer,
        "trusted-keys": ",".join(filter(None, keys if key in keys else [*keys, key])),
    }
    for name, value in wanted.items():
        if value != _parameter(stack, name):
            stack.client("ssm").put_parameter(
                Name=f"/pawl/{stack.name}/{name}", Value=value, Type="String", Overwrite=True
            )
    return wanted


def trusted_keys(stack: Stack) -> list[bytes]:
    """The public keys that a stack trusts, each a SubjectPublicKeyInfo in DER; none before it is prepared."""
    return [base64.b64decode(key) for key in (_parameter(stack, "trusted-keys") or "").split(",") if key]


def _parameter(stack: Stack, name: str) -> str | None:
    try:
        return stack.client("ssm").get_parameter(Name=f"/pawl/{stack.name}/{name}")["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
    return None


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
    for file in [*bundle.manifest.files, MANIFEST, SIGNATURE]:
        stack.bucket.write(f"models/{name}/{version}/{file}", (bundle.path / file).read_bytes())
    stack.registry.count_versions_from(name, version)
    stack.registry.record_version(VersionRecord(name, version, "live", bundle.digest, updated_at=isoformat(now_ms)))
    return stack.registry.move_live(Live(name, version, moved_at=isoformat(now_ms), reason="starter"), None)
