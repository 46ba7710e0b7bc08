"""Signatures over P-256, held against RFC 6979's and against those that OpenSSL makes."""

import random

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from pawl import p256

# RFC 6979, A.2.5: the key, and r and s of "sample" and of "test" with SHA-256.
KEY = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
SAMPLE = (
    0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
    0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
)
TEST = (
    0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
    0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
)


def encode(pair: tuple[int, int]) -> bytes:
    return utils.encode_dss_signature(*pair)


def key_of(secret: int) -> tuple[ec.EllipticCurvePrivateKey, p256.Affine]:
    private = ec.derive_private_key(secret, ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    return private, (numbers.x, numbers.y)


def test_the_signatures_of_rfc_6979_hold_and_only_for_their_messages() -> None:
    assert p256.verify(KEY, b"sample", encode(SAMPLE))
    assert p256.verify(KEY, b"test", encode(TEST))
    assert not p256.verify(KEY, b"test", encode(SAMPLE))
    assert not p256.verify(KEY, b"sample", encode(TEST))


@pytest.mark.parametrize("secret", [1, 2, 3, p256.N - 1, p256.N - 2, p256.N // 2])
def test_keys_at_which_additions_meet_their_special_cases_verify_too(secret: int) -> None:
    private, key = key_of(secret)

    for number in range(8):
        message = number.to_bytes(1)
        signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
        assert p256.verify(key, message, signature)
        assert not p256.verify(key, message + b"!", signature)


def test_what_openssl_signs_is_verified_and_with_any_other_key_refused() -> None:
    drawn = random.Random(11)

    for _ in range(60):
        private, key = key_of(drawn.randrange(1, p256.N))
        _, other = key_of(drawn.randrange(1, p256.N))
        message = drawn.randbytes(drawn.randrange(200))
        signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
        assert p256.verify(key, message, signature)
        assert not p256.verify(other, message, signature)


@pytest.mark.parametrize(
    "pair",
    [
        (0, SAMPLE[1]),
        (SAMPLE[0], 0),
        (p256.N, SAMPLE[1]),
        (SAMPLE[0], p256.N),
        (SAMPLE[0] + p256.N, SAMPLE[1]),
        (SAMPLE[0], SAMPLE[1] + p256.N),
        (SAMPLE[1], SAMPLE[0]),
        (2**1024, 1),
    ],
)
def test_numbers_outside_the_group_are_no_signature(pair: tuple[int, int]) -> None:
    assert not p256.verify(KEY, b"sample", encode(pair))


@pytest.mark.parametrize(
    "change",
    [
        lambda der: b"",
        lambda der: b"\x30",
        lambda der: b"\x30\x00",
        lambda der: der[:-1],
        lambda der: der + b"\x00",
        lambda der: b"\x31" + der[1:],
        lambda der: b"\x30\x81" + der[1:],
        lambda der: bytes([*der[:1], der[1] + 1, 2, der[3] + 1, 0]) + der[4:],
    ],
    ids=["empty", "no length", "no body", "short", "long", "a set", "a long length", "a number with one more zero"],
)
def test_a_signature_has_one_encoding(change: "object") -> None:
    assert callable(change)
    assert not p256.verify(KEY, b"sample", change(encode(SAMPLE)))


def test_a_public_key_is_read_as_openssl_writes_it() -> None:
    private, key = key_of(7)
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    der = private.public_key().public_bytes(*form)

    assert p256.parse_public_key(der) == key
    for other in (b"", der[:-1], der + b"\0", der[:-1] + bytes([der[-1] ^ 1]), der[:27] + b"\xff" * 32 + der[59:]):
        with pytest.raises(ValueError, match="not a public key on the curve P-256"):
            p256.parse_public_key(other)
    larger = ec.derive_private_key(7, ec.SECP384R1()).public_key().public_bytes(*form)
    with pytest.raises(ValueError, match="not a public key"):
        p256.parse_public_key(larger)
