"""The three streams behind the buckets: made with settings of our own, looked at, and listed.

Made by plain API requests, not by nats-py's `create_key_value`, whose settings let a device wipe
the others' keys by a roll-up header, and swallow their messages within a window of two minutes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harmony_fleet.contracts.subjects import (
    HEARTBEAT_BUCKET,
    MARKER_BUCKET,
    SEEN_HEARTBEAT,
    SEEN_STATUS,
    STATUS_BUCKET,
    key,
    stream,
)
from harmony_fleet.contracts.wire import MAX_MESSAGE_BYTES
from harmony_fleet.messaging.connection import Plane, RequestRefused
from harmony_fleet.messaging.keyvalue import Entry, read_entry
from harmony_fleet.messaging.requests import NO_MESSAGE, Message, read_answer
from harmony_fleet.operator.liveness import StreamState

PROBE: Final = "_fleet"
"""A key of the statuses' bucket that can be no device's: see `storing`."""
_API_TIMEOUT_S: Final = 5.0
_LIST_TIMEOUT_S: Final = 30.0
_PAGE_KEYS: Final = 1000
_STREAM_NOT_FOUND: Final = 10059
_SECOND_NS: Final = 1_000_000_000
_END_OF_BATCH: Final = "204"
_DUPLICATE_WINDOW_NS: Final = 100_000_000
"""The least that the server allows. Within it a device's Msg-Id can swallow another's message."""

Configuration = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    heartbeat_max_age_s: float = 90.0
    """A device whose last heartbeat is older has none: three intervals."""
    replicas: int = 1


async def ensure_streams(plane: Plane, limits: StreamLimits | None = None) -> None:
    """Each stream exists with these settings when this returns; what is so already is left alone.

    Raises:
        RequestRefused: one exists with a setting that cannot be changed, such as its storage.
        MessagingError: as for any request; calling again is safe.
    """
    for wanted in stream_configurations(limits or StreamLimits()):
        found = await _info(plane, wanted["name"])
        if found is None:
            await _api(plane, f"STREAM.CREATE.{wanted['name']}", wanted)
        elif not _holds(found["config"], wanted):
            await _api(plane, f"STREAM.UPDATE.{wanted['name']}", wanted)


def stream_configurations(limits: StreamLimits) -> tuple[Configuration, ...]:
    """What `ensure_streams` ensures."""
    marker = _configuration(MARKER_BUCKET, "*", "fleet.order.{{wildcard(1)}}", limits)
    marker["republish"]["headers_only"] = True
    status = _configuration(STATUS_BUCKET, "*", f"{SEEN_STATUS}.{{{{wildcard(1)}}}}", limits)
    seen = f"{SEEN_HEARTBEAT}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"
    heartbeat = _configuration(HEARTBEAT_BUCKET, "*.*", seen, limits)
    heartbeat |= {"storage": "memory", "max_age": int(limits.heartbeat_max_age_s * _SECOND_NS)}
    return marker, status, heartbeat


async def stream_state(plane: Plane, bucket: str) -> StreamState:
    """Raises RequestRefused where the stream does not exist."""
    found = await _info(plane, stream(bucket))
    if found is None:
        raise RequestRefused(f"there is no stream {stream(bucket)}", _STREAM_NOT_FOUND)
    return StreamState(str(found["created"]), int(found["state"]["last_seq"]))


async def list_bucket(plane: Plane, bucket: str) -> list[tuple[str, Entry]]:
    """Every key's last value, oldest first; of a key written meanwhile, the old or the new one.

    Pages through the stream by direct get in the order of its sequences. It holds one message for
    each key, and a key written meanwhile moves to the end, where it is still met; only a replica
    that lags can miss it, so subscribe to what is republished before listing.
    Leaves nothing on the server. Raises MessagingError.
    """
    found: dict[str, Entry] = {}
    after: int | None = 0
    while after is not None:
        page, after = await _page(plane, bucket, after)
        for stored in page:
            name = stored.headers.get("Nats-Subject", "").removeprefix(key(bucket, ""))
            found.pop(name, None)
            if (entry := read_entry(stored)) is not None:
                found[name] = entry
    return list(found.items())


async def _page(plane: Plane, bucket: str, after: int) -> tuple[list[Message], int | None]:
    """The messages after that sequence, and their last one's sequence if more come after it."""
    asked = {"seq": after + 1, "batch": _PAGE_KEYS, "next_by_subj": key(bucket, ">")}
    subject = f"$JS.API.DIRECT.GET.{stream(bucket)}"
    *page, end = await plane.request_all(subject, json.dumps(asked).encode(), _LIST_TIMEOUT_S)
    if end.status == NO_MESSAGE:
        return page, None
    if end.status != _END_OF_BATCH:
        read_answer(end, f"listing {bucket}")
    pending, last = (int(end.headers[f"Nats-{name}"]) for name in ("Num-Pending", "Last-Sequence"))
    return page, last if page and pending else None


def _configuration(
    bucket: str, keys: str, republished_to: str, limits: StreamLimits
) -> Configuration:
    """Discarding what is new applies to the stream's own limits; a new value replaces the old."""
    return {
        "name": stream(bucket),
        "subjects": [key(bucket, keys)],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "num_replicas": limits.replicas,
        "max_msgs_per_subject": 1,
        "max_msg_size": MAX_MESSAGE_BYTES,
        "max_age": 0,
        "duplicate_window": _DUPLICATE_WINDOW_NS,
        "allow_direct": True,
        "allow_rollup_hdrs": False,
        "deny_delete": True,
        "republish": {"src": key(bucket, keys), "dest": republished_to, "headers_only": False},
    }


async def _info(plane: Plane, name: str) -> dict[str, Any] | None:
    try:
        return await _api(plane, f"STREAM.INFO.{name}")
    except RequestRefused as error:
        if error.code == _STREAM_NOT_FOUND:
            return None
        raise


async def _api(plane: Plane, name: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
    body = b"" if payload is None else json.dumps(payload).encode()
    answer = await plane.request(f"$JS.API.{name}", body, _API_TIMEOUT_S)
    return read_answer(answer, f"JetStream {name}")


def _holds(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether all that is wanted is so. The server leaves out what is false."""
    for name, value in wanted.items():
        there = found.get(name, False)
        if isinstance(value, Mapping):
            if not _holds(there or {}, value):
                return False
        elif there != value:
            return False
    return True
