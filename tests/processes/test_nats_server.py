import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest
from tests.processes.nats_fixture import connected, running_nats

from harmony_fleet.contracts.errors import InvalidValue
from harmony_fleet.contracts.subjects import STATUS_BUCKET
from harmony_fleet.embedded.accounts import Accounts, DataFolderUnusable
from harmony_fleet.embedded.nats import (
    DataFolderInUse,
    EmbeddedNats,
    PortInUse,
    ServerFailed,
    ServerMissing,
)
from harmony_fleet.embedded.nats_configuration import LOG
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Endpoint
from harmony_fleet.operator.streams import list_bucket


def running(pid: int) -> bool:
    """A process that has ended but that nobody has waited for yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def start_and_stop(folder: Path, port: int = 0, server: Path | None = None) -> None:
    async def run() -> None:
        await (await EmbeddedNats.start(folder, port, server)).stop()

    asyncio.run(run())


def test_after_a_restart_all_credentials_and_all_that_was_stored_still_work(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as first, first.operator():
            endpoint = first.device_endpoint("pi-1")
            operator = first.operator_endpoint()
            async with connected(endpoint) as device:
                await keyvalue.put(device, STATUS_BUCKET, "pi-1", b"kept", 2)
        async with running_nats(tmp_path) as second:
            assert second.operator_endpoint().credentials == operator.credentials
            again = Endpoint((second.server.url,), endpoint.credentials, "pi-1", "_INBOX_pi-1")
            async with second.operator() as plane, connected(again) as device:
                assert [name for name, _ in await list_bucket(plane, STATUS_BUCKET)] == ["pi-1"]
                assert await keyvalue.put(device, STATUS_BUCKET, "pi-1", b"new", 2) == 2

    asyncio.run(run())


def test_the_logs_of_the_servers_before_are_kept(tmp_path: Path) -> None:
    start_and_stop(tmp_path)
    first = (tmp_path / LOG).read_text()
    start_and_stop(tmp_path)
    with pytest.raises(ServerFailed):
        start_and_stop(tmp_path, server=script(tmp_path / "other", "exit 1"))
    whole = (tmp_path / LOG).read_text()
    assert whole.startswith(first)
    assert len(whole) > len(first)


def test_of_a_failed_start_the_log_of_the_server_before_is_not_quoted(tmp_path: Path) -> None:
    start_and_stop(tmp_path)
    with (tmp_path / LOG).open("a") as log:
        log.write("[1] [ERR] long ago\n")
    with pytest.raises(ServerFailed, match="it said nothing"):
        start_and_stop(tmp_path, server=script(tmp_path / "other", "exit 1"))


def test_all_that_is_written_is_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    async def run() -> None:
        async with running_nats(folder) as plane, plane.operator():
            pass

    asyncio.run(run())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "accounts").stat().st_mode) == 0o700
    secrets = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in secrets} >= {"keys.json", "operator.creds", "system.creds"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in secrets)


def test_it_listens_on_this_machine_alone_and_has_no_monitoring_port(tmp_path: Path) -> None:
    async def run() -> set[str]:
        async with running_nats(tmp_path) as plane:
            pid = plane.server.pid
            return listening(pid)

    assert len(addresses := asyncio.run(run())) == 1
    assert addresses.pop().startswith("0100007F:")


def listening(pid: int) -> set[str]:
    """The local addresses, as /proc shows them, on which that process listens."""
    sockets = {
        str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()
    }
    rows = [
        row.split()
        for name in ("tcp", "tcp6")
        for row in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def test_a_monitoring_port_answers_where_it_was_asked_for(tmp_path: Path) -> None:
    async def run() -> int:
        async with running_nats(tmp_path, monitor=True) as plane:
            return await asyncio.to_thread(connections, plane.server.monitor_url)

    assert asyncio.run(run()) == 0


def test_it_forgets_all_but_the_last_closed_connections(tmp_path: Path) -> None:
    async def run() -> int:
        async with running_nats(tmp_path, monitor=True) as plane:
            endpoint = plane.device_endpoint("pi-1")

            async def come_and_go() -> None:
                async with connected(endpoint):
                    pass

            for _ in range(11):
                await asyncio.gather(*(come_and_go() for _ in range(10)))
            return await asyncio.to_thread(connections, plane.server.monitor_url, "closed")

    assert 0 < asyncio.run(run()) <= 100


def connections(monitor_url: str, state: str = "open") -> int:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{monitor_url}/connz?state={state}") as answer:
        return int(json.load(answer)["num_connections"])


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from harmony_fleet.embedded.nats import EmbeddedNats

        async def run():
            server = await EmbeddedNats.start(Path(sys.argv[1]))
            print(server.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(run())
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


def test_a_server_that_does_not_listen_to_sigterm_is_ended_all_the_same(tmp_path: Path) -> None:
    async def run() -> int:
        server = await EmbeddedNats.start(tmp_path)
        os.kill(server.pid, signal.SIGSTOP)
        await server.stop(limit_s=0.1)
        await server.stop(limit_s=0.1)
        return server.pid

    assert not running(asyncio.run(run()))


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} "):
            start_and_stop(tmp_path, port)


def test_a_chosen_port_is_the_one_in_the_url(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def run() -> str:
        async with running_nats(tmp_path, port) as plane:
            return plane.server.url

    assert asyncio.run(run()) == f"nats://127.0.0.1:{port}"


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running_nats(tmp_path) as plane:
            with pytest.raises(DataFolderInUse, match=str(tmp_path)):
                await EmbeddedNats.start(tmp_path)
            async with plane.operator() as operator:
                assert operator.connected

    asyncio.run(run())


def test_a_binary_that_is_missing_or_not_executable_is_named(tmp_path: Path) -> None:
    plain = tmp_path / "nats-server"
    with pytest.raises(ServerMissing, match=str(plain)):
        start_and_stop(tmp_path / "data", server=plain)
    plain.touch()
    with pytest.raises(ServerMissing, match=f"{plain} is not executable"):
        start_and_stop(tmp_path / "data", server=plain)


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    server = script(tmp_path / "nats-server", "echo 'unknown field \"resolver\"' >&2", "exit 1")
    with pytest.raises(ServerFailed, match='unknown field "resolver"'):
        start_and_stop(tmp_path / "data", server=server)


def test_a_program_that_is_no_server_is_quoted(tmp_path: Path) -> None:
    other = tmp_path / "nats-server"
    other.write_bytes(b"\x7fELF but not really")
    other.chmod(0o755)
    with pytest.raises(ServerFailed, match="Exec format error"):
        start_and_stop(tmp_path / "data", server=other)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderUnusable, match=str(tmp_path / "file")):
        start_and_stop(tmp_path / "file" / "data")


@pytest.mark.parametrize("text", ['{"operator": "S', "[]", "{}", "[" * 100_000])
def test_damaged_keys_are_reported_and_left_as_they_are(tmp_path: Path, text: str) -> None:
    Accounts.open(tmp_path)
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(DataFolderUnusable, match=r"keys\.json"):
        Accounts.open(tmp_path)
    assert (tmp_path / "keys.json").read_text() == text


def test_accounts_that_were_cut_off_in_the_making_are_made_anew(tmp_path: Path) -> None:
    cut = Accounts.open(tmp_path / "accounts")
    (cut.folder / "keys.json").unlink()

    async def run() -> None:
        async with running_nats(tmp_path) as plane, plane.operator():
            assert plane.server.accounts.system_public != cut.system_public
            assert len(list(plane.server.accounts.resolver.glob("*.jwt"))) == 3

    asyncio.run(run())


def test_keys_that_are_gone_after_the_server_has_run_are_not_made_anew(tmp_path: Path) -> None:
    """New ones would lock every device out, and the old ones could not be put back."""

    async def run() -> None:
        async with running_nats(tmp_path):
            pass

    asyncio.run(run())
    keys = tmp_path / "accounts/keys.json"
    before = {path: path.read_bytes() for path in keys.parent.rglob("*") if path.is_file()}
    saved = before.pop(keys)
    keys.unlink()
    with pytest.raises(DataFolderUnusable, match=r"keys\.json is gone"):
        asyncio.run(run())
    after = {path: path.read_bytes() for path in keys.parent.rglob("*") if path.is_file()}
    assert after == before
    keys.write_bytes(saved)
    asyncio.run(run())


def test_accounts_are_opened_as_they_were_made(tmp_path: Path) -> None:
    made, opened = Accounts.open(tmp_path), Accounts.open(tmp_path)
    assert opened.operator_credentials == made.operator_credentials
    assert opened.keys == made.keys
    with pytest.raises(InvalidValue):
        opened.mint_device(">", opened.operator_credentials.public_key())
