"""Ed25519 signatures in pure Python (RFC 8032, section 5.1), for devices without native code.

Signs and derives public keys; verifies nothing. Its running time depends on the key: the only
thing signed with it is the nonce of a server that the device has chosen to connect to, once per
connection. A fixed-base comb keeps that below a millisecond; its table is computed at first use.
"""

import hashlib
from functools import cache, lru_cache
from typing import Final

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_BASE_X: Final = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y: Final = 4 * pow(5, -1, _P) % _P

_TEETH: Final = 5
_SPACING: Final = 52
"""Teeth times spacing must reach 255 bits, the length of a clamped secret scalar."""

_Point = tuple[int, int, int, int]
"""Extended homogeneous coordinates X, Y, Z, T (RFC 8032, section 5.1.4)."""

_NEUTRAL: Final[_Point] = (0, 1, 1, 0)
_BASE: Final[_Point] = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


@lru_cache(maxsize=8)
def public_key(seed: bytes) -> bytes:
    """The 32-byte public key of a 32-byte secret seed."""
    scalar, _ = _expand(seed)
    return _compress(_times_base(scalar))


def sign(seed: bytes, message: bytes) -> bytes:
    """The 64-byte signature; the same seed and message always give the same one."""
    scalar, prefix = _expand(seed)
    public = public_key(seed)
    nonce = _hash_to_int(prefix + message) % _ORDER
    commitment = _compress(_times_base(nonce))
    challenge = _hash_to_int(commitment + public + message) % _ORDER
    return commitment + ((nonce + challenge * scalar) % _ORDER).to_bytes(32, "little")


@lru_cache(maxsize=8)
def _expand(seed: bytes) -> tuple[int, bytes]:
    """The clamped scalar and the prefix (RFC 8032, section 5.1.5)."""
    if len(seed) != 32:
        raise ValueError(f"an Ed25519 seed has 32 bytes, not {len(seed)}")
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | (1 << 254), digest[32:]


def _hash_to_int(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little")


def _times_base(scalar: int) -> _Point:
    table, result = _comb(), _NEUTRAL
    for column in range(_SPACING - 1, -1, -1):
        result = _double(result)
        row = 0
        for tooth in range(_TEETH):
            row |= (scalar >> (column + tooth * _SPACING) & 1) << tooth
        result = _add(result, table[row])
    return result


@cache
def _comb() -> tuple[_Point, ...]:
    """Entry i is the sum of 2**(spacing*tooth) * base over the bits set in i."""
    table, tooth = [_NEUTRAL, _BASE], _BASE
    for _ in range(_TEETH - 1):
        for _ in range(_SPACING):
            tooth = _double(tooth)
        table += [_add(entry, tooth) for entry in table]
    return tuple(table)


def _add(a: _Point, b: _Point) -> _Point:
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    m, n = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(a: _Point) -> _Point:
    x1, y1, z1, _ = a
    m, n = x1 * x1 % _P, y1 * y1 % _P
    h = m + n
    e = h - (x1 + y1) * (x1 + y1) % _P
    g = m - n
    f = 2 * z1 * z1 % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _compress(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")
