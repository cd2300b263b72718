"""A machine with the agent on it, as an install by Ansible leaves it, and what is seen of it.

The first machine of a hub and a distribution is installed by Ansible; what that left behind is
unpacked on the others, each of which then gets a name and a key of its own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from soak.faults import Fault
from soak.faults import Kind as Wrong
from tests.machines.control_plane import ControlPlane
from tests.machines.hub import Refused
from tests.machines.image import Recipe
from tests.machines.machine import Kind, Machine, machine
from tests.machines.nspawn import MachineOff

OLD = "1.0.0"
SOON_S = 60.0
"""Everything that should happen has happened by then, however slow the machine."""
UNIT = "fleet-agent.service"
TIMING = {
    "heartbeat.interval_s": 1,
    "heartbeat.quick_interval_s": 0.3,
    "plane.reconnect_max_s": 1,
    "upgrade.self_test_limit_s": 20,
    "upgrade.ready_limit_s": 15,
    "upgrade.stop_limit_s": 12,
    "upgrade.overall_limit_s": 60,
    "upgrade.probation_s": 4,
    "upgrade.starts_allowed": 3,
    "upgrade.order_reread_s": 2,
    "upgrade.outage_s": 120,
    "upgrade.retry_s": 1,
}
"""Short, so that a test ends; the order of the defaults is kept."""
QUICK_WATCHDOG = "[Service]\nWatchdogSec=5\nTimeoutStopSec=3\n"
QUICK_TIMER = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nAccuracySec=100ms\n"


@dataclass
class Device:
    """Installed, started, and heard."""

    plane: ControlPlane
    machine: Machine
    device_id: str

    def order(self, version: str, *, retry: bool = False) -> None:
        """Raises FleetError."""
        self.plane.order(self.device_id, version, retry=retry)

    def phase(self) -> str | None:
        found: str | None = self.upgrade().get("phase")
        return found

    def cause(self) -> str | None:
        found: str | None = (self.upgrade().get("cause") or {}).get("kind")
        return found

    def evidence(self) -> str:
        return str((self.upgrade().get("cause") or {}).get("evidence"))

    def current(self) -> str | None:
        found: str | None = self.plane.seen(self.device_id).get("current_version")
        return found

    def upgrade(self) -> dict[str, Any]:
        """The last one; empty while there is none, or nobody answers."""
        return self.plane.seen(self.device_id).get("upgrade") or {}

    def wait_ended(self, phase: str | None = None, limit_s: float = 120.0) -> None:
        """In that phase, or in any."""

        def ended() -> bool:
            return self.phase() in {"Succeeded", "Failed", "RolledBack"}

        eventually(ended, f"{self.device_id}: {phase or 'any end'}", self.story, limit_s)
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

        eventually(lambda: not flaws(), f"{self.device_id} settles on {version}:", flaws)

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
        for name, wanted in (("ActiveState", "active"), ("SubState", "running")):
            if (found := self.machine.show(UNIT, name)) != wanted:
                yield Fault(Wrong.LOST, f"{name}: {found}")
        if units := [unit for unit in self._units() if unit not in _UNITS]:
            yield Fault(Wrong.LEFT_OVER, f"units left: {units}")
        if left := self.machine.run("sh", "-c", _FIND_LEFT).split():
            yield Fault(Wrong.LEFT_OVER, f"left over: {left}")
        state = self.machine.run("sh", "-c", "systemctl is-system-running || :").strip()
        if state != "running":
            failed = self.machine.systemctl("--failed")
            yield Fault(Wrong.LEFT_OVER, f"the system is {state}: {failed}")

    def _units(self) -> Sequence[str]:
        words = ("list-units", "--all", "--plain", "--no-legend", "fleet-agent*")
        return [line.split()[0] for line in self.machine.systemctl(*words).splitlines()]


_UNITS = {UNIT, "fleet-agent-deadman.service", "fleet-agent-deadman.timer"}
_FIND_LEFT = """
ls -d /var/lib/fleet-agent/attempt-open /var/lib/fleet-agent/expired.json \\
    /var/lib/fleet-agent/controls.json 2>/dev/null || :
find /usr/bin /usr/local/bin /usr/local/lib/fleet-agent /var/lib/fleet-agent \\
    -maxdepth 1 -name '.*' -type f
"""


def _left_by(version: str) -> tuple[str, ...]:
    """By an install, but for what is one device's alone."""
    return (
        "etc/fleet-agent/config.toml",
        "etc/fleet-agent/ca.pem",
        "etc/systemd/system",
        f"usr/bin/fleet-agent-v{version}",
        "usr/local/bin/fleet-agent",
        "usr/local/lib/fleet-agent",
    )


class Workshop:
    """Installs devices: by Ansible once for each distribution, then from what that left."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._packed: dict[tuple[str, str], Path] = {}
        self._numbers = count(1)

    @contextmanager
    def device(self, kind: Kind, version: str = OLD) -> Iterator[Device]:
        """On a machine of its own, with that release, which the control plane has."""
        packed = self.prepare(kind.recipe, version)
        device_id = f"{kind.recipe.name}-{next(self._numbers)}"
        with machine(self._plane.hub, device_id, kind) as one:
            one.write("/root/agent.tar", packed.read_bytes(), 0o600)
            one.run("tar", "-xf", "/root/agent.tar", "-C", "/")
            config = one.read("/etc/fleet-agent/config.toml")
            one.write("/etc/fleet-agent/config.toml", config.replace("golden", device_id))
            one.run("mkdir", "-m", "700", "-p", "/var/lib/fleet-agent")
            self._sign(one, device_id, version)
            one.systemctl("daemon-reload")
            one.systemctl("enable", UNIT)
            one.run("sync")
            one.systemctl("start", UNIT)
            device = Device(self._plane, one, device_id)
            device.settled(version)
            yield device

    def prepare(self, recipe: Recipe, version: str = OLD) -> Path:
        """What its install leaves behind, packed."""
        return self._packed.get((recipe.name, version)) or self._pack(recipe, version)

    def _pack(self, recipe: Recipe, version: str) -> Path:
        packed = self._plane.hub.folder / f"{recipe.name}-{version}.tar"
        with machine(self._plane.hub, "golden", Kind(recipe)) as one:
            self._install(one, version)
            one.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", QUICK_WATCHDOG)
            one.write("/etc/systemd/system/fleet-agent-deadman.timer.d/quick.conf", QUICK_TIMER)
            one.run("tar", "-cf", "/root/agent.tar", "-C", "/", *_left_by(version))
            content = one.hub.root / str(one.disk.root / "root/agent.tar").lstrip("/")
            packed.write_bytes(content.read_bytes())
        self._packed[recipe.name, version] = packed
        return packed

    def _install(self, one: Machine, version: str) -> None:
        words = [word for key, value in TIMING.items() for word in ("--set", f"{key}={value}")]
        inventory = str(self._plane.inventory([one.access]))
        where = ("--inventory", inventory, "--version", version)
        ran = self._plane("device", "install", *where, *words)
        assert ran.status == 0, ran

    def _sign(self, one: Machine, device_id: str, version: str) -> None:
        program = f"/usr/bin/fleet-agent-v{version}"
        key = one.run(program, "credentials")
        signed = self._plane("device", "credentials", device_id, "--public-key", "-", stdin=key)
        assert signed.status == 0, signed
        one.run(program, "credentials", "--accept", stdin=signed.out.encode())


def eventually(
    condition: Callable[[], bool],
    what: str,
    seen: Callable[[], object] = str,
    limit_s: float = SOON_S,
) -> None:
    """`seen`: what there is instead, looked at only where it does not come true."""
    ends_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends_s, f"it never came true: {what} {seen()}".rstrip()
        time.sleep(0.1)
