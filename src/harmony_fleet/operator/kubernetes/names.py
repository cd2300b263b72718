"""What an object of ours is called in Kubernetes: `object_name(text)`. Pure.

A device id may hold `_`, and a version capital letters, which no object's name may (RFC 1123).
Such a one is named in plain letters, with the first digits of its SHA-256 behind them, so that no
two get the same name; the object's spec says whose it is.
"""

import hashlib
import re
from typing import Final

GROUP: Final = "harmony-fleet.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FINALIZER: Final = f"{GROUP}/orders"
"""Holds a Device that is deleted until the order that its device may have is taken back."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_UNFIT: Final = re.compile(r"[^-.a-z0-9]")
_POINT: Final = re.compile(r"-*\.[-.]*")
_DIGITS: Final = 8


def object_name(text: str) -> str:
    """Of a device id or a version, which are at most 63 characters long."""
    if _NAME.fullmatch(text):
        return text
    plain = _POINT.sub(".", _UNFIT.sub("-", text.lower()))
    return f"{plain}.{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
