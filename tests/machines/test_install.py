"""`fleet device install` and `uninstall` on real machines, by the real Ansible over real SSH."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.machines.conftest import Boot
from tests.machines.control_plane import FLEET, ControlPlane, Ran, control_plane
from tests.machines.hub import ADDRESS, Hub
from tests.machines.image import DEBIAN_12, DEBIAN_13
from tests.machines.machine import Kind, Machine, machine

import harmony_fleet
from harmony_fleet.install import ROLES
from harmony_fleet.messaging.credentials import Credentials, encode_creds

PAGE = Path(__file__).parents[2] / "docs" / "install.md"
OLD = "0.0.9"
FIRST = harmony_fleet.__version__
NEXT = "9.9.9"
SILENT = "6.6.6"
ELSEWHERE = "1.1.0"
LINK = "/usr/local/bin/fleet-agent"
UNITS = ("fleet-agent.service", "fleet-agent-deadman.timer", "fleet-agent-deadman.service")
QUICK = ("heartbeat.interval_s=1", "upgrade.probation_s=3", "upgrade.self_test_limit_s=20")
MOST_EXPOSED = 1.6
"""As docs/install.md says, with the reasons."""
OURS = """
find / -xdev '(' -name '*fleet*' -o -newer /etc/hostname -path '/etc/*' ')' -type f,l | sort
find /usr/local/lib /var/lib /etc -xdev -name 'fleet*' -type d
ls -A /root /tmp/ansible* /var/tmp/ansible* 2>/dev/null
systemctl list-units --all --plain --no-legend 'fleet*'
"""
"""All that there is of an agent, and all that an install could leave behind."""
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

STRANGE = "ansible_ssh_common_args='-o UserKnownHostsFile=/nowhere'"

pytestmark = pytest.mark.machines


@pytest.fixture(scope="module")
def plane(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(hub, tmp_path_factory.mktemp("plane")) as made:
        made.add_release(NEXT)
        made.add_release(SILENT, "never_heartbeats")
        yield made


@pytest.fixture(scope="module", params=[DEBIAN_12, DEBIAN_13], ids=lambda recipe: recipe.name)
def device(request: pytest.FixtureRequest, plane: ControlPlane) -> Iterator[Machine]:
    """One that was installed."""
    name = f"pi-{request.param.name}"
    with machine(plane.hub, name, Kind(request.param)) as pi:
        ran = install(plane, pi, "--label", "ring=canary")
        assert outcome(ran) == "installed", ran
        yield pi


def install(plane: ControlPlane, pi: Machine, *options: str, stdin: str = "") -> Ran:
    inventory = () if stdin else ("--inventory", str(plane.inventory([pi.access])))
    settings = [word for pair in QUICK for word in ("--set", pair)]
    words = ("device", "install", *inventory, "--version", FIRST, *settings, "--json")
    return plane(*words, *options, stdin=stdin)


def uninstall(plane: ControlPlane, pi: Machine, *options: str) -> Ran:
    inventory = str(plane.inventory([pi.access]))
    return plane("device", "uninstall", "--inventory", inventory, "--json", *options)


def line(ran: Ran) -> dict[str, Any]:
    """Of the one device; the exit status fits it."""
    (one,) = ran.document["devices"]
    assert ran.status == (1 if one["state"] == "failed" else 0), ran
    found: dict[str, Any] = one
    return found


def outcome(ran: Ran) -> str:
    return str(line(ran)["state"])


def left_on(pi: Machine) -> str:
    return pi.run("sh", "-c", OURS + "true")


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


def test_systemd_finds_nothing_wrong_in_the_units(device: Machine) -> None:
    assert device.run("systemd-analyze", "verify", *UNITS) == ""


@pytest.mark.parametrize("unit", ["fleet-agent.service", "fleet-agent-deadman.service"])
def test_no_more_is_exposed_than_is_documented(device: Machine, unit: str) -> None:
    said = device.run("systemd-analyze", "security", "--no-pager", unit)
    exposure = float(said.rpartition(f"level for {unit}: ")[2].split()[0])
    assert exposure <= MOST_EXPOSED


def test_a_restart_is_no_failure_where_systemd_can_say_so(device: Machine) -> None:
    systemd = int(device.run("systemctl", "--version").split()[1])
    known = device.show("fleet-agent.service", "RestartMode")
    assert known == ("direct" if systemd >= 254 else "")


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

    assert outcome(uninstall(plane, pi)) == "uninstalled"
    assert left_on(pi) == before
    assert [one for one in pi.processes() if one.unit.startswith("fleet")] == []

    assert plane("abort", pi.name).status == 0
    assert outcome(install(plane, pi)) == "installed"


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
    pi = boot("image-based", Kind())
    before = left_on(pi)
    folder = "/var/lib/fleet-agent/versions"
    assert outcome(install(plane, pi, "--versions-folder", folder)) == "installed"
    ran = plane("upgrade", pi.name, "--to", NEXT, "--wait", "--timeout", "60")
    assert ran.status == 0, ran
    assert pi.run("readlink", "-f", LINK).strip() == f"{folder}/fleet-agent-v{NEXT}"
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
    drop_in = "/etc/systemd/system/fleet-agent.service.d/mute.conf"
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


def test_a_program_with_another_digest_never_has_its_name_nor_may_be_executed(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    pi = boot("tampered", Kind())
    ours = {
        "fleet_agent_version": FIRST,
        "fleet_agent_program": {"local": str(plane.program(FIRST)), "sha256": "a" * 64},
        "fleet_agent_servers": ["tls://10.77.0.1:4222"],
    }
    done = played(plane, pi, ours, tmp_path)
    assert done.returncode == 2
    assert "has not the digest" in done.stdout
    assert pi.run("find", "/usr/bin", "/usr/local/bin", "-name", "*fleet*") == ""


def played(
    plane: ControlPlane, pi: Machine, ours: dict[str, Any], folder: Path
) -> "subprocess.CompletedProcess[str]":
    playbook = folder / "own.yml"
    playbook.write_text("- {hosts: all, gather_facts: false, roles: [fleet_agent]}\n")
    inventory = str(plane.inventory([pi.access]))
    return ansible_playbook(plane, "-i", inventory, "-e", json.dumps(ours), str(playbook))


@contextmanager
def file_server(hub: Hub, folder: Path) -> Iterator[str]:
    argv = [sys.executable, "-u", "-m", "http.server", "--bind", ADDRESS, "0"]
    with hub.inside():
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=folder, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().split(" port ")[1].split()[0]
    try:
        yield f"http://{ADDRESS}:{port}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_the_role_is_used_alone_as_the_documentation_shows(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    pi = boot("alone", Kind())
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PAGE.read_text().partition("```yaml\n")[2].partition("```")[0])
    program = plane.program(FIRST)
    reached = plane(
        "device", "credentials", "nobody", "--public-key", str(a_key(tmp_path)), "--json"
    )
    ours = {
        "fleet_agent_version": FIRST,
        "fleet_agent_program": {
            "local": str(program),
            "sha256": hashlib.sha256(program.read_bytes()).hexdigest(),
        },
        "fleet_agent_servers": [reached.document["nats_url"]],
        "fleet_agent_ca": reached.document["ca"],
        "fleet_agent_sign": [
            *FLEET,
            "device",
            "credentials",
            "--data",
            str(plane.data),
            "--public-key",
            "-",
        ],
    }
    words = ("-i", str(plane.inventory([pi.access])), "-e", json.dumps(ours), str(playbook))

    assert "failed=0" in play(plane, *words)
    assert pi.read("/etc/fleet-agent/site") == "north\n"
    pi.run("sh", "-c", "until systemctl is-active -q fleet-agent; do sleep 0.1; done")
    wait_heard(plane, pi.name)

    assert "changed=0" in play(plane, *words)
    assert "changed=0" in play(plane, *words, "--check")
    play(plane, *words, "-e", "fleet_agent_state=absent")
    assert pi.run("sh", "-c", "ls /usr/bin/fleet-agent* /etc/fleet-agent 2>/dev/null; true") == ""


def a_key(folder: Path) -> Path:
    file = folder / "public"
    file.write_text(Credentials("", bytes(32)).public_key() + "\n")
    return file


def play(plane: ControlPlane, *words: str) -> str:
    done = ansible_playbook(plane, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ansible_playbook(plane: ControlPlane, *words: str) -> "subprocess.CompletedProcess[str]":
    """As a person types it."""
    with plane.hub.inside():
        return subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), *words],
            capture_output=True,
            text=True,
            env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES), "LC_ALL": "C.UTF-8"},
        )


def wait_heard(plane: ControlPlane, device_id: str) -> None:
    ends_s = time.monotonic() + 60
    while not plane.device(device_id)["online"]:
        assert time.monotonic() < ends_s
        time.sleep(0.2)
