"""Reads a function's settings from its environment: one frozen dataclass a function, every fault named.

A field `feedback_table: str` is read from `FEEDBACK_TABLE`; `int`, `float` and `bool` are converted; a field with a
default may be left out. Template tests hold the template's variables against these very fields.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from pawl.errors import SettingsError

T = TypeVar("T")
_BOOLEANS = {"true": True, "false": False}


def read_settings(shape: type[T], environment: Mapping[str, str]) -> T:
    """An instance of the dataclass `shape` filled from `environment`; SettingsError names what is missing or bad."""
    hints = get_type_hints(shape)
    values: dict[str, Any] = {}
    for field in fields(shape):  # pyright: ignore[reportArgumentType]
        name = field.name.upper()
        if name in environment:
            values[field.name] = _convert(name, environment[name], hints[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SettingsError(f"{name} is not set: {shape.__name__} needs it ({hints[field.name].__name__})")
    return shape(**values)


def variables(shape: type[Any]) -> dict[str, bool]:
    """The environment variables that a settings dataclass reads, each with whether it must be set."""
    return {f.name.upper(): f.default is MISSING and f.default_factory is MISSING for f in fields(shape)}


def _convert(name: str, text: str, wanted: type) -> Any:
    try:
        return _BOOLEANS[text.lower()] if wanted is bool else wanted(text)
    except (ValueError, KeyError) as error:
        raise SettingsError(
            f"{name}={text!r}: want {'true or false' if wanted is bool else wanted.__name__}"
        ) from error
