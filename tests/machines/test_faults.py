"""Faults of the machine itself and of its network, on real systemd."""

import pytest
from tests.machines.conftest import Install
from tests.machines.control_plane import ControlPlane
from tests.machines.device import TIMING, UNIT, Device, eventually
from tests.machines.faults import disk_full, mounted
from tests.machines.image import DEBIAN_13
from tests.machines.installs import LINK, SILENT
from tests.machines.machine import Kind
from tests.machines.test_phases import FROM, TO, stopped_at

from harmony_fleet.contracts.preflight import CheckName
from harmony_fleet.contracts.upgrade import CauseKind

pytestmark = pytest.mark.machines

DISK_BYTES = 256 << 20
CONTROL = "fleet-agent-deadman.service"


@pytest.fixture(scope="session", autouse=True)
def _releases(plane: ControlPlane) -> None:
    for version in (FROM, TO):
        plane.add_stoppable(version)


def go_on(device: Device, pid: int) -> None:
    device.machine.run("kill", "-CONT", str(pid))


def uptime_s(device: Device) -> float:
    return float(device.machine.read("/proc/uptime").split()[0])


def running(device: Device) -> list[tuple[str, str]]:
    """But for the dead-man timer's control, which comes and goes."""
    return sorted(one for one in device.agents() if one[0] != "fleet-agent-deadman.service")


def wait_longer_than(device: Device, limit_s: float) -> None:
    """By the device's own clock, by which its deadlines run."""
    began_s = uptime_s(device)
    eventually(lambda: uptime_s(device) > began_s + 1.5 * limit_s, "time passes")


def test_a_full_disk_fails_an_upgrade_before_anything_was_changed(install: Install) -> None:
    device = install(Kind(disk_bytes=DISK_BYTES, volatile_journal=True), FROM)
    with disk_full(device.machine):
        device.order(TO)
        device.wait_ended("Failed")
        assert device.cause() == CauseKind.DISK_FULL, device.story()
    device.settled(FROM)
    device.order(TO)
    device.wait_ended("Succeeded")
    device.settled(TO)


def test_a_folder_of_versions_that_cannot_be_written_fails_an_upgrade_before_anything_was_changed(
    install: Install,
) -> None:
    device = install(Kind(DEBIAN_13), FROM)
    with mounted(device.machine, "/usr/bin", "ro"):
        device.machine.systemctl("restart", UNIT)
        device.order(TO)
        device.wait_ended("Failed")
        assert device.cause() == CauseKind.DEVICE_FAULT, device.story()
        assert "/usr/bin/" in device.sentence(), device.story()
        assert "Read-only file system" in device.sentence(), device.story()
    device.machine.systemctl("restart", UNIT)
    device.settled(FROM)


def test_folders_that_are_gone_keep_no_agent_from_its_start(install: Install) -> None:
    device = install(Kind(), FROM)
    device.machine.run("rm", "-r", "/usr/local/lib/fleet-agent", "/var/lib/fleet-agent")
    before = device.machine.show(UNIT, "InvocationID")
    device.machine.systemctl("restart", UNIT)
    assert device.machine.show(UNIT, "ActiveState") == "active", device.story()
    assert device.machine.show(UNIT, "InvocationID") != before
    eventually(lambda: device.current() == FROM, "it is heard", device.story)


def test_the_first_upgrade_over_a_plain_file_keeps_it_and_can_go_back_to_it(
    install: Install,
) -> None:
    device = install(Kind(), FROM)
    device.machine.run("mv", "-T", f"/usr/bin/fleet-agent-v{FROM}", LINK)
    device.machine.systemctl("restart", UNIT)
    device.order(SILENT)
    device.wait_ended("RolledBack")
    device.machine.systemctl("restart", UNIT)  # what ran until now has no version in its name
    device.settled(FROM)
    device.order(TO)
    device.wait_ended("Succeeded")
    device.settled(TO)


def test_a_control_plane_away_longer_than_the_wait_for_a_stop_ends_no_upgrade(
    install: Install,
) -> None:
    device = install(Kind(DEBIAN_13), FROM)
    pid = stopped_at(device, f"primary {FROM}: after start_candidate {TO}")
    device.plane.kill()
    try:
        go_on(device, pid)
        wait_longer_than(device, TIMING["upgrade.stop_limit_s"])
        assert running(device) == [("fleet-agent-candidate.service", TO), (UNIT, FROM)]
    finally:
        device.plane.start()
    device.wait_ended("Succeeded")
    device.settled(TO)


def test_a_good_version_in_an_outage_longer_than_its_probation_is_waited_for(
    install: Install,
) -> None:
    device = install(Kind(), FROM)
    pid = stopped_at(device, f"primary {FROM}: after write committed")
    device.machine.link.cut()
    go_on(device, pid)
    wait_longer_than(device, 2 * TIMING["upgrade.probation_s"])
    assert running(device) == [(UNIT, TO)], device.story()
    device.machine.link.mend()
    device.wait_ended("Succeeded")
    device.settled(TO)


def test_an_agent_is_started_again_however_often_it_is_killed(install: Install) -> None:
    """Each time before it is up: systemd's own limit is five starts in ten seconds."""
    device = install(Kind(), FROM)
    kill = f"systemctl kill --signal=KILL {UNIT}; sleep 0.1"
    device.machine.run("sh", "-c", f"for n in $(seq 60); do {kill}; done 2>/dev/null")
    assert int(device.machine.show(UNIT, "NRestarts")) > 10
    active = {"active", "activating"}
    assert device.machine.show(UNIT, "ActiveState") in active, device.story()
    device.settled(FROM)


def test_a_control_that_is_killed_leaves_no_failed_unit(install: Install) -> None:
    device = install(Kind(DEBIAN_13), FROM)
    pid = stopped_at(device, f"primary {FROM}: after start_candidate {TO}")
    device.machine.systemctl("stop", "fleet-agent-deadman.timer")

    def killed() -> bool:
        device.machine.systemctl("start", "--no-block", CONTROL)
        for process in device.machine.processes():
            if process.unit == CONTROL and process.argv[0] == "/usr/bin/timeout":
                device.machine.run("kill", "-9", str(process.pid))
                return True
        return False

    eventually(killed, "the control runs, and is killed", device.story)
    eventually(lambda: device.machine.show(CONTROL, "ActiveState") != "activating", "it ends")
    assert device.machine.show(CONTROL, "ActiveState") == "inactive"
    device.machine.systemctl("start", "fleet-agent-deadman.timer")
    go_on(device, pid)
    device.wait_ended("Succeeded")
    device.settled(TO)


def test_a_preflight_finds_a_device_sound_and_names_what_is_not(install: Install) -> None:
    device = install(Kind(DEBIAN_13), FROM)
    asked = ("preflight", device.device_id, "--to", TO, "--json")
    ran = device.plane(*asked)
    assert ran.status == 0, ran
    (found,) = ran.document["results"]
    assert {one["state"] for one in found["checks"]} == {"ok"}, ran
    device.machine.write(
        f"/etc/systemd/system/{UNIT}.d/other.conf",
        "[Service]\nRestart=no\nRestartForceExitStatus=\n",
    )
    device.machine.systemctl("daemon-reload")
    ran = device.plane(*asked)
    assert ran.status == 1, ran
    (found,) = ran.document["results"]
    failed = [one["name"] for one in found["checks"] if one["state"] == "failed"]
    assert failed == [CheckName.UNIT], ran
