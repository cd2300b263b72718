"""`--self-test`: would this version work here? Sends no heartbeat and changes nothing.

It loads the device's own configuration, imports every module that the agent could ever need,
reaches the message plane with the device's own credentials, and checks the paths that an upgrade
will write. The report goes to standard output; a failure's words travel in the status.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import harmony_fleet
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.folders import look_at_all
from harmony_fleet.agent.modules import NotImportable, import_all
from harmony_fleet.contracts import subjects


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
    try:
        return Check("imports", True, f"{import_all()} modules")
    except NotImportable as error:
        return Check("imports", False, str(error))


def _paths(config: Config) -> Iterator[Check]:
    for folder in look_at_all(config.paths):
        words = f"{folder.path} {folder.flaw}" if folder.flaw else str(folder.path)
        yield Check(f"folder of {folder.name}", folder.flaw is None, words)


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
