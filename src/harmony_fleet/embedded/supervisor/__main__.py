"""The local supervisor: one process that is the service manager of one pretended device.

    python -m harmony_fleet.embedded.supervisor --root DIR [--settings FILE] [--detach]

It behaves as the unit, the transient units and the dead-man timer of a real device do. SIGTERM is
the machine's orderly end, SIGKILL a power cut: all its processes die with it. Each start of it is a
boot, with a boot id of its own. It decides nothing about an upgrade.

Exit status: 0 after an orderly end, 2 where it cannot begin.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from harmony_fleet.agent.upgrade.local_messages import (
    BOOT_ID,
    Answer,
    AskCandidate,
    AskState,
    AwaitCandidate,
    Cancel,
    Machine,
    Refusal,
    Request,
    RestartUnit,
    Run,
    StartCandidate,
    StartUnit,
    StopCandidate,
    StopUnit,
)
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.embedded.supervisor.candidate import CandidateSlot
from harmony_fleet.embedded.supervisor.control_socket import ControlSocket
from harmony_fleet.embedded.supervisor.detach import detach
from harmony_fleet.embedded.supervisor.host import Host, captured
from harmony_fleet.embedded.supervisor.lock import AlreadyRunning, take_lock
from harmony_fleet.embedded.supervisor.settings import (
    SUPERVISOR,
    TRANSIENT,
    MachineRoot,
    Settings,
    read_settings,
)
from harmony_fleet.embedded.supervisor.unit import DeadMan, PermanentUnit
from harmony_fleet.embedded.supervisor.watch import end_task

CANNOT_BEGIN = 2


class Supervisor:
    """To be made within a running loop."""

    def __init__(self, root: MachineRoot, settings: Settings) -> None:
        self._root, self._host = root, Host(root, settings)
        self._boot_id = secrets.token_hex(16)
        self._unit = PermanentUnit(self._host)
        self._candidate = CandidateSlot(self._host)
        self._deadman = DeadMan(self._host, self._unit)
        self._socket = ControlSocket(self._perform)

    async def run(self, began: Callable[[], None]) -> None:
        """From boot to shutdown. `began` is called once requests are taken."""
        shutdown = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, shutdown.set)
        self._write_boot_id()
        server = await self._socket.listen(self._root.run)
        self._host.say(SUPERVISOR, f"booted boot_id={self._boot_id}", os.getpid())
        await self._unit.start()
        deadman = asyncio.create_task(self._deadman.run())
        began()
        await shutdown.wait()
        await self._shut_down(deadman)
        server.close()

    async def _shut_down(self, deadman: asyncio.Task[None]) -> None:
        """What the primary asked for ends after it, so that no answer reaches it as a failure."""
        self._host.stopping = True
        self._host.say(SUPERVISOR, "shuts down", os.getpid())
        await asyncio.gather(self._unit.stop(), self._candidate.stop(), end_task(deadman))
        await self._socket.cancel_all()
        self._host.say(SUPERVISOR, "ended", os.getpid())

    def _write_boot_id(self) -> None:
        new = self._root.run / f"{BOOT_ID}.new"
        new.write_text(f"{self._boot_id}\n")
        new.replace(self._root.run / BOOT_ID)

    async def _perform(self, request: Request) -> Answer:
        match request:
            case Run() | StartCandidate() if self._host.stopping:
                return Refusal("the machine is going down")
            case Run(path, arguments, limit_s):
                file, output = Path(path), captured()
                return await self._host.run_once(TRANSIENT, file, arguments, limit_s, output)
            case StartCandidate():
                return await self._candidate.start(request)
            case AwaitCandidate():
                return await self._candidate.gone()
            case StopCandidate():
                return await self._candidate.stop()
            case AskCandidate():
                return self._candidate.now()
            case StartUnit() | StopUnit() | RestartUnit() | AskState():
                return await self._by_hand(request)
            case Cancel():
                return Refusal("nothing was asked for on this connection")
            case _:
                assert_never(request)

    async def _by_hand(self, request: StartUnit | StopUnit | RestartUnit | AskState) -> Machine:
        match request:
            case StartUnit():
                await self._unit.start()
            case StopUnit():
                await self._unit.stop()
            case RestartUnit():
                await self._unit.restart()
            case AskState():
                pass
            case _:
                assert_never(request)
        return self._state()

    def _state(self) -> Machine:
        return Machine(
            boot_id=self._boot_id,
            stopping=self._host.stopping,
            unit=self._unit.state,
            unit_pid=self._unit.pid,
            unit_starts=self._unit.starts,
            candidate_pid=self._candidate.pid,
        )


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    root = MachineRoot(options.root)
    try:
        settings = read_settings(options.settings or root.settings)
        root.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.run.chmod(0o700)
        root.log.mkdir(parents=True, exist_ok=True)
        began = detach(root.log / "supervisor.out") if options.detach else _nothing
        with take_lock(root.lock):
            asyncio.run(_supervise(root, settings, began))
    except AlreadyRunning as error:
        return _cannot_begin(str(error))
    except (FleetError, OSError) as error:
        return _cannot_begin(f"no supervisor for {root.root}: {error}")
    return 0


async def _supervise(root: MachineRoot, settings: Settings, began: Callable[[], None]) -> None:
    await Supervisor(root, settings).run(began)


def _cannot_begin(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return CANNOT_BEGIN


def _nothing() -> None:
    pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="supervisor", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="the pretended device's root")
    parser.add_argument("--settings", type=Path, help="instead of supervisor.json in the root")
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    return parser


if __name__ == "__main__":
    sys.exit(main())
