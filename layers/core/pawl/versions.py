"""What is known of a model's versions: the live one, each with what became of it, and those that are served elsewhere.

The registry keeps these records, a field an attribute of an item; one of an earlier release may lack new fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

STARTER = "starter"


@dataclass(frozen=True, slots=True)
class Live:
    """The live pointer of a model. `function_version` is empty until a release has moved it.

    `layer_arn` is empty for a reward model alone, which no function serves.
    """

    model: str
    version: str
    function_version: str = ""
    layer_arn: str = STARTER
    moved_at: str = ""
    reason: str = ""
    previous: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A model that this deployment only watches: the version that answered the newest row known, and when."""

    model: str
    version: str
    newest_ms: int


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version of a model and what became of it.

    A `candidate` may be `refused` by its gates, `waiting` for the end of another's canary, or `superseded` by a newer
    one; in its `canary` it may be `rolled_back`. What was `live` is `retired`, and in the end `collected`: no longer
    deployed. `replaces` is the function version that was live when this one was introduced: where a rollback goes.
    `beside` are the versions of all other models that its layer holds, by model, and `left_layers` the layers that were
    published of it and that it has left. `canary` tells what was done in its canary, and why.
    """

    model: str
    version: str
    state: str
    digest: str
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    gates: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    layer_arn: str = ""
    function_version: str = ""
    replaces: str = ""
    updated_at: str = ""
    canary: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    beside: dict[str, str] = field(default_factory=dict[str, str])
    left_layers: list[str] = field(default_factory=list[str])

    def moved(
        self, layer_arn: str = "", function_version: str = "", beside: Mapping[str, str] = MappingProxyType({})
    ) -> Self:
        """The record of the version deployed elsewhere, or nowhere; it keeps in mind what layer it has left."""
        left = [] if self.layer_arn in ("", STARTER, layer_arn) else [self.layer_arn]
        return replace(
            self,
            layer_arn=layer_arn,
            function_version=function_version,
            beside=dict(beside),
            left_layers=[*self.left_layers, *left],
        )


def vars_of(record: Any) -> dict[str, Any]:
    """The fields of a flat frozen dataclass by name."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
