"""Open Inference Protocol v2, REST: what comes in and what goes out, without a web framework.

Specification: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`, with Triton's extensions for
binary tensors and for classification. Written by hand because this is the reply's path: the framework's import alone
would double a cold start.
"""

import json
from collections.abc import Mapping, Sequence
from math import isfinite, prod
from typing import Any, NamedTuple

import numpy as np

from inference.tensors import (
    DTYPES,
    check_shape,
    encode_string,
    from_bytes,
    from_json,
    shape_of,
    shown,
    to_bytes,
    to_json,
)
from pawl.bundle import Manifest, Tensor
from pawl.errors import InvalidRequest, UnsupportedRequest
from pawl.model import Answer, Column, Parameter
from pawl.narrowing import is_list, is_object

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The HTTP header of the binary extension: where the JSON ends and the tensors begin."""
_OURS = {"binary_data_output", "user"}  # parameters that no model is asked with
_REQUEST_FIELDS = {"id", "parameters", "inputs", "outputs"}
_INPUT_FIELDS = {"name", "shape", "datatype", "parameters", "data"}
_OUTPUT_FIELDS = {"name", "parameters"}


class Wanted(NamedTuple):
    """An output that was asked for: as binary data or JSON, and as so many of its best classes (0: as it is)."""

    name: str
    is_binary: bool = False
    classes: int = 0


class InferRequest(NamedTuple):
    """A checked request: a column for each input of the model, the outputs that it wants, and who asks if it tells."""

    id: str | None
    inputs: dict[str, Column]
    rows: int
    parameters: Mapping[str, Parameter]
    outputs: Sequence[Wanted]
    user: str = ""


def parse_infer(body: str | bytes, header_length: int | None, manifest: Manifest, row_limit: int) -> InferRequest:
    """The request in `body`, whose JSON ends at `header_length` (None: at its end; 0: it is one raw tensor).

    InvalidRequest says what was wrong and what would be right.
    """
    if header_length is None:
        return _parse(body, b"", manifest, row_limit)
    raw = memoryview(_to_bytes(body))
    if header_length == 0:
        return _parse_raw(raw, manifest, row_limit)
    if not 0 < header_length <= len(raw):
        raise InvalidRequest(f"{HEADER_LENGTH} must be from 0 to the body's {len(raw)} bytes")
    return _parse(bytes(raw[:header_length]), raw[header_length:], manifest, row_limit)


def parse_header_length(value: str | None) -> int | None:
    """The header of the binary extension as a number."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise InvalidRequest(f"{HEADER_LENGTH} must be a whole number of bytes")
    return int(value)


def render_infer(manifest: Manifest, request: InferRequest, inference_id: str, answer: Answer) -> tuple[str, bytes]:
    """The protocol's reply: its JSON, and the binary tensors that follow it (empty when none was asked for)."""
    signatures = {tensor.name: tensor for tensor in manifest.outputs}
    tensors: list[str] = []
    binary = b""
    for wanted in request.outputs:
        tensor, column = signatures[wanted.name], answer.outputs[wanted.name]
        if wanted.classes:
            column = _classify(tensor, column, wanted.classes, manifest.labels)
            tensor = Tensor(tensor.name, "BYTES", [])
        if wanted.is_binary:
            raw = to_bytes(tensor, column)
            binary += raw
            data = f'"parameters":{{"binary_data_size":{len(raw)}}}'
        else:
            data = f'"data":{to_json(tensor, column)}'
        name = encode_string(tensor.name)
        tensors.append(f'{{"name":{name},"datatype":"{tensor.datatype}","shape":{shape_of(column)},{data}}}')
    identifier = encode_string(request.id or inference_id)
    told = _told(answer.parameters) if answer.parameters else ""
    return (
        f'{{"model_name":"{manifest.name}","model_version":"{manifest.version}","id":{identifier},'
        f'"parameters":{{"inference_id":"{inference_id}"{told}}},"outputs":[{",".join(tensors)}]}}',
        binary,
    )


def _told(parameters: Mapping[str, str]) -> str:
    return "".join(f",{encode_string(name)}:{encode_string(value)}" for name, value in parameters.items())


def _parse(body: str | bytes, binary: bytes | memoryview, manifest: Manifest, row_limit: int) -> InferRequest:
    raw = parse_object(body, 'want {"inputs": [...]}')
    _refuse_unknown("the request", raw, _REQUEST_FIELDS)
    identifier = raw.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise InvalidRequest("id must be a string")
    parameters = _check_parameters("parameters", raw.get("parameters"))
    inputs = _parse_inputs(raw.get("inputs"), binary, manifest.inputs)
    outputs = _parse_outputs(raw.get("outputs"), manifest.outputs, parameters.get("binary_data_output") is True)
    own = {name: value for name, value in parameters.items() if name not in _OURS} if parameters else {}
    rows, user = _count_rows(inputs, manifest, row_limit), parameters.get("user", "")
    if not isinstance(user, str):
        raise InvalidRequest("parameters: user must be a string")
    return InferRequest(identifier, inputs, rows, own, outputs, user)


def parse_object(body: str | bytes, wanted: str) -> dict[str, Any]:
    """The JSON object in `body`, strictly: UTF-8, no NaN, no Infinity."""
    if not body:
        raise InvalidRequest(f"the body is empty: {wanted}")
    try:
        text = body if isinstance(body, str) else body.decode()
        raw, end = _DECODER.raw_decode(text) if text[0] == "{" else (None, 0)
        if end != len(text):  # white space around it, or no object, or more than one: all of it
            raw = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise InvalidRequest("the body is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if not is_object(raw):
        raise InvalidRequest(f"the body must be an object: {wanted}")
    return raw


def _to_bytes(body: str | bytes) -> bytes:
    try:
        return body.encode() if isinstance(body, str) else body
    except UnicodeEncodeError as error:
        raise InvalidRequest("the body is not UTF-8") from error


def _parse_raw(raw: memoryview, manifest: Manifest, row_limit: int) -> InferRequest:
    """A body that is the tensor and nothing else; the answer comes back as binary data."""
    tensor = manifest.inputs[0]
    if len(manifest.inputs) != 1 or tensor.shape.count(-1) > 1:
        raise InvalidRequest(f"{manifest.name} takes no raw body: its shape could not be told; send the JSON header")
    if not raw:
        raise InvalidRequest("the body is empty: want the tensor's bytes")
    if tensor.datatype == "BYTES":  # one element, without its length
        shape = [1 for _ in tensor.shape]
        raw = memoryview(len(raw).to_bytes(4, "little") + raw)
    else:
        fixed = prod(size for size in tensor.shape if size != -1) * np.dtype(DTYPES[tensor.datatype]).itemsize
        shape = [len(raw) // fixed if size == -1 else size for size in tensor.shape]
    inputs = {tensor.name: from_bytes(tensor, check_shape(tensor, shape), raw)}
    outputs = [Wanted(each.name, is_binary=True) for each in manifest.outputs]
    return InferRequest(None, inputs, _count_rows(inputs, manifest, row_limit), {}, outputs)


def _parse_inputs(inputs: Any, binary: bytes | memoryview, signatures: Sequence[Tensor]) -> dict[str, Column]:
    left = {tensor.name: tensor for tensor in signatures}
    if not is_list(inputs) or not all(is_object(each) for each in inputs):
        raise InvalidRequest(f"inputs must be a list of tensors: {list(left)}")
    given: list[dict[str, Any]] = inputs
    place, columns = 0, dict[str, Column]()
    for raw in given:
        name = raw.get("name")
        tensor = left.pop(name, None) if isinstance(name, str) else None
        if tensor is None:
            break
        size = _binary_size(raw, tensor)
        columns[tensor.name] = _parse_input(raw, tensor, None if size is None else binary[place : place + size])
        place += size or 0
    if left or len(given) != len(signatures):
        raise InvalidRequest(f"this model takes exactly the inputs {[tensor.name for tensor in signatures]}")
    if place != len(binary):
        raise InvalidRequest(f"the inputs' binary_data_size sum to {place}, the body has {len(binary)} binary bytes")
    return columns if len(columns) == 1 else {tensor.name: columns[tensor.name] for tensor in signatures}


def _parse_input(raw: Mapping[str, Any], tensor: Tensor, binary: bytes | memoryview | None) -> Column:
    if not raw.keys() <= _INPUT_FIELDS:
        _refuse_unknown(f"input {tensor.name!r}", raw, _INPUT_FIELDS)
    if raw.get("datatype") != tensor.datatype:
        raise InvalidRequest(f"want the input {tensor.name!r} with datatype {tensor.datatype}")
    shape = check_shape(tensor, raw.get("shape"))
    if binary is None:
        return from_json(tensor, shape, raw.get("data"))
    if "data" in raw:
        raise InvalidRequest(f"input {tensor.name!r} has both data and binary_data_size: want one of them")
    return from_bytes(tensor, shape, binary)


def _binary_size(raw: Mapping[str, Any], tensor: Tensor) -> int | None:
    if raw.get("parameters") is None:
        return None
    parameters = _check_parameters(f"the parameters of {tensor.name!r}", raw["parameters"])
    if "shared_memory_region" in parameters:
        raise UnsupportedRequest("shared memory is not offered here: send the tensor's data")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise InvalidRequest(f"binary_data_size of {tensor.name!r} must be a whole number")
    return size


def _count_rows(inputs: Mapping[str, Column], manifest: Manifest, row_limit: int) -> int:
    """The batch: how many rows the inputs have whose first dimension is open; they must agree."""
    counts = {len(inputs[tensor.name]) for tensor in manifest.inputs if tensor.shape[:1] == [-1]}
    if len(counts) > 1:
        raise InvalidRequest(f"the inputs have different numbers of rows: {sorted(counts)}")
    rows = counts.pop() if counts else 1
    if not 1 <= rows <= row_limit:
        raise InvalidRequest(f"{rows} rows: want 1 to {row_limit} in one request")
    return rows


def _parse_outputs(outputs: Any, known: Sequence[Tensor], is_binary: bool) -> list[Wanted]:
    """The outputs that are wanted: all of them where none is named."""
    if outputs is None or outputs == []:
        return [_check_output(tensor, Wanted(tensor.name, is_binary)) for tensor in known]
    if not is_list(outputs) or not all(is_object(each) and isinstance(each.get("name"), str) for each in outputs):
        raise InvalidRequest('outputs must be a list of {"name": ...}')
    if len({each["name"] for each in outputs}) != len(outputs):
        raise InvalidRequest("outputs must name each output once")
    return [_parse_output(each, known, is_binary) for each in outputs]


def _parse_output(raw: Mapping[str, Any], known: Sequence[Tensor], is_binary: bool) -> Wanted:
    _refuse_unknown("an output", raw, _OUTPUT_FIELDS)
    name = raw["name"]
    tensor = next((each for each in known if each.name == name), None)
    if tensor is None:
        raise InvalidRequest(f"no output {shown(name)}: this model has {[each.name for each in known]}")
    parameters = _check_parameters(f"the parameters of {name!r}", raw.get("parameters"))
    if "shared_memory_region" in parameters:
        raise UnsupportedRequest("shared memory is not offered here: the outputs come in the reply")
    classes, binary = parameters.get("classification", 0), parameters.get("binary_data", is_binary)
    if type(classes) is not int or classes < 0 or (classes and tensor.datatype not in ("FP32", "FP64")):
        raise InvalidRequest(f"classification of {name!r} must be a whole number, and the output FP32 or FP64")
    if not isinstance(binary, bool):
        raise InvalidRequest(f"binary_data of {name!r} must be true or false")
    return _check_output(tensor, Wanted(name, binary, classes))


def _check_output(tensor: Tensor, wanted: Wanted) -> Wanted:
    if tensor.datatype == "FP16" and not wanted.is_binary:
        raise InvalidRequest(f"{tensor.name!r} is FP16, which JSON cannot carry: ask for it as binary data")
    return wanted


def _classify(tensor: Tensor, column: Column, count: int, labels: Sequence[str]) -> Column:
    """The best classes of each row as `score:index[:label]`, best first; (rows, count), or (count,) of no rows."""
    scores = np.asarray(column)
    rows = scores.reshape(len(scores) if tensor.shape[:1] == [-1] else 1, -1)
    best = np.argsort(-rows, axis=-1, kind="stable")[:, :count]
    texts = [
        [f"{row[i]:f}:{i}" + (f":{labels[i]}" if i < len(labels) else "") for i in chosen]
        for row, chosen in zip(rows, best, strict=True)
    ]
    return np.array(texts, object).reshape(best.shape if tensor.shape[:1] == [-1] else best.shape[1:])


def _check_parameters(where: str, parameters: Any) -> Mapping[str, Parameter]:
    if parameters is None:
        return {}
    if not is_object(parameters) or not all(_is_parameter(each) for each in parameters.values()):
        raise InvalidRequest(f"{where} must be an object of strings, numbers and booleans")
    return parameters


def _is_parameter(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and isfinite(value))  # 1e400 is read as infinite


def _refuse_unknown(where: str, raw: Mapping[str, Any], known: set[str]) -> None:
    if not raw.keys() <= known:
        unknown = ", ".join(shown(name) for name in sorted(raw.keys() - known)[:3])
        raise InvalidRequest(f"{where} has unknown fields [{unknown}]: want {sorted(known)}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
