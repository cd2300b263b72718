"""The executor of a device whose service manager is systemd.

What it runs, it runs in transient units: they outlive us, are bounded by systemd itself, and leave
nothing behind when they end. What a broken or silent systemd is to blame for is the device's
fault, never the release's.
"""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from harmony_fleet.agent.upgrade import permanent_unit, systemctl
from harmony_fleet.agent.upgrade.layout import Layout
from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.agent.upgrade.staging import ProgramOnDisk
from harmony_fleet.agent.upgrade.systemctl import Said, SystemdUnavailable
from harmony_fleet.agent.upgrade.systemd_log import Log, not_set_up
from harmony_fleet.agent.upgrade.systemd_settings import (
    Kind,
    Transient,
    command,
    service_settings,
)
from harmony_fleet.contracts.upgrade import MAX_EVIDENCE, CauseKind, clip

if TYPE_CHECKING:
    from harmony_fleet.asset import Limits

T = TypeVar("T")

END_LIMIT_S: Final = 20.0
"""More than a unit takes to end that resists: see `Transient.stop_limit_s`."""
LOOK_AGAIN_S: Final = 0.05
RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Failed:
    timed_out: bool
    evidence: str


class SystemdExecutor(ProgramOnDisk):
    """`ports.UpgradeExecutor`. The permanent unit has the program's name."""

    def __init__(
        self,
        layout: Layout,
        candidate_runtime_s: float,
        limits: "Limits | None" = None,
        ca: Path | None = None,
    ) -> None:
        super().__init__(layout, limits, ca)
        self._candidate_runtime_s = candidate_runtime_s
        name = layout.program.name
        self._permanent = f"{name}.service"
        self._candidate = f"{name}-candidate.service"
        self._candidate_log = Log(self._candidate)

    async def self_test(self, version: str, limit_s: float) -> None:
        arguments = self._layout.program.self_test
        failed = await self._once("self-test", version, arguments, limit_s)
        if failed is None:
            return
        if failed.timed_out:
            sentence = f"the self-test of version {version} did not end within {limit_s:g} s"
            raise UpgradeFault(CauseKind.SELF_TEST_TIMEOUT, sentence, failed.evidence)
        sentence = f"the self-test of version {version} failed: see its output"
        raise UpgradeFault(CauseKind.SELF_TEST_FAILED, sentence, failed.evidence)

    async def dry_run_guard(self, version: str, limit_s: float) -> None:
        arguments = self._layout.program.guard_dry_run
        failed = await self._once("guard", version, arguments, limit_s)
        if failed is not None:
            how = f"did not end within {limit_s:g} s" if failed.timed_out else "failed"
            sentence = f"the guard of version {version}, to be rolled back to, {how}"
            raise UpgradeFault(CauseKind.ROLLBACK_TARGET_FAILED, sentence, failed.evidence)

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        await self.stop_candidate()
        await self._candidate_log.begin()
        transient = Transient(
            self._candidate,
            Kind.NOTIFY,
            (
                str(self._layout.path_of(version)),
                *self._layout.program.candidate,
                upgrade_id,
            ),
            ready_limit_s,
            self._candidate_runtime_s,
        )
        if await _device(self._start(transient)):
            return
        await self.stop_candidate()
        evidence = await self.candidate_log()
        await self._blame_the_device(self._candidate_log, evidence)
        sentence = f"version {version} did not get ready as candidate within {ready_limit_s:g} s"
        raise UpgradeFault(CauseKind.CANDIDATE_START_FAILED, sentence, evidence)

    async def candidate_exit(self) -> str:
        while True:
            try:
                await _gone(self._candidate)
                return await self.candidate_log()
            except SystemdUnavailable:
                await asyncio.sleep(RETRY_S)

    async def stop_candidate(self) -> None:
        await _device(_end(self._candidate))

    async def candidate_log(self) -> str:
        return clip(await self._candidate_log.read(), MAX_EVIDENCE)

    async def system_stopping(self) -> bool:
        """True also where systemd does not answer: it ends no sooner than its machine."""
        try:
            said = await systemctl.run(["systemctl", "is-system-running"])
        except SystemdUnavailable:
            return True
        return said.output.strip() in {"", "stopping"}

    async def _once(
        self, purpose: str, version: str, arguments: tuple[str, ...], limit_s: float
    ) -> _Failed | None:
        """None if it ended well. Cancelled, it is ended first."""
        path = self._layout.path_of(version)
        unit = f"{self._layout.program.name}-{purpose}-v{version}.service"
        log, loop = Log(unit), asyncio.get_running_loop()
        transient = Transient(
            unit, Kind.ONESHOT, (str(path), *arguments), limit_s, stop_limit_s=1.0
        )
        await _device(_end(unit))
        await log.begin()
        began = loop.time()
        if await _device(self._start(transient)):
            return None
        timed_out = loop.time() - began >= limit_s
        await _device(_end(unit))
        evidence = clip(await log.read(), MAX_EVIDENCE)
        await self._blame_the_device(log, evidence)
        return _Failed(timed_out, evidence)

    async def _blame_the_device(self, log: Log, evidence: str) -> None:
        """Where the program never began, as its settings cannot be had. Raises UpgradeFault."""
        if (flaw := not_set_up(await log.of_systemd())) is not None:
            sentence = (
                f"systemd could not start {log.unit} with the settings of {self._permanent} "
                f"({flaw}): look at its drop-ins"
            )
            raise UpgradeFault(CauseKind.DEVICE_FAULT, sentence, evidence)

    async def _check_permanent(self) -> None:
        """Raises SystemdUnavailable: it would not start what is tried here."""
        found = await systemctl.properties(self._permanent, *permanent_unit.PROPERTIES)
        for flaw in permanent_unit.flaws(found, str(self._layout.paths.link)):
            raise SystemdUnavailable(f"{self._permanent} {flaw}: {permanent_unit.AGAIN}")

    async def _start(self, transient: Transient) -> bool:
        """Whether it started; if not, it may still be about to end.

        Cancelled, it is ended first. So it is before SystemdUnavailable is raised: it was not even
        tried, or whether it was is unknown.
        """
        said = await systemctl.run(["systemctl", "cat", "--", self._permanent])
        if said.status != 0:
            why = f"systemd knows no {self._permanent}: install the agent's unit ({said.errors})"
            raise SystemdUnavailable(why)
        await self._check_permanent()
        argv = command(transient, service_settings(said.output))
        try:
            started = await systemctl.run(argv, transient.start_limit_s + END_LIMIT_S)
            return _has_started(transient.unit, started)
        except (asyncio.CancelledError, SystemdUnavailable):
            with suppress(SystemdUnavailable):
                await _end(transient.unit)
            raise


def _has_started(unit: str, said: Said) -> bool:
    """With --quiet, systemd-run says something only where it could not even begin."""
    if said.status < 0:
        why = f"systemd-run was killed (signal {-said.status}) while it started {unit}"
        raise SystemdUnavailable(f"{why}: is the device short of memory? Order it again")
    if said.status != 0 and said.errors:
        raise SystemdUnavailable(f"systemd did not start {unit}: {said.errors}")
    return said.status == 0


async def _device(step: Awaitable[T]) -> T:
    try:
        return await step
    except SystemdUnavailable as error:
        raise UpgradeFault(CauseKind.DEVICE_FAULT, str(error)) from error


async def _end(unit: str) -> None:
    """Nothing of it runs, and systemd has forgotten it, when this returns.

    Until it has, no other may have its name. Raises SystemdUnavailable.
    """
    state: dict[str, str] = {}
    try:
        async with asyncio.timeout(END_LIMIT_S):
            while (state := await _state(unit))["LoadState"] != "not-found":
                if state["ActiveState"] in {"inactive", "failed"}:
                    await systemctl.run(["systemctl", "reset-failed", "--", unit])
                    await asyncio.sleep(LOOK_AGAIN_S)
                else:
                    await systemctl.run(["systemctl", "stop", "--", unit], END_LIMIT_S)
    except TimeoutError as error:
        how = ", ".join(state.values())
        raise SystemdUnavailable(f"systemd did not end {unit}: it is {how}") from error


async def _gone(unit: str) -> None:
    """Wait, without asking again and again, until its process has ended."""
    while (state := await _state(unit))["ActiveState"] not in {"inactive", "failed"}:
        pid = int(state["MainPID"] or 0)
        if pid:
            await _exit_of(pid)
        await asyncio.sleep(LOOK_AGAIN_S)


async def _state(unit: str) -> dict[str, str]:
    wanted = ("LoadState", "ActiveState", "MainPID")
    found = await systemctl.properties(unit, *wanted)
    if missing := [name for name in wanted if name not in found]:
        raise SystemdUnavailable(f"systemd does not tell {missing[0]} of {unit}")
    return found


async def _exit_of(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # it has ended by now
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
