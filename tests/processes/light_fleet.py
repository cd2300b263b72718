"""Light devices, a real message plane and real operators in one process, each to be taken away."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.processes.nats_fixture import QUICK, MessagePlane, connected, until
from tests.processes.operator_world import listening

from harmony_fleet.agent.config import UpgradeConfig
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import Marker
from harmony_fleet.embedded.nats import EmbeddedNats
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.credentials import encode_creds
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.loop import Operator, Settings
from harmony_fleet.operator.records import Order, Release
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.system import RandomIds, SystemClock
from harmony_fleet.testing.light_device import Faulty, LightDevice, config_in

OLD, NEW, NEWER, SILENT, CRASHING = "1.0.0", "1.1.0", "1.2.0", "2.0.0", "3.0.0"
VERSIONS = (OLD, NEW, NEWER, SILENT, CRASHING)
PROGRAMS: Final = {sha256(v.encode()).hexdigest(): v.encode() for v in VERSIONS}
FAULTY: Final = Faulty(silent=frozenset({SILENT}), crashing=frozenset({CRASHING}))
LIMITS: Final = UpgradeConfig(
    stop_limit_s=3.0,
    overall_limit_s=20.0,
    probation_s=0.5,
    starts_allowed=3,
    order_reread_s=30.0,
    retry_s=0.5,
)
HELD = {"staging": "stage", "verifying": "self_test", "armed": "start_candidate"}
"""Each device is kept in a phase by what it waits for there."""
PHASES = {
    "staging": Phase.STAGING,
    "verifying": Phase.VERIFYING,
    "armed": Phase.CUTOVER_READY,
    "committed": Phase.COMMITTED,
}
"""Of a device by that name."""
SOON_S = 30.0
SETTINGS = Settings(relist_s=2.0, command_limit_s=1.0)


@dataclass
class LightFleet:
    folder: Path
    server: EmbeddedNats
    devices: dict[str, LightDevice] = field(default_factory=dict)

    @property
    def plane(self) -> MessagePlane:
        return MessagePlane(self.server)

    def add(self, device_id: str, version: str = OLD, limits: UpgradeConfig = LIMITS) -> None:
        credentials = self.plane.device_credentials(device_id)
        creds = encode_creds(credentials.jwt, credentials.seed)
        folder = self.folder / "devices" / device_id
        config = config_in(folder, device_id, (self.server.url,), creds, limits)
        device = self.devices[device_id] = LightDevice(config, version, PROGRAMS, FAULTY)
        device.power_on()

    @asynccontextmanager
    async def operator(self, settings: Settings = SETTINGS) -> AsyncIterator[Operator]:
        """One more on the same store and message plane; cancelled at the end, as if killed."""
        clock = SystemClock()
        plane = Plane(self.plane.operator_endpoint(), QUICK)
        async with SqliteStore(self.folder / "fleet.db", clock) as store:
            for version in VERSIONS:
                digest, size = sha256(version.encode()).hexdigest(), len(version.encode())
                await store.add_release(Release(version, version, size, digest, ">=3.11", "now"))
            await plane.start()
            operator = Operator(store, plane, clock, RandomIds(), "http://127.0.0.1:1", settings)
            running = asyncio.create_task(operator.run())
            try:
                await until(lambda: running.done() or listening(operator), SOON_S)
                yield operator
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
                await plane.close()

    async def lose_nats(self) -> None:
        """As where its machine loses power."""
        os.kill(self.server.pid, signal.SIGKILL)
        await self.server.stop()

    async def nats_again(self) -> None:
        """On the same port, with whatever lies in its folder now."""
        port = urlsplit(self.server.url).port or 0
        self.server = await EmbeddedNats.start(self.folder / "nats", port)

    @property
    def jetstream(self) -> Path:
        return self.folder / "nats" / "jetstream"


@asynccontextmanager
async def light_fleet(folder: Path, names: Iterable[str]) -> AsyncIterator[LightFleet]:
    fleet = LightFleet(folder, await EmbeddedNats.start(folder / "nats"))
    try:
        for name in names:
            fleet.add(name)
        yield fleet
    finally:
        for device in fleet.devices.values():
            await device.power_cut()
        await fleet.server.stop()


def newest(operator: Operator, device_id: str) -> Order:
    order = operator.sight(device_id).case.record.order
    assert order is not None
    return order


async def known(operator: Operator, *names: str, version: str = OLD) -> None:
    """Each was heard by this operator, and runs that version."""

    def heard() -> bool:
        running = {
            sight.case.record.device_id: sight.case.record.current_version
            for sight in operator.sights()
            if sight.heard_age_s is not None
        }
        return all(running.get(name) == version for name in names)

    await until(heard, SOON_S)


async def order(operator: Operator, device_id: str, version: str, **how: bool) -> str:
    """The upgrade's id. `how`: retry, replace."""
    asked = {"retry": False, "replace": False, **how}
    (result,) = await operator.upgrade([device_id], version, asked["retry"], asked["replace"])
    assert result.reason is None, result.reason
    assert result.upgrade_id is not None
    return result.upgrade_id


async def history(fleet: LightFleet, device_id: str) -> list[str]:
    """What the store tells of it, sentence by sentence."""
    async with SqliteStore(fleet.folder / "fleet.db", SystemClock()) as store:
        return [event.sentence for event in await store.events(device_id, 0, 1000)]


async def ended(operator: Operator, device_id: str) -> Phase:
    await until(lambda: newest(operator, device_id).phase.final, SOON_S)
    return newest(operator, device_id).phase


def in_fleet(
    folder: Path, names: Iterable[str], use: Callable[[LightFleet], Awaitable[None]]
) -> None:
    """No agent may have had a part of it stop meanwhile: it would only have been slower."""
    defects = Defects()

    async def run() -> None:
        async with light_fleet(folder, names) as fleet:
            await use(fleet)

    logging.getLogger("harmony_fleet").addHandler(defects)
    try:
        asyncio.run(run())
    finally:
        logging.getLogger("harmony_fleet").removeHandler(defects)
    assert not defects.told


class Defects(logging.Handler):
    """What was logged with a traceback: a defect that something has recovered from."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.told.append(logging.Formatter().format(record))


async def until_ordered_there(fleet: LightFleet, operator: Operator, *names: str) -> None:
    """Their markers say what was ordered last."""
    wanted = {name: newest(operator, name).marker(name) for name in names}
    async with connected(fleet.plane.operator_endpoint()) as plane, asyncio.timeout(SOON_S):
        for name, marker in wanted.items():
            while await marker_of(plane, name) != marker:
                await asyncio.sleep(0.02)


async def marker_of(plane: Plane, name: str) -> Marker | None:
    with suppress(MessagingError):  # its streams are not made yet
        entry = await keyvalue.get(plane, subjects.MARKER_BUCKET, name, SOON_S)
        return codec.decode(Marker, entry.value) if entry else None
    return None
