"""A pretended device's root, and its supervisor as others start and stop it."""

import os
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.local_world import SETTINGS, Device, device

from harmony_fleet.embedded.local_device import (
    LocalDevice,
    SupervisorNotStarted,
    prepare,
    running,
    spawn_supervisor,
    stop_supervisor,
    toml,
)
from harmony_fleet.embedded.supervisor.settings import read_settings


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path / "device") as made:
        yield made


@pytest.fixture
def plan(tmp_path: Path) -> LocalDevice:
    program = tmp_path / "artifact"
    program.write_bytes(b"the program")
    settings = replace(SETTINGS, deadman_s=7)
    config = {"device_id": "edge-1", "plane": {"servers": ["nats://127.0.0.1:1"]}}
    return LocalDevice("1.0.0", program, config, "a secret", settings=settings)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_root_is_laid_out_as_a_device_is(one: Device, plan: LocalDevice) -> None:
    machine = prepare(one.root, plan)
    assert os.readlink(machine.link) == "../../bin/fleet-agent-v1.0.0"  # noqa: PTH115
    assert machine.link.read_bytes() == b"the program"
    assert mode(machine.link) == 0o755
    assert (mode(machine.state), mode(machine.run)) == (0o700, 0o700)
    assert (mode(machine.credentials), machine.credentials.read_text()) == (0o600, "a secret")
    assert tomllib.loads(machine.config.read_text()) == plan.config
    assert read_settings(machine.settings) == plan.settings
    assert not os.path.lexists(machine.previous)


def test_preparing_again_changes_only_what_was_given_anew(one: Device, plan: LocalDevice) -> None:
    machine = prepare(one.root, plan)
    (machine.versions / "fleet-agent-v2.0.0").write_bytes(b"another")
    one.point(machine.link, "2.0.0")
    (machine.state / "journal.json").write_text("its own")
    prepare(one.root, replace(plan, credentials="", config="device_id = 'edge-2'"))
    assert machine.link.read_bytes() == b"another"
    assert machine.credentials.read_text() == "a secret"
    assert machine.config.read_text() == "device_id = 'edge-2'"
    assert (machine.state / "journal.json").read_text() == "its own"


def test_a_plain_install_has_a_regular_file_in_the_links_place(
    one: Device, plan: LocalDevice
) -> None:
    for _ in range(2):
        machine = prepare(one.root, replace(plan, plain_file=True))
        assert stat.S_ISREG(machine.link.lstat().st_mode)
        assert mode(machine.link) == 0o755
        assert list(machine.versions.iterdir()) == []


def test_keys_become_toml() -> None:
    keys = {"a": 'q"\n', "b": True, "c": 1.5, "paths": {"link": Path("/x"), "all": ["1", "2"]}}
    assert tomllib.loads(toml(keys)) == {
        "a": 'q"\n',
        "b": True,
        "c": 1.5,
        "paths": {"link": "/x", "all": ["1", "2"]},
    }
    with pytest.raises(TypeError):
        toml({"a": None})


def test_a_supervisor_runs_from_its_spawn_to_its_stop(one: Device) -> None:
    one.prepare()
    assert not running(one.root)
    pid = spawn_supervisor(one.root)
    assert running(one.root)
    assert os.getsid(pid) != os.getsid(0)
    with pytest.raises(SupervisorNotStarted, match=f"runs already, as process {pid}"):
        spawn_supervisor(one.root)
    assert stop_supervisor(one.root)
    assert not running(one.root)
    assert not stop_supervisor(one.root)


def test_a_supervisor_that_does_not_stop_in_time_is_cut_off(one: Device) -> None:
    one.prepare(primary="ignore_term(); ready(); rest()")
    one.run()
    assert stop_supervisor(one.root, limit_s=0.2)
    assert not running(one.root)
