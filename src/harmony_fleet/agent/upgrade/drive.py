"""Carries out what `machine` decides: journal it, do it, feed back what happened.

One event at a time. The state's journal is durable before an effect is performed; where it cannot
be made durable nothing is performed, the state stays, and the event is taken again later. Long
work runs beside the loop, one piece at a time; what a cancelled piece still says is dropped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from harmony_fleet.agent.upgrade.effects import (
    Exit,
)
from harmony_fleet.agent.upgrade.events import (
    Event,
    JournalRead,
    PrimaryStarted,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.perform import Performer
from harmony_fleet.agent.upgrade.ports import JournalStore, JournalUnwritable
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.states import (
    OpenState,
    Starting,
    State,
)

logger = logging.getLogger(__name__)

Watch = Callable[[OpenState], None]


@dataclass
class Driver:
    journal: JournalStore
    perform: Performer
    retry_s: float
    """Before an event is taken again whose state could not be journaled."""
    watch: Watch = lambda _: None
    """Told of each state, once it is durable."""
    state: State = field(default_factory=Starting)
    _durable: Journal | None = None

    async def run(self, first: PrimaryStarted) -> int:
        """Until the machine wants this process to exit: the exit status."""
        self._durable = first.found.journal if isinstance(first.found, JournalRead) else None
        pending: deque[Event] = deque([first])
        while True:
            event = pending.popleft() if pending else await self.perform.inbox.get()
            try:
                after, effects = step(self.state, event)
                await self._make_durable(after)
            except IllegalEvent as error:
                if isinstance(self.state, Starting):  # the first event waits for the disk
                    self.perform.inbox.put_later(event, self.retry_s)
                else:
                    logger.warning("%s: ignored", error)
                continue
            except JournalUnwritable as error:
                logger.error("%s; trying again in %s s", error, self.retry_s)
                self.perform.ports.service.ready()  # it is alive, and a restart heals no disk
                self.perform.inbox.put_later(event, self.retry_s)
                continue
            self._enter(after)
            for effect in effects:
                if isinstance(effect, Exit):
                    return effect.code
                outcome = await self.perform(effect, after)
                if outcome is not None:
                    pending.append(outcome)

    async def _make_durable(self, after: OpenState) -> None:
        if after.journal != self._durable:
            await asyncio.to_thread(self.journal.write, after.journal)
            self._durable = after.journal

    def _enter(self, after: OpenState) -> None:
        if type(after) is not type(self.state):
            logger.info("%s -> %s", type(self.state).__name__, type(after).__name__)
        self.state = after
        self.watch(after)
