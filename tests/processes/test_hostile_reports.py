"""A device that answers Ansible's modules with what it likes: its own run fails, no other does.

Real Ansible; in a device's place stands a program that takes each module and prints one answer.
"""

import json
import sys
from pathlib import Path
from typing import Any

from harmony_fleet.cli.showing_install import State, of_uninstall
from harmony_fleet.install import ansible
from harmony_fleet.install.plan import uninstall_variables
from harmony_fleet.install.play_folder import Run
from harmony_fleet.install.targets import Target

FOUND = {"obstacle": "", "units": [], "unit_files": [], "paths": []}
"""As one says on which nothing is to be removed."""


def device(folder: Path, name: str, answer: Any) -> Target:
    program = folder / name
    program.write_text(f"#!{sys.executable}\nprint({json.dumps(answer)!r})\n")
    program.chmod(0o755)
    reached = {"ansible_connection": "local", "ansible_python_interpreter": str(program)}
    return Target(name, None, reached)


NOTHING: Any = {**FOUND, "ansible_facts": {"fleet_agent_report": "text"}}
HOSTILE = [
    (NOTHING, State.NOT_THERE, ""),
    ({**NOTHING, "obstacle": "the obstacle"}, State.FAILED, "the obstacle"),
    ({**FOUND, "paths": [["/x"]]}, State.FAILED, "'removed' has another form"),
    ({"failed": True, "msg": "broken", "results": ["text", 7]}, State.FAILED, "broken"),
    ({"failed": True, "msg": "broken", "results": 7}, State.FAILED, "broken"),
    (["text"], State.FAILED, ""),
]


def test_what_one_device_says_harms_no_other_one_s_outcome(tmp_path: Path) -> None:
    hostile = [device(tmp_path, f"hostile-{n}", answer) for n, (answer, _, _) in enumerate(HOSTILE)]
    honest = device(tmp_path, "honest", FOUND)
    outcomes = ansible.run(Run((*hostile, honest), uninstall_variables()))
    assert of_uninstall(honest, outcomes["honest"], check=False).state is State.NOT_THERE
    for target, (answer, state, words) in zip(hostile, HOSTILE, strict=True):
        found = of_uninstall(target, outcomes[target.host], check=False)
        assert found.state is state, answer
        assert words in found.cause, answer
