"""Tensors of every datatype through JSON and through bytes, there and back."""

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.tensors import DTYPES, check_shape, from_bytes, from_json, shape_of, shown, to_bytes, to_json
from pawl.bundle import Tensor
from pawl.errors import InvalidRequest

IN_JSON = sorted(set(DTYPES) - {"FP16"} | {"BYTES"})
NUMBERS = sorted(set(DTYPES) - {"BOOL"})
INTEGERS = [name for name in NUMBERS if "INT" in name]
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


def _values(datatype: str, is_finite: bool = True) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return texts
    if datatype == "BOOL":
        return st.booleans()
    if datatype.startswith("FP"):
        width: Any = int(datatype[2:])
        return st.floats(width=width, allow_nan=not is_finite, allow_infinity=not is_finite)
    about = np.iinfo(DTYPES[datatype])
    return st.integers(int(about.min), int(about.max))


@st.composite
def columns(draw: st.DrawFn, datatypes: list[str], is_finite: bool = True) -> tuple[Tensor, list[int], list[Any]]:
    """A tensor whose sizes are partly open, a shape that fits it, and the values, flat."""
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(st.lists(st.integers(1, 3), min_size=0, max_size=3))
    open_shape = [draw(st.sampled_from([size, -1])) for size in shape]
    count = math.prod(shape)
    return (
        Tensor("x", datatype, open_shape),
        shape,
        draw(st.lists(_values(datatype, is_finite), min_size=count, max_size=count)),
    )


def _nested(flat: list[Any], shape: list[int]) -> Any:
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def _flat(column: Any) -> list[Any]:
    return np.asarray(column, object).ravel().tolist()


@given(columns(IN_JSON))
def test_what_json_carries_comes_back_the_same_flat_or_nested(column: tuple[Tensor, list[int], list[Any]]) -> None:
    tensor, shape, flat = column
    for data in (flat, _nested(flat, shape)):
        read = from_json(tensor, check_shape(tensor, shape), json.loads(json.dumps(data)))
        again = from_json(tensor, shape, json.loads(to_json(tensor, read)))
        assert _flat(again) == _flat(read) == flat
        assert shape_of(read) == shape
        assert tensor.datatype == "BYTES" or np.asarray(read).dtype == np.dtype(DTYPES[tensor.datatype])


@given(columns([*DTYPES, "BYTES"], is_finite=False))
def test_what_bytes_carry_comes_back_to_the_last_bit(column: tuple[Tensor, list[int], list[Any]]) -> None:
    tensor, shape, flat = column
    if tensor.datatype == "BYTES":
        raw = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in flat)
    else:
        raw = np.array(flat, DTYPES[tensor.datatype]).tobytes()

    read = from_bytes(tensor, check_shape(tensor, shape), raw)

    assert to_bytes(tensor, read) == raw
    assert shape_of(read) == shape


@given(columns([name for name in IN_JSON if name != "BYTES"]))
def test_json_and_bytes_say_the_same(column: tuple[Tensor, list[int], list[Any]]) -> None:
    tensor, shape, flat = column

    read = from_json(tensor, shape, flat)

    assert np.array_equal(read, from_bytes(tensor, shape, to_bytes(tensor, read)))


@given(st.lists(texts, min_size=1, max_size=4))
def test_one_text_a_row_is_a_list_however_its_shape_is_written(given_texts: list[str]) -> None:
    tensor, rows = Tensor("text", "BYTES", [-1]), len(given_texts)
    for shape in ([rows], [rows, 1]):
        assert from_json(tensor, check_shape(tensor, shape), _nested(given_texts, shape)) == given_texts


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_in_json_reads_back_as_the_same_float(value: float) -> None:
    text = to_json(Tensor("x", "FP32", [1]), np.array([value], np.float32))

    assert np.float32(json.loads(text)[0]) == np.float32(value)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_the_ends_of_a_range_are_taken_and_what_lies_beyond_is_not(datatype: str) -> None:
    tensor, about = Tensor("x", datatype, [1]), np.iinfo(DTYPES[datatype])
    for value in (int(about.min), int(about.max)):
        assert _flat(from_json(tensor, [1], [value])) == [value]
    for value in (int(about.min) - 1, int(about.max) + 1, 10**400):
        with pytest.raises(InvalidRequest, match=f"a number that is not in {datatype}"):
            from_json(tensor, [1], [value])


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("FP32", "[1e39]", "a number too large for FP32"),
        ("FP32", "[1e400]", "a number too large for FP32"),
        ("FP64", "[-1e400]", "a number too large for FP64"),
        ("FP64", "[1" + "0" * 400 + "]", "a number that is not in FP64"),
        ("FP32", '["1"]', r"\(FP32\) must be numbers"),
        ("FP64", "[true]", r"\(FP64\) must be numbers"),
        ("FP64", "[null]", r"\(FP64\) must be numbers"),
        ("FP16", "[1]", "'x' is FP16, which JSON cannot carry: send it as binary data"),
        ("INT8", "[1.0]", r"\(INT8\) must be whole numbers"),
        ("UINT64", "[false]", r"\(UINT64\) must be whole numbers"),
        ("UINT8", "[-1]", "a number that is not in UINT8"),
        ("BOOL", "[0]", r"\(BOOL\) must be true or false"),
        ("BOOL", '["true"]', r"\(BOOL\) must be true or false"),
        ("BYTES", "[1]", r"data\[0\] of 'x' must be a string"),
        ("BYTES", '["\\ud800"]', r"data\[0\] of 'x' holds half a surrogate pair"),
        ("FP32", "[]", r"shape \[1\] of 'x' holds 1 elements, data has 0"),
        ("FP32", "[1, 2]", r"shape \[1\] of 'x' holds 1 elements, data has 2"),
        ("FP32", "[[1]]", r"data of 'x' is not nested as its shape \[1\] says"),
        ("FP32", "[{}]", r"\(FP32\) must be numbers"),
        ("FP32", "1", "data of 'x' must be a list"),
        ("FP32", "null", "data of 'x' must be a list"),
        ("FP32", '{"0": 1}', "data of 'x' must be a list"),
    ],
)
def test_data_of_another_kind_is_refused(datatype: str, data: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        from_json(Tensor("x", datatype, [1]), [1], json.loads(data))


@pytest.mark.parametrize(
    "data", [[[1, 2], [3]], [[1], [2]], [[1, 2, 3], [4]], [1, [2, 3, 4]], [[1, 2], 3, 4], [[[1, 2], [3, 4]]]]
)
def test_ragged_data_is_refused(data: Any) -> None:
    with pytest.raises(InvalidRequest):
        from_json(Tensor("x", "INT64", [-1, 2]), [2, 2], data)


def test_data_nested_deeper_than_its_shape_is_refused_at_the_first_level_too_many() -> None:
    data: Any = [1]
    for _ in range(900):
        data = [data]
    with pytest.raises(InvalidRequest, match="not nested as its shape"):
        from_json(Tensor("x", "INT64", [-1]), [1], data)


@pytest.mark.parametrize("datatype", sorted(DTYPES))
@pytest.mark.parametrize("size", [-1, 1])
def test_bytes_of_another_size_are_refused_with_the_sizes(datatype: str, size: int) -> None:
    item = np.dtype(DTYPES[datatype]).itemsize
    with pytest.raises(InvalidRequest, match=f"'x' has {6 * item + size} bytes: {datatype} of shape .* {6 * item}"):
        from_bytes(Tensor("x", datatype, [-1, 3]), [2, 3], bytes(6 * item + size))


def test_a_byte_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'x' is BOOL: each byte must be 0 or 1"):
        from_bytes(Tensor("x", "BOOL", [-1]), [3], b"\0\1\2")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "'x' ends within element 0 of 2"),
        (b"\1\0\0", "'x' ends within element 0 of 2"),
        (b"\1\0\0\0", "'x' ends within element 0 of 2"),
        (b"\1\0\0\0a", "'x' ends within element 1 of 2"),
        (b"\1\0\0\0a\xff\xff\xff\xff", "'x' ends within element 1 of 2"),
        (b"\1\0\0\0a\1\0\0\0\xff", "element 1 of 'x' is not UTF-8"),
        (b"\3\0\0\0\xed\xa0\x80\0\0\0\0", "element 0 of 'x' is not UTF-8"),
        (b"\0\0\0\0\0\0\0\0!", "'x' has 1 bytes after its 2 elements"),
    ],
)
def test_strings_that_are_cut_short_or_no_strings_are_refused(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        from_bytes(Tensor("x", "BYTES", [-1]), [2], raw)


@given(st.sampled_from([*DTYPES, "BYTES"]), st.binary(max_size=40), st.lists(st.integers(1, 4), max_size=2))
def test_arbitrary_bytes_are_read_or_refused(datatype: str, raw: bytes, shape: list[int]) -> None:
    tensor = Tensor("x", datatype, shape)
    try:
        column = from_bytes(tensor, shape, raw)
    except InvalidRequest:
        return
    assert to_bytes(tensor, column) == raw


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([0, 3], "holds no elements"),
        ([2, 4], r"want \[-1, 3\]"),
        ([2], r"want \[-1, 3\]"),
        ([2, 3, 1], r"want \[-1, 3\]"),
        ([True, 3], "must be a list of whole numbers"),
        ([2.0, 3], "must be a list of whole numbers"),
        (["2", 3], "must be a list of whole numbers"),
        ([-1, 3], "must be a list of whole numbers"),
        ([1 << 31, 3], "must be a list of whole numbers"),
        ({}, "must be a list of whole numbers"),
        (None, "must be a list of whole numbers"),
        ("23", "must be a list of whole numbers"),
    ],
)
def test_a_shape_that_the_model_does_not_take_is_refused(shape: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_shape(Tensor("x", "FP32", [-1, 3]), shape)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_json_gives_neither_nan_nor_infinity_and_says_that_bytes_do(datatype: str, value: float) -> None:
    tensor, column = Tensor("x", datatype, [-1]), np.array([1, value], DTYPES[datatype])

    with pytest.raises(InvalidRequest, match=r"'x' holds NaN or Infinity, .* ask for binary data"):
        to_json(tensor, column)
    assert to_bytes(tensor, column) == column.tobytes()


def test_an_output_that_is_not_contiguous_or_of_another_byte_order_leaves_row_major_and_little_endian() -> None:
    column = np.arange(6, dtype=">i4").reshape(2, 3).T

    assert to_bytes(Tensor("x", "INT32", [-1, 2]), column) == struct.pack("<6i", 0, 3, 1, 4, 2, 5)
    assert to_json(Tensor("x", "INT32", [-1, 2]), column) == "[0, 3, 1, 4, 2, 5]"


def test_an_error_quotes_a_little_of_what_was_sent() -> None:
    assert (shown("a"), shown("a" * 200)) == ("'a'", f"'{'a' * 76}...")
