"""The one candidate: a transient unit that outlives the primary, and is forgotten when it ends."""

import asyncio
from pathlib import Path

from harmony_fleet.agent.upgrade.local_messages import OUTPUT_KEPT, Candidate, StartCandidate
from harmony_fleet.embedded.supervisor.host import Host
from harmony_fleet.embedded.supervisor.output import Output
from harmony_fleet.embedded.supervisor.settings import CANDIDATE
from harmony_fleet.embedded.supervisor.watch import Limits, Watched, end_task


class CandidateSlot:
    """At most one task, and with it at most one process, at any time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._log = host.log(CANDIDATE)
        self._output = Output(OUTPUT_KEPT)
        self._watched: Watched | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._watched.pid if self._running() is not None and self._watched else None

    async def start(self, request: StartCandidate) -> Candidate:
        """Cancelled, it is ended first, unless another has taken its place."""
        await self.stop()
        self._output = output = Output(OUTPUT_KEPT, self._log)
        self._watched = watched = Watched(self._host, CANDIDATE, output)
        self._task = task = asyncio.create_task(self._run(watched, request))
        try:
            await asyncio.wait({watched.ready, task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await end_task(task)
            raise
        return Candidate(running=not task.done(), output=output.text())

    async def gone(self) -> Candidate:
        """Wait until none runs."""
        while (task := self._running()) is not None:
            await asyncio.wait({task})
        return Candidate(running=False, output=self._output.text())

    async def stop(self) -> Candidate:
        while (task := self._running()) is not None:
            await end_task(task)
        return Candidate(running=False, output=self._output.text())

    def now(self) -> Candidate:
        """What it printed before it said READY is read, whichever came first here."""
        if (watched := self._watched) is None:
            return Candidate(running=False, output="")
        if watched.process is not None:
            watched.process.collect()
        running = self._running() is not None and watched.ready.done()
        return Candidate(running, self._output.text())

    def _running(self) -> asyncio.Task[None] | None:
        return self._task if self._task is not None and not self._task.done() else None

    async def _run(self, watched: Watched, request: StartCandidate) -> None:
        limits = Limits(request.ready_limit_s, request.runtime_limit_s)
        try:
            await watched.run(Path(request.path), request.arguments, limits)
        except OSError as error:
            self._output.feed(f"cannot run: {error}\n".encode())
