"""Devices and AgentReleases as a tool of GitOps reads them, in each state that is rendered.

Beside each what kstatus, and what Argo CD, must make of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from msgspec.structs import replace as changed
from tests.unit.kubernetes_cases import newest
from tests.unit.operator_cases import NOW

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.kubernetes.conditions import Obstacle, Presence
from harmony_fleet.operator.kubernetes.intake import release_status
from harmony_fleet.operator.kubernetes.objects import (
    ActedOn,
    AgentRelease,
    Device,
    DeviceSpec,
    DeviceStatus,
    Metadata,
)
from harmony_fleet.operator.kubernetes.releases import spec_of
from harmony_fleet.operator.kubernetes.render import News, Outlook, rendered
from harmony_fleet.operator.records import DeviceRecord, Release

Phase = AgentUpgradePhase
Document = dict[str, Any]
GENERATION: Final = 3
HEARD: Final = Outlook(Presence.FRESH)
OBSTACLE: Final = Obstacle("UnknownRelease", "there is no AgentRelease of version 2.0.0")


@dataclass(frozen=True)
class State:
    name: str
    document: Document
    kstatus: str
    argo: str


def document_of(one: Device | AgentRelease) -> Document:
    """As the API server sends it: what the schema fills in is there."""
    found: Document = msgspec.to_builtins(one)
    status = found.setdefault("status", {"observedGeneration": -1})
    status.setdefault("observedGeneration", -1)
    return found


def device(
    record: DeviceRecord,
    asked: str = "",
    acted: bool = False,
    outlook: Outlook = HEARD,
) -> Device:
    metadata = Metadata("pi-1", "fleet", resource_version="10", generation=GENERATION)
    was = DeviceStatus(acted_on=ActedOn(asked) if acted else None)
    spec = DeviceSpec(version=asked, paused=record.paused)
    one = Device(metadata=metadata, spec=spec, status=was)
    return changed(one, status=rendered(one, News(record, outlook), NOW))


def of_generation(one: Device | AgentRelease, generation: int) -> Device | AgentRelease:
    return changed(one, metadata=changed(one.metadata, generation=generation))


def states() -> Iterator[State]:
    yield from _devices_waiting()
    yield from _devices_under_way()
    yield from _devices_at_rest()
    yield from _releases()


def _devices_waiting() -> Iterator[State]:
    created = Device(metadata=Metadata("pi-1", generation=1))
    yield State("created", document_of(created), "InProgress", "Progressing")
    runs = device(DeviceRecord("pi-1", "1.0.0"), "1.0.0")
    edited = of_generation(runs, GENERATION + 1)
    yield State("edited since", document_of(edited), "InProgress", "Progressing")
    unheard = DeviceRecord("pi-1")
    for asked in ("", "2.0.0"):
        found = document_of(device(unheard, asked, outlook=Outlook(Presence.UNHEARD)))
        yield State(f"never heard, asked for {asked!r}", found, "InProgress", "Progressing")
    paused = DeviceRecord("pi-1", "1.0.0", journal_id="journal-1", paused=True)
    yield State("paused", document_of(device(paused, "2.0.0")), "InProgress", "Suspended")
    heard = replace(paused, paused=False)
    yield State("ordering", document_of(device(heard, "2.0.0")), "InProgress", "Progressing")


def _devices_under_way() -> Iterator[State]:
    for phase in (one for one in Phase if not one.final):
        for current in ("1.0.0", "2.0.0"):
            record = DeviceRecord("pi-1", current, newest(phase))
            found = document_of(device(record, "2.0.0", acted=True))
            yield State(f"{phase}, runs {current}", found, "InProgress", "Progressing")
    waiting = Outlook(Presence.LOST, Obstacle("Silent", "waits for the device"), GENERATION)
    record = DeviceRecord("pi-1", "1.0.0", newest(Phase.STAGING))
    found = document_of(device(record, "2.0.0", acted=True, outlook=waiting))
    yield State("under way, and waits for somebody", found, "InProgress", "Progressing")


def _devices_at_rest() -> Iterator[State]:
    record = DeviceRecord("pi-1", "2.0.0", newest(Phase.SUCCEEDED), journal_id="journal-1")
    there = document_of(device(record, "2.0.0", acted=True))
    yield State("runs what is asked for", there, "Current", "Healthy")
    paused = document_of(device(replace(record, paused=True), "2.0.0", acted=True))
    yield State("paused, and runs what is asked for", paused, "Current", "Healthy")
    off = document_of(device(record, "2.0.0", acted=True, outlook=Outlook(Presence.LOST)))
    yield State("switched off", off, "Current", "Healthy")
    for phase in (one for one in Phase if one.final and one is not Phase.SUCCEEDED):
        failed = document_of(
            device(DeviceRecord("pi-1", "1.0.0", newest(phase)), "2.0.0", acted=True)
        )
        yield State(str(phase), failed, "Failed", "Degraded")
    drifted = document_of(device(replace(record, current_version="1.0.0"), "2.0.0", acted=True))
    yield State("replaced by hand", drifted, "Failed", "Degraded")
    unknown = Outlook(Presence.FRESH, OBSTACLE, GENERATION)
    refused = document_of(device(replace(record, order=None), "3.0.0", outlook=unknown))
    yield State("asks for no release that there is", refused, "Failed", "Degraded")
    for one in (there, refused):
        metadata = one["metadata"] | {"deletionTimestamp": NOW}
        gone = one | {"metadata": metadata}
        yield State(f"deleted, was {one['spec']}", gone, "Terminating", "")


def _releases() -> Iterator[State]:
    release = Release("2.0.0", "", 10, "a" * 64, "", NOW, url="https://files.example/a")
    metadata = Metadata("2.0.0", "fleet", generation=GENERATION)
    one = AgentRelease(metadata=metadata, spec=spec_of(release))
    yield State("release, created", document_of(one), "InProgress", "Progressing")
    for name, spec, ran, kstatus, argo in (
        ("available", release, {}, "Current", "Healthy"),
        ("withdrawn", replace(release, withdrawn="it eats"), {}, "Current", "Healthy"),
        ("other bytes", release, {"2.0.0": {"b" * 64: "pi-1"}}, "Failed", "Degraded"),
    ):
        given = changed(one, spec=spec_of(spec))
        found = document_of(changed(given, status=release_status(given, ran, NOW)))
        yield State(f"release, {name}", found, kstatus, argo)


STATES: Final = tuple(states())
