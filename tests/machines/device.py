"""A machine with the agent on it, as an install by Ansible leaves it, and what is seen of it.

The first machine of a distribution is installed by Ansible; what that left behind is unpacked on
the others, each of which then gets a name and a key of its own, and the authority of its plane.
"""

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from soak.faults import Fault
from soak.faults import Kind as Wrong
from tests.machines.any_machine import AnyMachine
from tests.machines.control_plane import ControlPlane
from tests.machines.hub import Hub, Refused
from tests.machines.image import Recipe
from tests.machines.machine import Kind, Machine, machine
from tests.machines.nspawn import MachineOff
from tests.machines.pace import NATIVE, Pace

OLD = "1.0.0"
UNIT, TIMER = "fleet-agent.service", "fleet-agent-deadman.timer"
TIMING = NATIVE.settings
Make = Callable[[Hub, str, Kind], AbstractContextManager[AnyMachine]]
"""As `machine` and `virtual_machine` do: it is up."""


@dataclass
class Device:
    """Installed, started, and heard."""

    plane: ControlPlane
    machine: AnyMachine
    device_id: str
    soon_s: float

    def order(self, version: str, *, retry: bool = False) -> None:
        """Raises FleetError."""
        self.plane.order(self.device_id, version, retry=retry)

    def phase(self) -> str | None:
        found: str | None = self.upgrade().get("phase")
        return found

    def cause(self) -> str | None:
        found: str | None = (self.upgrade().get("cause") or {}).get("kind")
        return found

    def sentence(self) -> str:
        return str((self.upgrade().get("cause") or {}).get("sentence"))

    def evidence(self) -> str:
        return str((self.upgrade().get("cause") or {}).get("evidence"))

    def current(self) -> str | None:
        found: str | None = self.plane.seen(self.device_id).get("current_version")
        return found

    def upgrade(self) -> dict[str, Any]:
        """The last one; empty while there is none, or nobody answers."""
        return self.plane.seen(self.device_id).get("upgrade") or {}

    def wait_ended(self, phase: str | None = None, limit_s: float | None = None) -> None:
        """In that phase, or in any; within twice `soon_s`, or that limit."""

        def ended() -> bool:
            return self.phase() in {"Succeeded", "Failed", "RolledBack"}

        what = f"{self.device_id}: {phase or 'any end'}"
        eventually(ended, what, self.story, limit_s or 2 * self.soon_s)
        assert phase in {None, self.phase()}, self.story()

    def story(self) -> str:
        """For a person who reads why a test failed."""
        view = self.plane.seen(self.device_id)
        parts = [f"{view.get('current_version')} {view.get('upgrade')}"]
        for argv in (
            ("systemctl", "status", "--no-pager", "-n0", "fleet-agent*"),
            ("journalctl", "-q", "-o", "short-monotonic", "-n40", "--no-pager", "-ufleet-agent*"),
            ("cat", "/var/lib/fleet-agent/journal.json"),
        ):
            try:
                parts.append(self.machine.run(*argv))
            except (Refused, MachineOff) as refused:
                parts.append(str(refused))
        return "\n".join(parts)

    def agents(self) -> list[tuple[str, str]]:
        """The unit and the version of each process that runs a version of the agent."""
        found = []
        for process in self.machine.processes():
            versions = [word for word in process.argv[:3] if "/fleet-agent" in word]
            if versions:
                found.append((process.unit, self._version_of(process.pid)))
        return found

    def _version_of(self, pid: int) -> str:
        """By the file that it holds open, whatever became of its name."""
        script = f"readlink /proc/{pid}/fd/* 2>/dev/null | grep -m1 -o 'fleet-agent-v[^ ]*' || :"
        return self.machine.run("sh", "-c", script).strip().removeprefix("fleet-agent-v")

    def settled(self, version: str) -> None:
        """Exactly one right agent is active, it is reported, and nothing is left over."""

        def flaws() -> str:
            return "; ".join(fault.text for fault in self.faults(version))

        what = f"{self.device_id} settles on {version}:"
        eventually(lambda: not flaws(), what, flaws, self.soon_s)

    def faults(self, version: str) -> list[Fault]:
        """What keeps it, just now, from being settled on that version."""
        try:
            return list(self._faults(version))
        except (Refused, MachineOff) as refused:
            return [Fault(Wrong.LOST, str(refused))]

    def _faults(self, version: str) -> Iterator[Fault]:
        if (agents := self.agents()) != [(UNIT, version)]:
            lost = (UNIT, version) not in agents
            yield Fault(Wrong.LOST if lost else Wrong.LEFT_OVER, f"agents: {agents}")
        if (current := self.current()) != version:
            yield Fault(Wrong.RECORD, f"reported: {current}")
        link = self.machine.run("readlink", "-f", "/usr/local/bin/fleet-agent").strip()
        if link != f"/usr/bin/fleet-agent-v{version}":
            yield Fault(Wrong.LINK, f"link: {link}")
        if dangling := self.machine.run("sh", "-c", _FIND_DANGLING).strip():
            yield Fault(Wrong.LINK, f"leads to nothing that can run: {dangling}")
        for name, wanted in (("ActiveState", "active"), ("SubState", "running")):
            if (found := self.machine.show(UNIT, name)) != wanted:
                yield Fault(Wrong.LOST, f"{name}: {found}")
        if (found := self.machine.show(TIMER, "ActiveState")) != "active":
            yield Fault(Wrong.LOST, f"nobody controls the next upgrade: {TIMER} is {found}")
        if units := [unit for unit in self._units() if unit not in _UNITS]:
            yield Fault(Wrong.LEFT_OVER, f"units left: {units}")
        if left := self.machine.run("sh", "-c", _FIND_LEFT).split():
            yield Fault(Wrong.LEFT_OVER, f"left over: {left}")
        state = self.machine.run("sh", "-c", "systemctl is-system-running || :").strip()
        if state != "running":
            failed = self.machine.systemctl("--failed")
            yield Fault(Wrong.LEFT_OVER, f"the system is {state}: {failed}")

    def holds(self, version: str) -> bool:
        """Its file is there under its own name, and so was believed. Raises Refused, MachineOff."""
        script = f"ls -d /usr/bin/fleet-agent-v{version} 2>/dev/null || :"
        return bool(self.machine.run("sh", "-c", script).strip())

    def _units(self) -> Sequence[str]:
        words = ("list-units", "--all", "--plain", "--no-legend", "fleet-agent*")
        return [line.split()[0] for line in self.machine.systemctl(*words).splitlines()]


_UNITS = {UNIT, "fleet-agent-deadman.service", TIMER}
_FIND_DANGLING = """
previous=/usr/local/lib/fleet-agent/previous
[ ! -L $previous ] || [ -x $previous ] || readlink $previous
"""
_FIND_LEFT = """
ls -d /var/lib/fleet-agent/attempt-open /var/lib/fleet-agent/expired.json \\
    /var/lib/fleet-agent/controls.json 2>/dev/null || :
find /usr/bin /usr/local/bin /usr/local/lib/fleet-agent /var/lib/fleet-agent \\
    -maxdepth 1 -name '.*' '!' -type d
"""


def _first(recipe: Recipe) -> str:
    """Its name."""
    return f"first-{recipe.name}"


def _left_by(version: str) -> tuple[str, ...]:
    """By an install, but for what is one device's or one control plane's alone."""
    return (
        "etc/fleet-agent/config.toml",
        "etc/systemd/system",
        f"usr/bin/fleet-agent-v{version}",
        "usr/local/bin/fleet-agent",
        "usr/local/lib/fleet-agent",
    )


class Workshop:
    """Installs devices: by Ansible once for each distribution, then from what that left.

    Ansible does it on a container, whatever the devices are made by: that is faster. `shelf`: the
    folder for what it left, which test processes that run the same code may share.
    """

    _numbers = count(1)

    def __init__(
        self,
        plane: ControlPlane,
        pace: Pace = NATIVE,
        make: Make = machine,
        shelf: Path | None = None,
    ) -> None:
        self._plane, self._pace, self._make = plane, pace, make
        self._shelf = shelf or plane.hub.folder

    @contextmanager
    def device(self, kind: Kind, version: str = OLD) -> Iterator[Device]:
        """On a machine of its own, with that release, which the control plane has."""
        packed = self.prepare(kind.recipe, version)
        device_id = f"{kind.recipe.name}-{next(self._numbers)}"
        with self._make(self._plane.hub, device_id, kind) as one:
            one.write("/root/agent.tar", packed.read_bytes(), 0o600)
            one.run("tar", "-xf", "/root/agent.tar", "-C", "/")
            config = one.read("/etc/fleet-agent/config.toml")
            one.write(
                "/etc/fleet-agent/config.toml", config.replace(_first(kind.recipe), device_id)
            )
            one.write("/etc/fleet-agent/ca.pem", self._plane.ca)
            one.run("mkdir", "-m", "700", "-p", "/var/lib/fleet-agent")
            self._sign(one, device_id, version)
            one.systemctl("daemon-reload")
            one.systemctl("enable", UNIT)
            one.run("sync")
            one.systemctl("start", UNIT)
            device = Device(self._plane, one, device_id, self._pace.soon_s)
            device.settled(version)
            yield device

    def prepare(self, recipe: Recipe, version: str = OLD) -> Path:
        """What its install leaves behind, packed."""
        packed = self._shelf / f"{recipe.name}-{version}.tar"
        with packed.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not packed.exists():
                self._pack(recipe, version, packed)
        return packed

    def _pack(self, recipe: Recipe, version: str, packed: Path) -> None:
        with machine(self._plane.hub, _first(recipe), Kind(recipe)) as one:
            self._install(one, version)
            one.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", self._pace.watchdog)
            timer = "/etc/systemd/system/fleet-agent-deadman.timer.d/quick.conf"
            one.write(timer, self._pace.timer)
            one.run("tar", "-cf", "/root/agent.tar", "-C", "/", *_left_by(version))
            content = one.hub.root / str(one.disk.root / "root/agent.tar").lstrip("/")
            partial = packed.with_suffix(".partial")
            partial.write_bytes(content.read_bytes())
            partial.rename(packed)

    def _install(self, one: Machine, version: str) -> None:
        settings = self._pace.settings.items()
        words = [word for key, value in settings for word in ("--set", f"{key}={value}")]
        inventory = str(self._plane.inventory([one.access]))
        where = ("--inventory", inventory, "--version", version)
        ran = self._plane("device", "install", *where, *words)
        assert ran.status == 0, ran

    def _sign(self, one: AnyMachine, device_id: str, version: str) -> None:
        program = f"/usr/bin/fleet-agent-v{version}"
        key = one.run(program, "credentials")
        signed = self._plane("device", "credentials", device_id, "--public-key", "-", stdin=key)
        assert signed.status == 0, signed
        one.run(program, "credentials", "--accept", stdin=signed.out.encode())


def eventually(
    condition: Callable[[], bool],
    what: str,
    seen: Callable[[], object] = str,
    limit_s: float = NATIVE.soon_s,
) -> None:
    """`seen`: what there is instead, looked at only where it does not come true."""
    ends_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends_s, f"it never came true: {what} {seen()}".rstrip()
        time.sleep(0.1)
