"""Buckets by plain requests on their subjects: what a device's permissions allow, no more.

A read names the key in the subject and has no payload: the server refuses one there. A revision
orders the writes of one stream and nothing else: after a loss the server hands the same ones out
again, so they are no identity.
"""

from dataclasses import dataclass
from typing import Final

from harmony_fleet.contracts import subjects
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import (
    NO_MESSAGE,
    Message,
    RequestRefused,
    WrongRevision,
    read_answer,
)

EXPECTED_REVISION: Final = "Nats-Expected-Last-Subject-Sequence"
_WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
"""JetStream's `err_code` of a failed comparison, of a single server and of a replicated stream."""


@dataclass(frozen=True, slots=True)
class Entry:
    value: bytes
    revision: int
    created: str
    """RFC 3339, by the server's clock. For people: nothing is decided by it."""


async def get(plane: Plane, bucket: str, name: str, timeout_s: float) -> Entry | None:
    """The key's last value; None if it has none or was deleted.

    It may come from a replica that lags. Raises MessagingError.
    """
    answer = await plane.request(subjects.direct_get(bucket, name), b"", timeout_s)
    if answer.status == NO_MESSAGE:
        return None
    if answer.status is not None:
        read_answer(answer, f"reading {name} of {bucket}")
    if answer.headers.get("Nats-Subject") != subjects.key(bucket, name):
        raise RequestRefused(f"reading {name} of {bucket}: the answer is about another subject")
    return read_entry(answer)


async def put(plane: Plane, bucket: str, name: str, value: bytes, timeout_s: float) -> int:
    """Stored when this returns, with the revision. Raises MessagingError."""
    answer = await plane.request(subjects.key(bucket, name), value, timeout_s)
    return _revision(answer, bucket, name)


async def put_if(
    plane: Plane, bucket: str, name: str, value: bytes, revision: int, timeout_s: float
) -> int:
    """As `put`, only if the key's last revision is still `revision` (0: there is none).

    Raises:
        WrongRevision: it is not, and nothing was written.
        MessagingError: as for `put`. After RequestTimedOut the value may have been written.
    """
    expected = {EXPECTED_REVISION: str(revision)}
    answer = await plane.request(subjects.key(bucket, name), value, timeout_s, expected)
    try:
        return _revision(answer, bucket, name)
    except RequestRefused as error:
        if error.code in _WRONG_LAST_SEQUENCE:
            raise WrongRevision(str(error), error.code) from error
        raise


async def announce(plane: Plane, bucket: str, name: str, value: bytes) -> None:
    """Put without waiting for an answer. Raises PlaneUnreachable when not connected."""
    await plane.publish(subjects.key(bucket, name), value)


def read_entry(stored: Message) -> Entry | None:
    """A stored message, with the headers the server adds; None for a mark that the key is gone.

    Raises:
        RequestRefused: the headers are missing: the server did not send this.
    """
    headers = stored.headers
    if "KV-Operation" in headers or "Nats-Marker-Reason" in headers:
        return None
    sequence = headers.get("Nats-Sequence", "")
    if not (sequence.isascii() and sequence.isdigit()):
        raise RequestRefused(f"a value of {stored.subject} came without its revision")
    return Entry(stored.payload, int(sequence), headers.get("Nats-Time-Stamp", ""))


def _revision(answer: Message, bucket: str, name: str) -> int:
    what = f"writing {name} of {bucket}"
    content = read_answer(answer, what)
    revision = content.get("seq")
    if content.get("stream") != subjects.stream(bucket) or not isinstance(revision, int):
        raise RequestRefused(f"{what}: the answer is no acknowledgement of this bucket")
    return revision
