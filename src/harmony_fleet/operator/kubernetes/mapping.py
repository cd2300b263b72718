"""Between a `Device` object and what the operator decides upon: its record, its history.

One truth: what the status shows to people is what the record is read from again. The labels and
`paused` are people's, and stand in the spec. No I/O.
"""

from collections.abc import Sequence
from typing import Final

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.upgrade import (
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Desired,
)
from harmony_fleet.labels import Label
from harmony_fleet.operator.kubernetes import objects
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.ports import StoreError
from harmony_fleet.operator.records import DeviceEvent, DeviceRecord, Happening, Order

_GENERATIONS: Final = 2**24
_MAX_ERROR: Final = 512


class ObjectUnusable(StoreError):
    """An object that this operator must not touch. It is left as it is."""

    kind = "object_unusable"
    retryable = False


def device_id_of(device: objects.Device) -> str:
    return device.spec.device_id or device.metadata.name


def check_usable(device: objects.Device) -> None:
    """Raises ObjectUnusable."""
    name, device_id = device.metadata.name, device_id_of(device)
    schema = device.status.schema if device.status else objects.SCHEMA
    if schema > objects.SCHEMA:
        raise ObjectUnusable(
            f"the Device {name} was written by a newer harmony-fleet (status schema {schema}, this "
            f"one knows {objects.SCHEMA}): run the newer one"
        )
    if object_name(device_id) != name:
        raise ObjectUnusable(
            f"the Device {name} is for {device_id}, whose object is called "
            f"{object_name(device_id)}: delete it, and create it under that name"
        )


def revision_of(device: objects.Device) -> int:
    """Another one for every other record: the status names what it was written over.

    What touches neither the record nor the spec, such as a condition, leaves it as it is.
    """
    written_over = device.status.revision if device.status else 0
    return written_over * _GENERATIONS + device.metadata.generation % _GENERATIONS


def record_of(device: objects.Device) -> DeviceRecord:
    """Raises ObjectUnusable."""
    check_usable(device)
    status = device.status or objects.DeviceStatus()
    try:
        return DeviceRecord(
            device_id=device_id_of(device),
            current_version=status.current_version,
            order=_order(status.upgrade) if status.upgrade else None,
            past=tuple(map(_order, status.past)),
            highest=status.highest_generation,
            journal_id=status.journal_id,
            seq=status.seq,
            labels=tuple(sorted(Label(k, v) for k, v in device.spec.labels.items())),
            paused=device.spec.paused,
        )
    except InvalidValue as error:
        raise ObjectUnusable(
            f"the status of the Device {device.metadata.name} holds what cannot be: {error}"
        ) from error


def upgrade_of(order: Order) -> objects.Upgrade:
    """As it stands in the status."""
    cause, artifact = order.cause, order.artifact
    return objects.Upgrade(
        phase=order.phase,
        from_version=order.from_version,
        to_version=order.version,
        upgrade_id=order.upgrade_id,
        error=f"{cause.kind}: {cause.sentence}"[:_MAX_ERROR] if cause else "",
        since=order.since,
        ordered_at=order.ordered_at,
        generation=order.generation,
        desired="abort" if order.desired is Desired.ABORT else "run",
        retry=order.retry,
        attempt=order.attempt,
        artifact=objects.Artifact(artifact.url, artifact.size_bytes, artifact.sha256),
        cause=objects.Cause(cause.kind, cause.sentence, cause.evidence) if cause else None,
        journal_id=order.journal_id,
    )


def _order(upgrade: objects.Upgrade) -> Order:
    artifact, cause = upgrade.artifact, upgrade.cause
    return Order(
        upgrade_id=upgrade.upgrade_id,
        generation=upgrade.generation,
        version=upgrade.to_version,
        artifact=Artifact(artifact.url, artifact.size_bytes, artifact.sha256),
        ordered_at=upgrade.ordered_at,
        desired=Desired(upgrade.desired),
        retry=upgrade.retry,
        from_version=upgrade.from_version,
        phase=AgentUpgradePhase(upgrade.phase),
        since=upgrade.since,
        attempt=upgrade.attempt,
        cause=Cause(CauseKind(cause.kind), cause.sentence, cause.evidence) if cause else None,
        journal_id=upgrade.journal_id,
    )


def history_with(
    device: objects.Device, told: Sequence[Happening], at: str, first: int
) -> tuple[objects.HistoryEntry, ...]:
    """`first`: the number of the first one told; the others follow it."""
    new = (
        objects.HistoryEntry(at, one.kind, _short(one.sentence), one.upgrade_id, number)
        for number, one in enumerate(told, first)
    )
    return (*_history(device), *new)[-objects.HISTORY_KEPT :]


def last_number(device: objects.Device) -> int:
    """Of its history; 0: there is none."""
    return max((one.number for one in _history(device)), default=0)


def events_of(device: objects.Device) -> Sequence[DeviceEvent]:
    """Oldest first."""
    name = device_id_of(device)
    return [
        DeviceEvent(one.number, name, one.at, one.kind, one.sentence, one.upgrade_id)
        for one in _history(device)
    ]


def _history(device: objects.Device) -> tuple[objects.HistoryEntry, ...]:
    return device.status.history if device.status else ()


def _short(sentence: str) -> str:
    """As much of it as may stand there."""
    most = objects.MAX_MESSAGE
    return sentence if len(sentence) <= most else f"{sentence[: most - 1]}…"


def reason(device: objects.Device, kind: str) -> str | None:
    """Of that condition; None: it does not hold."""
    found = device.status.conditions if device.status else ()
    held = (one.reason for one in found if one.type == kind and one.status == "True")
    return next(held, None)
