"""The folder that one play of Ansible gets: its configuration, its playbook, its inventory.

Nothing that a person has configured for Ansible elsewhere is in it, and no text of ours in it can
be taken for a template.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harmony_fleet.install import ROLES
from harmony_fleet.install.targets import GROUP, Target

CALLBACKS: Final = Path(__file__).parent / "callback_plugins"
FORKS: Final = 20
CONNECT_LIMIT_S: Final = 10

ALIVE: Final = "-o ServerAliveInterval=10 -o ServerAliveCountMax=3"

CONFIGURATION: Final = """\
[defaults]
roles_path = {roles}
callback_plugins = {callbacks}
stdout_callback = fleet_outcome
home = {folder}/home
local_tmp = {folder}/tmp
# Pipelining needs none; what is copied lies below it meanwhile, in a folder of its own.
remote_tmp = /tmp
inventory = {folder}/inventory.yml
forks = {forks}
timeout = {timeout}
gathering = explicit
# A device may say of itself what it likes: none of it is a variable of ours.
inject_facts_as_vars = False
retry_files_enabled = False
nocows = True
localhost_warning = False
interpreter_python = auto_silent
[inventory]
enable_plugins = yaml
[ssh_connection]
pipelining = True
# A device may have no sftp.
transfer_method = piped
control_path_dir = {folder}/ssh
# Nobody is there to answer a question; the masters end by themselves; and a device that has gone
# without a word, its power with it, is given up after half a minute.
ssh_args = -o ControlMaster=auto -o ControlPersist=15s -o BatchMode=yes {alive}
"""
HERE: Final = "localhost"
PLAYBOOK: Final = """\
- name: Devices
  hosts: {group}
  gather_facts: false
  vars: {variables}
  tasks:
    - name: Play the role
      ansible.builtin.import_role: {{name: fleet_agent, tasks_from: {entry}}}
"""


@dataclass(frozen=True, slots=True)
class Run:
    targets: Sequence[Target]
    variables: Mapping[str, Any]
    """For all of them; an inventory's own do not win over these."""
    check: bool = False
    entry: str = "main"
    """Which of the role's task files."""


def prepare(folder: Path, asked: Run) -> None:
    for name in ("home", "tmp", "ssh"):
        (folder / name).mkdir(mode=0o700)
    configuration = CONFIGURATION.format(
        roles=ROLES,
        callbacks=CALLBACKS,
        folder=folder,
        forks=FORKS,
        timeout=CONNECT_LIMIT_S,
        alive=ALIVE,
    )
    (folder / "ansible.cfg").write_text(configuration, encoding="utf-8")
    playbook = PLAYBOOK.format(
        group=GROUP, variables=as_yaml(dict(asked.variables)), entry=asked.entry
    )
    (folder / "playbook.yml").write_text(playbook, encoding="utf-8")
    (folder / "inventory.yml").write_text(_inventory(asked), encoding="utf-8")


def _inventory(asked: Run) -> str:
    """Ours are no templates, whatever stands in them; an inventory's own variables may be.

    Without a `localhost` of ours, Ansible would take a device that is named 127.0.0.1 for it.
    """
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    ours = {} if HERE in {one.host for one in asked.targets} else {HERE: here}
    hosts = ", ".join(f"{json.dumps(one.host)}: {_host_variables(one)}" for one in asked.targets)
    return f"ungrouped: {{hosts: {as_yaml(ours)}}}\n{GROUP}: {{hosts: {{{hosts}}}}}\n"


def _host_variables(target: Target) -> str:
    ours = {"fleet_agent_device_id": target.device_id} if target.device_id else {}
    own = {name: value for name, value in target.variables.items() if name not in ours}
    said = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in own.items()]
    said += [f"{json.dumps(k)}: {as_yaml(v)}" for k, v in ours.items()]
    return f"{{{', '.join(said)}}}"


def as_yaml(value: Any) -> str:
    """JSON is YAML; each text in it is marked as one that Ansible must not take for a template.

    But for an empty one, which Ansible would then take for none at all.
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(k)}: {as_yaml(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, str) and value:
        return f"!unsafe {json.dumps(value, ensure_ascii=False)}"
    return json.dumps(value)
