"""Sees the fleet without asking it: agent processes by pidfds, heartbeats as they are stored, and
where each link leads. What it finds at fault at any time stays found.

Rules
1. A link leads to a complete, executable file whose digest is a released one, at every look.
2. No other file has a version's name.
3. Without an agent for longer than `LOST_S` while it is powered: a device was lost.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from demo.processes import follow

from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging.connection import Endpoint, Plane, Timing
from harmony_fleet.messaging.requests import Message
from soak.device import Device
from soak.faults import Fault, Kind

LOST_S = 10.0
"""Above a pause before a restart, a guard that rolls back, and an interpreter's start, on a
machine that is busy. What was seen is in the report."""
SCAN_S = 0.02
LOOK_S = 0.5
RECONNECTS = Timing(longest_retry_s=0.5)

Known = tuple[int, int, int]
"""A file's inode, size and time of change: what is unchanged is not read again."""


@dataclass
class Watcher:
    devices: Mapping[str, Device]
    digests: Mapping[str, str]
    """Of every release that was ever added: its version."""
    faults: dict[Fault, None] = field(default_factory=dict)
    """In the order in which they were first seen."""
    _hashed: dict[Known, str] = field(default_factory=dict)

    async def hear(self, message: Message) -> None:
        try:
            beat = codec.decode(Heartbeat, message.payload)
        except MalformedMessage:
            return
        if beat.device_id in self.devices:
            self.devices[beat.device_id].hearing.hear()

    async def look(self) -> None:
        """Until cancelled: where the links lead, and who is without an agent."""
        while True:
            for device in self.devices.values():
                for fault in await asyncio.to_thread(self.faults_of_files, device):
                    self.faults[fault] = None
                self.faults |= dict.fromkeys(lost(device))
            await asyncio.sleep(LOOK_S)

    def faults_of_files(self, device: Device) -> list[Fault]:
        return [Fault(Kind.LINK, f"{device.name}: {text}") for text in self._wrong(device)]

    def _wrong(self, device: Device) -> Iterator[str]:
        try:
            target = device.machine.link.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # before Python 3.13 a loop is the latter
            yield f"its link leads nowhere: {error}"
            return
        if not os.access(target, os.X_OK):
            yield f"its link leads to {target.name}, which is not executable"
        for file in {target, *device.digest_files()}:
            try:
                version = self._version_of(file)
            except OSError as error:
                yield f"{file.name} cannot be read: {error}"
                continue
            if version is None and file.exists():
                yield f"{file.name} is no released file"
            elif version is not None and not file.name.endswith(f"-v{version}"):
                yield f"{file.name} holds version {version}"

    def _version_of(self, file: Path) -> str | None:
        try:
            found = file.stat()
            known = (found.st_ino, found.st_size, found.st_ctime_ns)
            if known not in self._hashed:
                self._hashed[known] = hashlib.sha256(file.read_bytes()).hexdigest()
        except FileNotFoundError:  # pruned just now
            return None
        return self.digests.get(self._hashed[known])


def lost(device: Device) -> list[Fault]:
    if device.gap_s() <= LOST_S:
        return []
    return [Fault(Kind.LOST, f"{device.name}: no agent for more than {LOST_S:g} s")]


def operators_plane(data: Path, nats_url: str) -> Plane:
    credentials = Accounts.open(data / "nats/accounts").operator_credentials
    return Plane(Endpoint((nats_url,), credentials, "soak", "_INBOX_soak"), RECONNECTS)


async def watch(watcher: Watcher, plane: Plane) -> list[asyncio.Task[None]]:
    """The tasks, which end only when cancelled; the plane must be started."""
    await plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.*.*", watcher.hear)
    following = follow([device.seen for device in watcher.devices.values()], SCAN_S)
    return [asyncio.create_task(following), asyncio.create_task(watcher.look())]
