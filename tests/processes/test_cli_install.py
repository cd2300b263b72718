"""What `fleet device install` refuses before it reaches for any device, and how it ends."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Cli, Script, standing

NOWHERE = "127.0.0.1"
"""Nobody answers there at NO_PORT."""
NO_PORT = "1"


@pytest.fixture
def script() -> Script:
    program = b"an agent"
    release = {
        "version": "1.0.0",
        "artifact_name": "fleet-agent-v1.0.0",
        "size_bytes": len(program),
        "sha256": "65d8b36c8d0e8e2a1a1d7a3d1e4b9c2e",
        "python": ">=3.11",
        "added_at": "2026-02-03T04:05:06Z",
        "url": "https://files.example/agent",
        "stored_here": False,
    }
    release["sha256"] = "a" * 64
    return Script(releases=[release])


@pytest.fixture
def fleet(tmp_path: Path, script: Script, capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with standing(tmp_path / "data", script):
        yield Cli(tmp_path / "data", capfd)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["10.0.0.1"], "write 10.0.0.1=DEVICE"),
        (["pi", "pi"], "named twice"),
        (["root@pi"], "--user"),
        (["pi=No Id"], "is not a device id"),
        ([], "name at least one host"),
        (["pi", "--set", "device_id=x"], "the install decides it"),
        (["pi", "--set", "a=[1979-05-27]"], "is a date or a time"),
        (["all=pi"], "a group of Ansible's own"),
        (["pi", "--label", "a b=c"], "is not a label's key"),
        (["pi", "--versions-folder", "bin"], "needs an absolute path"),
        (["pi", "--replaces", "agent"], "is no name of a unit"),
        (["pi", "--version", "7.0.0"], "there is no version 7.0.0"),
        (["--inventory", "/nowhere/hosts"], "/nowhere/hosts"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_reached(
    fleet: Cli, words: list[str], said: str
) -> None:
    ran = fleet("device", "install", *words)
    assert ran.status == 2
    assert said in ran.err
    assert ran.out == ""


def test_a_fleet_that_only_this_machine_reaches_says_how_to_open_it(
    fleet: Cli, script: Script
) -> None:
    script.plane = "nats://127.0.0.1:4222"
    ran = fleet("device", "install", "pi")
    assert ran.status == 2
    assert "fleet up --listen ADDRESS" in ran.err


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_without_ansible_the_command_that_installs_it_is_said(
    fleet: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "ansible", None)
    ran = fleet("device", command, "pi")
    assert ran.status == 2
    assert "pip install 'harmony-fleet[install]'" in ran.err


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_host_that_does_not_answer_has_failed_and_its_line_says_why(
    fleet: Cli, command: str
) -> None:
    words = ("device", command, f"{NOWHERE}=pi", "--port", NO_PORT)
    ran = fleet(*words)
    assert ran.status == 1
    line = ran.out.splitlines()[1]
    assert line.startswith(NOWHERE)
    assert " failed " in line
    assert "Connection refused" in line
    assert ran.out.endswith("1 of 1 device failed\n")

    (one,) = fleet(*words, "--json").document["devices"]
    assert (one["host"], one["state"]) == (NOWHERE, "failed")
    assert "Connection refused" in one["cause"]


def test_an_inventory_is_read_by_ansible_itself(fleet: Cli, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "all: {children: {gateways: {hosts: {gw-1: {}, gw-2: {fleet_agent_device_id: other}},\n"
        f" vars: {{ansible_host: '{{{{ address }}}}', address: {NOWHERE}, ansible_port: 1}}}},\n"
        " others: {hosts: {pi: {}}}}}\n"
    )
    ran = fleet("device", "install", "--inventory", str(inventory), "gateways", "--json")
    found = {one["host"]: one["device_id"] for one in ran.document["devices"]}
    assert found == {"gw-1": "gw-1", "gw-2": "other"}
    assert "Connection refused" in ran.document["devices"][0]["cause"]

    ran = fleet("device", "install", "--inventory", str(inventory), "gw-9")
    assert ran.status == 2
    assert "no host and no group 'gw-9'" in ran.err

    ran = fleet("device", "install", "--inventory", str(inventory), "gateways=gw-9")
    assert ran.status == 2
    assert "'gateways' is a group of the inventory" in ran.err
