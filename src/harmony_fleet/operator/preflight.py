"""Asks devices whether an upgrade would work there. Nothing is ordered, stored or changed.

Each device is asked by itself, many at once, within a time of its own. One that does not answer is
unknown, which is never a yes.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from harmony_fleet.contracts.preflight import PreflightCommand
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.commands import FleetCommandsClient
from harmony_fleet.operator.orders import Orders, Trial
from harmony_fleet.operator.ports import Clock
from harmony_fleet.operator.preflight_rules import (
    PreflightResult,
    judge_answer,
    judge_order,
    judge_silence,
)
from harmony_fleet.operator.results import Wanted

LIMIT_S: Final = 30.0
"""For one device, which gives itself 25 s."""
AT_ONCE: Final = 64
"""Devices that are asked side by side: their answers, and what they fetch, come from one place."""


class Preflights:
    def __init__(
        self, orders: Orders, commands: FleetCommandsClient, clock: Clock, limit_s: float = LIMIT_S
    ) -> None:
        self._orders, self._commands, self._clock = orders, commands, clock
        self._limit_s = limit_s

    async def ask(self, wanted: Wanted | None, version: str) -> Sequence[PreflightResult]:
        """None: every device. Raises as `Orders.trials` does; then nobody was asked."""
        trials = await self._orders.trials(wanted, version)
        turns = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(self._ask(trial, turns) for trial in trials))

    async def _ask(self, trial: Trial, turns: asyncio.Semaphore) -> PreflightResult:
        device_id, order = trial.record.device_id, trial.order
        async with turns:
            now = self._clock.now()
            asked = PreflightCommand(device_id, order.version, order.artifact, now, trial.python)
            try:
                answer = await self._commands.preflight(asked, self._limit_s)
            except MessagingError as error:
                found = judge_silence(str(error))
            else:
                found = judge_answer(answer, order.version)
        return PreflightResult(device_id, (judge_order(trial), *found))
