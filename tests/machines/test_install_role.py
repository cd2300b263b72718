"""The role by itself, as a playbook of somebody else's uses it."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.machines.conftest import Boot
from tests.machines.control_plane import FLEET, ControlPlane
from tests.machines.installs import FIRST, file_server
from tests.machines.machine import Kind, Machine

from harmony_fleet.install import ROLES, ansible
from harmony_fleet.install.files import Delivery, FileSource, Source
from harmony_fleet.install.plan import uninstall_variables
from harmony_fleet.install.play_folder import Run
from harmony_fleet.install.targets import Target
from harmony_fleet.messaging.credentials import Credentials

PAGE = Path(__file__).parents[2] / "docs" / "install.md"

GIVEN_UP_S = 120.0

pytestmark = pytest.mark.machines


def test_the_role_is_used_alone_as_the_documentation_shows(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    pi = boot("alone", Kind())
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PAGE.read_text().partition("```yaml\n")[2].partition("```")[0])
    ours = own_variables(plane, tmp_path)
    words = ("-i", str(plane.inventory([pi.access])), "-e", json.dumps(ours), str(playbook))

    assert "failed=0" in play(plane, *words)
    assert pi.read("/etc/fleet-agent/site") == "north\n"
    pi.run("sh", "-c", "until systemctl is-active -q fleet-agent; do sleep 0.1; done")
    wait_heard(plane, pi.name)

    assert "changed=0" in play(plane, *words)
    assert "changed=0" in play(plane, *words, "--check")
    play(plane, *words, "-e", "fleet_agent_state=absent")
    assert pi.run("sh", "-c", "ls /usr/bin/fleet-agent* /etc/fleet-agent 2>/dev/null; true") == ""


def own_variables(plane: ControlPlane, folder: Path) -> dict[str, Any]:
    """What a person would put into a playbook."""
    program = plane.program(FIRST)
    words = ("--public-key", str(a_key(folder)), "--json")
    reached = plane("device", "credentials", "nobody", *words).document
    sign = ("device", "credentials", "--data", str(plane.data), "--public-key", "-")
    return {
        "fleet_agent_version": FIRST,
        "fleet_agent_program": {
            "local": str(program),
            "sha256": hashlib.sha256(program.read_bytes()).hexdigest(),
        },
        "fleet_agent_servers": [reached["nats_url"]],
        "fleet_agent_ca": reached["ca"],
        "fleet_agent_sign": [*FLEET, *sign],
    }


def test_each_source_brings_its_file_once(plane: ControlPlane, boot: Boot, tmp_path: Path) -> None:
    pi = boot("sources", Kind())
    here = tmp_path / "here"
    here.write_text("from here\n")
    digest = hashlib.sha256(here.read_bytes()).hexdigest()
    with file_server(plane.hub, tmp_path) as url:
        sources: dict[str, Source] = {
            "/opt/content": FileSource.content("{{ no template }}\n"),
            "/opt/local": FileSource.local(here, digest),
            "/opt/download": FileSource.download(f"{url}/here", digest, here.stat().st_size),
            "/opt/symlink": FileSource.symlink("local"),
        }
        forms = [Delivery(path, source, 0o640).form() for path, source in sources.items()]
        ours = own_variables(plane, tmp_path)
        run = Run((target(pi),), {**ours, "fleet_agent_files": forms})
        with plane.hub.inside():
            first = ansible.run(run)[pi.name]
            second = ansible.run(run)[pi.name]
    assert not first.failed, first
    assert second.changed == ()
    assert pi.read("/opt/content") == "{{ no template }}\n"
    assert pi.read("/opt/local") == pi.read("/opt/download") == "from here\n"
    assert pi.run("readlink", "/opt/symlink") == "local\n"
    assert pi.run("stat", "-c", "%a", "/opt/content", "/opt/download") == "640\n640\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fleet_agent_device_id", "Shop 12"),
        ("fleet_agent_versions_folder", "/opt/my versions"),
        ("fleet_agent_link", "/opt/../bin/fleet-agent"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_before_the_device_is_looked_at(
    plane: ControlPlane, boot: Boot, tmp_path: Path, name: str, value: str
) -> None:
    pi = boot("refused", Kind())
    host = target(pi)
    if name == "fleet_agent_device_id":
        host = Target(pi.name, value, host.variables)
    with plane.hub.inside():
        ran = ansible.run(Run((host,), {**own_variables(plane, tmp_path), name: value}))
    assert "absolute path of letters" in ran[pi.name].message, ran
    assert pi.run("sh", "-c", "ls -d /etc/fleet-agent 2>/dev/null || :") == ""


def test_an_uninstall_asks_for_no_device_id(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    """A host that goes by an address of IPv6 has a name that could not be one."""
    pi = boot("by-address", Kind())
    host = Target("fe80::1", None, {**target(pi).variables, "ansible_host": pi.name})
    with plane.hub.inside():
        assert not ansible.run(Run((target(pi),), own_variables(plane, tmp_path)))[pi.name].failed
        ran = ansible.run(Run((host,), uninstall_variables()))["fe80::1"]
    assert not ran.failed, ran
    assert pi.run("sh", "-c", "ls -d /etc/fleet-agent 2>/dev/null || :") == ""


def test_what_an_install_that_broke_off_left_undone_is_done_by_the_next(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    """It had written the configuration: nothing of that is left to be found changed."""
    pi = boot("broken-off", Kind())
    ours = own_variables(plane, tmp_path)
    other = {**ours, "fleet_agent_settings": {"heartbeat": {"interval_s": 2}}}
    with plane.hub.inside():
        assert not ansible.run(Run((target(pi),), ours))[pi.name].failed
        broke_off = ansible.run(Run((target(pi),), {**other, "fleet_agent_sign": ["false"]}))
        assert broke_off[pi.name].failed_task == "Have the key signed"
        ran = pi.show("fleet-agent.service", "InvocationID")
        checked = ansible.run(Run((target(pi),), other, check=True))[pi.name]
        again = ansible.run(Run((target(pi),), other))[pi.name]
        unchanged = ansible.run(Run((target(pi),), other))[pi.name]
    assert "Keep what was signed" in again.changed, again
    assert "Restart the agent" in again.changed, again
    assert "Sign the device's key" in checked.changed, checked
    assert pi.show("fleet-agent.service", "InvocationID") != ran
    assert unchanged.changed == ()


def test_a_device_that_goes_away_in_an_install_is_soon_given_up_and_taken_up_by_the_next(
    plane: ControlPlane, boot: Boot, tmp_path: Path
) -> None:
    """Without a word, as one whose power is gone: ssh by itself would wait for it."""
    pi = boot("goes-away", Kind())
    run = Run((target(pi),), own_variables(plane, tmp_path))

    def cut(event: Mapping[str, Any]) -> None:
        if event.get("task") == "Make the folders":
            pi.link.cut()

    began_s = time.monotonic()
    with plane.hub.inside():
        gone = ansible.run(run, cut)[pi.name]
    assert gone.unreachable, gone
    assert time.monotonic() - began_s < GIVEN_UP_S
    pi.link.mend()
    with plane.hub.inside():
        assert not ansible.run(run)[pi.name].failed


def target(pi: Machine) -> Target:
    return Target(pi.name, pi.name, {"ansible_ssh_common_args": f"-F {pi.access.config}"})


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
