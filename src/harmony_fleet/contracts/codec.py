"""Messages to JSON and back, for the frozen dataclasses of this package and the journal's.

The reader is small on purpose: it knows str, int, float, bool, enums of strings, optional,
`tuple[X, ...]`, `dict[str, X]` and nested dataclasses, nothing else. The control plane may use
msgspec on the same classes; a property suite holds the two equal.
"""

import json
import math
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from harmony_fleet.contracts.errors import InvalidValue, MalformedMessage
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES

T = TypeVar("T")


def encode(message: Any) -> bytes:
    """UTF-8 JSON, fields in their declared order, nothing left out."""
    return json.dumps(_plain(message), ensure_ascii=False, separators=(",", ":")).encode()


def decode(kind: type[T], data: bytes, limit_bytes: int = MAX_MESSAGE_BYTES) -> T:
    """Unknown fields are ignored; missing ones take their default.

    Raises:
        MalformedMessage: too long, not JSON, not this kind, or a value that its field refuses.
    """
    if len(data) > limit_bytes:
        raise MalformedMessage(f"{kind.__name__} of {len(data)} bytes: {limit_bytes} is the most")
    try:
        read: T = _read(kind, json.loads(data.decode()))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedMessage(f"not a {kind.__name__}: {error}") from error
    return read


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _read(kind: Any, value: Any) -> Any:
    if get_origin(kind) is UnionType:
        return None if value is None else _read(_without_none(kind), value)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise InvalidValue(f"expected a list, found {type(value).__name__}")
        return tuple(_read(get_args(kind)[0], item) for item in value)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise InvalidValue(f"expected an object, found {type(value).__name__}")
        return {_read_scalar(str, key): _read(get_args(kind)[1], value[key]) for key in value}
    if is_dataclass(kind):
        return _read_fields(kind, value)
    return _read_scalar(kind, value)


def _read_fields(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise InvalidValue(f"expected an object, found {type(value).__name__}")
    found = {}
    for name, field_kind, required in _fields(kind):
        if name in value:
            try:
                found[name] = _read(field_kind, value[name])
            except (ValueError, TypeError) as error:
                raise InvalidValue(f"{name}: {error}") from error
        elif required:
            raise InvalidValue(f"{name} is missing")
    return kind(**found)


def _read_scalar(kind: Any, value: Any) -> Any:
    if kind is float and type(value) in {int, float}:
        return _finite(float(value))
    if issubclass(kind, StrEnum) and isinstance(value, str):
        return kind(value)
    if type(value) is not kind:
        raise InvalidValue(f"expected {kind.__name__}, found {type(value).__name__}")
    if kind is str:
        value.encode()  # refuses half a surrogate pair, which nobody could write down again
    return value


def _finite(number: float) -> float:
    """What JSON has no word for is no number of ours, though `json` reads it."""
    if not math.isfinite(number):
        raise InvalidValue(f"expected a finite number, found {number}")
    return number


def _without_none(kind: Any) -> Any:
    (inner,) = (arm for arm in get_args(kind) if arm is not NoneType)
    return inner


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (f.name, hints[f.name], f.default is MISSING and f.default_factory is MISSING)
        for f in fields(kind)
    )
