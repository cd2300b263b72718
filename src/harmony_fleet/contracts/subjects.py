"""Where each message travels: buckets, keys and subjects, made from checked device ids only.

The same names stand in the accounts' exports and in each device's permissions.
"""

from typing import Final

from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.identity import check_device_id

MARKER_BUCKET: Final = "agent-upgrade"
STATUS_BUCKET: Final = "agent-upgrade-status"
HEARTBEAT_BUCKET: Final = "device-heartbeat"

SEEN_STATUS: Final = "fleet.seen.status"
SEEN_HEARTBEAT: Final = "fleet.seen.heartbeat"
"""The streams republish here what they have stored, for the operator alone."""


def stream(bucket: str) -> str:
    """The stream behind a bucket."""
    return f"KV_{bucket}"


def key(bucket: str, name: str) -> str:
    """The subject of a key in a bucket: writing to it is a put."""
    return f"$KV.{bucket}.{name}"


def direct_get(bucket: str, name: str) -> str:
    """The request subject that answers with the key's last value, or status 404."""
    return f"$JS.API.DIRECT.GET.{stream(bucket)}.{key(bucket, name)}"


def marker_key(device_id: str) -> str:
    return key(MARKER_BUCKET, check_device_id(device_id))


def status_key(device_id: str) -> str:
    return key(STATUS_BUCKET, check_device_id(device_id))


def heartbeat_name(device_id: str, role: Role) -> str:
    return f"{check_device_id(device_id)}.{role}"


def heartbeat_key(device_id: str, role: Role) -> str:
    return key(HEARTBEAT_BUCKET, heartbeat_name(device_id, role))


def order_wake(device_id: str) -> str:
    """Republished by the server, without the value, after a marker was stored."""
    return f"fleet.order.{check_device_id(device_id)}"


def command(device_id: str) -> str:
    return f"device-cmd.{check_device_id(device_id)}"


def answer_prefix(device_id: str) -> str:
    """A command whose reply subject does not begin with this is dropped unanswered."""
    return f"fleet.answer.{check_device_id(device_id)}."


def inbox_prefix(device_id: str) -> str:
    return f"_INBOX_{check_device_id(device_id)}"
