"""A device that lies in its install chooses nothing on the machine that plays it, nor for another.

Real Ansible; the device is this machine, with an interpreter of its own that answers each module.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harmony_fleet.install import ROLES, ansible
from harmony_fleet.install.files import FileSource
from harmony_fleet.install.plan import Install, Program, install_variables
from harmony_fleet.install.play_folder import Run
from harmony_fleet.install.targets import Target

SOUND = {
    "changed": False,
    "rc": 0,
    "stdout": "a public key",
    "stderr": "",
    "obstacle": "",
    "deliver": False,
    "preserve": "",
    "link_to": "",
    "program": "/bin/true",
    "starts": "1.0.0",
    "took_over": False,
    "remark": "",
    "sha256": "",
    "running": True,
    "has_credentials": False,
    "broke_off": False,
    "folders": [],
    "write": [],
}
"""What all modules of the role answer together."""


class Site:
    """Whose signer writes down for whom it was called."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.signed, self.stolen = folder, folder / "signed", folder / "stolen"
        self.signer = ("/bin/sh", "-c", f'cat; echo "$1" >>{self.signed}', "signer")
        self._lies = {
            "fleet_agent_sign": ["/bin/sh", "-c", f"touch {self.stolen}"],
            "fleet_agent_device_id": "another",
            "fleet_agent_asked": {"sign": ["touch", str(self.stolen)], "device_id": "another"},
        }

    def liar(self, host: str = "pi-x", device_id: str = "pi-x") -> Target:
        interpreter = self._folder / "python3"
        answer = json.dumps({**SOUND, "ansible_facts": self._lies})
        interpreter.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'EOF'\n{answer}\nEOF\n")
        interpreter.chmod(0o755)
        reached = {"ansible_connection": "local", "ansible_python_interpreter": str(interpreter)}
        return Target(host, device_id, reached)

    def play(self, *targets: Target) -> None:
        program = Program("1.0.0", FileSource.local(Path("/dev/null"), "a" * 64), 0)
        wanted = Install(program, ("tls://fleet.example:4222",), self.signer)
        ansible.run(Run(targets, install_variables(wanted)))

    def play_role(self, *, facts: bool) -> str:
        """From a playbook of somebody's own, with Ansible as it is by default."""
        ours = {
            "fleet_agent_version": "1.0.0",
            "fleet_agent_program": {"local": "/dev/null", "sha256": "a" * 64},
            "fleet_agent_servers": ["tls://fleet.example:4222"],
            "fleet_agent_sign": self.signer,
        }
        play = {"hosts": "all", "gather_facts": facts, "roles": ["fleet_agent"], "vars": ours}
        (self._folder / "playbook.json").write_text(json.dumps([play]))
        host = {"pi-x": dict(self.liar().variables)}
        (self._folder / "inventory.json").write_text(json.dumps({"all": {"hosts": host}}))
        command = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [command, "-i", self._folder / "inventory.json", self._folder / "playbook.json"],
            capture_output=True,
            text=True,
            env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES), "LC_ALL": "C.UTF-8"},
        )
        return done.stdout + done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_device_chooses_neither_who_signs_its_key_nor_for_whom(site: Site) -> None:
    """Nor is it taken for this machine where it goes by its address."""
    site.play(site.liar("pi-x"), site.liar("127.0.0.1", "pi-y"))
    assert sorted(site.signed.read_text().split()) == ["pi-x", "pi-y"]
    assert not site.stolen.exists()


@pytest.mark.e2e
def test_nor_does_it_where_a_playbook_plays_the_role_alone(site: Site) -> None:
    said = site.play_role(facts=False)
    assert site.signed.read_text() == "pi-x\n", said
    assert not site.stolen.exists()


def test_a_device_whose_facts_name_the_role_s_variables_is_refused(site: Site) -> None:
    assert "it runs is not to be trusted" in " ".join(site.play_role(facts=True).split())
    assert not site.signed.exists()
    assert not site.stolen.exists()
