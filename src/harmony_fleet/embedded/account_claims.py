"""What each account and each device may do: the claims that the server enforces.

Rules, each the cure of an attack that worked (ADR on the message plane; tests/processes):
1. OPS owns the streams; DEVICES reaches them by imports with the same subject on both sides and a
   wildcard in it. A literal one would let a device aim a service's reply at the importing handler.
2. DEVICES maps the operator's own subjects to nowhere: only what comes through the stream imports
   arrives there, never what one device publishes, or has another service answer.
3. A device's permissions are in its signing key's template; its JWT says only its name.
"""

from typing import Any, Final

from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.subjects import HEARTBEAT_BUCKET, MARKER_BUCKET, STATUS_BUCKET
from harmony_fleet.contracts.subjects import direct_get as _direct_get
from harmony_fleet.contracts.subjects import key as _key

Claims = dict[str, Any]

_ROLES: Final = (Role.PRIMARY, Role.CANDIDATE)
_NAME: Final = "{{name()}}"
"""The server puts the user's name here, which the signer has checked to be a device id."""

_DROPPED: Final = "fleet.dropped"
_MAX_PAYLOAD_BYTES: Final = 65536
_MAX_SUBSCRIPTIONS: Final = 16


def device_services(device: str) -> tuple[str, ...]:
    """What a device may publish or request; `device` is `*`, or the name in the template."""
    return (
        _direct_get(MARKER_BUCKET, device),
        _key(STATUS_BUCKET, device),
        *(_key(HEARTBEAT_BUCKET, f"{device}.{role}") for role in _ROLES),
        *(_direct_get(HEARTBEAT_BUCKET, f"{device}.{role}") for role in _ROLES),
        f"fleet.renew.{device}",
        f"fleet.answer.{device}.*.*",
    )


def device_streams(device: str) -> tuple[str, ...]:
    """What reaches a device from the operator."""
    return (f"fleet.order.{device}", f"device-cmd.{device}")


def device_template() -> Claims:
    """The permissions of every device that the scoped signing key signs for."""
    inbox = f"_INBOX_{_NAME}.>"
    return {
        "pub": {"allow": list(device_services(_NAME))},
        "sub": {"allow": [*device_streams(_NAME), inbox]},
        "subs": _MAX_SUBSCRIPTIONS,
        "data": -1,
        "payload": _MAX_PAYLOAD_BYTES,
        "bearer_token": False,
        "allowed_connection_types": ["STANDARD"],
    }


def ops_claims() -> Claims:
    """Owns the streams, exports to DEVICES what a device may use, imports nothing."""
    exports = [_export("service", subject) for subject in device_services("*")]
    exports += [_export("stream", subject) for subject in device_streams("*")]
    return {"type": "account", "limits": _limits(jetstream=True), "exports": exports}


def devices_claims(ops_public: str, signing_public: str) -> Claims:
    """Has no JetStream, exports nothing, and drops what imitates the operator's messages."""
    imports = [_import("service", subject, ops_public) for subject in device_services("*")]
    imports += [_import("stream", subject, ops_public) for subject in device_streams("*")]
    scope = {
        "kind": "user_scope",
        "key": signing_public,
        "role": "device",
        "template": device_template(),
    }
    return {
        "type": "account",
        "limits": _limits(jetstream=False),
        "imports": imports,
        "signing_keys": [scope],
        "mappings": {subject: [{"subject": _DROPPED}] for subject in device_streams("*")},
    }


def system_claims() -> Claims:
    """The server's own account: revocations and statistics pass through it."""
    return {"type": "account", "limits": _limits(jetstream=False)}


def _export(kind: str, subject: str) -> Claims:
    return {"name": subject, "subject": subject, "type": kind}


def _import(kind: str, subject: str, account: str) -> Claims:
    """Without a local subject: the same one on both sides (rule 1)."""
    return {"name": subject, "subject": subject, "account": account, "type": kind}


def _limits(*, jetstream: bool) -> Claims:
    unlimited = ("subs", "data", "payload", "imports", "exports", "conn")
    storage = ("mem_storage", "disk_storage", "streams", "consumer")
    return {
        **dict.fromkeys(unlimited, -1),
        **dict.fromkeys(storage, -1 if jetstream else 0),
        "wildcards": True,
        "leaf": 0,
    }
