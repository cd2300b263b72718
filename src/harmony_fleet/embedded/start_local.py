"""New pretended devices: a key pair, a signed credential, a program, a root, a supervisor.

Rules
1. The key pair is made here and its secret half stays in the device's root.
2. Every folder below `devices/` that has a device's name is a device; a name is never used twice.
3. A device counts as started only when the operator has heard its agent.

Talks to the control plane through `Plane` only.
"""

import fcntl
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from harmony_fleet.contracts.errors import FleetError, InvalidValue
from harmony_fleet.contracts.identity import DEVICE_ID
from harmony_fleet.embedded.local_device import (
    LocalDevice,
    prepare,
    replace_file,
    running,
    spawn_supervisor,
    stop_supervisor,
    toml,
)
from harmony_fleet.embedded.supervisor.settings import MachineRoot, Settings
from harmony_fleet.messaging.credentials import Credentials, encode_creds, new_user_seed

PREFIX: Final = "local-"
LOCK: Final = ".lock"
"""In the devices' folder, where no device can have the name."""
HEARD_LIMIT_S: Final = 30.0
"""For all of them together, after the last one's supervisor has begun."""
POLL_S: Final = 0.2
LOG_LINES: Final = 8
_STOPPED_AT_ONCE: Final = 8


class NotHeard(FleetError):
    """The processes run, and the operator has heard no heartbeat of theirs in time."""

    kind = "device_not_heard"
    retryable = True


class ConfigDamaged(FleetError):
    """A device's config.toml is not one. It was not touched, nor the device started."""

    kind = "config_damaged"


class NoSuchLocalDevice(InvalidValue):
    """No folder of this machine is that device's."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the control plane hands to a device that showed its public key."""

    jwt: str
    nats_url: str
    ca: str = ""
    """The authority that the device has to trust, in PEM; empty where there is no TLS."""


class Plane(Protocol):
    """The control plane, as far as a new device needs it."""

    def register(self, device_id: str, public_key: str) -> Enrolment:
        """Idempotent. Raises FleetError."""

    def heard(self) -> dict[str, str | None]:
        """Every known device: the `instance_id` last heard, None while none is heard in time.

        Raises FleetError.
        """


@dataclass(frozen=True, slots=True)
class Timing:
    """What the agent's configuration and the supervisor are told. Seconds, and two counts."""

    interval_s: float = 30.0
    quick_interval_s: float = 1.0
    self_test_limit_s: float = 60.0
    ready_limit_s: float = 30.0
    stop_limit_s: float = 120.0
    overall_limit_s: float = 1800.0
    probation_s: float = 600.0
    starts_allowed: int = 5
    versions_kept: int = 3
    order_reread_s: float = 300.0
    deadman_s: float = 60.0


PRODUCTION: Final = Timing()
QUICK: Final = Timing(
    interval_s=1.0,
    self_test_limit_s=20.0,
    stop_limit_s=20.0,
    probation_s=10.0,
    deadman_s=5.0,
)
"""For people who look on."""

TIMINGS: Final = {"quick": QUICK, "production": PRODUCTION}


@dataclass(frozen=True, slots=True)
class Program:
    version: str
    file: Path


@dataclass(frozen=True, slots=True)
class Made:
    device_id: str
    root: Path
    supervisor_pid: int


_UPGRADE_KEYS: Final = (
    "self_test_limit_s",
    "ready_limit_s",
    "stop_limit_s",
    "overall_limit_s",
    "probation_s",
    "starts_allowed",
    "versions_kept",
    "order_reread_s",
)


def device_config(root: Path, device_id: str, servers: Sequence[str], timing: Timing) -> str:
    """The text of config.toml for a device whose files all lie below `root`."""
    machine = MachineRoot(root)
    return toml(
        {
            "device_id": device_id,
            "plane": _plane(machine, servers),
            "paths": _paths(machine),
            "heartbeat": {
                "interval_s": timing.interval_s,
                "quick_interval_s": timing.quick_interval_s,
            },
            "upgrade": {name: getattr(timing, name) for name in _UPGRADE_KEYS},
        }
    )


class LocalDevices:
    """The pretended devices of one data folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """By number, those of another form last."""
        if not self.folder.is_dir():
            return []
        found = (one.name for one in self.folder.iterdir() if one.is_dir())
        return sorted(filter(DEVICE_ID.fullmatch, found), key=_by_number)

    def root(self, device_id: str) -> Path:
        """Raises NoSuchLocalDevice."""
        if device_id not in self.names():
            raise NoSuchLocalDevice(
                f"{device_id} is no local device of {self.folder}: "
                f"{_listed(self.names()) or 'start some with `fleet device start-local`'}"
            )
        return self.folder / device_id

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """For one process at a time, from choosing names to having made the devices of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def free_names(self, taken: Iterable[str], number: int) -> list[str]:
        """Free as long as this process is `choosing`."""
        used = {*taken, *self.names()}
        numbers = iter(range(1, len(used) + number + 1))
        free = (name for name in (f"{PREFIX}{n}" for n in numbers) if name not in used)
        return [next(free) for _ in range(number)]

    def make(
        self, plane: Plane, device_id: str, program: Program, timing: Timing, plain_file: bool
    ) -> Made:
        """Raises FleetError; OSError where the disk refuses."""
        seed = new_user_seed()
        given = plane.register(device_id, Credentials("", seed).public_key())
        root = self.folder / device_id
        prepare(
            root,
            LocalDevice(
                version=program.version,
                program=program.file,
                config=device_config(root, device_id, [given.nats_url], timing),
                credentials=encode_creds(given.jwt, seed),
                ca=given.ca,
                settings=Settings(deadman_s=timing.deadman_s),
                plain_file=plain_file,
            ),
        )
        return Made(device_id, root, spawn_supervisor(root))

    def start_again(self, device_id: str, nats_url: str, ca: str = "") -> Made | None:
        """As it was when it stopped, at the message plane as it is now. None: it runs already.

        `ca`: the authority to trust, in PEM, where that plane speaks TLS.
        Raises NoSuchLocalDevice, FleetError.
        """
        root = self.root(device_id)
        if running(root):
            return None
        machine = MachineRoot(root)
        if ca:
            replace_file(machine.ca, ca.encode(), 0o644)
        _point_at(machine, nats_url)
        return Made(device_id, root, spawn_supervisor(root))

    def stop(self, device_ids: Sequence[str]) -> dict[str, bool]:
        """Each one's orderly end, side by side; False: it did not run. Raises NoSuchLocalDevice."""
        roots = [self.root(device_id) for device_id in device_ids]
        with ThreadPoolExecutor(_STOPPED_AT_ONCE) as pool:
            ended = list(pool.map(stop_supervisor, roots))
        return dict(zip(device_ids, ended, strict=True))


def _plane(machine: MachineRoot, servers: Sequence[str]) -> dict[str, object]:
    """With the authority's file exactly where the servers speak TLS."""
    plane: dict[str, object] = {"servers": list(servers), "credentials": str(machine.credentials)}
    tls = any(server.startswith("tls://") for server in servers)
    return {**plane, "ca": str(machine.ca)} if tls else plane


def _paths(machine: MachineRoot) -> dict[str, Path]:
    return {
        "versions": machine.versions,
        "link": machine.link,
        "previous": machine.previous,
        "state": machine.state,
        "boot_id": machine.run / "boot_id",
        "supervisor": machine.run / "supervisor.sock",
        "log": machine.log / "fleet-agent.log",
    }


def _point_at(machine: MachineRoot, nats_url: str) -> None:
    """Where the plane is, and where the device itself is: its folder may have been copied or
    moved, and must not act on another's. The other keys stay as they are. Raises ConfigDamaged."""
    config = machine.config
    try:
        text = config.read_text(encoding="utf-8")
        keys = tomllib.loads(text)
        others = {key: value for key, value in keys["plane"].items() if key != "ca"}
        keys["plane"] = {**others, **_plane(machine, [nats_url])}
        keys["paths"] |= {name: str(path) for name, path in _paths(machine).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigDamaged(
            f"the configuration {config} cannot be read ({error}): mend it, or start a new device"
        ) from error
    if keys != tomllib.loads(text):
        new = config.with_name(f".{config.name}.new")
        new.write_text(toml(keys), encoding="utf-8")
        new.replace(config)


def wait_until_heard(
    plane: Plane,
    made: Sequence[Made],
    before: dict[str, str | None],
    limit_s: float = HEARD_LIMIT_S,
) -> Iterator[Made]:
    """Each of them, as soon as the operator hears another process than the one `before`.

    Raises NotHeard, with the last words of the first one's agent.
    """
    ends_s = time.monotonic() + limit_s
    waiting = list(made)
    while waiting:
        now = plane.heard()
        for one in list(waiting):
            instance = now.get(one.device_id)
            if instance is not None and instance != before.get(one.device_id):
                waiting.remove(one)
                yield one
        if waiting and time.monotonic() >= ends_s:
            raise NotHeard(_unheard(waiting, limit_s))
        if waiting:
            time.sleep(POLL_S)


def _unheard(waiting: Sequence[Made], limit_s: float) -> str:
    first = waiting[0]
    log = MachineRoot(first.root).log / "fleet-agent.log"
    names = _listed([one.device_id for one in waiting])
    return (
        f"the operator has not heard {names} within {limit_s:g} s of its start; "
        f"it was left running: `fleet device stop-local {first.device_id}` ends it. "
        f"The end of {log}: {_end_of(log)}"
    )


def _end_of(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    return "\n  ".join(["", *lines[-LOG_LINES:]]) if lines else "(empty)"


def _by_number(name: str) -> tuple[bool, int, str]:
    digits = name.removeprefix(PREFIX)
    numbered = name.startswith(PREFIX) and digits.isdigit()
    return (not numbered, int(digits) if numbered else 0, name)


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
