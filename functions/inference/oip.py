"""Open Inference Protocol v2, REST: what comes in and what goes out, without a web framework.

Specification: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`. Written by hand because this
is the reply's path: the framework's import alone would double a cold start.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from pawl.bundle import Manifest, Tensor
from pawl.errors import InvalidRequest
from pawl.narrowing import is_list, is_object

_REQUEST_FIELDS = {"id", "parameters", "inputs", "outputs"}
_INPUT_FIELDS = {"name", "shape", "datatype", "parameters", "data"}


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A checked request for a text model: its texts, and which outputs it wants (None: all)."""

    id: str | None
    texts: list[str]
    outputs: list[str] | None


def parse_infer(body: str | bytes, manifest: Manifest, row_limit: int) -> InferRequest:
    """The request in `body`; InvalidRequest says what was wrong and what would be right."""
    try:
        raw = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if not is_object(raw):
        raise InvalidRequest('the body must be an object: {"inputs": [...]}')
    _refuse_unknown("the request", raw, _REQUEST_FIELDS)
    identifier = raw.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise InvalidRequest("id must be a string")
    _check_parameters("parameters", raw.get("parameters"))
    texts = _parse_texts(raw.get("inputs"), manifest.inputs[0], row_limit)
    return InferRequest(identifier, texts, _parse_outputs(raw.get("outputs"), manifest.outputs))


def render_infer(
    manifest: Manifest,
    request_id: str,
    inference_id: str,
    outputs: Mapping[str, list[Any]],
    wanted: Sequence[str] | None,
) -> str:
    """The protocol's reply: `outputs` maps a name to its rows, each a scalar or a list."""
    tensors: list[dict[str, Any]] = []
    for tensor in manifest.outputs:
        if wanted is not None and tensor.name not in wanted:
            continue
        rows = outputs[tensor.name]
        nested = len(tensor.shape) > 1
        data = [value for row in rows for value in row] if nested else rows
        tensors.append(
            {"name": tensor.name, "datatype": tensor.datatype, "shape": [len(rows), *tensor.shape[1:]], "data": data}
        )
    return json.dumps(
        {
            "model_name": manifest.name,
            "model_version": manifest.version,
            "id": request_id,
            "parameters": {"inference_id": inference_id},
            "outputs": tensors,
        },
        separators=(",", ":"),
    )


def _parse_texts(inputs: Any, wanted: Tensor, row_limit: int) -> list[str]:
    if not is_list(inputs) or len(inputs) != 1 or not is_object(inputs[0]):
        raise InvalidRequest(f"inputs must be a list of one tensor, {wanted.name!r}")
    tensor: dict[str, Any] = inputs[0]
    _refuse_unknown(f"input {wanted.name!r}", tensor, _INPUT_FIELDS)
    if tensor.get("name") != wanted.name or tensor.get("datatype") != wanted.datatype:
        raise InvalidRequest(f"want the input {wanted.name!r} with datatype {wanted.datatype}")
    _check_parameters("input parameters", tensor.get("parameters"))
    texts = _flatten(tensor.get("data"))
    _check_shape(tensor.get("shape"), len(texts), row_limit)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest(f"data[{position}] of {wanted.name!r} must be a string")
        if not _is_unicode(text):
            raise InvalidRequest(f"data[{position}] of {wanted.name!r} holds half a surrogate pair")
    return texts


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text: JSON can escape half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_shape(shape: Any, rows: int, row_limit: int) -> None:
    if not is_list(shape) or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidRequest("shape must be a list of whole numbers")
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise InvalidRequest(f"shape {shape}: want [rows] or [rows, 1]")
    if prod(shape) != rows:
        raise InvalidRequest(f"shape {shape} holds {prod(shape)} elements, data has {rows}")
    if not 1 <= rows <= row_limit:
        raise InvalidRequest(f"{rows} rows: want 1 to {row_limit} in one request")


def _flatten(data: Any) -> list[Any]:
    """Data nested or flat, row-major; one level of nesting is all a [rows, 1] tensor has."""
    if not is_list(data):
        raise InvalidRequest("data must be a list")
    if any(is_list(each) for each in data):
        if not all(is_list(each) and len(each) == 1 for each in data):
            raise InvalidRequest("nested data must hold one element a row")
        return [each[0] for each in data]
    return data


def _parse_outputs(outputs: Any, known: Sequence[Tensor]) -> list[str] | None:
    if outputs is None:
        return None
    if not is_list(outputs) or not all(is_object(each) and "name" in each for each in outputs):
        raise InvalidRequest('outputs must be a list of {"name": ...}')
    names = [str(each["name"]) for each in outputs]
    offered = [tensor.name for tensor in known]
    for name in names:
        if name not in offered:
            raise InvalidRequest(f"no output {name!r}: this model has {offered}")
    return names


def _check_parameters(where: str, parameters: Any) -> None:
    if parameters is None:
        return
    if not is_object(parameters) or any(is_object(each) or is_list(each) for each in parameters.values()):
        raise InvalidRequest(f"{where} must be an object of strings, numbers and booleans")


def _refuse_unknown(where: str, raw: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(raw) - known):
        raise InvalidRequest(f"{where} has unknown fields {unknown}: want {sorted(known)}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
