"""Models as OpenAI's clients ask for them: `name` is the live version, `name@version` and `name@alias` any other."""

from inference.fields import Fields
from inference.refusals import RefusedField
from inference.service import Service
from pawl.errors import NotFound
from pawl.model import Model

_LENGTH = 100


def parse_name(fields: Fields) -> str:
    """The model's name as the request has it."""
    name = fields.text("model")
    if not name or len(name) > _LENGTH:
        raise fields.refuse("model", "want a model's name, or name@version or name@alias")
    return name


def split_name(name: str) -> tuple[str, str | None]:
    """Name and version or alias."""
    base, at, version = name.partition("@")
    if at and not version:
        raise NotFound(f"no model {name!r} here: want a name, or name@version or name@alias")
    return base, version or None


def open_named(service: Service, name: str, kind: str) -> Model:
    """The model of that name, if it is of the kind that a route needs."""
    model = service.engine.get(*split_name(name))
    manifest = model.manifest
    if manifest.kind != kind:
        message = f"{manifest.name} is a {manifest.kind}, want a {kind}; /v2/models/{manifest.name}/infer takes any"
        raise RefusedField("model", message, "unsupported_value")
    return model
