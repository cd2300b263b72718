"""A callback of Ansible: writes what became of each task on each host as JSON lines.

For `harmony_fleet.install.ansible`, into the file that FLEET_OUTCOME_FILE names. It prints nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: fleet_outcome
    type: stdout
    short_description: writes each host's outcome as JSON lines
    description:
        - Writes into the file that the variable FLEET_OUTCOME_FILE of the environment names.
"""

FACT = "fleet_agent_report"
"""What the role says at its end, by `set_fact`, which runs here. A device can send facts, too."""
SET_FACT = frozenset({"set_fact", "ansible.builtin.set_fact", "ansible.legacy.set_fact"})


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "fleet_outcome"

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        path = Path(os.environ["FLEET_OUTCOME_FILE"])
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def v2_runner_on_ok(self, result: Any) -> None:
        said = result.result
        if result.task.action in SET_FACT and FACT in (said.get("ansible_facts") or {}):
            self._write(result, "report", report=said["ansible_facts"][FACT])
        elif said.get("changed"):
            self._write(result, "changed")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._write(result, "failed", message=_message(result.result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write(result, "unreachable", message=_message(result.result))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = sorted(stats.processed)
        self._line({"event": "end", "hosts": hosts})

    def _write(self, result: Any, event: str, **more: Any) -> None:
        task = result.task.get_name().rpartition(" : ")[2]
        self._line({"event": event, "host": result.host.get_name(), "task": task, **more})

    def _line(self, document: dict[str, Any]) -> None:
        self._file.write(json.dumps(document, default=str) + "\n")


def _message(said: Any) -> str:
    """What a person can act on: of a loop its first failure, of a command what it complained."""
    results = said.get("results")
    for one in results if isinstance(results, list) else ():
        if isinstance(one, dict) and (one.get("failed") or one.get("unreachable")):
            return _message(one)
    words = [said.get("msg"), said.get("stderr"), said.get("module_stderr"), said.get("reason")]
    if said.get("rc") and said.get("stderr"):
        words = [said["stderr"]]
    elif said.get("exit_status") and (said.get("stderr") or said.get("stdout")):
        words = [said.get("stderr") or said.get("stdout")]
    found = [str(word).strip() for word in words if word and str(word).strip()]
    return "; ".join(dict.fromkeys(found)) or "it did not say why"
