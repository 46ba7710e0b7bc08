"""The metrics that feedback may be given in. TensorZero's shape: a name, a type, and which way is better."""

from dataclasses import dataclass
from typing import Literal

from pawl.errors import InvalidRequest

Value = bool | float | str | list[str]


@dataclass(frozen=True, slots=True)
class Metric:
    """A declared metric; `optimize` says whether more or less of it is better, None where it has no order."""

    type: Literal["boolean", "float", "string", "label"]
    optimize: Literal["max", "min"] | None = None


METRICS = {
    "thumbs_up": Metric("boolean", "max"),
    "rating": Metric("float", "max"),
    "comment": Metric("string"),
    "label": Metric("label"),
}
_COMMENT_LIMIT = 4000
_LABEL_LIMIT = 128
_SMALLEST, _LARGEST = 1e-9, 1e9


def check_value(name: str, value: Value, rows: int) -> Value:
    """The value, if it fits the metric; a label is one string a row of the answer that it corrects."""
    metric = METRICS.get(name)
    if metric is None:
        raise InvalidRequest(f"no metric {name!r}: want one of {sorted(METRICS)}")
    checks = {"boolean": _is_boolean, "float": _is_number, "string": _is_comment, "label": _is_label}
    checks[metric.type](name, value, rows)
    return [value] if metric.type == "label" and isinstance(value, str) else value


def _is_boolean(name: str, value: Value, rows: int) -> None:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} takes true or false")


def _is_number(name: str, value: Value, rows: int) -> None:
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise InvalidRequest(f"{name} takes a number")
    if value and not _SMALLEST <= abs(value) <= _LARGEST:  # what DynamoDB can hold has an end; NaN fails here too
        raise InvalidRequest(f"{name} takes 0 or a number of {_SMALLEST:g} to {_LARGEST:g} in size")


def _is_comment(name: str, value: Value, rows: int) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= _COMMENT_LIMIT:
        raise InvalidRequest(f"{name} takes 1 to {_COMMENT_LIMIT} characters of text")


def _is_label(name: str, value: Value, rows: int) -> None:
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or len(labels) != rows:
        raise InvalidRequest(f"{name} takes the right label, or a list of {rows}: one for each row of that answer")
    if not all(1 <= len(label) <= _LABEL_LIMIT for label in labels):
        raise InvalidRequest(f"{name} takes labels of 1 to {_LABEL_LIMIT} characters")
