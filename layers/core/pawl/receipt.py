"""The signed inference_id: proof, without a look-up, that this deployment gave this answer.

A receipt is ASCII, dot separated, safe in a URL and readable by a person on call:

    key id . uuid7 (32 hex) . model . model version . function version . rows . input digest . mac

The mac covers everything before it: BLAKE2b with a key, 128 bits (RFC 7693), which takes half the time of an HMAC and a
third where the processor's caches are cold. The key's id stands in the receipt, so keys rotate without breaking the
receipts that are out. On the reply's path: no imports beyond the standard library.
"""

import hmac
import re
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from pawl.errors import InvalidReceipt, SettingsError
from pawl.identity import unix_ms_of, uuid7_hex

_LENGTH_LIMIT = 256
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SHAPE = re.compile(r"[A-Za-z0-9]{1,8}\.([0-9a-f]{32})\.([^.\s]+)\.([^.\s]+)\.([^.\s]+)\.([0-9]+)\.([^.\s]+)\.[^.\s]+")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an inference_id says about the answer it stands for."""

    uuid: str
    model: str
    model_version: str
    function_version: str
    rows: int
    input_digest: str

    @property
    def unix_ms(self) -> int:
        """When the answer was given, in milliseconds since 1970."""
        return unix_ms_of(self.uuid)

    @classmethod
    def unproved(cls, inference_id: str, name: str = "inference_id") -> Self:
        """What an inference_id claims: where it is from a place that nobody else writes to, or nothing hangs on it."""
        found = _SHAPE.fullmatch(inference_id)
        if found is None:
            raise InvalidReceipt(f"{name} is none: want one as an answer came with")
        uuid, model, version, function_version, rows, digest = found.groups()
        return cls(uuid, model, version, function_version, int(rows), digest)


class ReceiptKeys:
    """The secrets that sign and verify receipts: the first signs, all of them verify.

    `text` is `id:secret`, or several of them joined by commas, newest first; an id is 1-8 letters or digits.
    """

    def __init__(self, text: str) -> None:
        self._keys: Mapping[str, bytes] = dict(_parse_key(part) for part in text.split(","))
        self._signing_id = next(iter(self._keys))

    def sign(
        self,
        *,
        model: str,
        model_version: str,
        function_version: str,
        rows: int,
        payload: bytes,
        unix_ms: int,
        random: bytes,
    ) -> str:
        """The inference_id of an answer to `payload` (the request's raw tensors or texts)."""
        digest = _b64(blake2b(payload, digest_size=12).digest())
        number = "0" if function_version == "$LATEST" else function_version
        uuid = uuid7_hex(unix_ms, random)
        body = f"{self._signing_id}.{uuid}.{model}.{model_version}.{number}.{rows}.{digest}"
        return f"{body}.{self._mac(self._signing_id, body)}"

    def verify(self, inference_id: str, *, now_ms: int, valid_days: float, name: str = "inference_id") -> Receipt:
        """The receipt's contents, or InvalidReceipt when it is forged, altered or older than `valid_days`.

        `name` is what the sender called it, for the error.
        """
        parts = inference_id.split(".") if len(inference_id) <= _LENGTH_LIMIT else []
        if len(parts) != 8 or parts[0] not in self._keys or not inference_id.isascii():
            raise InvalidReceipt(f"{name} is not one that this deployment gave: send it back as it came")
        body, _, mac = inference_id.rpartition(".")
        if not hmac.compare_digest(self._mac(parts[0], body), mac):
            raise InvalidReceipt(f"{name} has been altered: send it back as it came")
        _, uuid, model, version, function_version, rows, digest = parts[:7]
        receipt = Receipt(uuid, model, version, function_version, int(rows), digest)
        if now_ms - receipt.unix_ms > valid_days * 86_400_000:
            raise InvalidReceipt(f"{name} is older than {valid_days:g} days: feedback for it is closed")
        return receipt

    def pseudonym(self, subject: str) -> str:
        """What a captured answer calls its subject: nobody without the key can tell, or try out, who it is."""
        return self._pseudonym(self._signing_id, subject)

    def pseudonyms(self, subject: str) -> list[str]:
        """What answers call a subject, by each of the keys that they may have been given under."""
        return [self._pseudonym(key_id, subject) for key_id in self._keys]

    def _pseudonym(self, key_id: str, subject: str) -> str:
        name = subject.encode("utf-8", "surrogatepass")
        return blake2b(name, key=self._keys[key_id], digest_size=16, person=b"pawl subject").hexdigest()

    def _mac(self, key_id: str, body: str) -> str:
        return _b64(blake2b(body.encode("ascii"), key=self._keys[key_id], digest_size=16).digest())


def _parse_key(part: str) -> tuple[str, bytes]:
    key_id, _, secret = part.strip().partition(":")
    if not re.fullmatch(r"[A-Za-z0-9]{1,8}", key_id) or len(secret) < 32:
        raise SettingsError(
            "receipt keys: want id:secret[,id:secret], ids of 1-8 letters or digits, secrets of at least 32 characters"
        )
    return key_id, blake2b(secret.encode()).digest()  # a key may have 64 bytes, a secret any number


def _b64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()
