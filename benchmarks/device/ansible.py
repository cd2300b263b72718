"""The playbook of `field/`, by the real ansible-core, with connections that are warm."""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.machines.ssh import write_inventory

from benchmarks.device.masters import end_masters, masters_cpu_s
from benchmarks.device.site import Site
from benchmarks.device.turn import Turn, side_by_side

PLAYBOOK = Path(__file__).parent / "field/upgrade.yml"
CONFIGURATION = """\
[defaults]
home = {folder}/home
local_tmp = {folder}/tmp
inventory = {folder}/inventory
forks = {forks}
gathering = explicit
interpreter_python = /usr/bin/python3
retry_files_enabled = False
[inventory]
enable_plugins = ini
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=1h
control_path_dir = {sockets}
control_path = %(directory)s/%%h
"""


class Ansible:
    name = "ansible"
    guarded = False

    def prepare(self, site: Site) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="play-")
        folder = Path(self._folder.name)
        self._sockets = folder / "s"
        self._sockets.mkdir()
        write_inventory(folder / "inventory", [one.machine.access for one in site.devices])
        forks = max(5, len(site.devices))
        configuration = CONFIGURATION.format(folder=folder, sockets=self._sockets, forks=forks)
        (folder / "ansible.cfg").write_text(configuration)
        with ExitStack() as stack:
            stack.callback(self.close)
            warm = self._argv("adhoc", "devices", "-m", "raw", "-a", "true")
            side_by_side(site, [warm], self._env())
            stack.pop_all()

    def close(self) -> None:
        end_masters(self._sockets)
        self._folder.cleanup()

    def upgrade(self, site: Site) -> Turn:
        new = site.new
        facts = {"artifact": str(new.file), "version": new.version, "sha256": new.sha256}
        words = [word for name, text in facts.items() for word in ("-e", f"{name}={text}")]
        before_s = masters_cpu_s(self._sockets)
        with site.watched() as seen:
            ended = side_by_side(site, [self._argv("playbook", str(PLAYBOOK), *words)], self._env())
        masters_s = masters_cpu_s(self._sockets) - before_s
        return Turn(ended.seconds, ended.cpu_s + masters_s, seen)

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "ansible", *words]

    def _env(self) -> dict[str, str]:
        """What a person has set for Ansible does not reach it."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE_")}
        own = {"LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": f"{self._folder.name}/ansible.cfg"}
        return {**kept, **own}
