"""The executor of a device whose service manager is the local supervisor.

The processes are the supervisor's children, not ours: they outlive us, as transient units do.
What a broken or silent supervisor is to blame for is the device's fault, never the release's.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from harmony_fleet.agent.upgrade.layout import Layout
from harmony_fleet.agent.upgrade.local_messages import (
    MAX_ANSWER_BYTES,
    AskCandidate,
    AskState,
    AwaitCandidate,
    Cancel,
    Candidate,
    Machine,
    Ran,
    Refusal,
    Request,
    Run,
    StartCandidate,
    StopCandidate,
)
from harmony_fleet.agent.upgrade.ports import UpgradeFault
from harmony_fleet.agent.upgrade.staging import ProgramOnDisk
from harmony_fleet.contracts.codec import decode, encode
from harmony_fleet.contracts.errors import FleetError, MalformedMessage
from harmony_fleet.contracts.upgrade import MAX_EVIDENCE, CauseKind, clip

if TYPE_CHECKING:
    from harmony_fleet.asset import Limits

T = TypeVar("T")

ANSWER_LIMIT_S: Final = 60.0
"""More than the supervisor takes to end a process that resists, and then another."""
CANCEL_LIMIT_S: Final = 10.0
RETRY_S: Final = 1.0
CANDIDATE_RUNTIME_S: Final = 2400.0
"""The default overall deadline of an upgrade, and a margin."""


class SupervisorUnavailable(FleetError):
    """No answer, or none that can be used: what was asked for may have been done, or not."""

    kind: ClassVar[str] = "supervisor_unavailable"
    retryable = True


class LocalExecutor(ProgramOnDisk):
    """`ports.UpgradeExecutor`."""

    def __init__(
        self,
        layout: Layout,
        socket: Path,
        candidate_runtime_s: float = CANDIDATE_RUNTIME_S,
        limits: "Limits | None" = None,
        ca: Path | None = None,
    ) -> None:
        super().__init__(layout, limits, ca)
        self._socket, self._candidate_runtime_s = socket, candidate_runtime_s

    async def self_test(self, version: str, limit_s: float) -> None:
        ran = await self._run(version, self._layout.program.self_test, limit_s)
        if ran.timed_out:
            sentence = f"the self-test of version {version} did not end within {limit_s:g} s"
            raise _fault(CauseKind.SELF_TEST_TIMEOUT, sentence, ran.output)
        if ran.exit_status != 0:
            sentence = f"the self-test of version {version} failed {_how(ran)}: see its output"
            raise _fault(CauseKind.SELF_TEST_FAILED, sentence, ran.output)

    async def dry_run_guard(self, version: str, limit_s: float) -> None:
        ran = await self._run(version, self._layout.program.guard_dry_run, limit_s)
        if ran.timed_out or ran.exit_status != 0:
            how = f"did not end within {limit_s:g} s" if ran.timed_out else f"failed {_how(ran)}"
            sentence = f"the guard of version {version}, to be rolled back to, {how}"
            raise _fault(CauseKind.ROLLBACK_TARGET_FAILED, sentence, ran.output)

    async def start_candidate(self, version: str, upgrade_id: str, ready_limit_s: float) -> None:
        request = StartCandidate(
            str(self._layout.path_of(version)),
            (*self._layout.program.candidate, upgrade_id),
            ready_limit_s,
            self._candidate_runtime_s,
        )
        candidate = await self._ask(request, Candidate, ready_limit_s + ANSWER_LIMIT_S)
        if not candidate.running:
            sentence = (
                f"version {version} did not get ready as candidate within {ready_limit_s:g} s"
            )
            raise _fault(CauseKind.CANDIDATE_START_FAILED, sentence, candidate.output)

    async def candidate_exit(self) -> str:
        while True:
            try:
                return _evidence(await ask(self._socket, AwaitCandidate(), Candidate, None))
            except SupervisorUnavailable:
                await asyncio.sleep(RETRY_S)

    async def stop_candidate(self) -> None:
        await self._ask(StopCandidate(), Candidate, ANSWER_LIMIT_S)

    async def candidate_log(self) -> str:
        try:
            return _evidence(await ask(self._socket, AskCandidate(), Candidate, CANCEL_LIMIT_S))
        except SupervisorUnavailable:
            return ""

    async def system_stopping(self) -> bool:
        """True also where the supervisor does not answer: it ends no sooner than its machine."""
        try:
            return (await ask(self._socket, AskState(), Machine, CANCEL_LIMIT_S)).stopping
        except SupervisorUnavailable:
            return True

    async def _run(self, version: str, arguments: tuple[str, ...], limit_s: float) -> Ran:
        request = Run(str(self._layout.path_of(version)), arguments, limit_s)
        return await self._ask(request, Ran, limit_s + ANSWER_LIMIT_S)

    async def _ask(self, request: Request, kind: type[T], limit_s: float) -> T:
        try:
            return await ask(self._socket, request, kind, limit_s)
        except SupervisorUnavailable as error:
            raise UpgradeFault(CauseKind.DEVICE_FAULT, str(error)) from error


async def ask(socket: Path, request: Request, kind: type[T], limit_s: float | None) -> T:
    """The supervisor's answer to one request.

    Cancelled, or at `limit_s`, what was started is ended first. Raises SupervisorUnavailable.
    """
    try:
        async with asyncio.timeout(limit_s), _connection(socket) as (reader, writer):
            writer.write(encode(request) + b"\n")
            try:
                line = await reader.readline()
            except asyncio.CancelledError:
                await _cancel(reader, writer)
                raise
        return _read(kind, line)
    except (OSError, ValueError, MalformedMessage) as error:  # TimeoutError is an OSError
        raise SupervisorUnavailable(
            f"the local supervisor gave no answer to {request.op} at {socket}: "
            f"{str(error) or 'in time'}; see whether it runs, and its log"
        ) from error


def _read(kind: type[T], line: bytes) -> T:
    if not line.endswith(b"\n"):
        raise ConnectionResetError("it hung up")
    refusal = decode(Refusal, line, MAX_ANSWER_BYTES)
    if refusal.refused:
        raise SupervisorUnavailable(f"the local supervisor refused: {refusal.refused}")
    return decode(kind, line, MAX_ANSWER_BYTES)


async def _cancel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ValueError):
        writer.write(encode(Cancel()) + b"\n")
        async with asyncio.timeout(CANCEL_LIMIT_S):
            await reader.readline()


@asynccontextmanager
async def _connection(
    socket: Path,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Through a descriptor of its folder: a path may be too long for a socket's address."""
    folder = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = f"/proc/self/fd/{folder}/{socket.name}"
        reader, writer = await asyncio.open_unix_connection(short, limit=MAX_ANSWER_BYTES)
    finally:
        os.close(folder)
    try:
        yield reader, writer
    finally:
        writer.close()


def _fault(cause: CauseKind, sentence: str, output: str) -> UpgradeFault:
    return UpgradeFault(cause, sentence, clip(output, MAX_EVIDENCE))


def _evidence(candidate: Candidate) -> str:
    return clip(candidate.output, MAX_EVIDENCE)


def _how(ran: Ran) -> str:
    if ran.exit_status < 0:
        return f"by signal {-ran.exit_status}"
    return f"with exit status {ran.exit_status}"
