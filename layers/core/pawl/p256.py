"""ECDSA over P-256 with SHA-256, verification alone, in whole numbers: Lambda's Python brings no library that verifies.

After FIPS 186-5 and SEC 1; about 3 ms a signature. There are no secrets here, so nothing needs to run in constant time;
signing is left to KMS and to `cryptography`. Points are Jacobian, (X, Y, Z) for x = X/Z², y = Y/Z³; Z = 0 is infinity.
"""

import hashlib

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
Affine = tuple[int, int]
Jacobian = tuple[int, int, int]
GENERATOR: Affine = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_INFINITY: Jacobian = (1, 1, 0)
# SubjectPublicKeyInfo of an uncompressed point on this curve (RFC 5480), as KMS and OpenSSL give it.
_HEADER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04"


def parse_public_key(der: bytes) -> Affine:
    """The point of a SubjectPublicKeyInfo in DER; ValueError when it is none of this curve."""
    x, y = int.from_bytes(der[27:59]), int.from_bytes(der[59:])
    if len(der) != 91 or not der.startswith(_HEADER) or x >= P or y >= P or (y * y - x * x * x + 3 * x - B) % P:
        raise ValueError("not a public key on the curve P-256 (SubjectPublicKeyInfo in DER)")
    return x, y


def verify(key: Affine, message: bytes, signature: bytes) -> bool:
    """Whether the holder of `key`'s other half signed `message`; `signature` is DER, in its one shortest form."""
    r, s = _parse_signature(signature)
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, -1, N)
    digest = int.from_bytes(hashlib.sha256(message).digest())
    x, _, z = _add_products(digest * inverse % N, GENERATOR, r * inverse % N, key)
    return bool(z) and x * pow(z, -2, P) % P % N == r


def _parse_signature(der: bytes) -> tuple[int, int]:
    """r and s of an ECDSA-Sig-Value; zeros when it is not exactly what they encode to."""
    middle = 4 + der[3] if len(der) > 3 else 0
    r, s = int.from_bytes(der[4:middle]), int.from_bytes(der[middle + 2 :])
    body = _integer(r) + _integer(s)
    return (r, s) if der == b"\x30" + bytes([len(body) % 256]) + body else (0, 0)


def _integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1)
    return b"\x02" + bytes([len(data) % 256]) + data


def _add_products(u: int, first: Affine, v: int, second: Affine) -> Jacobian:
    """u·first + v·second, both multiplied in one pass over the bits (Shamir's trick)."""
    both = _add((*first, 1), second)
    scale = pow(both[2], -1, P) if both[2] else 0
    steps: dict[tuple[int, int], Affine | None] = {(0, 0): None, (1, 0): first, (0, 1): second}
    steps[1, 1] = (both[0] * scale**2 % P, both[1] * scale**3 % P) if scale else None
    point = _INFINITY
    for bit in range(max(u.bit_length(), v.bit_length()) - 1, -1, -1):
        point = _double(point)
        if step := steps[u >> bit & 1, v >> bit & 1]:
            point = _add(point, step)
    return point


def _double(point: Jacobian) -> Jacobian:
    """Twice a point, for a = -3 (dbl-2001-b)."""
    x, y, z = point
    zz = z * z % P
    yy = y * y % P
    beta = x * yy % P
    alpha = 3 * (x - zz) * (x + zz) % P
    new_x = (alpha * alpha - 8 * beta) % P
    return new_x, (alpha * (4 * beta - new_x) - 8 * yy * yy) % P, 2 * y * z % P


def _add(point: Jacobian, step: Affine) -> Jacobian:
    """A point and an affine one, the cases included in which they are the same or opposite (madd)."""
    x, y, z = point
    if not z:
        return (*step, 1)
    zz = z * z % P
    h = (step[0] * zz - x) % P
    slope = (step[1] * zz * z - y) % P
    if not h:
        return _INFINITY if slope else _double(point)
    hh = h * h % P
    hhh = h * hh % P
    shared = x * hh % P
    new_x = (slope * slope - hhh - 2 * shared) % P
    return new_x, (slope * (shared - new_x) - y * hhh) % P, z * h % P
