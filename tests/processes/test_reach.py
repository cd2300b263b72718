"""An installation that is open to a network: all of it real, under TLS, on one machine."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from tests.processes.reach_world import (
    LIMIT_S,
    Hand,
    free_port,
    installed,
    start,
    up,
    up_by_hand,
)
from tests.processes.stand_in_api import Cli, Ran

from harmony_fleet.agent.upgrade.local import ask
from harmony_fleet.agent.upgrade.local_messages import SOCKET, AskState, Machine, UnitState
from harmony_fleet.embedded.certificates import Certificates
from harmony_fleet.embedded.start_local import LocalDevices
from harmony_fleet.messaging.credentials import decode_seed
from harmony_fleet.release.build import artifact_name, build

NEW: Final = "1.1.0"


def eventually(condition: Callable[[], object], what: str) -> None:
    ends_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends_s, f"it never came true: {what}"
        time.sleep(0.05)


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path / "data", capsys)


@pytest.fixture
def local(fleet: Cli) -> Iterator[LocalDevices]:
    """Whatever of them runs is ended."""
    devices = LocalDevices(fleet.data / "devices")
    yield devices
    devices.stop(devices.names())


def enrol(fleet: Cli, hand: Hand, device_id: str) -> str:
    """The three steps of docs/reach.md; gives the JWT."""
    made = hand("credentials")
    assert made.returncode == 0, made.stderr
    public = hand.machine.root / "public"
    public.write_text(made.stdout)
    signed = fleet("device", "credentials", device_id, "--public-key", str(public))
    assert signed.status == 0, signed.err
    kept = hand("credentials", "--accept", given=signed.out)
    assert kept.returncode == 0, kept.stderr
    return signed.out.strip()


def heard(fleet: Cli, device_id: str, version: str | None = None) -> bool:
    found = fleet("device", "show", device_id, "--json").document
    return bool(found["online"]) and version in {None, found["current_version"]}


def authority(data: Path) -> str:
    return (data / "tls/ca.pem").read_text()


def test_a_device_whose_key_never_left_it_is_upgraded_over_tls(fleet: Cli, tmp_path: Path) -> None:
    port = free_port()
    name = ("--listen", "0.0.0.0", "--name", "localhost", "--nats-port", str(port), "--port", "0")
    with up_by_hand(fleet.data, *name) as said:
        assert said["nats_url"] == f"tls://localhost:{port}"
        assert said["url"].startswith("https://localhost:")
        assert said["ca"] == str(fleet.data / "tls/ca.pem")
        ca = authority(fleet.data)
        with installed(tmp_path / "pi-1", "pi-1", said["nats_url"], ca) as pi:
            enrol(fleet, pi, "pi-1")
            start(pi)
            eventually(lambda: heard(fleet, "pi-1"), "it is heard")
            publish(fleet, tmp_path)
            asked = fleet("upgrade", "pi-1", "--to", NEW, "--wait")
            assert asked.status == 0, asked.out + asked.err
            assert heard(fleet, "pi-1", NEW)
            secret = pi.key.read_text().strip()
            assert not any(holds(path, secret) for path in files(tmp_path) - files(pi.key.parent))
            assert "Traceback" not in pi.log()
    assert secret not in fleet.data.with_suffix(".log").read_text()


def publish(fleet: Cli, folder: Path) -> None:
    build(NEW, folder / "dist")
    assert fleet("release", "add", str(folder / "dist" / artifact_name(NEW))).status == 0


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def holds(path: Path, secret: str) -> bool:
    content = path.read_bytes()
    return secret.encode() in content or decode_seed("U", secret) in content


def test_who_trusts_another_authority_or_none_is_told_so(fleet: Cli, tmp_path: Path) -> None:
    other = Certificates.open(tmp_path / "other", ["127.0.0.1"]).ca
    with up(fleet.data) as said:
        assert fleet("device", "list", "--json").document == {"devices": []}
        assert fleet("device", "list", "--ca", str(fleet.data / "tls/ca.pem")).status == 0
        wrong = fleet("device", "list", "--json", "--ca", str(other))
        assert (wrong.status, wrong.error["kind"]) == (1, "not_trusted")
        assert str(other) in wrong.error["message"]
        none = fleet("device", "list", "--json", "--ca", str(tmp_path / "none"))
        assert (none.status, none.error["kind"]) == (2, "authority_unreadable")
        assert from_another_machine(fleet, said["url"], tmp_path / "elsewhere").status == 0
        (fleet.data / "tls/ca.pem").rename(tmp_path / "ca.crt")
        assert fleet("device", "list").status == 2
        os.environ["FLEET_CA"] = str(tmp_path / "ca.crt")
        try:
            assert fleet("device", "list").status == 0
        finally:
            del os.environ["FLEET_CA"]


def from_another_machine(fleet: Cli, url: str, folder: Path) -> Ran:
    """As docs/reach.md has it."""
    (folder / "tls").mkdir(parents=True)
    (folder / "up.json").write_text(json.dumps({"url": url}))
    for name in ("token", "tls/ca.pem"):
        (folder / name).write_bytes((fleet.data / name).read_bytes())
    return Cli(folder, fleet.capture)("device", "list")


def test_the_api_speaks_tls_alone(fleet: Cli) -> None:
    with up(fleet.data) as said:
        address = ("127.0.0.1", int(said["url"].rpartition(":")[2]))
        with socket.create_connection(address, LIMIT_S) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"HTTP/" not in plain.recv(1000)


def answered(data: Path, url: str, host: str) -> int:
    """The status, where a request under TLS calls the API by that name."""
    trust = ssl.create_default_context(cadata=authority(data))
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with (
        socket.create_connection(address, LIMIT_S) as bare,
        trust.wrap_socket(bare, server_hostname=host) as secured,
    ):
        secured.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return int(secured.recv(1000).split()[1])


def state(hand: Hand) -> Machine:
    return asyncio.run(ask(hand.machine.run / SOCKET, AskState(), Machine, 10.0))


@pytest.mark.e2e
def test_an_authority_that_is_gone_is_an_outage_and_no_crash(fleet: Cli, tmp_path: Path) -> None:
    with up(fleet.data) as said:
        ca = authority(fleet.data)
        with installed(tmp_path / "pi-1", "pi-1", said["nats_url"], ca) as pi:
            enrol(fleet, pi, "pi-1")
            start(pi)
            eventually(lambda: heard(fleet, "pi-1"), "it is heard")
            pi.machine.ca.unlink()
            publish(fleet, tmp_path)
            assert fleet("upgrade", "pi-1", "--to", NEW, "--wait").status == 1
            ended = fleet("device", "show", "pi-1", "--json").document["upgrade"]
            assert (ended["phase"], ended["cause"]["kind"]) == ("Failed", "device_fault")
            first = state(pi).unit_pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            eventually(lambda: state(pi).unit_pid not in {None, first}, "it is started again")
            again = state(pi).unit_pid
            words = f"file {pi.machine.ca} cannot be read (No such file"
            eventually(lambda: pi.log().count(words) > 5, "it says what it wants, and goes on")
            eventually(lambda: state(pi).unit is UnitState.RUNNING, "it is ready all the same")
            eventually(lambda: not heard(fleet, "pi-1"), "nobody hears it")
            check, test = pi("check-config"), pi("--self-test", "--json")
            assert (check.returncode, check.stderr.count("plane.ca")) == (2, 1)
            assert failures(test.stdout) == {"message plane"}
            assert words in test.stdout
            pi.machine.ca.write_text(ca)
            eventually(lambda: heard(fleet, "pi-1"), "it is heard again")
            assert state(pi).unit_pid == again
            assert pi("check-config").returncode == pi("--self-test").returncode == 0


def failures(report: str) -> set[str]:
    found: dict[str, Any] = json.loads(report)
    return {check["name"] for check in found["checks"] if not check["passed"]}


@pytest.mark.e2e
def test_another_authority_takes_the_place_of_one_without_a_restart_of_a_device(
    fleet: Cli, tmp_path: Path
) -> None:
    """As docs/reach.md has it: the device trusts both meanwhile."""
    port = free_port()
    following = Certificates.open(tmp_path / "next", ["localhost"])
    with up(fleet.data, port=port) as said, ExitStack() as stack:
        ca = authority(fleet.data)
        pi = stack.enter_context(installed(tmp_path / "pi-1", "pi-1", said["nats_url"], ca))
        enrol(fleet, pi, "pi-1")
        start(pi)
        eventually(lambda: heard(fleet, "pi-1"), "it is heard")
        with pi.machine.ca.open("a") as file:
            file.write(following.ca.read_text())
        left_running = stack.pop_all()
    with left_running:
        before = state(pi).unit_pid
        for name in ("ca.pem", "ca.key"):
            shutil.copy(following.folder / name, fleet.data / "tls" / name)
        with up(fleet.data, port=port):
            eventually(lambda: heard(fleet, "pi-1"), "it is heard again")
            pi.machine.ca.write_text(following.ca.read_text())
            assert pi("--self-test").returncode == 0
        assert state(pi).unit_pid == before


@pytest.mark.e2e
def test_local_devices_follow_when_an_installation_is_opened_and_closed_again(
    fleet: Cli, local: LocalDevices
) -> None:
    port = free_port()
    with up(fleet.data, tls=False, port=port):
        assert fleet("device", "start-local", "1").status == 0
    for tls in (True, False):
        local.stop(["local-1"])
        with up(fleet.data, tls=tls, port=port) as said:
            again = fleet("device", "start-local", "local-1")
            assert again.status == 0, again.err
            assert (
                said["nats_url"]
                in (local.root("local-1") / "etc/fleet-agent/config.toml").read_text()
            )
            if tls:
                assert fleet("device", "start-local", "1").status == 0
                local.stop(["local-2"])


def test_the_authority_stays_while_the_names_change(fleet: Cli) -> None:
    names = ("--listen", "0.0.0.0", "--port", "0", "--nats-port", str(free_port()), "--name")
    with up_by_hand(fleet.data, *names, "localhost"):
        ca = authority(fleet.data)
    with up_by_hand(fleet.data, *names, "127.0.0.1", "--name", "other.example") as said:
        assert authority(fleet.data) == ca
        assert said["url"].startswith("https://127.0.0.1:")
        assert fleet("device", "list").status == 0
        assert answered(fleet.data, said["url"], "other.example") == 200
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            answered(fleet.data, said["url"], "evil.example")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--listen", "0.0.0.0"), "say by --name"),
        (("--listen", "fleet.example"), "no address to listen at"),
        (("--listen", ""), "no address to listen at"),
        (("--listen", "0.0.0.0", "--name", "*"), "no name"),
        (("--name", "fleet.example"), "say both"),
    ],
)
def test_a_reach_that_cannot_be_meant_is_refused_before_anything_is_made(
    fleet: Cli, options: tuple[str, ...], words: str
) -> None:
    ran = fleet("up", *options)
    assert ran.status == 2
    assert words in ran.err
    assert not fleet.data.exists()


def test_an_address_of_another_machine_is_named(fleet: Cli) -> None:
    ran = fleet("up", "--listen", "192.0.2.1", "--port", "0")
    assert ran.status == 1
    assert "192.0.2.1 is no address of this machine" in ran.err
