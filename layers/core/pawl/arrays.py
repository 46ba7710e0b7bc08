"""Reads a JSON array element by element, whatever its size: memory holds the longest element.

Elements are found by their brackets and quotes alone; whether each is JSON is for the reader of it to say. So reading
can begin anew behind any of them, from a byte's position.
"""

import re
from collections.abc import Callable, Iterator

from pawl.errors import InvalidRecord

_BLOCK = 1 << 18
_MARK = re.compile(rb'\\.|["{}\[\],]', re.S)
_BLANK = b"\xef\xbb\xbf \t\r\n"


def read_elements(read: Callable[[int], bytes], longest: int, is_inside: bool) -> Iterator[tuple[bytes, int]]:
    """The text of each element and the bytes that it takes, with what stands between it and the one before.

    `is_inside`: the bytes begin behind an element. A text longer than `longest` is cut off, to one byte more than that.
    InvalidRecord when this is no array, or not all of one.
    """
    text, size, depth, is_quoted, rest = bytearray(), 0, int(is_inside), False, b""
    while block := read(_BLOCK):
        data, at = rest + block, 0
        end = len(data) - (len(data) - len(data.rstrip(b"\\"))) % 2  # the sign behind a backslash belongs to it
        rest = data[end:]
        for found in _MARK.finditer(data, 0, end):
            mark = found[0]
            is_quoted ^= mark == b'"'
            if is_quoted or mark[:1] in b'"\\':
                continue
            if is_first := depth == 0:
                _require_array(mark, data[: found.start()])
            depth += (mark in b"{[") - (mark in b"}]")
            if depth == 0 or (mark == b"," and depth == 1):
                text += data[at : found.start()][: longest + 1 - len(text)]
                yield bytes(text), size + found.end() - at
                text.clear()
                size = 0
                at = found.end()
            elif is_first:
                size, at = found.end(), found.end()
            if depth == 0:
                return
        text += data[at:end][: longest + 1 - len(text)]
        size += end - at
    if not is_inside or text.strip(_BLANK):
        raise InvalidRecord("want a JSON array that is closed: upload the file again, whole")


def _require_array(mark: bytes, before: bytes) -> None:
    if mark != b"[" or before.strip(_BLANK):
        raise InvalidRecord("want a JSON array, as [{...}, {...}]; JSON lines are read where the name ends in .jsonl")
