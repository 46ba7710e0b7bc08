"""Brings a model of somebody's own into a running deployment, as its version 1: registered, signed, served."""

import json
from pathlib import Path

from artifacts.signing import local_key, sign_folder
from operations.stack import Stack
from pawl.bundle import MANIFEST, Bundle
from pawl.identity import isoformat
from pawl.reward import KIND as REWARD_MODEL
from pawl.versions import Live, VersionRecord
from release.deployment import layer_archive


def move_in(stack: Stack, bundle: Bundle, base: Path, now_ms: int) -> None:
    """Register a bundle and the checkpoint that it was made of, and serve it beside all other models."""
    name, version = bundle.manifest.name, bundle.manifest.version
    sign_folder(bundle.path, local_key())
    for folder, prefix in ((base, f"models/{name}/base/"), (bundle.path, f"models/{name}/{version}/")):
        for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
            stack.bucket.write(prefix + path.name, path.read_bytes())
    stack.registry.count_versions_from(name, version)
    stack.registry.record_version(VersionRecord(name, version, "live", bundle.digest, updated_at=isoformat(now_ms)))
    stack.registry.move_live(Live(name, version, moved_at=isoformat(now_ms), reason="moved in"), None)
    _serve(stack, _publish_layer(stack, name))


def _publish_layer(stack: Stack, name: str) -> str:
    """A version of the models layer with the live versions of all models; a reward model is in no layer."""
    live = [stack.registry.live(model) for model in stack.registry.models()]
    served = [each for each in live if stack.registry.manifest(each.model, each.version).kind != REWARD_MODEL]
    bundles = {(each.model, each.version): _bundle(stack, each) for each in served}
    key = f"layers/{name}.zip"
    stack.bucket.write(key, layer_archive(bundles))
    reply = stack.client("lambda").publish_layer_version(
        LayerName=f"{stack.name}-models", Content={"S3Bucket": stack.bucket.name, "S3Key": key}
    )
    return reply["LayerVersionArn"]


def _bundle(stack: Stack, live: Live) -> dict[str, bytes]:
    files = stack.bucket.read_folder(f"models/{live.model}/{live.version}/")
    named = {*json.loads(files[MANIFEST])["files"], MANIFEST, "evidence.json", "model.sig"}
    return {file: data for file, data in files.items() if file in named}


def _serve(stack: Stack, layer: str) -> None:
    """Let the alias answer with a new version of the inference function that has this layer."""
    functions, function = stack.client("lambda"), stack.outputs["InferenceFunction"]
    attached = functions.get_function_configuration(FunctionName=function)["Layers"]
    layers = [layer if f":{stack.name}-models:" in each["Arn"] else each["Arn"] for each in attached]
    functions.update_function_configuration(FunctionName=function, Layers=layers)
    version = functions.publish_version(FunctionName=function)["Version"]
    functions.update_alias(FunctionName=function, Name="live", FunctionVersion=version)
    stack.client("ssm").put_parameter(
        Name=stack.outputs["LiveLayerParameter"], Value=layer, Type="String", Overwrite=True
    )
