"""Bodies that come compressed."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.encoding import UnknownCoding, inflate
from pawl.errors import InvalidRequest, TooLarge

LIMIT = 1000


@given(st.binary(max_size=LIMIT))
def test_what_was_compressed_comes_back(body: bytes) -> None:
    assert inflate(gzip.compress(body, mtime=0), "gzip", LIMIT) == body
    assert inflate(zlib.compress(body), "Deflate", LIMIT) == body
    assert inflate(body, None, LIMIT) == inflate(body, "identity", LIMIT) == body


@pytest.mark.parametrize("size", [LIMIT + 1, 100 * LIMIT, 100_000_000])
def test_a_body_is_inflated_no_further_than_the_limit(size: int) -> None:
    with pytest.raises(TooLarge, match="want at most 1000 bytes when it is inflated") as refusal:
        inflate(zlib.compress(bytes(size)), "deflate", LIMIT)
    assert refusal.value.status == 413


@given(st.binary(max_size=60))
def test_bytes_that_are_not_what_the_header_says_are_refused(body: bytes) -> None:
    for coding in ("gzip", "deflate"):
        try:
            assert isinstance(inflate(body, coding, LIMIT), bytes)
        except InvalidRequest as error:
            assert error.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        gzip.compress(b"abc", mtime=0)[:-1],
        gzip.compress(b"abc", mtime=0) + b"!",
        gzip.compress(b"abc", mtime=0) + gzip.compress(b"d", mtime=0),
    ],
)
def test_a_stream_that_is_not_whole_or_not_alone_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not one whole gzip stream"):
        inflate(body, "gzip", LIMIT)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, deflate", ""])
def test_another_coding_is_refused_with_those_offered(coding: str) -> None:
    with pytest.raises(UnknownCoding, match="want one of gzip, deflate") as refusal:
        inflate(b"", coding, LIMIT)
    assert refusal.value.status == 415
