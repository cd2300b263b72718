"""Devices as the operator sees them, made for the tests of what is said about them."""

from dataclasses import dataclass, replace
from typing import Any, Final

from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.records import DeviceRecord, Order

NOW: Final = "2026-01-01T01:00:00Z"
A_MINUTE_AGO: Final = "2026-01-01T00:59:00Z"
AN_HOUR_AGO: Final = "2026-01-01T00:00:00Z"
ID: Final = "0123456789abcdef" * 2
OLDER_ID: Final = "fedcba9876543210" * 2
ARTIFACT: Final = Artifact("http://127.0.0.1:7700/artifacts/a", 2_000_000, "a" * 64)


@dataclass(frozen=True)
class Seen:
    """A Sight."""

    case: Case
    heard_age_s: float | None = 2.0


def beat(**changed: Any) -> Heartbeat:
    plain = Heartbeat("pi-1", "1.0.0", Role.PRIMARY, "instance-1", "boot-1", 7, 30_000)
    return replace(plain, **changed)


def order(phase: AgentUpgradePhase, **changed: Any) -> Order:
    plain = Order(ID, 2, "2.0.0", ARTIFACT, A_MINUTE_AGO, phase=phase, since=A_MINUTE_AGO)
    return replace(plain, from_version="1.0.0", attempt=1, **changed)


def case(newest: Order | None = None, past: tuple[Order, ...] = (), **changed: Any) -> Case:
    record = DeviceRecord("pi-1", "1.0.0", newest, past, newest.generation if newest else 0)
    return replace(Case(record, heartbeat=beat()), **changed)


def never_heard(newest: Order | None = None) -> Seen:
    record = replace(case(newest).record, current_version=None)
    return Seen(Case(record), None)
