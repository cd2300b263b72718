"""Puts a preflight together: measures in parts, judges each, and answers in time whatever hangs."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harmony_fleet.agent import bootstrap
from harmony_fleet.agent.config import Config
from harmony_fleet.agent.preflight import manager
from harmony_fleet.agent.preflight.disk import judge_folders, judge_room
from harmony_fleet.agent.preflight.host import judge_clock, judge_modules, judge_python
from harmony_fleet.agent.preflight.importing import try_imports
from harmony_fleet.agent.preflight.measure import Disks, measure
from harmony_fleet.agent.preflight.program import (
    judge_link,
    judge_previous,
    judge_quarantine,
    judge_target,
)
from harmony_fleet.agent.preflight.service import judge_service
from harmony_fleet.agent.preflight.source import judge_server
from harmony_fleet.agent.preflight.threads import Threads
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.asset.answer import Meaning
from harmony_fleet.asset.policy import Expected, Limits
from harmony_fleet.asset.probe import probe
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.preflight import (
    Check,
    CheckName,
    CheckState,
    PreflightAnswer,
    PreflightCommand,
    check,
)

if TYPE_CHECKING:
    import ssl

logger = logging.getLogger(__name__)

LIMIT_S: Final = 25.0
"""For all of it. The operator waits a little longer."""
PROBE: Final = Limits(attempt_silence_s=5.0, connect_s=5.0, overall_s=15.0)

_ON_DISK: Final = (
    *(CheckName.DISK_SPACE, CheckName.FOLDERS, CheckName.LINK),
    *(CheckName.PREVIOUS, CheckName.ROLLBACK_TARGET),
)
_ORDER: Final = list(CheckName)


class Examiner:
    """One examination at a time; none while a part of an earlier one still hangs."""

    def __init__(self, config: Config, version: str, limit_s: float = LIMIT_S) -> None:
        self._config, self._version, self._limit_s = config, version, limit_s
        self._threads = Threads()
        self._busy = False

    async def examine(self, asked: PreflightCommand, journal: Journal) -> PreflightAnswer:
        """Within its limit. What is not known by then is `unknown`."""
        if self._busy or self._threads.busy:
            return _refusal(asked, "an earlier preflight has not ended here yet: ask again later")
        self._busy = True
        try:
            found = await self._all(asked, journal)
        finally:
            self._busy = False
        checks = sorted(found, key=lambda one: _ORDER.index(one.name))
        return PreflightAnswer(
            asked.device_id, Outcome.OK, version=asked.version, checks=tuple(checks)
        )

    async def _all(self, asked: PreflightCommand, journal: Journal) -> Sequence[Check]:
        at_once = (
            judge_python(sys.version_info[:2], bootstrap.FLOOR, asked.python),
            judge_clock(asked.asked_at, datetime.now(UTC)),
            judge_quarantine(asked.artifact.sha256, journal.quarantined),
        )
        ends_at = asyncio.get_running_loop().time() + self._limit_s
        parts = await asyncio.gather(
            _known_by(ends_at, (CheckName.SERVICE_MANAGER, CheckName.UNIT), self._service),
            _known_by(ends_at, (CheckName.MODULES,), self._modules),
            self._disks_and_server(ends_at, asked, journal),
        )
        return [*at_once, *(one for part in parts for one in part)]

    async def _service(self) -> Sequence[Check]:
        return judge_service(await manager.look(self._config, self._threads), os.getpid())

    async def _modules(self) -> Sequence[Check]:
        return (judge_modules(*await self._threads.run(try_imports)),)

    async def _disks_and_server(
        self, ends_at: float, asked: PreflightCommand, journal: Journal
    ) -> Sequence[Check]:
        """In turn: an artifact that is here already needs no server."""
        found: list[Disks] = []

        async def disks() -> Sequence[Check]:
            paths, version = self._config.paths, self._version
            found.append(await self._threads.run(lambda: measure(paths, version, asked, journal)))
            return _judge_disks(found[0], version, journal)

        async def server() -> Sequence[Check]:
            staged = bool(found) and found[0].staged
            answer = await self._threads.run(lambda: _probe(asked, self._config.plane.ca))
            return (judge_server(asked.artifact.url, answer, staged),)

        on_disk = await _known_by(ends_at, _ON_DISK, disks)
        return [*on_disk, *await _known_by(ends_at, (CheckName.ARTIFACT_SERVER,), server)]


def too_early(asked: PreflightCommand) -> PreflightAnswer:
    """From an agent that has not read its journal yet."""
    return _refusal(asked, "the agent there is just starting: ask again")


def _refusal(asked: PreflightCommand, reason: str) -> PreflightAnswer:
    return PreflightAnswer(asked.device_id, Outcome.REFUSED, reason)


def _judge_disks(found: Disks, running: str, journal: Journal) -> Sequence[Check]:
    return (
        judge_room(found.rooms),
        judge_folders(found.folder_flaws),
        judge_link(found.link, running),
        judge_previous(found.previous, journal),
        judge_target(found.target),
    )


def _probe(asked: PreflightCommand, ca: Path | None) -> Meaning | str:
    artifact = asked.artifact
    expected = Expected(artifact.size_bytes, artifact.sha256)
    try:
        return probe(artifact.url, expected, PROBE, _trust(ca))
    except FleetError as error:
        return str(error)


def _trust(ca: Path | None) -> "ssl.SSLContext | None":
    """Raises AuthorityUnreadable."""
    if ca is None:
        return None
    from harmony_fleet.messaging.trust import download_context

    return download_context(ca)


async def _known_by(
    ends_at: float, names: Sequence[CheckName], part: Callable[[], Awaitable[Sequence[Check]]]
) -> Sequence[Check]:
    """What the part found; where it found nothing in time, or failed, each of `names` says so."""
    try:
        async with asyncio.timeout_at(ends_at):
            return await part()
    except TimeoutError:
        words = "nothing was found out in time: something there hangs, or is very slow"
    except Exception as error:  # the runner: one part's fault must not cost the others' findings
        logger.exception("a part of a preflight failed")
        words = f"it could not be found out: {type(error).__name__}: {error}"
    return [check(name, CheckState.UNKNOWN, words) for name in names]
