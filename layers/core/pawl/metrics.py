"""The metrics that feedback may be given in: TensorZero's shape, a type, a level, and which way is better.

They are declared in configuration, a JSON object with one entry a metric:

    {"resolved": {"type": "boolean", "level": "episode", "optimize": "max", "models": ["triage"], "teaches": true}}

`type` must be given. Left out, `level` is inference, `optimize` max, `models` all of them, and `teaches`, whether its
feedback counts toward a training, false. What is declared comes on top of DEFAULTS, or in the place of one: thumbs tell
a classifier nothing, and counting them takes a transaction each, so a deployment whose generators learn from thumbs
declares that `thumbs_up` teaches. The names in RESERVED have their meaning already and cannot be declared.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pawl.errors import SettingsError
from pawl.narrowing import is_list, is_object

Type = Literal["boolean", "float", "comment", "label", "demonstration", "correction", "preference", "ranking"]
_WANTED = {
    "type": "boolean or float",
    "level": "inference or episode",
    "optimize": "max or min",
    "models": "a list of models' names",
    "teaches": "true or false",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric measures and of what; `optimize` says which way is better, None where it has no order.

    `level` is what it is said of: one answer, an episode, or either. `models` are those it exists for, none named means
    all. `teaches`: whether its feedback counts toward a training.
    """

    type: Type
    level: Literal["inference", "episode", "either"] = "inference"
    optimize: Literal["max", "min"] | None = None
    models: tuple[str, ...] = ()
    teaches: bool = False


RESERVED: Mapping[str, Metric] = {
    "comment": Metric("comment", "either"),
    "correction": Metric("correction", teaches=True),
    "demonstration": Metric("demonstration", teaches=True),
    "label": Metric("label", teaches=True),
    "preference": Metric("preference", teaches=True),
    "ranking": Metric("ranking", teaches=True),
}
DEFAULTS: Mapping[str, Metric] = {
    "thumbs_up": Metric("boolean", optimize="max"),
    "rating": Metric("float", optimize="max"),
}


def declared(text: str) -> dict[str, Metric]:
    """All metrics by name, with those that `text`, JSON or empty, declares; SettingsError says what is wrong with it.

    >>> declared('{"resolved": {"type": "boolean", "level": "episode"}}')["resolved"].optimize
    'max'
    """
    try:
        found: Any = json.loads(text or "{}")
    except ValueError as error:
        raise SettingsError(f"metrics: want a JSON object, got what is no JSON: {error}") from error
    if not is_object(found):
        raise SettingsError("metrics: want a JSON object with one entry a metric")
    return {**DEFAULTS, **{name: _metric(name, about) for name, about in found.items()}, **RESERVED}


def _metric(name: str, about: Any) -> Metric:
    if name in RESERVED or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise SettingsError(
            f"metric {name!r}: want a name in small letters, digits and underscores, and none of {sorted(RESERVED)}"
        )
    if not is_object(about) or "type" not in about or set(about) - set(_WANTED):
        raise SettingsError(f"metric {name!r}: want its type, and at most {', '.join(_WANTED)}")
    given: dict[str, Any] = {"level": "inference", "optimize": "max", "models": [], "teaches": False, **about}
    for key, value in given.items():
        if not _fits(key, value):
            raise SettingsError(f"metric {name!r}: {key} is {value!r}, want {_WANTED[key]}")
    models: Any = tuple(given.pop("models"))
    return Metric(**given, models=models)


def _fits(key: str, value: Any) -> bool:
    if key == "models":
        return is_list(value) and all(isinstance(each, str) for each in value)
    if key == "teaches":
        return isinstance(value, bool)
    return isinstance(value, str) and value in _WANTED[key].split(" or ")
