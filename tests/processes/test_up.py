"""`fleet up`, with all of it real: the process, its signals, its NATS server, its folder."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import harmony_fleet
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.heartbeat import Heartbeat, Role
from harmony_fleet.embedded.accounts import DataFolderUnusable
from harmony_fleet.embedded.data_folder import AlreadyUp, held
from harmony_fleet.embedded.up import PlanePortTaken, Up, UpSettings, control_plane
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.credentials import Credentials, encode_public, new_user_seed
from harmony_fleet.messaging.ed25519 import public_key
from harmony_fleet.operator.http_server import PortUnusable
from harmony_fleet.operator.sqlite_file import StoreUnusable

PATIENCE_S = 30.0
PROGRAM = """
import sys
from pathlib import Path
from harmony_fleet.embedded.up import UpSettings, run
sys.exit(run(UpSettings(Path(sys.argv[1]), port=0), lambda up: print("ready", flush=True)))
"""


@contextmanager
def spawned(data: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", PROGRAM, str(data)]
    with (
        data.with_suffix(".log").open("a") as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def spawned_and_ready(data: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with spawned(data) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "ready\n", data.with_suffix(".log").read_text()
        yield process, json.loads((data / "up.json").read_text())


def client_of(data: Path, url: str) -> httpx.Client:
    token = (data / "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE_S)


def nats_pid(data: Path) -> int:
    (ports,) = (data / "nats" / "ports").glob("*.ports")
    return int(ports.stem.rsplit("_", 1)[1])


def ends(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], PATIENCE_S)[0])
    finally:
        os.close(descriptor)


def eventually(condition: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def test_it_serves_until_a_signal_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with spawned_and_ready(data) as (process, said):
        assert said["pid"] == process.pid
        with client_of(data, said["url"]) as client:
            assert client.get("/healthz").json() == {
                "status": "ok",
                "plane_connected": True,
                "plane_stores": True,
            }
            assert client.get("/api/v1/devices").json() == {"devices": []}
        server = nats_pid(data)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert not (data / "up.json").exists()
    assert ends(server)
    log = data.with_suffix(".log").read_text()
    assert "Traceback" not in log
    assert all(" INFO " in line for line in log.splitlines())
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "token").stat().st_mode & 0o777 == 0o600


def test_a_signal_while_it_starts_ends_it_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with spawned(data) as process:
        assert eventually((data / "nats" / "lock").exists)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    with held(data):
        assert not list((data / "artifacts").glob(".*"))


def test_after_a_power_cut_it_starts_again_with_all_that_it_knew(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with spawned_and_ready(data) as (process, said):
        token = (data / "token").read_text()
        with client_of(data, said["url"]) as client:
            (release,) = client.get("/api/v1/releases").json()["releases"]
            assert release["version"] == harmony_fleet.__version__
            assert len(client.get(release["url"]).content) == release["size_bytes"]
            answer = client.post("/api/v1/devices", json=registration("pi-1", new_user_seed()))
            assert answer.json()["nats_url"] == said["nats_url"]
            wanted = {"devices": ["pi-1"], "version": release["version"]}
            (result,) = client.post("/api/v1/upgrades", json=wanted).json()["results"]
        server = nats_pid(data)
        process.kill()
        process.wait()
        assert ends(server)
    assert (data / "up.json").exists()
    nats_url = said["nats_url"]
    with spawned_and_ready(data) as (process, said):
        assert said["pid"] == process.pid
        assert said["nats_url"] == nats_url, "the devices know no other"
        assert (data / "token").read_text() == token
        with client_of(data, said["url"]) as client:
            assert (
                client.get("/api/v1/releases").json()["releases"][0]["sha256"]
                == (release["sha256"])
            )
            (device,) = client.get("/api/v1/devices").json()["devices"]
            assert device["upgrade"]["upgrade_id"] == result["upgrade_id"]
            assert device["upgrade"]["phase"] == "Pending"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def registration(device_id: str, seed: bytes) -> dict[str, str]:
    return {"device_id": device_id, "public_key": encode_public("U", public_key(seed))}


@asynccontextmanager
async def device_plane(up: Up, device_id: str) -> AsyncIterator[Plane]:
    """A device's own connection, with the credentials that the API gave out."""
    seed = new_user_seed()
    with client_of(up.data, up.url) as client:
        post = client.post
        answer = await asyncio.to_thread(
            post, "/api/v1/devices", json=registration(device_id, seed)
        )
    assert answer.status_code == 201, answer.text
    given = answer.json()
    credentials = Credentials(given["jwt"], seed)
    prefix = subjects.inbox_prefix(device_id)
    plane = Plane(Endpoint((given["nats_url"],), credentials, device_id, prefix))
    await plane.start()
    try:
        assert await plane.wait_connected(PATIENCE_S)
        yield plane
    finally:
        await plane.close()


async def shown(up: Up, device_id: str) -> dict[str, Any]:
    with client_of(up.data, up.url) as client:
        answer = await asyncio.to_thread(client.get, f"/api/v1/devices/{device_id}")
    found: dict[str, Any] = answer.json()
    return found


async def beat_until_online(up: Up, plane: Plane, version: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        for count in range(1, 10_000):
            beat = Heartbeat("pi-1", version, Role.PRIMARY, "i-1", "b-1", count, 60_000)
            if plane.connected:
                subject = subjects.heartbeat_key("pi-1", Role.PRIMARY)
                await plane.publish(subject, codec.encode(beat))
            device = await shown(up, "pi-1")
            if device["online"] and device["current_version"] == version:
                return device
            await asyncio.sleep(0.05)
    raise AssertionError


def test_a_device_is_heard_and_heard_again_after_the_nats_server_was_killed(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with control_plane(settings(tmp_path)) as (up, _), device_plane(up, "pi-1") as plane:
            device = await beat_until_online(up, plane, "1.0.0")
            assert (device["instance_id"], device["boot_id"]) == ("i-1", "b-1")
            server = nats_pid(up.data)
            os.kill(server, signal.SIGKILL)
            assert await asyncio.to_thread(ends, server)
            await beat_until_online(up, plane, "1.0.1")
            assert nats_pid(up.data) != server

    asyncio.run(run())


def test_a_second_one_on_a_folder_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with control_plane(settings(tmp_path)) as (up, _):
            with pytest.raises(AlreadyUp, match=f"{tmp_path}.*process {os.getpid()}"):
                await start(settings(tmp_path))
            assert (tmp_path / "data" / "up.json").exists()
            with client_of(up.data, up.url) as client:
                answer = await asyncio.to_thread(client.get, "/api/v1/devices")
            assert answer.status_code == 200

    asyncio.run(run())


def test_a_port_in_use_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnusable, match=f"port {port} .* in use.*--port 0"):
            asyncio.run(start(settings(tmp_path, port=port)))
    assert not (tmp_path / "data" / "nats").exists()
    assert not (tmp_path / "data" / "up.json").exists()
    with held(tmp_path / "data"):
        pass


def test_where_the_devices_expect_the_plane_no_other_program_is_accepted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, held(tmp_path / "data") as folder:
        port = taken.getsockname()[1]
        folder.remember_nats_port(port)
    told = f"port {port}.*delete {folder.nats_port_file}"
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(PlanePortTaken, match=told),
    ):
        asyncio.run(start(settings(tmp_path)))
    assert folder.nats_port() == port


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataFolderUnusable, match=str(tmp_path / "data")):
        asyncio.run(start(settings(tmp_path)))


def test_a_damaged_store_is_named_and_nothing_goes_on_running(tmp_path: Path) -> None:
    with held(tmp_path / "data") as folder:
        folder.store.write_bytes(b"damaged" * 1000)
    with pytest.raises(StoreUnusable, match=r"fleet\.db is damaged"):
        asyncio.run(start(settings(tmp_path)))
    assert not (tmp_path / "data" / "nats").exists()
    with held(tmp_path / "data"):
        pass


def settings(folder: Path, port: int = 0) -> UpSettings:
    return UpSettings(folder / "data", port=port)


async def start(wanted: UpSettings) -> None:
    async with control_plane(wanted):
        pytest.fail("it started")
