"""Whom a freeze believes, and what it takes for suspicious: a model's own word on it, or the defaults.

A model's own is a JSON file `models/<model>/trust.json` in the bucket with any field of `pawl.suspicion.Policy`, and
`trusted`: raters who are no people, such as a nightly import of ground truth, and are never quarantined.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pawl.bucket import Bucket
from pawl.errors import NotFound, SettingsError
from pawl.narrowing import is_list, is_object
from pawl.suspicion import Policy

_TRUSTED = "trusted"


@dataclass(frozen=True, slots=True)
class Trust:
    """The limits of a screening, and the raters whom it leaves alone."""

    policy: Policy = field(default_factory=Policy)
    trusted: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, text: bytes | str) -> "Trust":
        """What a file says; SettingsError names a field that is unknown or of the wrong type."""
        raw: object = json.loads(text)
        if not is_object(raw):
            raise SettingsError("trust.json: want an object with the fields of a trust policy")
        defaults = asdict(Policy())
        if unknown := sorted(set(raw) - {*defaults, _TRUSTED}):
            wanted = ", ".join(sorted({*defaults, _TRUSTED}))
            raise SettingsError(f"trust.json: no field {', '.join(unknown)}: want some of {wanted}")
        limits = {name: _number(name, raw[name], default) for name, default in defaults.items() if name in raw}
        return cls(Policy(**limits), _names(raw))


def trust_in(bucket: Bucket, model: str) -> Trust:
    """A model's own trust, or the default where it has none."""
    try:
        return Trust.from_json(bucket.read(f"models/{model}/trust.json"))
    except NotFound:
        return Trust()


def _number(name: str, value: Any, default: float) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if is_number and (isinstance(default, float) or value == int(value)):
        return type(default)(value)
    raise SettingsError(f"trust.json: {name}={value!r}: want something like {default!r}")


def _names(raw: Mapping[str, Any]) -> frozenset[str]:
    value = raw.get(_TRUSTED, [])
    if is_list(value) and all(isinstance(each, str) for each in value):
        return frozenset(value)
    raise SettingsError(f"trust.json: {_TRUSTED}={value!r}: want a list of raters' names")
