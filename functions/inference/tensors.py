"""The protocol's tensors: from JSON values and from little-endian bytes to columns, and back.

A column is what `pawl.model` takes: a list of strings for BYTES, else a numpy array of the tensor's shape. Shapes and
sizes are checked here against the model's own; nothing is converted silently, and JSON carries neither NaN nor FP16.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from json.encoder import encode_basestring_ascii as encode_string  # the standard library's own, in C
from math import prod
from typing import Any

import numpy as np

from pawl.bundle import Tensor
from pawl.errors import InvalidRequest
from pawl.model import Array, Column
from pawl.narrowing import is_list

DTYPES: dict[str, str] = {
    "BOOL": "?",
    **{
        f"{kind}{8 * size}": f"<{letter}{size}"
        for kind, letter in (("UINT", "u"), ("INT", "i"))
        for size in (1, 2, 4, 8)
    },
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}
"""numpy's names of the protocol's datatypes, as they lie in the binary extension."""
_SIZE_LIMIT = 1 << 31


def check_shape(tensor: Tensor, shape: Any) -> list[int]:
    """The shape, if the model takes it: InvalidRequest when it is no shape, has no rows, or does not fit."""
    if (
        tensor.shape == [-1]
        and is_list(shape)
        and len(shape) == 1
        and type(shape[0]) is int
        and 0 < shape[0] < _SIZE_LIMIT
    ):
        return shape  # what nearly every request has, told in half the time
    if not is_list(shape) or not all(type(size) is int and 0 <= size < _SIZE_LIMIT for size in shape):
        raise InvalidRequest(f"the shape of {tensor.name!r} must be a list of whole numbers")
    if tensor.datatype == "BYTES" and tensor.shape == [-1] and len(shape) == 2 and shape[1] == 1:
        return shape  # [rows, 1] is what clients of batching servers send for one string a row
    fits = len(shape) == len(tensor.shape) and all(
        want in (-1, got) for want, got in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise InvalidRequest(f"shape {shown(shape)} of {tensor.name!r}: want {tensor.shape}, where -1 is any size")
    if 0 in shape:
        raise InvalidRequest(f"shape {shape} of {tensor.name!r} holds no elements")
    return shape


def from_json(tensor: Tensor, shape: Sequence[int], data: Any) -> Column:
    """The column in a JSON `data` array, nested or flat, row-major."""
    flat = _flatten(tensor.name, data, shape)
    if tensor.datatype == "BYTES":
        return _shaped(tensor, shape, _check_texts(tensor.name, flat))
    if tensor.datatype == "FP16":
        raise InvalidRequest(f"{tensor.name!r} is FP16, which JSON cannot carry: send it as binary data")
    wanted = {"B": {bool}, "F": {int, float}}.get(tensor.datatype[0], {int})
    if not set(map(type, flat)) <= wanted:
        kind = {"B": "true or false", "F": "numbers"}.get(tensor.datatype[0], "whole numbers")
        raise InvalidRequest(f"data of {tensor.name!r} ({tensor.datatype}) must be {kind}")
    return _to_array(tensor, flat).reshape(shape)


def from_bytes(tensor: Tensor, shape: Sequence[int], raw: bytes | memoryview) -> Column:
    """The column in raw little-endian bytes; the size must be the shape's exactly."""
    if tensor.datatype == "BYTES":
        return _shaped(tensor, shape, _texts_from_bytes(tensor.name, shape, raw))
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(raw) != prod(shape) * dtype.itemsize:
        raise InvalidRequest(
            f"{tensor.name!r} has {len(raw)} bytes: {tensor.datatype} of shape {list(shape)} takes "
            f"{prod(shape) * dtype.itemsize}"
        )
    if tensor.datatype == "BOOL" and len(raw) and np.frombuffer(raw, np.uint8).max() > 1:
        raise InvalidRequest(f"{tensor.name!r} is BOOL: each byte must be 0 or 1")
    return np.frombuffer(raw, dtype).reshape(shape)


def to_json(tensor: Tensor, column: Column) -> str:
    """The column as a flat JSON array; a float is written so that it reads back as the same float."""
    if tensor.datatype == "BYTES":
        return (
            f"[{','.join(map(encode_string, np.ravel(column).tolist() if isinstance(column, np.ndarray) else column))}]"
        )
    if tensor.datatype == "FP16":
        raise InvalidRequest(f"{tensor.name!r} is FP16, which JSON cannot carry: ask for it as binary data")
    array = np.asarray(column)
    values = array.ravel().tolist()
    if tensor.datatype[0] != "F":
        return str(values) if tensor.datatype != "BOOL" else str(values).lower()
    digits = "%.9g" if tensor.datatype == "FP32" else "%.17g"
    text = ",".join([digits] * len(values)) % tuple(values)
    if "n" in text:  # nan, inf
        raise InvalidRequest(f"{tensor.name!r} holds NaN or Infinity, which JSON cannot carry: ask for binary data")
    return f"[{text}]"


def to_bytes(tensor: Tensor, column: Column) -> bytes:
    """The column as the binary extension has it: little-endian, row-major, each string after its length."""
    if tensor.datatype == "BYTES":
        texts: list[bytes] = [text.encode() for text in np.ravel(np.asarray(column, object)).tolist()]
        return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    return np.ascontiguousarray(column, DTYPES[tensor.datatype]).tobytes()


def shown(value: object) -> str:
    """What was sent, as an error may quote it: at most 80 characters of it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def shape_of(column: Column) -> list[int]:
    """The shape of a column."""
    return list(column.shape) if isinstance(column, np.ndarray) else [len(column)]


def _flatten(name: str, data: Any, shape: Sequence[int]) -> list[Any]:
    if not is_list(data):
        raise InvalidRequest(f"data of {name!r} must be a list")
    flat, depth = data, 1
    while flat and is_list(flat[0]):
        if depth >= len(shape) or not all(is_list(row) and len(row) == shape[depth] for row in flat):
            raise InvalidRequest(f"data of {name!r} is not nested as its shape {list(shape)} says")
        flat, depth = list(chain.from_iterable(flat)), depth + 1
    if len(flat) != prod(shape):
        raise InvalidRequest(f"shape {list(shape)} of {name!r} holds {prod(shape)} elements, data has {len(flat)}")
    return flat


def _shaped(tensor: Tensor, shape: Sequence[int], texts: list[str]) -> Column:
    """A list where a row is one string, which is what text models take; else an array."""
    return texts if tensor.shape == [-1] else np.array(texts, object).reshape(shape)


def _check_texts(name: str, texts: list[Any]) -> list[str]:
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest(f"data[{position}] of {name!r} must be a string")
        if not text.isascii() and not _is_unicode(text):
            raise InvalidRequest(f"data[{position}] of {name!r} holds half a surrogate pair")
    return texts


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text: JSON can escape half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _to_array(tensor: Tensor, flat: list[Any]) -> Array:
    dtype = np.dtype(DTYPES[tensor.datatype])
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype)
    except OverflowError as error:
        raise InvalidRequest(f"data of {tensor.name!r} holds a number that is not in {tensor.datatype}") from error
    if tensor.datatype[0] == "F" and not np.isfinite(array).all():
        raise InvalidRequest(f"data of {tensor.name!r} holds a number too large for {tensor.datatype}")
    return array


def _texts_from_bytes(name: str, shape: Sequence[int], raw: bytes | memoryview) -> list[str]:
    texts: list[str] = []
    place = 0
    try:
        for _ in range(prod(shape)):
            (length,) = struct.unpack_from("<I", raw, place)
            place += 4
            if place + length > len(raw):
                raise struct.error
            texts.append(str(raw[place : place + length], "utf-8"))
            place += length
    except struct.error as error:
        raise InvalidRequest(f"{name!r} ends within element {len(texts)} of {prod(shape)}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"element {len(texts)} of {name!r} is not UTF-8") from error
    if place != len(raw):
        raise InvalidRequest(f"{name!r} has {len(raw) - place} bytes after its {prod(shape)} elements")
    return texts
