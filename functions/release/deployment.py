"""The AWS side of a release: an archive becomes a layer version, a function version, and what the alias points at."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pawl.bucket import Bucket
from pawl.bundle import ALIASES
from pawl.errors import PawlError
from pawl.items import error_code
from release.reconciliation import Shares

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef, FunctionConfigurationTypeDef
    from mypy_boto3_ssm import SSMClient

ALIAS = "live"
LATEST = "$LATEST"
_TRUSTED = "TRUSTED_KEYS"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Published:
    """A published version of the function, what it was said to be, and its models layer by ARN."""

    version: str
    description: str
    layer_arn: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """The inference function, its models layer, and the parameter that the template reads."""

    functions: "LambdaClient"
    parameters: "SSMClient"
    bucket: Bucket
    function: str
    layer: str
    parameter: str
    trusted_keys_parameter: str

    def publish_layer(self, key: str, archive: bytes, description: str) -> str:
        """Publish an archive as the next version of the models layer; returns its ARN."""
        self.bucket.write(key, archive)
        reply = self.functions.publish_layer_version(
            LayerName=self.layer, Description=description, Content={"S3Bucket": self.bucket.name, "S3Key": key}
        )
        return reply["LayerVersionArn"]

    def trust(self, public_key: bytes) -> None:
        """Let functions published from now on, by a release or by the template, open bundles signed with a key."""
        key, keys = base64.b64encode(public_key).decode(), self._trusted_keys()
        if key not in keys.split(","):
            both = ",".join(filter(None, [keys, key]))
            self.parameters.put_parameter(Name=self.trusted_keys_parameter, Value=both, Type="String", Overwrite=True)

    def publish_function(self, layer_arn: str, description: str) -> str:
        """A function version that serves the models of `layer_arn`; the same again when nothing has changed."""
        self._attach(layer_arn)
        return self.functions.publish_version(FunctionName=self.function, Description=description)["Version"]

    def point_live(self, function_version: str, layer_arn: str) -> None:
        """Let the alias answer with a function version, and tell the next deployment which layer that is."""
        self.share(Shares(function_version, {}))
        self.parameters.put_parameter(Name=self.parameter, Value=layer_arn, Type="String", Overwrite=True)

    def shares(self) -> Shares:
        """Which function versions the alias answers with."""
        alias = self.functions.get_alias(FunctionName=self.function, Name=ALIAS)
        routing = alias.get("RoutingConfig") or {}
        return Shares(alias["FunctionVersion"], dict(routing.get("AdditionalVersionWeights") or {}))

    def share(self, shares: Shares) -> None:
        """Let the alias answer with these function versions; without weights, with the main one alone."""
        self.functions.update_alias(
            FunctionName=self.function,
            Name=ALIAS,
            FunctionVersion=shares.main,
            RoutingConfig={"AdditionalVersionWeights": shares.weights},
        )

    def live_layer(self) -> str:
        """The models layer that the next deployment will deploy, by ARN or as `starter`."""
        return self.parameters.get_parameter(Name=self.parameter)["Parameter"].get("Value", "")

    def published(self) -> Iterator[Published]:
        """All published versions of the function, oldest first."""
        for page in self.functions.get_paginator("list_versions_by_function").paginate(FunctionName=self.function):
            for about in page["Versions"]:
                version = about.get("Version", LATEST)
                if version != LATEST:
                    layers = [arn for arn in _layers(about) if self._is_models_layer(arn)]
                    yield Published(version, about.get("Description", ""), layers[0] if layers else "")

    def remove_function(self, function_version: str) -> None:
        """Delete a function version; one that is gone already is gone, and one that an alias names stays."""
        try:
            self.functions.delete_function(FunctionName=self.function, Qualifier=function_version)
        except ClientError as error:
            if error_code(error) not in ("ResourceNotFoundException", "ResourceConflictException"):
                raise

    def remove_layer(self, layer_arn: str) -> None:
        """Delete a version of the models layer; function versions that have it go on as they are."""
        self.functions.delete_layer_version(LayerName=self.layer, VersionNumber=int(layer_arn.rpartition(":")[2]))

    def reattach(self, function_version: str) -> None:
        """Give the unpublished function the models layer of a published version, so that both agree."""
        self._attach(self.models_layer(function_version))

    def models_layer(self, function_version: str) -> str:
        """The models layer of a published version, by ARN."""
        return next(arn for arn in _layers(self._configuration(function_version)) if self._is_models_layer(arn))

    def is_outdated(self, function_version: str) -> bool:
        """Whether a published version has other settings than were deployed since; keys that joined change nothing."""
        old, new = (self._variables(each) for each in (function_version, LATEST))
        trusted, keys = (each.pop(_TRUSTED, "").split(",") for each in (old, new))
        return old != new or not set(trusted) <= {"", *keys}

    def _variables(self, function_version: str) -> dict[str, str]:
        return dict(self._configuration(function_version).get("Environment", {}).get("Variables", {}))

    def _attach(self, layer_arn: str) -> None:
        about = self._configuration(LATEST)
        attached, variables = _layers(about), about.get("Environment", {}).get("Variables", {})
        wanted = [layer_arn if self._is_models_layer(arn) else arn for arn in attached]
        trusting = {**variables, _TRUSTED: self._trusted_keys()}
        if layer_arn not in wanted:
            raise PawlError(f"{self.function} has no layer named {self.layer}: deploy the template again")
        if wanted != attached or trusting != variables:
            self.functions.update_function_configuration(
                FunctionName=self.function, Layers=wanted, Environment={"Variables": trusting}
            )
            self.functions.get_waiter("function_updated_v2").wait(FunctionName=self.function)

    def _configuration(self, function_version: str) -> "FunctionConfigurationResponseTypeDef":
        return self.functions.get_function_configuration(FunctionName=self.function, Qualifier=function_version)

    def _trusted_keys(self) -> str:
        return self.parameters.get_parameter(Name=self.trusted_keys_parameter)["Parameter"].get("Value", "")

    def _is_models_layer(self, arn: str) -> bool:
        return arn.split(":")[6:7] == [self.layer]


def _layers(about: "FunctionConfigurationResponseTypeDef | FunctionConfigurationTypeDef") -> list[str]:
    return [layer.get("Arn", "") for layer in about.get("Layers", [])]


def layer_archive(
    bundles: Mapping[tuple[str, str], Mapping[str, bytes]], aliases: Mapping[str, Mapping[str, str]] | None = None
) -> bytes:
    """The zip of a models layer: files of each bundle by (model, version), and what aliases of a model mean there.

    Equal bundles give equal bytes. Stored and not compressed: quantized weights hardly shrink, and Lambda unpacks
    before it counts.
    """
    files = {
        f"{model}/{version}/{name}": data for (model, version), held in bundles.items() for name, data in held.items()
    }
    files |= {f"{model}/{ALIASES}": json.dumps(meant).encode() for model, meant in (aliases or {}).items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"python/pawl_models/{name}", _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
