"""A pretended device: its root laid out as on a real one, and its supervisor started and stopped.

Rules
1. What a device did to itself stays: a link that is there is left alone, and so is a version's
   file with the same bytes. No installed file is ever written into, only replaced.
2. A supervisor is found by the lock that it holds, and ended through a descriptor of it: no other
   process can be hit.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import check_version
from harmony_fleet.embedded.supervisor.detach import BEGIN_LIMIT_S
from harmony_fleet.embedded.supervisor.lock import holder
from harmony_fleet.embedded.supervisor.settings import MachineRoot, Settings

STOP_LIMIT_S: Final = 60.0
"""Longer than a supervisor with the default settings takes, whatever its units do."""
_KILLED_WITHIN_S: Final = 5.0

Toml = Mapping[str, object]


class SupervisorNotStarted(FleetError):
    """The supervisor ended before it took requests. Nothing is left of it."""

    kind = "supervisor_not_started"


@dataclass(frozen=True, slots=True)
class LocalDevice:
    version: str
    program: Path
    """The file of that version, copied from here."""
    config: str | Toml
    """The text of config.toml, or its keys; `toml` says what they may be."""
    credentials: str = ""
    """The content of device.creds; empty: none is written, and one that is there stays."""
    settings: Settings = field(default_factory=Settings)
    """Of the supervisor."""
    plain_file: bool = False
    """A regular file in the link's place, and no version's file: as before the first upgrade."""
    ca: str = ""
    """The content of ca.pem; empty: none is written, and one that is there stays."""

    def __post_init__(self) -> None:
        check_version(self.version)


def prepare(root: Path, device: LocalDevice) -> MachineRoot:
    """Idempotent, also on a device that has upgraded itself since."""
    machine = MachineRoot(root)
    for folder in (machine.versions, machine.link.parent, machine.previous.parent, machine.log):
        folder.mkdir(parents=True, exist_ok=True)
    for private in (machine.state, machine.run):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.chmod(0o700)
    machine.config.parent.mkdir(parents=True, exist_ok=True)
    text = device.config if isinstance(device.config, str) else toml(device.config)
    replace_file(machine.config, text.encode(), 0o644)
    if device.credentials:
        replace_file(machine.credentials, device.credentials.encode(), 0o600)
    if device.ca:
        replace_file(machine.ca, device.ca.encode(), 0o644)
    replace_file(machine.settings, encode(device.settings) + b"\n", 0o644)
    _install(machine, device)
    return machine


def spawn_supervisor(root: Path) -> int:
    """Its pid, once it takes requests. It is nobody's child, and survives the caller.

    Raises:
        SupervisorNotStarted: with what it said, such as that one runs already.
    """
    argv = [sys.executable, "-P", "-m", "harmony_fleet.embedded.supervisor"]
    ran = subprocess.run(
        [*argv, "--root", str(root), "--detach"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * BEGIN_LIMIT_S,
    )
    if ran.returncode != 0:
        raise SupervisorNotStarted(f"no supervisor for {root}: {ran.stderr.strip()[-400:]}")
    return int(ran.stdout)


def stop_supervisor(root: Path, limit_s: float = STOP_LIMIT_S) -> bool:
    """An orderly end of the machine, a power cut after `limit_s`. False: none was running."""
    return _end(MachineRoot(root), signal.SIGTERM, limit_s)


def cut_power(root: Path) -> bool:
    """The supervisor and all its processes are killed. False: none was running."""
    return _end(MachineRoot(root), signal.SIGKILL, _KILLED_WITHIN_S)


def running(root: Path) -> bool:
    return holder(MachineRoot(root).lock) is not None


def _end(machine: MachineRoot, first: signal.Signals, limit_s: float) -> bool:
    pid = holder(machine.lock)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if holder(machine.lock) != pid:  # it ended just now, and the pid may be anybody's
            return False
        signal.pidfd_send_signal(descriptor, first)
        if not _ended(descriptor, limit_s):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            _ended(descriptor, _KILLED_WITHIN_S)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)
    return True


def _ended(descriptor: int, limit_s: float) -> bool:
    ready, _, _ = select.select([descriptor], [], [], limit_s)
    return bool(ready)


def _install(machine: MachineRoot, device: LocalDevice) -> None:
    program = device.program.read_bytes()
    if os.path.lexists(machine.link):
        return
    if device.plain_file:
        replace_file(machine.link, program, 0o755)
        return
    file = machine.versions / f"{machine.link.name}-v{device.version}"
    if not file.exists() or file.read_bytes() != program:
        replace_file(file, program, 0o755)
    machine.link.symlink_to(os.path.relpath(file, machine.link.parent))


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all; never written into: it may be a program that runs."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    new.replace(path)


def toml(keys: Toml) -> str:
    """Strings, numbers, booleans, paths, lists of these, and one level of sections."""
    plain = {key: value for key, value in keys.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for name, section in keys.items():
        if isinstance(section, Mapping):
            lines.append(f"[{name}]")
            lines += [f"{key} = {_toml_value(value)}" for key, value in section.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    """JSON's spelling of these is TOML's."""
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, str | bool | int | float):
        return json.dumps(value)
    raise TypeError(f"no TOML for {type(value).__name__}")
