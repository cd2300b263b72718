"""What devices say, read by msgspec: on the device's own classes, and many times as fast.

A property suite holds it equal to the codec of the devices, `contracts.codec`.
"""

from functools import cache
from typing import Any, TypeVar

import msgspec

from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES

T = TypeVar("T")


def decode(kind: type[T], data: bytes, limit_bytes: int = MAX_MESSAGE_BYTES) -> T:
    """As `contracts.codec.decode`. Raises MalformedMessage."""
    if len(data) > limit_bytes:
        raise MalformedMessage(f"{kind.__name__} of {len(data)} bytes: {limit_bytes} is the most")
    known: Any = kind
    try:
        read: T = _decoder(known).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"not a {kind.__name__}: {error}") from error
    return read


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)
