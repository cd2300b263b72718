"""Calm: nothing is done to the fleet; within `SETTLE_S` everything must come right, and stay so.

The snapshot of a device is taken from outside; what is wrong with it is a pure function of it.
"""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import at_rest

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from soak.device import VERSIONS_KEPT, Device, mentioning
from soak.faults import Fault, Kind
from soak.ledger import Ledger
from soak.plane import ControlPlane, Upgrade

SETTLE_S = 90.0
"""Above the longest that an attempt may take by the soak's own limits, with three restarts."""
HEARD_WITHIN_S = 3.0
"""Three intervals."""
STATE_FILES = frozenset({"journal.json", "reserve"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    device: str
    primaries: tuple[int, ...]
    candidates: tuple[int, ...]
    """As the watcher follows them."""
    running: str | None
    """By the file that the primary holds open."""
    linked: str
    left_over: tuple[str, ...]
    versions: tuple[str, ...]
    silent_s: float | None
    """Since the watcher heard it; None: it never did."""
    said: str | None
    """The version that the operator's record holds."""
    online: bool


@dataclass(frozen=True, slots=True)
class Look:
    at_s: float
    """Monotonic."""
    faults: tuple[Fault, ...]
    """What is not right yet."""
    primaries: Mapping[str, tuple[int, ...]]
    """The processes that play it, by device; nothing where the control plane did not answer."""
    ended: tuple[Upgrade, ...] = ()
    """Since the look before."""


def snapshot(device: Device, view: Mapping[str, Any]) -> Snapshot:
    agents = list(device.seen.agents.values())  # whoever follows them changes them meanwhile
    primary = next((agent for agent in agents if not agent.candidate), None)
    last_s = device.hearing.last_s
    state = {file.name for file in device.machine.state.iterdir()}
    return Snapshot(
        device.name,
        tuple(agent.pid for agent in agents if not agent.candidate),
        tuple(agent.pid for agent in agents if agent.candidate),
        primary.opened if primary else None,
        linked(device.machine),
        tuple(sorted({*at_rest.left_over(device.machine), *(state - STATE_FILES)})),
        tuple(file.name for file in device.digest_files()),
        None if last_s is None else time.monotonic() - last_s,
        view.get("current_version"),
        bool(view.get("online")),
    )


def linked(machine: MachineRoot) -> str:
    """The version that the link leads to; a link that leads round in a circle leads nowhere."""
    try:
        return at_rest.linked(machine)
    except (OSError, RuntimeError):  # before Python 3.13 a loop is the latter
        return "nowhere"


def faults_of(seen: Snapshot, should_run: str) -> list[Fault]:
    name, found = seen.device, []
    if len(seen.primaries) != 1:
        found.append((Kind.LOST, f"{len(seen.primaries)} primaries run, not one"))
    if seen.silent_s is None or seen.silent_s > HEARD_WITHIN_S:
        found.append((Kind.LOST, f"not heard for {seen.silent_s or SETTLE_S:.0f} s"))
    if seen.candidates:
        found.append((Kind.LEFT_OVER, f"a candidate runs: {seen.candidates}"))
    found += [(Kind.LEFT_OVER, f"{one} is left over") for one in seen.left_over]
    if len(seen.versions) > VERSIONS_KEPT:
        found.append((Kind.LEFT_OVER, f"{len(seen.versions)} versions are kept"))
    if seen.running != should_run:
        found.append((Kind.RECORD, f"runs {seen.running}, but {should_run} succeeded last"))
    if seen.linked != seen.running:
        found.append((Kind.LINK, f"the link leads to {seen.linked}; {seen.running} runs"))
    if seen.said != seen.running or not seen.online:
        online = "online" if seen.online else "offline"
        found.append((Kind.RECORD, f"runs {seen.running}; the record says {seen.said}, {online}"))
    return [Fault(kind, f"{name}: {text}") for kind, text in found]


def stuck(upgrade: Upgrade) -> Fault:
    waits = f"waits for {upgrade.waits_for}" if upgrade.waits_for else "does not say why"
    return Fault(
        Kind.STUCK,
        f"{upgrade.device}: {upgrade.version} (upgrade {upgrade.upgrade_id}) is "
        f"{upgrade.phase} after {SETTLE_S:.0f} s of calm, and {waits}",
    )


@dataclass
class Judge:
    plane: ControlPlane
    devices: Mapping[str, Device]
    digests: Mapping[str, str]
    ledger: Ledger

    def look(self) -> Look:
        """Blocking."""
        try:
            views = self.plane.views()
            ended = self.ledger.read(self.plane, self.devices)
        except FleetError as error:
            silent = Fault(Kind.RECORD, f"the control plane does not answer: {error}")
            return Look(time.monotonic(), (silent,), {})
        faults = [stuck(upgrade) for upgrade in self.ledger.open.values()]
        primaries = {}
        for name, device in self.devices.items():
            seen = snapshot(device, views.get(name, {}))
            primaries[name] = seen.primaries
            faults += faults_of(seen, self.ledger.should_run(name))
            faults += self.ledger.wrongly_quarantined(name, self.quarantined(device))
        return Look(time.monotonic(), (*faults, *self.strays()), primaries, tuple(ended))

    def quarantined(self, device: Device) -> list[str]:
        """The versions whose digests its journal says have failed there."""
        with suppress(OSError, ValueError):
            journal = json.loads((device.machine.state / "journal.json").read_bytes())
            return [self.digests[one] for one in journal["quarantined"] if one in self.digests]
        return []

    def strays(self) -> Iterable[Fault]:
        """Processes and files of this fleet that are none of its parts'."""
        known = {self.plane.nats_pid(), self.plane.pid}
        for device in self.devices.values():
            known |= {device.seen.supervisor, *device.seen.agents}
        for pid, words in mentioning(f"{self.plane.data}/").items():
            if pid not in known:
                yield Fault(Kind.LEFT_OVER, f"process {pid} is no part of the fleet: {words}")
        for file in hidden(self.plane.data):
            yield Fault(Kind.LEFT_OVER, f"{file.relative_to(self.plane.data)} is left over")


def hidden(data: Path) -> list[Path]:
    """Half-written files of the control plane, by their names."""
    folders = (data, data / "artifacts", data / "nats", data / "nats/accounts")
    return [file for folder in folders for file in folder.glob(".*")]
