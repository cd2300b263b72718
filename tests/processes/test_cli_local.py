"""Devices on this machine: real supervisors and processes, and an operator that only listens."""

import hashlib
import io
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli, Script, be_up, device, standing

from harmony_fleet.agent.config import PathsConfig, load
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.local_device import running
from harmony_fleet.embedded.start_local import (
    Enrolment,
    LocalDevices,
    Made,
    NotHeard,
    wait_until_heard,
)
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.messaging.credentials import Credentials

PROGRAM = """
import os, socket, signal
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1", chr(0) + os.environ["NOTIFY_SOCKET"][1:])
signal.pause()
"""


def program() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    return data.getvalue()


def release(version: str) -> dict[str, object]:
    content = program()
    return {
        "version": version,
        "artifact_name": f"agent-{version}",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "python": ">=3.11",
        "added_at": "2026-02-03T04:05:06Z",
    }


@pytest.fixture
def script() -> Script:
    return Script(
        releases=[release("1.0.0"), release("1.1.0")],
        artifacts={"agent-1.0.0": program(), "agent-1.1.0": program()},
    )


@pytest.fixture
def fleet(
    tmp_path: Path,
    script: Script,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cli]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    local = LocalDevices(tmp_path / "data" / "devices")
    with standing(tmp_path / "data", script):
        try:
            yield Cli(tmp_path / "data", capsys)
        finally:
            local.stop(local.names())


def root(fleet: Cli, name: str) -> MachineRoot:
    return MachineRoot(fleet.data / "devices" / name)


def test_new_devices_run_the_newest_release_with_keys_of_their_own(
    fleet: Cli, script: Script
) -> None:
    script.looks = [[device("local-2", None)]]  # known to the operator, from elsewhere
    ran = fleet("device", "start-local", "2")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "local-1  started, and heard\nlocal-3  started, and heard\n"
    keys = {asked["device_id"]: asked["public_key"] for asked in _registrations(script)}
    assert len(set(keys.values())) == 2
    for name, key in keys.items():
        machine = root(fleet, name)
        assert running(machine.root)
        assert machine.link.resolve() == machine.versions / "fleet-agent-v1.1.0"
        credentials = Credentials.load(machine.credentials)
        assert (credentials.public_key(), credentials.jwt) == (key, f"jwt-for-{key}")
        assert stat.S_IMODE(machine.credentials.stat().st_mode) == 0o600
        config = load(machine.config, {})
        assert (config.device_id, config.plane.servers) == (name, ("nats://127.0.0.1:1",))


def test_stopped_devices_are_started_again_as_they_were_at_the_plane_as_it_is(
    fleet: Cli, script: Script
) -> None:
    fleet("device", "start-local", "--version", "1.0.0", "--plain-file", "--timing", "production")
    machine = root(fleet, "local-1")
    assert not machine.link.is_symlink()
    before = load(machine.config, {})
    assert before.upgrade.probation_s == 600.0
    assert fleet("device", "stop-local").out == "local-1  stopped\n"
    assert not running(machine.root)
    assert fleet("device", "stop-local", "local-1").out == "local-1  was not running\n"
    assert "no local device was running" in fleet("device", "stop-local").out

    up = '{"url": "%s", "pid": 1, "nats_url": "nats://127.0.0.1:2"}'
    url = (fleet.data / "up.json").read_text().split('"')[3]
    (fleet.data / "up.json").write_text(up % url)
    script.registered.clear()
    silent = device("local-1", online=False)
    script.looks = [[silent], [silent], [device("local-1", instance_id="a-new-one")]]
    ran = fleet("device", "start-local", "local-1", "--json")
    assert [one["device_id"] for one in ran.document["devices"]] == ["local-1"]
    after = load(machine.config, {})
    assert after.plane.servers == ("nats://127.0.0.1:2",)
    assert (after.upgrade, after.paths) == (before.upgrade, before.paths)
    assert fleet("device", "start-local", "local-1").out == "local-1  runs already\n"


def test_devices_started_at_the_same_time_have_names_of_their_own(fleet: Cli) -> None:
    program = "from harmony_fleet.cli.main import run; run()"
    argv = [sys.executable, "-c", program, "device", "start-local", "2", "--data", str(fleet.data)]
    ran = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=60)[0] for one in ran]
    assert [one.returncode for one in ran] == [0, 0]
    names = sorted(line.split()[0] for text in said for line in text.splitlines())
    assert names == ["local-1", "local-2", "local-3", "local-4"]


def test_an_unknown_local_device_is_bad_input_and_touches_no_other(fleet: Cli) -> None:
    fleet("device", "start-local")
    for command in ("stop-local", "start-local"):
        ran = fleet("device", command, "local-1", "local-7")
        assert (ran.status, ran.out) == (2, "")
        assert "local-7 is no local device" in ran.err
        assert "local-1" in ran.err
    assert running(root(fleet, "local-1").root)


def test_without_a_release_and_with_an_unknown_one_nothing_is_made(
    fleet: Cli, script: Script
) -> None:
    assert fleet("device", "start-local", "--version", "9.9.9").status == 2
    script.releases.clear()
    ran = fleet("device", "start-local")
    assert ran.status == 1
    assert "fleet release add FILE" in ran.err
    assert LocalDevices(fleet.data / "devices").names() == []
    assert not script.registered


def test_an_artifact_that_is_not_the_releases_is_never_installed(
    fleet: Cli, script: Script
) -> None:
    script.artifacts["agent-1.1.0"] = program()[:-1] + b"!"
    ran = fleet("device", "start-local")
    assert ran.status == 1
    assert not script.registered


class DeafPlane:
    def register(self, device_id: str, public_key: str) -> Enrolment:
        raise FleetError("nobody registers here")

    def heard(self) -> dict[str, str | None]:
        return {"local-1": "before", "local-2": None}


@pytest.mark.parametrize("words", ["first line\nthe last words of the agent\n", None])
def test_a_device_that_is_not_heard_is_told_with_the_end_of_its_log(
    tmp_path: Path, words: str | None
) -> None:
    log = MachineRoot(tmp_path).log / "fleet-agent.log"
    log.parent.mkdir(parents=True)
    if words is not None:
        log.write_text(words)
    made = [Made("local-1", tmp_path, 1), Made("local-2", tmp_path, 2)]
    with pytest.raises(NotHeard) as found:
        list(wait_until_heard(DeafPlane(), made, {"local-1": "before"}, limit_s=0.05))
    assert "local-1, local-2" in str(found.value)
    assert "`fleet device stop-local local-1`" in str(found.value)
    assert ("the last words of the agent" if words else "cannot be read") in str(found.value)


def test_a_device_whose_folder_was_copied_acts_on_its_own_files_and_not_on_the_originals(
    fleet: Cli, tmp_path: Path
) -> None:
    fleet("device", "start-local")
    fleet("device", "stop-local")
    original, copied = root(fleet, "local-1"), tmp_path / "copied"
    sockets = shutil.ignore_patterns("*.sock")
    shutil.copytree(original.root.parent, copied, symlinks=True, ignore=sockets)
    devices = LocalDevices(copied)
    try:
        devices.start_again("local-1", "nats://127.0.0.1:1")
        config = load(MachineRoot(copied / "local-1").config, {})
        named = (config.plane.credentials, *vars_of(config.paths))
        assert all(path.is_relative_to(copied) for path in named)
        assert not running(original.root)
    finally:
        devices.stop(devices.names())


def vars_of(paths: PathsConfig) -> list[Path]:
    found = (getattr(paths, one.name) for one in fields(paths))
    return [path for path in found if path is not None]


def test_a_damaged_configuration_is_named_when_a_device_is_started_again(
    fleet: Cli,
) -> None:
    fleet("device", "start-local")
    fleet("device", "stop-local")
    for damage in ("device_id = ", "device_id = " + "[" * 10_000):
        root(fleet, "local-1").config.write_text(damage)
        ran = fleet("device", "start-local", "local-1")
        assert ran.status == 1
        assert f"the configuration {root(fleet, 'local-1').config} cannot be read" in ran.err


def test_where_nothing_is_up_no_device_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Cli(tmp_path / "data", capsys)
    be_up(fleet.data, "http://127.0.0.1:1")
    assert fleet("device", "start-local").status == 1
    assert not (fleet.data / "devices").exists()


def _registrations(script: Script) -> list[dict[str, str]]:
    return script.documents("POST", "/api/v1/devices")
