import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.arrays import read_elements
from pawl.errors import InvalidRecord
from pawl.inbox import Position, read_chunks

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Steps:
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._step))


def elements(data: bytes, step: int = 1 << 20, longest: int = 1 << 20, is_inside: bool = False) -> list[bytes]:
    return [text for text, _ in read_elements(Steps(data, step).read, longest, is_inside)]


@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(1, 9), st.sampled_from([None, 1]))
def test_an_array_is_its_elements_however_its_bytes_come(values: list[Any], step: int, indent: int | None) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")

    found = [json.loads(text.decode("utf-8", "surrogatepass")) for text in elements(data, step)]

    assert found == values


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_reading_goes_on_behind_any_element(values: list[Any]) -> None:
    data = b" " + json.dumps(values).encode() + b"\n"
    sizes = [size for _, size in read_elements(Steps(data, 7).read, 1 << 20, False)]

    for count in range(1, len(values)):
        rest = elements(data[sum(sizes[:count]) :], is_inside=True)
        assert [json.loads(text) for text in rest] == values[count:]
    assert sum(sizes) == len(data) - 1
    assert elements(data[sum(sizes) :], is_inside=True) == []


def test_an_element_that_is_too_long_is_cut_and_the_next_one_is_whole() -> None:
    data = json.dumps(["x" * 1000, {"a": 1}]).encode()

    assert [text.strip() for text in elements(data, 64, longest=100)] == [b'"' + b"x" * 100, b'{"a": 1}']


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "want a JSON array, as .* where the name ends in .jsonl"),
        (b"a,b\n1,2\n", "want a JSON array, as"),
        (b'x[{"a": 1}]', "want a JSON array, as"),
        (b"", "want a JSON array that is closed"),
        (b'[{"a": 1}', "want a JSON array that is closed"),
        (b'[{"a": 1}, {"a"', "want a JSON array that is closed"),
    ],
)
def test_what_is_no_whole_array_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidRecord, match=message):
        elements(data)


@pytest.mark.parametrize("name", ["f.json", "f.json.gz"])
def test_a_file_that_is_an_array_is_rows_and_faults_by_their_place_in_it(name: str) -> None:
    plain = b'\xef\xbb\xbf[{"a": 1},\n {"a": "],[{\\""}, 7, {"a" 2}, {"a": 5}]\n'
    data = gzip.compress(plain) if name.endswith("gz") else plain
    chunks = list(read_chunks(lambda offset: io.BytesIO(data[offset:]), name, rows=2))

    assert [row.values for chunk in chunks for row in chunk.rows] == [{"a": 1}, {"a": '],[{"'}, {"a": 5}]
    assert [(row.line, row.text) for chunk in chunks[2:] for row in chunk.rows] == [(5, '{"a": 5}')]
    assert [(fault.line, fault.reason) for chunk in chunks for fault in chunk.faults] == [
        (3, "want an object with a value a column"),
        (4, "not JSON at character 6"),
    ]
    for chunk in chunks:
        again = next(read_chunks(lambda offset: io.BytesIO(data[offset:]), name, chunk.start, rows=2))
        assert again == chunk
    assert chunks[-1].end == Position(len(plain) - 1, 5)
