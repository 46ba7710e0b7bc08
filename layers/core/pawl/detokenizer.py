"""From tokens back to text, a token at a time: bytes first, since one character may be spread over several tokens.

A character is given out when its last byte is there, never in halves; bytes that no character begins with become U+FFFD
as in any decoder. What is left of a half character when the text ends is dropped.
"""

import codecs
import json
import re
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from pawl.errors import InvalidBundle

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class TokenBytes:
    """The bytes that each token stands for; special tokens stand for none. Worked out when first asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._is_byte_level = _is_byte_level(tokenizer)
        self._known: dict[int, bytes] = {
            number: b"" if token.special else token.content.encode()
            for number, token in tokenizer.get_added_tokens_decoder().items()
        }

    def __getitem__(self, token: int) -> bytes:
        data = self._known.get(token)
        if data is None:
            data = self._known[token] = self._work_out(self._tokenizer.id_to_token(token))
        return data

    def _work_out(self, token: str | None) -> bytes:
        if token is None:
            return b""
        if self._is_byte_level:
            return bytes(_BYTES[character] for character in token)
        if byte := _BYTE.fullmatch(token):
            return bytes([int(byte[1], 16)])
        return token.replace(_SPACE, " ").encode()


class TextStream:
    """Puts bytes together to text, and holds back whatever might turn out to begin a stop string.

    `feed` and `end` return the text that is settled; `is_stopped` says that a stop string has ended it. `seen` is how
    many characters have come in, `settled` how many have gone out, and `began` the place of the character in which the
    bytes that came last began.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.seen = 0
        self.began = 0
        self.settled = 0
        self.is_stopped = False

    def feed(self, data: bytes) -> str:
        """The text that these bytes settle."""
        self.began = self.seen + self._breaks_off(data[:1])
        text = self._decoder.decode(data)
        self.seen += len(text)
        self._held += text
        places = [place for place in map(self._held.find, self._stop) if place >= 0]
        if places:
            self.is_stopped = True
            return self._settle(min(places))
        return self._settle(len(self._held) - max((_overlap(self._held, stop) for stop in self._stop), default=0))

    def end(self) -> str:
        """The text held back so far, once nothing more comes."""
        return "" if self.is_stopped else self._settle(len(self._held))

    def _breaks_off(self, byte: bytes) -> bool:
        """Whether half a character came before that this byte does not go on with: it becomes a U+FFFD of its own."""
        half = self._decoder.getstate()[0]
        try:
            codecs.utf_8_decode(half + byte, "strict", False)
        except UnicodeDecodeError:
            return bool(half)
        return False

    def _settle(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        self.settled += length
        return text


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` might begin `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


def _is_byte_level(tokenizer: Tokenizer) -> bool:
    """Whether tokens are written in GPT-2's byte alphabet; otherwise as SentencePiece writes them."""
    kinds = _kinds(json.loads(tokenizer.decoder.__getstate__()) if tokenizer.decoder else {})
    if "ByteLevel" in kinds:
        return True
    if "ByteFallback" in kinds or "Metaspace" in kinds:
        return False
    raise InvalidBundle("tokenizer.json: want a decoder of kind ByteLevel, ByteFallback or Metaspace")


def _kinds(decoder: dict[str, Any]) -> set[str]:
    return {decoder.get("type", "")}.union(*(_kinds(part) for part in decoder.get("decoders", [])))


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's: printable bytes stand for themselves, the others for the characters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_alphabet()
