"""A control plane in this process and devices beside it, for measuring; ended by process id."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.files import served
from harmony_fleet.embedded.local_device import LocalDevice, prepare, spawn_supervisor
from harmony_fleet.embedded.local_device import stop_supervisor as stop
from harmony_fleet.embedded.nats import EmbeddedNats
from harmony_fleet.embedded.start_local import Timing, device_config
from harmony_fleet.embedded.supervisor.settings import Settings
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.connection import Timing as PlaneTiming
from harmony_fleet.messaging.credentials import Credentials, encode_creds, new_user_seed
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.records import Release
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.streams import ensure_streams
from harmony_fleet.operator.system import RandomIds, SystemClock
from harmony_fleet.release.build import artifact_name, build
from harmony_fleet.release.manifest import ReleaseFile

VERSIONS = ("1.0.0", "1.1.0")


@dataclass
class World:
    folder: Path
    nats: EmbeddedNats
    plane: Plane
    store: SqliteStore
    operator: Operator

    async def lose_nats(self) -> None:
        """As where its machine loses power."""
        os.kill(self.nats.pid, signal.SIGKILL)
        await self.nats.stop()

    async def nats_again(self) -> None:
        """With what it had stored, where its clients know it."""
        port = urlsplit(self.nats.url).port
        self.nats = await EmbeddedNats.start(self.folder / "nats", port or 0)

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def credentials(self, device_id: str) -> Credentials:
        seed = new_user_seed()
        public = Credentials("", seed).public_key()
        return Credentials(self.nats.accounts.mint_device(device_id, public), seed)

    def device_plane(self, device_id: str) -> Plane:
        credentials = self.credentials(device_id)
        return Plane(Endpoint((self.nats.url,), credentials, device_id, f"_INBOX_{device_id}"))

    def start_device(self, device_id: str, timing: Timing, plain_file: bool = False) -> Path:
        root = self.prepare_device(device_id, timing, plain_file)
        spawn_supervisor(root)
        return root

    def prepare_device(self, device_id: str, timing: Timing, plain_file: bool = False) -> Path:
        root = self.folder / "devices" / device_id
        credentials = self.credentials(device_id)
        prepare(
            root,
            LocalDevice(
                VERSIONS[0],
                self.artifacts / artifact_name(VERSIONS[0]),
                device_config(root, device_id, [self.nats.url], timing),
                encode_creds(credentials.jwt, credentials.seed),
                Settings(deadman_s=timing.deadman_s),
                plain_file,
            ),
        )
        return root

    async def heard(self, device_id: str, limit_s: float = 20.0) -> None:
        ends_s = time.monotonic() + limit_s
        while time.monotonic() < ends_s:
            for sight in self.operator.sights():
                if sight.case.record.device_id == device_id and sight.heard_age_s is not None:
                    return
            await asyncio.sleep(0.02)
        raise TimeoutError(f"{device_id} was not heard within {limit_s:g} s")


async def add_release(store: SqliteStore, made: ReleaseFile) -> None:
    version = made.manifest.version
    name, python = artifact_name(version), made.manifest.python
    now = SystemClock().now()
    await store.add_release(Release(version, name, made.size_bytes, made.sha256, python, now))


@asynccontextmanager
async def world(longest_retry_s: float = 30.0) -> AsyncIterator[World]:
    """`longest_retry_s`: of the operator's connection, where its server is lost and found."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "artifacts").mkdir()
        url = stack.enter_context(served(folder / "artifacts"))
        releases = [build(version, folder / "artifacts") for version in VERSIONS]
        nats = await EmbeddedNats.start(folder / "nats")
        credentials = nats.accounts.operator_credentials
        endpoint = Endpoint((nats.url,), credentials, "operator", "_INBOX_operator")
        plane = Plane(endpoint, PlaneTiming(longest_retry_s=longest_retry_s))
        await plane.start()
        if not await plane.wait_connected(10):
            raise TimeoutError(f"the operator could not connect to {nats.url} within 10 s")
        await ensure_streams(plane)
        clock = SystemClock()
        store = SqliteStore(folder / "store.db", clock)
        for made in releases:
            await add_release(store, made)
        operator = Operator(store, plane, clock, RandomIds(), url)
        running = asyncio.create_task(operator.run())
        ready = World(folder, nats, plane, store, operator)
        try:
            yield ready
        finally:
            for root in (folder / "devices").glob("*"):
                await asyncio.to_thread(stop, root)
            running.cancel()
            await plane.close()
            await store.close()
            await ready.nats.stop()
