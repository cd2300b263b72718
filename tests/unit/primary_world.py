"""One device's files, and the primary put together on them, with a plane that only listens.

The layout, the journal and all parts of the process are the real ones; the supervisor is away.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import harmony_fleet
from harmony_fleet.agent.config import Config, load
from harmony_fleet.agent.heartbeat import Heartbeats, Pace
from harmony_fleet.agent.process import Process
from harmony_fleet.agent.upgrade.installed import installed
from harmony_fleet.agent.upgrade.journal import FileJournal
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT
from harmony_fleet.agent.upgrade.record import Stage
from harmony_fleet.agent.upgrade.upgrading import Upgrading
from harmony_fleet.agent.wire import endpoint
from harmony_fleet.contracts import codec
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.embedded.local_device import toml
from harmony_fleet.messaging.connection import Handler, Plane
from harmony_fleet.messaging.credentials import encode_creds, new_user_seed
from harmony_fleet.messaging.requests import Message, RequestTimedOut
from harmony_fleet.testing.programs import write_program
from harmony_fleet.testing.upgrade_samples import journal_in

RUNNING = harmony_fleet.__version__
OTHER = "9.0.0"

Note = tuple[str, Path]


class Files:
    """A device with the versions RUNNING and OTHER, in the middle of an upgrade."""

    def __init__(self, root: Path) -> None:
        self.versions, self.state = root / "versions", root / "state"
        self.link, previous = root / "bin" / "fleet-agent", root / "lib" / "previous"
        for folder in (self.versions, self.state, self.link.parent, previous.parent):
            folder.mkdir()
        self.config = root / "config.toml"
        self.layout = Layout(FLEET_AGENT, Paths(self.versions, self.link, previous, self.state))
        self.journal = FileJournal(self.state, lambda: "journal-1")
        self.sha256 = {
            version: write_program(self.layout.path_of(version), f"print({version!r})")
            for version in (RUNNING, OTHER)
        }
        (root / "boot_id").write_text("boot-1")
        (root / "device.creds").write_text(encode_creds("a.b.c", new_user_seed()))
        self._write_config(root, previous)

    def upgrade(self, stage: Stage, origin: str, target: str, link: str) -> None:
        """The journal, the links and `attempt-open` of an upgrade from `origin` to `target`."""
        self.layout.swap_link(link)
        self.layout.point_previous(origin)
        self.layout.open_attempt()
        versions = {"from_version": origin, "to_version": target}
        self.journal.write(journal_in(stage, target_sha256=self.sha256[origin], **versions))

    def settings(self) -> Config:
        return load(self.config, {})

    def _write_config(self, root: Path, previous: Path) -> None:
        paths = {
            "versions": self.versions,
            "link": self.link,
            "previous": previous,
            "state": self.state,
            "boot_id": root / "boot_id",
            "supervisor": root / "nobody.sock",
        }
        plane = {"servers": ["nats://127.0.0.1:1"], "credentials": root / "device.creds"}
        self.config.write_text(toml({"device_id": "pi-1", "plane": plane, "paths": paths}))


@contextmanager
def noted_disk() -> Iterator[list[Note]]:
    """Every fsync and rename, done and noted with the file that it reached."""
    notes: list[Note] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        fsync(descriptor)
        notes.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink()))

    def noting_replace(source: Path, target: Path) -> None:
        replace(source, target)
        notes.append(("rename", Path(target)))

    os.fsync, os.replace = noting_fsync, noting_replace  # type: ignore[assignment]
    try:
        yield notes
    finally:
        os.fsync, os.replace = fsync, replace


@dataclass(frozen=True, slots=True)
class Said:
    at_s: float
    beat: Heartbeat


@dataclass
class Ear:
    """What the plane was told."""

    beats: list[Said] = field(default_factory=list)


class ListeningPlane(Plane):
    """Connected all the time; it stores no status, so that probation never ends."""

    def __init__(self, config: Config, ear: Ear) -> None:
        super().__init__(endpoint(config, Role.PRIMARY))
        self._ear = ear

    @property
    def connected(self) -> bool:
        return True

    async def subscribe(self, subject: str, handler: Handler) -> None:
        return

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        self._ear.beats.append(Said(now_s, codec.decode(Heartbeat, payload)))

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        raise RequestTimedOut("this plane stores nothing")


@asynccontextmanager
async def running_primary(config: Config, ear: Ear) -> AsyncIterator["asyncio.Task[int]"]:
    """With its heartbeats, as `Primary` runs it; the task ends with its exit status."""
    process = Process(config, Role.PRIMARY)
    process.plane = ListeningPlane(config, ear)
    pace = Pace(config.heartbeat.interval_s, config.heartbeat.quick_interval_s)
    process.heartbeats = Heartbeats(process.plane, process.identity, pace, lambda: "now")
    beats = asyncio.create_task(process.run())
    exited = asyncio.create_task(Upgrading(config, process, installed(config)).run())
    try:
        yield exited
    finally:
        for task in (beats, exited):
            task.cancel()
        await asyncio.gather(beats, exited, return_exceptions=True)
