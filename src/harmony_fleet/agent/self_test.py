"""`--self-test`: would this version work here? Sends no heartbeat and changes nothing.

It loads the device's own configuration, imports every module that the agent could ever need,
reaches the message plane with the device's own credentials, and checks the paths that an upgrade
will write. The report goes to standard output; a failure's words travel in the status.
"""

import asyncio
import importlib
import os
import pkgutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import harmony_fleet
from harmony_fleet.agent.config import Config
from harmony_fleet.contracts import subjects

DEVICE_PACKAGES = ("contracts", "asset", "messaging", "agent")


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    passed: bool
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    version: str
    passed: bool
    contact: bool
    """The message plane answered with the device's own credentials."""
    checks: tuple[Check, ...]

    def text(self) -> str:
        lines = [f"{'ok    ' if c.passed else 'FAILED'} {c.name}: {c.words}" for c in self.checks]
        verdict = "passed" if self.passed else "failed"
        return "\n".join([*lines, f"self-test of version {self.version} {verdict}"])


def self_test(config: Config, limit_s: float) -> Report:
    """Never raises for what it finds; takes at most `limit_s` seconds for the plane."""
    began = time.monotonic()
    checks = [
        Check("configuration", True, f"device {config.device_id}"),
        _imports(),
        *_paths(config),
    ]
    left_s = max(1.0, 0.8 * limit_s - (time.monotonic() - began))
    plane = asyncio.run(_plane(config, left_s))
    checks.append(plane)
    passed = all(check.passed for check in checks)
    return Report(harmony_fleet.__version__, passed, plane.passed, tuple(checks))


def _imports() -> Check:
    count = 0
    for name in modules():
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  whatever stops an import is the finding
            return Check("imports", False, f"{name}: {type(error).__name__}: {error}")
        count += 1
    return Check("imports", True, f"{count} modules")


def modules() -> Iterator[str]:
    """Every module of the device's own packages."""
    for package in DEVICE_PACKAGES:
        root = importlib.import_module(f"harmony_fleet.{package}")
        yield root.__name__
        for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            yield found.name


def _paths(config: Config) -> Iterator[Check]:
    paths = config.paths
    folders = {
        "state": paths.state,
        "versions": paths.versions,
        "link": paths.link.parent,
        "previous": paths.previous.parent,
    }
    for name, folder in folders.items():
        yield _folder(f"folder of {name}", folder, executable=name == "versions")


def _folder(name: str, folder: Path, executable: bool) -> Check:
    if not folder.is_dir():
        return Check(name, False, f"{folder} is not there")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(name, False, f"{folder} cannot be written")
    flags = os.statvfs(folder).f_flag
    if flags & os.ST_RDONLY:
        return Check(name, False, f"{folder} is on a read-only file system")
    if executable and flags & os.ST_NOEXEC:
        return Check(name, False, f"{folder} is on a file system mounted noexec")
    return Check(name, True, str(folder))


def _look_at_authority(ca: Path | None) -> None:
    """Without it there is no contact, and nothing to wait for. Raises AuthorityUnreadable."""
    if ca is not None:
        from harmony_fleet.messaging.trust import authority

        authority(ca)


async def _plane(config: Config, limit_s: float) -> Check:
    from harmony_fleet.agent.wire import endpoint
    from harmony_fleet.contracts.errors import FleetError
    from harmony_fleet.messaging import keyvalue
    from harmony_fleet.messaging.connection import Plane

    servers = ", ".join(config.plane.servers)
    try:
        _look_at_authority(config.plane.ca)
        plane = Plane(endpoint(config, "self-test"))
        await plane.start()
        try:
            if not await plane.wait_connected(limit_s):
                return Check(
                    "message plane", False, f"no contact with {servers} in {limit_s:.0f} s"
                )
            await keyvalue.get(plane, subjects.MARKER_BUCKET, config.device_id, limit_s)
        finally:
            await plane.close()
    except FleetError as error:
        return Check("message plane", False, str(error))
    return Check("message plane", True, servers)
