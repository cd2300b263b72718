"""Which agent processes run on a device, seen from outside: /proc and pidfds, nothing it says."""

import asyncio
import os
import select
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

NOT_AN_AGENT = frozenset({b"guard", b"--self-test", b"--version", b"check-config"})
PREFIX = "fleet-agent-v"
"""Of a version's file."""


@dataclass(slots=True)
class Agent:
    pid: int
    descriptor: int
    """A pidfd: readable when the process has ended, and never of another one."""
    candidate: bool
    started_through: str | None
    """The version that the link led to when the process was first seen."""
    opened: str | None = None
    """The version of the file that it holds open, once it does."""

    @property
    def version(self) -> str | None:
        """What it runs, not what it says: where it ended too early to be read, by the link."""
        return self.opened or self.started_through


@dataclass
class DeviceProcesses:
    """The agents of one device: children of its supervisor that run a file below its root."""

    root: Path
    supervisor: int
    agents: dict[int, Agent] = field(default_factory=dict)
    without_since_s: float | None = None
    """Monotonic; None while at least one runs."""
    gaps_s: list[float] = field(default_factory=list)
    """Each time without any agent process, since the last `begin`."""
    started: list[Agent] = field(default_factory=list)
    """Each process of the permanent service that came since the last `begin`."""

    def begin(self) -> None:
        """From now on count anew."""
        self.gaps_s.clear()
        self.started.clear()

    def scan(self) -> list[Agent]:
        """Those that are new; `ended` is to be called for each of them."""
        found = []
        for pid in _children(self.supervisor):
            if pid not in self.agents and (candidate := self._is_agent(pid)) is not None:
                try:
                    descriptor = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
                found.append(Agent(pid, descriptor, candidate, self._linked()))
        self.agents |= {agent.pid: agent for agent in found}
        self.started += [agent for agent in found if not agent.candidate]
        for agent in self.agents.values():
            agent.opened = agent.opened or opened_by(agent.pid)
        if self.agents and self.without_since_s is not None:
            self.gaps_s.append(time.monotonic() - self.without_since_s)
            self.without_since_s = None
        return found

    def ended(self, agent: Agent) -> None:
        os.close(agent.descriptor)
        del self.agents[agent.pid]
        if not self.agents:
            self.without_since_s = time.monotonic()

    def longest_gap_s(self) -> float:
        open_s = 0.0 if self.without_since_s is None else time.monotonic() - self.without_since_s
        return max([0.0, open_s, *self.gaps_s])

    def primary(self) -> Agent | None:
        return next((agent for agent in self.agents.values() if not agent.candidate), None)

    def starts_of(self, version: str) -> int:
        """How often that version was started as the permanent agent, since the last `begin`."""
        return sum(agent.version == version for agent in self.started)

    def _linked(self) -> str | None:
        try:
            return _version_in((self.root / "usr/local/bin/fleet-agent").readlink())
        except OSError:  # no link: a plain file
            return None

    def _is_agent(self, pid: int) -> bool | None:
        """Whether it is a candidate; None for what is no agent, or not yet."""
        words = _command(pid)
        program = next((w for w in words if w.startswith(os.fsencode(self.root / "usr"))), None)
        if program is None or NOT_AN_AGENT.intersection(words):
            return None
        return b"candidate" in words


async def follow(devices: Collection[DeviceProcesses], scan_s: float) -> None:
    """Until cancelled: see each agent come, by looking every `scan_s`, and go, by its pidfd."""
    while True:
        for device in devices:
            for agent in device.scan():
                _tell_when_ended(device, agent)
        await asyncio.sleep(scan_s)


def _tell_when_ended(device: DeviceProcesses, agent: Agent) -> None:
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(agent.descriptor)
        device.ended(agent)

    loop.add_reader(agent.descriptor, ended)


def processes_of(root: Path) -> DeviceProcesses:
    """Raises LookupError: nobody supervises this root."""
    supervisor = find_supervisor(root)
    if supervisor is None:
        raise LookupError(f"nobody supervises {root}")
    return DeviceProcesses(root, supervisor)


def find_supervisor(root: Path) -> int | None:
    """The process whose command line says that it supervises this root."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = _command(int(entry.name))
            if any(b"supervisor" in word for word in words) and os.fsencode(root) in words:
                return int(entry.name)
    return None


def end_process(pid: int, word: bytes, limit_s: float = 30.0) -> None:
    """By a descriptor of it, and only if its command line has that word: TERM, at last KILL."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if word in _command(pid):
                signal.pidfd_send_signal(descriptor, number)
                select.select([descriptor], [], [], limit_s)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def opened_by(pid: int) -> str | None:
    """The version whose file the process holds open; None: none, or it is gone."""
    try:
        files = [descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return None
    return next(filter(None, map(_version_in, files)), None)


def _version_in(file: Path) -> str | None:
    name = file.name.removesuffix(" (deleted)")
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else None
