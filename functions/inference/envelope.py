"""A gRPC inference request as the REST protocol's binary extension, and its reply as a gRPC response.

Tensors come raw, or as typed contents; an answer's tensors go back in the way that the request's came. Half precision
has no typed contents, so an answer with such a tensor is raw.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from inference.messages import message
from inference.tensors import DTYPES
from pawl.errors import InvalidRequest

_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def to_rest(request: Any) -> tuple[bytes, bytes]:
    """A ModelInferRequest as JSON and binary tensors of the REST protocol."""
    raws = _raw_inputs(request)
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {**_parameters(tensor), "binary_data_size": len(raw)},
        }
        for tensor, raw in zip(request.inputs, raws, strict=True)
    ]
    head: dict[str, Any] = {"parameters": {**_parameters(request), "binary_data_output": True}, "inputs": inputs}
    if request.id:
        head["id"] = request.id
    if request.outputs:
        head["outputs"] = [
            {"name": output.name, "parameters": {**_parameters(output), "binary_data": True}}
            for output in request.outputs
        ]
    return json.dumps(head).encode(), b"".join(raws)


def from_rest(head: Mapping[str, Any], binary: bytes, is_typed: bool) -> Any:
    """The ModelInferResponse that a reply's JSON and binary tensors come to."""
    response = message("ModelInferResponse")(
        model_name=head["model_name"], model_version=head["model_version"], id=head["id"]
    )
    for name, value in head["parameters"].items():
        response.parameters[name].string_param = value
    is_typed = is_typed and all(tensor["datatype"] in _CONTENTS for tensor in head["outputs"])
    place = 0
    for tensor in head["outputs"]:
        output = response.outputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        raw = binary[place : place + tensor["parameters"]["binary_data_size"]]
        place += len(raw)
        if is_typed:
            getattr(output.contents, _CONTENTS[output.datatype]).extend(_unpack(output.datatype, raw))
        else:
            response.raw_output_contents.append(raw)
    return response


def _raw_inputs(request: Any) -> list[bytes]:
    if not request.raw_input_contents:
        return [_pack(tensor) for tensor in request.inputs]
    if any(tensor.HasField("contents") for tensor in request.inputs):
        raise InvalidRequest("want either raw_input_contents or contents in each input, not both")
    if len(request.raw_input_contents) != len(request.inputs):
        raise InvalidRequest(
            f"{len(request.raw_input_contents)} raw_input_contents for {len(request.inputs)} inputs: want one for each"
        )
    return list(request.raw_input_contents)


def _pack(tensor: Any) -> bytes:
    """An input's typed contents as they lie in the binary extension."""
    wanted = _CONTENTS.get(tensor.datatype)
    if wanted is None:
        raise InvalidRequest(f"input {tensor.name!r}: {tensor.datatype} has no contents, send raw_input_contents")
    if {field.name for field, _ in tensor.contents.ListFields()} - {wanted}:
        raise InvalidRequest(f"input {tensor.name!r}: want {tensor.datatype} in {wanted}")
    values = getattr(tensor.contents, wanted)
    if tensor.datatype == "BYTES":
        return b"".join(part for value in values for part in (struct.pack("<I", len(value)), value))
    try:
        return np.array(values, DTYPES[tensor.datatype]).tobytes()
    except OverflowError as error:
        raise InvalidRequest(f"input {tensor.name!r} holds a number that is not in {tensor.datatype}") from error


def _unpack(datatype: str, raw: bytes) -> Iterable[Any]:
    if datatype != "BYTES":
        return np.frombuffer(raw, DTYPES[datatype]).tolist()
    values: list[bytes] = []
    place = 0
    while place < len(raw):
        (length,) = struct.unpack_from("<I", raw, place)
        values.append(raw[place + 4 : place + 4 + length])
        place += 4 + length
    return values


def _parameters(owner: Any) -> dict[str, Any]:
    """Parameters as JSON has them; one without a value is none."""
    chosen = {name: parameter.WhichOneof("parameter_choice") for name, parameter in owner.parameters.items()}
    return {name: getattr(owner.parameters[name], choice) for name, choice in chosen.items() if choice}
