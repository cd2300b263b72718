"""Messages to JSON and back, for the frozen dataclasses of this package and the journal's.

The reader is small on purpose: it knows str, int, float, bool, enums of strings, optional,
`tuple[X, ...]`, `dict[str, X]` and nested dataclasses, nothing else. The control plane may use
msgspec on the same classes; a property suite holds the two equal.
"""

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from harmony_fleet.contracts.errors import InvalidValue, MalformedMessage
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES

T = TypeVar("T")
Read = Callable[[Any], Any]


def encode(message: Any) -> bytes:
    """UTF-8 JSON, fields in their declared order, nothing left out."""
    return _ENCODER.encode(message).encode()


def decode(kind: type[T], data: bytes, limit_bytes: int = MAX_MESSAGE_BYTES) -> T:
    """Unknown fields are ignored; missing ones take their default.

    Raises:
        MalformedMessage: too long, not JSON, not this kind, or a value that its field refuses.
    """
    if len(data) > limit_bytes:
        raise MalformedMessage(f"{kind.__name__} of {len(data)} bytes: {limit_bytes} is the most")
    try:
        known: Any = kind
        read: T = _reader(known)(json.loads(data.decode()))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedMessage(f"not a {kind.__name__}: {error}") from error
    return read


def _plain(message: Any) -> dict[str, Any]:
    """Its fields by name. Asked for what JSON has no word for: raises TypeError for others."""
    kind: Any = type(message)
    return {name: getattr(message, name) for name in _names(kind)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


_ENCODER = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,  # what is immutable holds nothing that holds it
    separators=(",", ":"),
    default=_plain,
)


@cache
def _reader(kind: Any) -> Read:
    """How a value of this kind is read: found out once, as asking the types takes most of it."""
    if get_origin(kind) is UnionType:
        read = _reader(_without_none(kind))
        return lambda value: None if value is None else read(value)
    if get_origin(kind) is tuple:
        return _list_reader(_reader(get_args(kind)[0]))
    if get_origin(kind) is dict:
        return _object_reader(_reader(get_args(kind)[1]))
    if is_dataclass(kind):
        return _fields_reader(kind)
    if kind is float:
        return _read_float
    if kind is str:
        return _read_text
    if issubclass(kind, StrEnum):
        return lambda value: kind(value) if isinstance(value, str) else _unexpected(kind, value)
    return lambda value: value if type(value) is kind else _unexpected(kind, value)


def _list_reader(read: Read) -> Read:
    def read_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise InvalidValue(f"expected a list, found {type(value).__name__}")
        return tuple(read(item) for item in value)

    return read_list


def _object_reader(read: Read) -> Read:
    def read_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise InvalidValue(f"expected an object, found {type(value).__name__}")
        return {_read_text(key): read(value[key]) for key in value}

    return read_object


def _fields_reader(kind: Any) -> Read:
    wanted = _fields(kind)

    def read_fields(value: Any) -> Any:
        if not isinstance(value, dict):
            raise InvalidValue(f"expected an object, found {type(value).__name__}")
        found = {}
        for name, read, required in wanted:
            if name in value:
                try:
                    found[name] = read(value[name])
                except (ValueError, TypeError) as error:
                    raise InvalidValue(f"{name}: {error}") from error
            elif required:
                raise InvalidValue(f"{name} is missing")
        return kind(**found)

    return read_fields


def _read_text(value: Any) -> Any:
    if type(value) is not str:
        return _unexpected(str, value)
    value.encode()  # refuses half a surrogate pair, which nobody could write down again
    return value


def _read_float(value: Any) -> Any:
    """What JSON has no word for is no number of ours, though `json` reads it."""
    if type(value) not in {int, float}:
        return _unexpected(float, value)
    number = float(value)
    if not math.isfinite(number):
        raise InvalidValue(f"expected a finite number, found {number}")
    return number


def _unexpected(kind: Any, value: Any) -> Any:
    raise InvalidValue(f"expected {kind.__name__}, found {type(value).__name__}")


def _without_none(kind: Any) -> Any:
    (inner,) = (arm for arm in get_args(kind) if arm is not NoneType)
    return inner


def _fields(kind: Any) -> tuple[tuple[str, Read, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (f.name, _reader(hints[f.name]), f.default is MISSING and f.default_factory is MISSING)
        for f in fields(kind)
    )
