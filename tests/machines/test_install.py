"""`fleet device install` and `uninstall` on real machines, by the real Ansible over real SSH."""

import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.machines.conftest import Boot
from tests.machines.control_plane import ControlPlane
from tests.machines.image import DEBIAN_12, DEBIAN_13
from tests.machines.installs import (
    FIRST,
    LINK,
    NEXT,
    SILENT,
    file_server,
    install,
    left_on,
    line,
    outcome,
    uninstall,
)
from tests.machines.machine import Kind, Machine, machine

ELSEWHERE = "5.1.0"
UNITS = ("fleet-agent.service", "fleet-agent-deadman.timer", "fleet-agent-deadman.service")
MOST_EXPOSED = 1.6
"""As docs/install.md says, with the reasons."""
UNIT_FOLDER = "/systemd/system/fleet-agent.service.d"
"""Of drop-ins, below /etc and /run."""
STRANGE = "ansible_ssh_common_args='-o UserKnownHostsFile=/nowhere'"

pytestmark = pytest.mark.machines


@pytest.fixture(scope="module", params=[DEBIAN_12, DEBIAN_13], ids=lambda recipe: recipe.name)
def device(request: pytest.FixtureRequest, plane: ControlPlane) -> Iterator[Machine]:
    """One that was installed."""
    name = f"pi-{request.param.name}"
    with machine(plane.hub, name, Kind(request.param)) as pi:
        ran = install(plane, pi, "--label", "ring=canary")
        assert outcome(ran) == "installed", ran
        yield pi


def test_a_device_is_heard_with_its_version_and_labels(
    plane: ControlPlane, device: Machine
) -> None:
    known = plane.device(device.name)
    assert known["online"]
    assert known["current_version"] == FIRST
    assert known["labels"] == {"ring": "canary"}


def test_the_link_is_there_from_the_start_and_secrets_are_for_root_alone(device: Machine) -> None:
    assert device.run("readlink", LINK).strip() == f"../../bin/fleet-agent-v{FIRST}"
    modes = device.run("stat", "-c", "%a %n", *PLACES).split("\n")
    assert modes[:-1] == [f"{mode} {path}" for path, mode in PLACES.items()]
    assert device.show("fleet-agent.service", "UnitFileState") == "enabled"


PLACES = {
    f"/usr/bin/fleet-agent-v{FIRST}": "755",
    "/usr/local/lib/fleet-agent": "755",
    "/var/lib/fleet-agent": "700",
    "/etc/fleet-agent": "755",
    "/etc/fleet-agent/config.toml": "644",
    "/etc/fleet-agent/device.creds": "600",
    "/etc/fleet-agent/device.creds.key": "600",
}


def test_a_second_run_changes_nothing_and_says_so(plane: ControlPlane, device: Machine) -> None:
    before = plane.device(device.name)["instance_id"]
    ran = install(plane, device)
    assert (outcome(ran), line(ran)["changed"]) == ("unchanged", [])
    assert plane.device(device.name)["instance_id"] == before
    assert outcome(install(plane, device, "--check")) == "unchanged"


def test_the_agent_comes_back_with_the_machine(plane: ControlPlane, device: Machine) -> None:
    before = plane.device(device.name)["instance_id"]
    device.reboot()
    ends_s = time.monotonic() + 60
    while plane.device(device.name)["instance_id"] == before:
        assert time.monotonic() < ends_s, device.journal("fleet-agent.service")
        time.sleep(0.2)


def test_systemd_finds_nothing_wrong_in_the_units(device: Machine) -> None:
    drop_in = f"/run{UNIT_FOLDER}/wrong.conf"
    device.write(drop_in, "[Service]\nNoSuchSetting=yes\n")
    assert "NoSuchSetting" in found_wrong(device)
    device.run("rm", drop_in)
    assert found_wrong(device) == ""


def found_wrong(device: Machine) -> str:
    """Said on stderr, and no matter of the exit status."""
    return device.run("sh", "-c", 'systemd-analyze verify "$@" 2>&1', "sh", *UNITS)


def test_the_timer_waits_for_no_clock_that_is_set_over_a_network(device: Machine) -> None:
    """A device without one would have nobody to look after its upgrade."""
    awaited = device.show("fleet-agent-deadman.timer", "After").split()
    assert "sysinit.target" in awaited
    assert not {"time-sync.target", "time-set.target"} & set(awaited)


@pytest.mark.parametrize("unit", ["fleet-agent.service", "fleet-agent-deadman.service"])
def test_no_more_is_exposed_than_is_documented(device: Machine, unit: str) -> None:
    said = device.run("systemd-analyze", "security", "--no-pager", unit)
    exposure = float(said.rpartition(f"level for {unit}: ")[2].split()[0])
    assert exposure <= MOST_EXPOSED


def test_a_restart_is_no_failure_where_systemd_can_say_so(device: Machine) -> None:
    systemd = int(device.run("systemctl", "--version").split()[1])
    known = device.show("fleet-agent.service", "RestartMode")
    assert known == ("direct" if systemd >= 254 else "")


def test_a_power_cut_just_after_the_install_loses_nothing_of_it(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("just-installed", Kind(disk_bytes=512 << 20))
    assert outcome(install(plane, pi)) == "installed"
    pi.cut_power()
    pi.boot()
    assert pi.show("fleet-agent.service", "ActiveState") == "active"
    assert outcome(install(plane, pi)) == "unchanged"


@pytest.mark.parametrize("recipe", [DEBIAN_12, DEBIAN_13], ids=lambda recipe: recipe.name)
def test_a_check_an_upgrade_in_the_sandbox_an_uninstall_and_a_clean_reinstall(
    recipe: Any, plane: ControlPlane, boot: Boot
) -> None:
    pi = boot(f"sound-{recipe.name}", Kind(recipe))
    before = left_on(pi)

    ran = install(plane, pi, "--check")
    assert outcome(ran) == "would change"
    assert "Bring the version" not in ran.err
    assert left_on(pi) == before

    assert outcome(install(plane, pi)) == "installed"
    ran = plane("upgrade", pi.name, "--to", NEXT, "--wait", "--timeout", "60")
    assert ran.status == 0, ran
    ran = install(plane, pi)
    assert (outcome(ran), line(ran)["version"]) == ("unchanged", NEXT)
    assert f"runs {NEXT}" in line(ran)["remark"]

    assert outcome(uninstall(plane, pi, "--check")) == "would change"
    assert plane.device(pi.name)["online"]
    assert outcome(uninstall(plane, pi)) == "uninstalled"
    assert left_on(pi) == before
    assert outcome(uninstall(plane, pi)) == "not there"

    assert outcome(install(plane, pi)) == "installed"
    assert plane.device(pi.name)["current_version"] == FIRST


def test_an_uninstall_in_the_middle_of_an_upgrade_leaves_nothing_and_an_install_is_refused_there(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("midway", Kind())
    before = left_on(pi)
    assert outcome(install(plane, pi)) == "installed"
    assert plane("upgrade", pi.name, "--to", SILENT).status == 0
    pi.run("sh", "-c", "until systemctl is-active -q fleet-agent-candidate; do sleep 0.1; done")

    ran = install(plane, pi)
    assert outcome(ran) == "failed"
    assert "may still have to be undone" in line(ran)["cause"]

    pi.write(f"/run{UNIT_FOLDER}/killed.conf", "[Service]\nKillSignal=SIGKILL\n")
    pi.systemctl("daemon-reload")  # so that the agent itself has no time to end its candidate
    assert outcome(uninstall(plane, pi)) == "uninstalled"
    assert left_on(pi) == before
    assert [one for one in pi.processes() if one.unit.startswith("fleet")] == []

    assert plane("abort", pi.name).status == 0
    assert outcome(install(plane, pi)) == "installed"


def test_an_uninstall_leaves_alone_what_is_somebody_else_s_under_a_like_name(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("neighbours", Kind())
    assert outcome(install(plane, pi)) == "installed"
    pi.run("systemd-run", "--unit=fleet-agent-exporter", "sleep", "infinity")
    pi.write("/usr/bin/fleet-agent-viewer", "#!/bin/sh\n", 0o755)
    assert outcome(uninstall(plane, pi)) == "uninstalled"
    assert pi.show("fleet-agent-exporter.service", "ActiveState") == "active"
    assert "fleet-agent-viewer" in pi.run("ls", "/usr/bin")
    assert outcome(uninstall(plane, pi)) == "not there"


def test_a_user_who_becomes_root_by_sudo_installs_and_uninstalls(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("by-sudo", Kind(DEBIAN_13))
    pi.run("useradd", "--create-home", "deploy")
    pi.write("/home/deploy/.ssh/authorized_keys", pi.access.public_key)
    as_deploy = ("--user", "deploy", "--become")
    assert "root" in line(install(plane, pi, "--user", "deploy"))["cause"]
    pi.write("/etc/sudoers.d/deploy", "deploy ALL=(ALL) ALL\n", 0o440)
    assert "a sudo that asks for no password" in line(install(plane, pi, *as_deploy))["cause"]
    pi.write("/etc/sudoers.d/deploy", "deploy ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    assert outcome(install(plane, pi, *as_deploy)) == "installed"
    assert outcome(install(plane, pi, *as_deploy)) == "unchanged"
    modes = pi.run("stat", "-c", "%U %a %n", *PLACES).split("\n")
    assert modes[:-1] == [f"root {mode} {path}" for path, mode in PLACES.items()]
    assert outcome(uninstall(plane, pi, *as_deploy)) == "uninstalled"


def test_a_folder_in_which_nothing_may_be_executed_is_refused_before_anything_is_changed(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("noexec", Kind())
    pi.run("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/opt")
    before = left_on(pi)
    ran = install(plane, pi, "--versions-folder", "/opt/versions")
    assert outcome(ran) == "failed"
    assert "noexec: choose another folder" in line(ran)["cause"]
    assert left_on(pi) == before


def test_other_folders_are_kept_by_an_upgrade_and_found_by_the_uninstall(
    plane: ControlPlane, boot: Boot
) -> None:
    """A system whose /usr is read-only, its state on a disk, its configuration behind a link."""
    pi = boot("image-based", Kind())
    before = left_on(pi)
    state, config = "/var/lib/fleet-agent", "/srv/fleet-agent"
    link, versions = "/opt/bin/fleet-agent", f"{state}/versions"
    pi.run("mkdir", "-p", state, config)
    pi.run("ln", "-s", config, "/etc/fleet-agent")
    pi.run("mount", "-t", "tmpfs", "tmpfs", state)
    pi.run("mount", "--bind", "-o", "ro", "/usr", "/usr")
    places = ("--versions-folder", versions, "--link", link, "--previous", f"{state}/previous")
    assert outcome(install(plane, pi, *places)) == "installed"
    ran = plane("upgrade", pi.name, "--to", NEXT, "--wait", "--timeout", "60")
    assert ran.status == 0, ran
    assert pi.run("readlink", "-f", link).strip() == f"{versions}/fleet-agent-v{NEXT}"
    pi.run("mount", "--bind", f"{versions}/fleet-agent-v{NEXT}", f"{versions}/fleet-agent-v{NEXT}")
    assert outcome(uninstall(plane, pi)) == "failed"
    pi.run("umount", f"{versions}/fleet-agent-v{NEXT}")
    assert outcome(uninstall(plane, pi)) == "uninstalled"
    assert outcome(uninstall(plane, pi)) == "not there"
    pi.run("umount", "--lazy", "/usr", state)
    pi.run("rmdir", state, "/opt/bin")
    assert left_on(pi) == before


def test_what_an_install_that_failed_had_written_is_taken_off_again(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("half", Kind())
    before = left_on(pi)
    assert outcome(install(plane, pi, "--set", "upgrade.probation_s=banana")) == "failed"
    assert outcome(uninstall(plane, pi)) == "uninstalled"
    assert left_on(pi) == before


def test_each_host_that_cannot_be_reached_says_why_and_the_others_are_installed(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    pi = boot("reachable", Kind())
    known = pi.access.config.with_name("known_hosts")
    options = f"-o UserKnownHostsFile={known} -o IdentitiesOnly=yes -o ConnectTimeout=3"
    wrong = tmp_path / "wrong"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(wrong)], check=True)
    inventory = (
        f"reachable ansible_host={pi.address}\n"
        "away ansible_host=10.77.0.250\n"
        f"stranger ansible_host={pi.address} {STRANGE}\n"
        "[all:vars]\n"
        f'ansible_ssh_common_args="{options}"\n'
    )
    words = ("--inventory", "-", "--user", "root", "--port", "22", "--ssh-key")

    ran = install(plane, pi, *words, str(wrong), "reachable", stdin=inventory)
    assert outcome(ran) == "failed"
    assert "Permission denied" in line(ran)["cause"]

    ran = install(plane, pi, *words, str(pi.access.private_key), stdin=inventory)
    found = {one["host"]: one for one in ran.document["devices"]}
    assert ran.status == 1
    assert {name: one["state"] for name, one in found.items()} == {
        "reachable": "installed",
        "away": "failed",
        "stranger": "failed",
    }
    assert "10.77.0.250" in found["away"]["cause"]
    assert "log in by ssh once" in found["stranger"]["cause"]


def test_a_device_that_is_not_heard_has_failed_and_is_installed_by_a_second_run(
    plane: ControlPlane, boot: Boot
) -> None:
    pi = boot("mute", Kind())
    drop_in = f"/etc{UNIT_FOLDER}/mute.conf"
    pi.write(drop_in, "[Service]\nRestrictAddressFamilies=~AF_INET AF_INET6\n")
    ran = install(plane, pi, "--timeout", "3")
    assert outcome(ran) == "failed"
    assert "was not heard within 3 s" in line(ran)["cause"]

    pi.run("rm", drop_in)
    pi.systemctl("daemon-reload")
    pi.systemctl("restart", "fleet-agent")
    assert outcome(install(plane, pi)) == "unchanged"


def test_a_release_on_another_server_is_fetched_by_the_device_itself(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    pi = boot("fetches", Kind())
    file = plane.program(ELSEWHERE)
    digest, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
    with file_server(plane.hub, file.parent) as url:
        what = (ELSEWHERE, "--url", f"{url}/{file.name}", "--sha256", digest, "--size", str(size))
        assert plane("release", "add", *what).status == 0
        ran = install(plane, pi, "--version", ELSEWHERE)
    assert (outcome(ran), line(ran)["version"]) == ("installed", ELSEWHERE)
