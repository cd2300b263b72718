"""Pretended devices with real programs: zips that do what a test says, and a real supervisor.

A program is one snippet of Python for each role; PRELUDE says what a snippet can use.
"""

import asyncio
import io
import json
import os
import select
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from harmony_fleet.agent.upgrade.local import ask
from harmony_fleet.agent.upgrade.local_messages import (
    SOCKET,
    AskState,
    Candidate,
    Machine,
    Request,
    Run,
    StartCandidate,
    UnitState,
)
from harmony_fleet.contracts.codec import encode
from harmony_fleet.embedded.local_device import LocalDevice, cut_power, prepare, spawn_supervisor
from harmony_fleet.embedded.supervisor.settings import SUPERVISOR, MachineRoot, Settings

T = TypeVar("T")

SOON_S: Final = 15.0
"""Nothing that should happen takes so long, however slow the machine."""

SETTINGS: Final = Settings(restart_s=0.02, guard_kill_s=0.2)
"""Only what no test waits for in vain is short; each test shortens what it is about."""

UPGRADE_ID: Final = "0123456789abcdef" * 2
LAST_WORDS: Final = "the last words of this program"

PRELUDE: Final = f"""
import os, signal, socket, subprocess, sys, time

def notify(message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message, chr(0) + os.environ["NOTIFY_SOCKET"][1:])

def ready():
    notify(b"READY=1")

def rest():
    "Feed the watchdog, ten times in its limit, until told to end."
    while True:
        notify(b"WATCHDOG=1")
        mark("fed")
        time.sleep(int(os.environ["WATCHDOG_USEC"]) / 1e7)

def hang():
    while True:
        signal.pause()

def ignore_term():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def mark(name, text=""):
    "One line in a file of the root, which is the working directory."
    with open(name + ".mark", "a") as file:
        file.write(text + chr(10))

def marks(name):
    return len(open(name + ".mark").readlines()) if os.path.exists(name + ".mark") else 0

def wait_for(name):
    while not marks(name):
        time.sleep(0.01)

def link(place, version):
    os.symlink(os.path.abspath("usr/bin/fleet-agent-v" + version), place + ".new")
    os.replace(place + ".new", place)

LINK = "usr/local/bin/fleet-agent"
os.write(2, ("{LAST_WORDS} " + " ".join(sys.argv[1:]) + chr(10)).encode())
"""

GOOD: Final = "ready(); rest()"


@dataclass(frozen=True)
class Stand:
    """What a program does in each role."""

    primary: str = GOOD
    candidate: str = GOOD
    self_test: str = ""
    guard: str = ""
    expired: str = "sys.exit(1)"

    def build(self, salt: str = "") -> bytes:
        """An artifact: a shebang that fits no machine, and a zip."""
        roles = {
            "candidate": self.candidate,
            "--self-test": self.self_test,
            "guard": self.guard,
            "--expired": self.expired,
        }
        main = (
            f"{PRELUDE}\n# {salt}\nROLES = {json.dumps(roles)}\n"
            "known = [a for a in sys.argv[1:] if a in ROLES]\n"
            f"exec(ROLES[known[-1]] if known else {self.primary!r})\n"
        )
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("__main__.py", main)
        return b"#!/nowhere/python3 -IS\n" + archive.getvalue()


class Device:
    """One root. Made by `device`, which ends what is left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = MachineRoot(root)

    def prepare(self, settings: Settings = SETTINGS, **roles: str) -> None:
        """Version 1.0.0, as `previous` too, so that there is a guard."""
        file = self.root.parent / f"{self.root.name}.artifact"
        file.write_bytes(Stand(**roles).build())
        prepare(self.root, LocalDevice("1.0.0", file, "", settings=settings))
        self.point(self.machine.previous, "1.0.0")

    def install(self, version: str, **roles: str) -> Path:
        path = self.path_of(version)
        path.write_bytes(Stand(**roles).build())
        path.chmod(0o755)
        return path

    def path_of(self, version: str) -> Path:
        return self.machine.versions / f"fleet-agent-v{version}"

    def point(self, place: Path, version: str) -> None:
        new = place.with_name("new")
        new.symlink_to(self.path_of(version))
        new.replace(place)

    def boot(self) -> int:
        return spawn_supervisor(self.root)

    def run(self) -> int:
        """Boot, and wait until the permanent unit runs."""
        pid = self.boot()
        self.until_running()
        return pid

    @property
    def socket(self) -> Path:
        return self.machine.run / SOCKET

    def ask(self, request: Request, kind: type[T]) -> T:
        return asyncio.run(ask(self.socket, request, kind, SOON_S))

    def state(self) -> Machine:
        return self.ask(AskState(), Machine)

    def until_running(self) -> int:
        """The pid of a primary that is ready."""
        until(lambda: self.state().unit is UnitState.RUNNING)
        pid = self.state().unit_pid
        assert pid is not None
        return pid

    def events(self, unit: str) -> list[str]:
        """What the supervisor's log says of one unit, without the time."""
        log = self.machine.log / f"{SUPERVISOR}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        told = [line.partition(" ")[2] for line in lines]
        return [line for line in told if line.split(" ", 1)[0] == unit]

    def seen(self, unit: str, event: str) -> int:
        return sum(event in line for line in self.events(unit))

    def marks(self, name: str) -> list[str]:
        file = self.root / f"{name}.mark"
        return file.read_text().splitlines() if file.exists() else []

    def mark(self, name: str) -> None:
        with (self.root / f"{name}.mark").open("a") as file:
            file.write("\n")

    def log(self, name: str) -> str:
        file = self.machine.log / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""


@contextmanager
def device(root: Path) -> Iterator[Device]:
    try:
        yield Device(root)
    finally:
        cut_power(root)


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < limit, "it never came true"
        time.sleep(0.01)


# Requests


def start(one: Device, version: str = "2.0.0", runtime_limit_s: float = 1000.0) -> Candidate:
    return one.ask(candidate(one, version, runtime_limit_s), Candidate)


def candidate(one: Device, version: str, runtime_limit_s: float) -> StartCandidate:
    argv = ("candidate", "--upgrade-id", UPGRADE_ID)
    return StartCandidate(str(one.path_of(version)), argv, SOON_S, runtime_limit_s)


def self_test(one: Device, limit_s: float = SOON_S) -> Run:
    return Run(str(one.path_of("2.0.0")), ("--self-test",), limit_s)


def ask_and_go_away(one: Device, request: Request) -> None:
    """As a primary that is killed while it waits."""
    with closing(connected(one)) as sock:
        sock.sendall(encode(request) + b"\n")


def connected(one: Device) -> socket.socket:
    """To the control socket, whose path may be too long for an address."""
    folder = os.open(one.socket.parent, os.O_RDONLY)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(SOON_S)
    sock.connect(f"/proc/self/fd/{folder}/{one.socket.name}")
    os.close(folder)
    return sock


# Processes


def children(pid: int) -> list[int]:
    entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(entry.name) for entry in entries if _parent(entry) == pid]


def running_file(path: Path) -> list[int]:
    """The processes that were started from this path, and have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(path).encode() in argv:  # a zombie has no command line
            found.append(int(entry.name))
    return found


def gone_soon(descriptor: int) -> bool:
    """Whether the process behind a pidfd ends."""
    ready, _, _ = select.select([descriptor], [], [], SOON_S)
    os.close(descriptor)
    return bool(ready)


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
