"""Devices that have an agent already, of something else: taken over, or refused in a sentence."""

import pytest
from tests.machines.conftest import Boot
from tests.machines.control_plane import ControlPlane
from tests.machines.installs import FIRST, LINK, NEXT, OLD, install, left_on, line, outcome
from tests.machines.machine import Kind, Machine

from harmony_fleet.messaging.credentials import encode_creds

BY_HAND = """
[Service]
Type=notify
ExecStart={program}
Restart=always
"""
CONFIGURED_BY_HAND = """
device_id = "gateway"
[plane]
servers = ["nats://127.0.0.1:4222"]
credentials = "/etc/fleet-agent/device.creds"
"""


pytestmark = pytest.mark.machines


def put_by_hand(plane: ControlPlane, pi: Machine, unit: str, program: str = LINK) -> None:
    pi.write(program, plane.program(OLD).read_bytes(), 0o755)
    pi.write("/etc/fleet-agent/config.toml", CONFIGURED_BY_HAND)
    pi.write("/etc/fleet-agent/device.creds", encode_creds("jwt", bytes(32)), 0o600)
    pi.run("mkdir", "-p", "/var/lib/fleet-agent", "/usr/local/lib/fleet-agent")
    pi.write(f"/etc/systemd/system/{unit}", BY_HAND.format(program=program))
    pi.systemctl("daemon-reload")
    pi.systemctl("start", unit)


def test_an_agent_that_was_put_there_by_hand_is_taken_over_as_it_is(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("gateway", Kind())
    put_by_hand(plane, pi, "fleet-agent.service")

    ran = install(plane, pi)

    assert (outcome(ran), line(ran)["version"]) == ("taken over", OLD)
    assert f"order an upgrade to have {FIRST}" in line(ran)["remark"]
    assert pi.run("readlink", LINK).strip() == f"../../bin/fleet-agent-v{OLD}"
    assert plane.device(pi.name)["current_version"] == OLD
    assert outcome(install(plane, pi)) == "unchanged"
    ran = plane("upgrade", pi.name, "--to", NEXT, "--wait", "--timeout", "60")
    assert ran.status == 0, ran


def test_an_agent_of_another_unit_is_taken_over_only_where_the_unit_is_named(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("gateway-2", Kind())
    put_by_hand(plane, pi, "legacy.service")
    before = left_on(pi)

    ran = install(plane, pi)
    assert outcome(ran) == "failed"
    assert "--replaces legacy.service" in line(ran)["cause"]
    assert left_on(pi) == before

    ran = install(plane, pi, "--replaces", "legacy.service")
    assert (outcome(ran), line(ran)["version"]) == ("taken over", FIRST)
    assert pi.show("legacy.service", "ActiveState") == "inactive"
    assert pi.run("sh", "-c", f"ls /usr/bin/fleet-agent-v{OLD}")


def test_a_program_at_another_place_is_taken_over_only_where_the_place_is_named(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("packaged", Kind())
    place = "/usr/bin/fleet-agent"
    put_by_hand(plane, pi, "fleet-agent.service", place)
    before = left_on(pi)

    ran = install(plane, pi)
    assert outcome(ran) == "failed"
    assert "name its program by --link" in line(ran)["cause"]
    assert left_on(pi) == before

    ran = install(plane, pi, "--link", place)
    assert (outcome(ran), line(ran)["version"]) == ("taken over", OLD)
    assert pi.run("readlink", place).strip() == f"fleet-agent-v{OLD}"
