"""Bodies that come compressed, where no API Gateway has inflated them: in the container.

A small body may inflate a thousandfold, so it is inflated no further than the limit.
"""

import zlib
from collections.abc import Mapping

from pawl.errors import InvalidRequest, TooLarge

_WINDOWS: Mapping[str, int] = {"gzip": 31, "deflate": 15}
"""zlib's window sizes: 16 more stand for gzip's frame. HTTP's "deflate" is zlib's format (RFC 9110, 8.4.1.2)."""


class UnknownCoding(InvalidRequest):
    """A Content-Encoding that is not offered."""

    status = 415


def inflate(body: bytes, coding: str | None, limit: int) -> bytes:
    """The body as it was before it was compressed, at most `limit` bytes."""
    if coding is None or coding.lower() == "identity":
        return body
    if coding.lower() not in _WINDOWS:
        raise UnknownCoding(f"the body's Content-Encoding is not offered: want one of {', '.join(_WINDOWS)}")
    inflater = zlib.decompressobj(_WINDOWS[coding.lower()])
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {coding.lower()}, as its Content-Encoding says") from error
    if len(plain) > limit:
        raise TooLarge(f"the body is too large: want at most {limit} bytes when it is inflated")
    if not inflater.eof or inflater.unused_data:
        raise InvalidRequest(f"the body is not one whole {coding.lower()} stream")
    return plain
