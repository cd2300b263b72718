"""The whole API on a real port: a real store, the real operator, no message plane to talk to."""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Artifact
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.credentials import Credentials, decode_public, encode_public
from harmony_fleet.operator.api import application
from harmony_fleet.operator.api_route import Services
from harmony_fleet.operator.http_server import listen, serving
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.records import DeviceRecord, Happening, Order
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.system import RandomIds, SystemClock
from harmony_fleet.release.manifest import MANIFEST_ENTRY, Manifest

TOKEN: Final = "the-token-of-these-tests"
ID: Final = "0123456789abcdef" * 2
PUBLIC_KEY: Final = encode_public("U", bytes(range(32)))


@dataclass(frozen=True)
class ApiWorld:
    client: httpx.AsyncClient
    """Carries the token."""
    store: SqliteStore
    artifacts: Path
    port: int
    ends: list[int]
    """Of each credential that was given out, when it ends. Seconds since the epoch."""

    async def add_release(self, version: str, salt: str = "") -> httpx.Response:
        path = artifact(self.artifacts.parent / f"{version}{salt}.zip", version, salt)
        return await self.client.put(f"/api/v1/releases/{version}", content=path.read_bytes())


@asynccontextmanager
async def api_world(folder: Path, *records: DeviceRecord) -> AsyncIterator[ApiWorld]:
    """With these devices in the store before the operator starts."""
    artifacts = folder / "artifacts"
    artifacts.mkdir(exist_ok=True)
    clock = SystemClock()
    async with SqliteStore(folder / "fleet.db", clock) as store:
        for record in records:
            await store.save(record, 0, [Happening("seeded", f"{record.device_id} made")])
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        base = f"http://127.0.0.1:{port}/artifacts"
        operator = Operator(store, unreachable_plane(), clock, RandomIds(), base)
        running = asyncio.create_task(operator.run())
        await until(lambda: len(operator.sights()) == len(records))
        ends = list[int]()
        signer = partial(mint, ends)
        url = "nats://127.0.0.1:4222"
        services = Services(operator, store, clock, artifacts, base, signer, url)
        async with (
            serving(application(services, TOKEN), listener),
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                trust_env=False,
            ) as client,
        ):
            yield ApiWorld(client, store, artifacts, port, ends)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def mint(ends: list[int], device_id: str, public_key: str, expires: int) -> str:
    """As the real one, it refuses what is no public key."""
    decode_public("U", public_key)
    ends.append(expires)
    return f"jwt-of-{device_id}"


def unreachable_plane() -> Plane:
    credentials = Credentials("jwt", bytes(32))
    return Plane(Endpoint(("nats://127.0.0.1:1",), credentials, "test", "_INBOX_test"))


def run(
    folder: Path, test: Callable[[ApiWorld], Coroutine[Any, Any, None]], *records: DeviceRecord
) -> None:
    async def inside() -> None:
        async with asyncio.timeout(20), api_world(folder, *records) as world:
            await test(world)

    asyncio.run(inside())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def artifact(path: Path, version: str, salt: str = "") -> Path:
    """What the control plane takes for an agent, as it never runs one; other bytes for a salt."""
    path.write_bytes(b"#!/nowhere/python3\n")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), "raise SystemExit('it was run')")
        manifest = encode(Manifest(version, "a" * 64, "3.11"))
        archive.writestr(zipfile.ZipInfo(MANIFEST_ENTRY), manifest)  # with no time of its own
        archive.writestr(zipfile.ZipInfo("salt"), salt)
    return path


def device(name: str, version: str | None = "1.0.0", order: Order | None = None) -> DeviceRecord:
    return DeviceRecord(name, version, order, highest=order.generation if order else 0)


def order(version: str, phase: AgentUpgradePhase = AgentUpgradePhase.STAGING) -> Order:
    file = Artifact("http://127.0.0.1:7700/artifacts/a", 10, "b" * 64)
    now = SystemClock().now()
    return Order(ID, 1, version, file, now, phase=phase, since=now)


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, kind and message."""
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"kind", "message"}
    return answer.status_code, error["kind"], error["message"]
