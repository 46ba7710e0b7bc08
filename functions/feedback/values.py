"""What may be said in a metric, by its type: a value is refused with what would be right, never repeated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from feedback.schema import DIMENSIONS, LARGEST, SMALLEST, TEXT_LIMIT, Correction
from pawl.errors import InvalidRequest
from pawl.narrowing import is_list
from pawl.web import explain

T = TypeVar("T")
COMMENT_LIMIT = 4000
LABEL_LIMIT = 128
# Numbers in a correction: what DynamoDB holds, 38 digits.
_TINIEST, _HUGEST = 1e-100, 1e38
_CORRECTION = TypeAdapter(Correction)


def check_value(name: str, type: str, value: Any, rows: int) -> Any:
    """The value as it is kept, if it fits the metric; a label is one string a row of the answer that it corrects."""
    return _CHECKS[type](name, value, rows)


def parse(adapter: TypeAdapter[T], name: str, value: Any, example: str) -> T:
    """The value in its shape; InvalidRequest shows an example of what is wanted, and what did not fit."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(f"{name} takes {example}: {explain(error.errors())}") from error


def _boolean(name: str, value: Any, rows: int) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} takes true or false")
    return value


def _float(name: str, value: Any, rows: int) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise InvalidRequest(f"{name} takes a number")
    if value and not SMALLEST <= abs(value) <= LARGEST:  # NaN fails here too
        raise InvalidRequest(f"{name} takes 0 or a number of {SMALLEST:g} to {LARGEST:g} in size")
    return value


def _text(limit: int) -> Callable[[str, Any, int], str]:
    def check(name: str, value: Any, rows: int) -> str:
        if not _is_text(value, limit):
            raise InvalidRequest(f"{name} takes 1 to {limit} characters of text")
        return value

    return check


def _label(name: str, value: Any, rows: int) -> list[str]:
    labels: Sequence[Any] = value if is_list(value) else [value]
    if not all(isinstance(label, str) for label in labels) or len(labels) != rows:
        raise InvalidRequest(f"{name} takes the right label, or a list of {rows}: one for each row of that answer")
    if not all(_is_text(label, LABEL_LIMIT) for label in labels):
        raise InvalidRequest(f"{name} takes labels of 1 to {LABEL_LIMIT} characters")
    return list(labels)


def _correction(name: str, value: Any, rows: int) -> dict[str, Any]:
    example = '{"outputs": [{"name": ..., "data": [...]}]}'
    correction = parse(_CORRECTION, name, value, example)
    for output in correction.outputs:
        if (output.shape[0] if output.shape else len(output.data)) != rows:
            raise InvalidRequest(f"{name} takes outputs of {rows} rows, as many as that answer has")
        if not _can_be_kept(output.data, DIMENSIONS):
            raise InvalidRequest(
                f"{name} takes data of booleans, texts and numbers with at most 38 digits, flat or nested in at most "
                f"{DIMENSIONS} dimensions"
            )
    return correction.model_dump(exclude_none=True)


def _can_be_kept(value: Any, deep: int) -> bool:
    if is_list(value):
        return deep > 0 and all(_can_be_kept(each, deep - 1) for each in value)
    if isinstance(value, str):
        return value == "" or _is_text(value, TEXT_LIMIT)
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) < 10**38
    return isinstance(value, float) and (not value or _TINIEST <= abs(value) < _HUGEST)  # NaN fails here too


def _is_text(value: Any, limit: int) -> bool:
    """Whether it is text of 1 to `limit` characters that can be written down: half a surrogate pair cannot."""
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


_CHECKS: Mapping[str, Callable[[str, Any, int], Any]] = {
    "boolean": _boolean,
    "float": _float,
    "comment": _text(COMMENT_LIMIT),
    "demonstration": _text(TEXT_LIMIT),
    "label": _label,
    "correction": _correction,
}
