"""Runs the role by the real ansible-core of this same environment, and says what became of it.

A run has a folder of its own, which nobody else can read and which is gone afterwards: its
configuration, playbook, inventory and results. What a person has configured for Ansible elsewhere
does not reach it; ssh's own configuration does, and so do its known hosts.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.install import EXTRA
from harmony_fleet.install.play_folder import Run, prepare
from harmony_fleet.install.report import read_report
from harmony_fleet.install.targets import Inventory

POLL_S: Final = 0.1
END_LIMIT_S: Final = 20.0
LAST_WORDS: Final = 12
"""Lines of Ansible's own that are told where it could not even begin."""
ENDED_WELL: Final = frozenset({0, 2, 4})
"""Of ansible-playbook: all well; a host failed; a host was unreachable."""


class AnsibleMissing(FleetError):
    kind: ClassVar[str] = "ansible_missing"

    def __init__(self) -> None:
        super().__init__(
            f"ansible-core, which reaches the devices, is not installed: pip install '{EXTRA}'"
        )


class AnsibleFailed(FleetError):
    """It did not come to the devices, or broke off. What was done on a device is unknown."""

    kind: ClassVar[str] = "ansible_failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one host. `changed` is what was changed, or what would be where it is only checked."""

    changed: tuple[str, ...] = ()
    failed_task: str = ""
    message: str = ""
    unreachable: bool = False
    report: Mapping[str, Any] = field(default_factory=dict)
    """The role's own words at its end."""

    @property
    def failed(self) -> bool:
        return bool(self.failed_task) or self.unreachable or not self.report


Hear = Callable[[Mapping[str, Any]], None]
"""Takes each event as it comes."""


def require() -> None:
    """Raises AnsibleMissing."""
    if importlib.util.find_spec("ansible") is None:
        raise AnsibleMissing


def run(asked: Run, hear: Hear = lambda _: None) -> dict[str, Outcome]:
    """By host. Blocks until every host has ended. Raises AnsibleFailed, AnsibleMissing."""
    require()
    with tempfile.TemporaryDirectory(prefix="fleet-") as made:
        folder = Path(made)
        prepare(folder, asked)
        options = ["--check"] if asked.check else []
        events = _play(folder, ["playbook", str(folder / "playbook.yml"), *options])
        outcomes = {target.host: Outcome() for target in asked.targets}
        for event in events:
            hear(event)
            if (host := event.get("host")) in outcomes:
                outcomes[host] = _after(outcomes[host], event)
        return outcomes


def read_inventory(source: Path) -> Inventory:
    """An inventory of Ansible's, in whatever form it reads. Raises InvalidValue, AnsibleMissing."""
    require()
    with tempfile.TemporaryDirectory(prefix="fleet-") as made:
        argv = _argv("inventory", "-i", str(source), "--list")
        environment = _environment() | {"ANSIBLE_HOME": made, "ANSIBLE_LOCAL_TEMP": made}
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    try:
        said = json.loads(done.stdout)
        hosts = {name: dict(values) for name, values in said["_meta"]["hostvars"].items()}
        groups = {name: _members(said, name) for name in said if name != "_meta"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(done.stderr.split())[-400:] or repr(error)
        raise InvalidValue(f"{source} is no inventory that Ansible reads: {why}") from error
    every = {name: hosts.get(name, {}) for name in groups.get("all", ())}
    if not every:
        why = " ".join(done.stderr.split())[-400:]
        raise InvalidValue(f"the inventory {source} names no host: {why or 'see its form'}")
    return Inventory(every, groups)


def _members(said: Mapping[str, Any], group: str) -> tuple[str, ...]:
    """Its hosts and those of the groups in it."""
    found: dict[str, None] = {}
    waiting, seen = [group], set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        found |= dict.fromkeys(said.get(name, {}).get("hosts", ()))
        waiting += said.get(name, {}).get("children", ())
    return tuple(found)


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "ansible", *words]


def _environment() -> dict[str, str]:
    """Ansible insists on UTF-8, and would heed each ANSIBLE_* over our configuration."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def _play(folder: Path, words: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Each event as it is written; raises AnsibleFailed where the last one is not the end."""
    outcome, log = folder / "outcome.jsonl", folder / "log"
    outcome.touch()
    environment = _environment() | {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "FLEET_OUTCOME_FILE": str(outcome),
    }
    with log.open("wb") as said, outcome.open(encoding="utf-8") as lines:
        process = subprocess.Popen(
            _argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
        )
        ended = False
        try:
            for event in _events(process, lines):
                ended = ended or event.get("event") == "end"
                yield event
        finally:
            _end(process)
    if process.returncode not in ENDED_WELL or not ended:
        raise AnsibleFailed(_last_words(log, process.returncode))


def _events(process: "subprocess.Popen[bytes]", lines: Any) -> Iterator[Mapping[str, Any]]:
    begun = ""
    while True:
        running = process.poll() is None
        for part in lines:
            begun += part
            if begun.endswith("\n"):
                yield json.loads(begun)
                begun = ""
        if not running:
            return
        time.sleep(POLL_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Interrupted, Ansible ends its own children first; it may have been told so already."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_words(log: Path, status: int) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    said = "\n".join(["", *lines[-LAST_WORDS:]]) or " it said nothing"
    return f"Ansible ended with status {status}, and what it did is unknown; run it again:{said}"


def _reported(outcome: Outcome, task: str, said: Any) -> Outcome:
    try:
        return replace(outcome, report=read_report(said))
    except InvalidValue as error:
        return replace(outcome, failed_task=task, message=str(error))


def _after(outcome: Outcome, event: Mapping[str, Any]) -> Outcome:
    task, message = str(event.get("task", "")), str(event.get("message", ""))
    match event["event"]:
        case "changed":
            seen = outcome.changed
            return outcome if task in seen else replace(outcome, changed=(*seen, task))
        case "failed":
            return replace(outcome, failed_task=task, message=message)
        case "unreachable":
            return replace(outcome, unreachable=True, message=message)
        case "report":
            return _reported(outcome, task, event.get("report"))
        case _:
            return outcome
