"""The AWS side of a release: an archive becomes a layer version, a function version, and what the alias points at."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pawl.errors import PawlError
from pawl.store import Bucket

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_ssm import SSMClient

ALIAS = "live"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The inference function, its models layer, and the parameter that the template reads."""

    functions: "LambdaClient"
    parameters: "SSMClient"
    bucket: Bucket
    function: str
    layer: str
    parameter: str

    def live_function_version(self) -> str:
        """The function version that the alias points at."""
        return self.functions.get_alias(FunctionName=self.function, Name=ALIAS)["FunctionVersion"]

    def publish_layer(self, key: str, archive: bytes, description: str) -> str:
        """Publish an archive as the next version of the models layer; returns its ARN."""
        self.bucket.write(key, archive)
        reply = self.functions.publish_layer_version(
            LayerName=self.layer, Description=description, Content={"S3Bucket": self.bucket.name, "S3Key": key}
        )
        return reply["LayerVersionArn"]

    def publish_function(self, layer_arn: str) -> str:
        """A function version that serves the models of `layer_arn`; the same again when nothing has changed."""
        self._attach(layer_arn)
        return self.functions.publish_version(FunctionName=self.function)["Version"]

    def point_live(self, function_version: str, layer_arn: str) -> None:
        """Let the alias answer with a function version, and tell the next deployment which layer that is."""
        self.functions.update_alias(FunctionName=self.function, Name=ALIAS, FunctionVersion=function_version)
        self.parameters.put_parameter(Name=self.parameter, Value=layer_arn, Type="String", Overwrite=True)

    def reattach(self, function_version: str) -> None:
        """Give the unpublished function the models layer of a published version, so that both agree."""
        self._attach(self._models_layer(function_version))

    def _attach(self, layer_arn: str) -> None:
        attached = self._layers()
        wanted = [layer_arn if self._is_models_layer(arn) else arn for arn in attached]
        if layer_arn not in wanted:
            raise PawlError(f"{self.function} has no layer named {self.layer}: deploy the template again")
        if wanted != attached:
            self.functions.update_function_configuration(FunctionName=self.function, Layers=wanted)
            self.functions.get_waiter("function_updated_v2").wait(FunctionName=self.function)

    def _models_layer(self, function_version: str) -> str:
        return next(arn for arn in self._layers(function_version) if self._is_models_layer(arn))

    def _layers(self, function_version: str = "$LATEST") -> list[str]:
        about = self.functions.get_function_configuration(FunctionName=self.function, Qualifier=function_version)
        return [layer.get("Arn", "") for layer in about.get("Layers", [])]

    def _is_models_layer(self, arn: str) -> bool:
        return arn.split(":")[6:7] == [self.layer]


def layer_archive(bundles: Mapping[tuple[str, str], Mapping[str, bytes]]) -> bytes:
    """The zip of a models layer: files of each bundle by (model, version); equal bundles give equal bytes.

    Stored and not compressed: quantized weights hardly shrink, and Lambda unpacks before it counts.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for (model, version), files in sorted(bundles.items()):
            for name, data in sorted(files.items()):
                entry = zipfile.ZipInfo(f"python/pawl_models/{model}/{version}/{name}", _EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
    return buffer.getvalue()
