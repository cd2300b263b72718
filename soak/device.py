"""One pretended device of the soak: made, seen from outside, without power for a while, frozen."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from demo.at_rest import processes
from demo.processes import DeviceProcesses
from demo.watcher import Hearing

from harmony_fleet.embedded.local_device import LocalDevice, cut_power, prepare, spawn_supervisor
from harmony_fleet.embedded.start_local import QUICK, device_config
from harmony_fleet.embedded.supervisor.settings import MachineRoot, Settings
from harmony_fleet.messaging.credentials import Credentials, encode_creds, new_user_seed
from soak.releases import FIRST

QUIET = "soak-quiet"
"""One device more, neither ordered to nor hit: in it shows what an agent takes in a long life."""
VERSIONS_KEPT = 3
TIMING = replace(
    QUICK,
    interval_s=1.0,
    quick_interval_s=0.25,
    ready_limit_s=10.0,
    stop_limit_s=8.0,
    overall_limit_s=25.0,
    probation_s=3.0,
    starts_allowed=3,
    versions_kept=VERSIONS_KEPT,
    deadman_s=2.0,
)
SUPERVISION = Settings(watchdog_s=5.0, deadman_s=TIMING.deadman_s)
"""The watchdog waits longer than anything is frozen."""
LONGEST_RECONNECT_S = 1.0
DEAD_WITHIN_S = 5.0


class Enrols(Protocol):
    def enrol(self, device: str, public_key: str) -> tuple[str, str]: ...


@dataclass
class Device:
    name: str
    machine: MachineRoot
    seen: DeviceProcesses
    hearing: Hearing = field(default_factory=Hearing)
    powered: bool = True
    longest_gap_s: float = 0.0
    """Without any agent process while powered, up to the last `close_gaps`."""

    async def lose_power(self, for_s: float) -> None:
        """The supervisor and all that it started are killed, and booted again later.

        From the moment of the new boot on, the time without an agent counts.
        """
        self.longest_gap_s = self.gap_s()  # also the one that is open
        self.close_gaps()
        self.powered = False
        self.hearing.last_s = None
        await asyncio.to_thread(cut_power, self.machine.root)
        await asyncio.sleep(for_s)
        ends_s = time.monotonic() + DEAD_WITHIN_S
        while self.seen.agents and time.monotonic() < ends_s:
            await asyncio.sleep(0.02)
        self.seen.without_since_s = time.monotonic()
        self.seen.supervisor = await asyncio.to_thread(spawn_supervisor, self.machine.root)
        self.powered = True

    def gap_s(self) -> float:
        """The longest so far, and the one that is open."""
        if not self.powered:
            return self.longest_gap_s
        return max(self.longest_gap_s, self.seen.longest_gap_s())

    def close_gaps(self) -> None:
        """Keep the longest of those that have ended, and no other: a soak is long."""
        self.longest_gap_s = max([self.longest_gap_s, *self.seen.gaps_s])
        self.seen.begin()

    def processes(self) -> list[int]:
        """The supervisor first, so that it starts nothing while the others are being stopped."""
        task = Path(f"/proc/{self.seen.supervisor}/task/{self.seen.supervisor}/children")
        with suppress(OSError):
            return [self.seen.supervisor, *map(int, task.read_text().split())]
        return []

    def digest_files(self) -> list[Path]:
        """Every file that is a version's by its name."""
        with suppress(OSError):
            return [f for f in self.machine.versions.iterdir() if not f.name.startswith(".")]
        return []


def make(plane: Enrols, root: Path, program: Path) -> Device:
    """Registered, laid out, booted. Blocking. Raises FleetError."""
    name, seed = root.name, new_user_seed()
    jwt, nats_url = plane.enrol(name, Credentials("", seed).public_key())
    config = device_config(root, name, [nats_url], TIMING)
    config = config.replace("[plane]\n", f"[plane]\nreconnect_max_s = {LONGEST_RECONNECT_S}\n")
    made = LocalDevice(FIRST.version, program, config, encode_creds(jwt, seed), SUPERVISION)
    machine = prepare(root, made)
    return Device(name, machine, DeviceProcesses(machine.root, spawn_supervisor(root)))


def send(pid: int, number: signal.Signals) -> None:
    """A process that has ended already is no fault."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def mentioning(words: str) -> dict[int, str]:
    """The processes in whose command line that text stands, and the command line."""
    found = ((pid, " ".join(argv)) for pid, argv in processes() if pid != os.getpid())
    return {pid: said.strip() for pid, said in found if words in said}
