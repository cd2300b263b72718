"""The operator: carries out what `coordinator` decides, over the store and the message plane.

Rules
1. One event at a time for each device. The record is stored before its effects are performed.
2. A conflict in the store means that another operator was faster: read again, decide again.
3. A marker and a stop are sent in a task of their own, and only after another look at what the
   store wants: another operator may have aborted or replaced the order meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVarTuple, assert_never

from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import Desired
from harmony_fleet.labels import Changes, Selector
from harmony_fleet.messaging.connection import Plane
from harmony_fleet.messaging.requests import MessagingError
from harmony_fleet.operator.backoff import backoff_s
from harmony_fleet.operator.commands import FleetCommandsClient
from harmony_fleet.operator.complaints import Complaints
from harmony_fleet.operator.coordinator import (
    Case,
    Effect,
    OrderRefused,
    SendStop,
    Tell,
    WriteMarker,
    may_stop,
    step,
)
from harmony_fleet.operator.events import (
    AbortOrdered,
    Event,
    HeartbeatSeen,
    LabelsOrdered,
    Ordered,
    PauseOrdered,
    Sighting,
    StopAnswered,
    StopUnanswered,
)
from harmony_fleet.operator.known import KnownDevice, KnownDevices, Sight
from harmony_fleet.operator.markers import Markers
from harmony_fleet.operator.observer import SOON_S, Observer
from harmony_fleet.operator.orders import Orders
from harmony_fleet.operator.ports import (
    Clock,
    Conflict,
    DeviceStore,
    Ids,
    NotDeclared,
    StoreError,
    Versioned,
)
from harmony_fleet.operator.preflight import LIMIT_S as PREFLIGHT_LIMIT_S
from harmony_fleet.operator.preflight import Preflights
from harmony_fleet.operator.preflight_rules import PreflightResult
from harmony_fleet.operator.records import Happening
from harmony_fleet.operator.results import OrderResult, UnknownDevice, Wanted
from harmony_fleet.operator.streams import StreamLimits
from harmony_fleet.operator.turned_away import TurnedAway
from harmony_fleet.operator.waiting import Waiting

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
"""Before all is listed again for something that the store goes on refusing."""

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Settings:
    relist_s: float = 300.0
    """How often the buckets are compared with the store although nothing seems lost."""
    command_limit_s: float = 5.0
    preflight_limit_s: float = PREFLIGHT_LIMIT_S
    streams: StreamLimits = field(default_factory=StreamLimits)
    """What every listing ensures, as whoever made the streams did."""


class Operator:
    def __init__(
        self,
        store: DeviceStore,
        plane: Plane,
        clock: Clock,
        ids: Ids,
        artifact_base_url: str,
        settings: Settings = Settings(),
    ) -> None:
        self._store, self._plane, self._clock = store, plane, clock
        self._devices = KnownDevices(store, clock)
        self._orders = Orders(store, clock, ids, artifact_base_url, self._devices.current)
        self._commands = FleetCommandsClient(plane, settings.command_limit_s, ids.nonce())
        self._preflights = Preflights(
            self._orders, self._commands, clock, settings.preflight_limit_s
        )
        self._markers = Markers(plane, clock, self._devices.looked_again)
        self._observer = Observer(plane, self._saw, clock.now, settings.relist_s, settings.streams)
        self._newcomers: dict[str, Waiting] = {}
        self._turned_away: TurnedAway[str] = TurnedAway(clock.monotonic)
        self._failures = 0
        """Listings in a row after which something that was seen could not be stored."""
        self._failed = False
        self._complaints = Complaints(clock.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()

    # What people ask

    @property
    def plane_connected(self) -> bool:
        return self._plane.connected

    def sights(self) -> Sequence[Sight]:
        return [self.sight(device_id) for device_id in sorted(self._devices)]

    def sight(self, device_id: str) -> Sight:
        """Raises UnknownDevice."""
        return self._devices.sight(device_id)

    async def look_up(self, device_id: str) -> Sight:
        """With what the store holds now, also of a device that only another operator has adopted.

        Raises UnknownDevice, StoreError.
        """
        await self._devices.current(device_id)
        return self.sight(device_id)

    async def register(self, device_id: str) -> None:
        """Declare a device before it is first heard. Idempotent. Raises StoreError."""
        if device_id not in self._devices:
            await self._devices.adopt(device_id)

    async def label(self, device_id: str, changes: Changes) -> Sight:
        """Raises UnknownDevice, OrderRefused, StoreError: then nothing was changed."""
        return await self._order(device_id, LabelsOrdered(changes))

    async def pause(self, wanted: Wanted | None, paused: bool) -> Sequence[OrderResult]:
        """Or, where `paused` is false, resume; None: every device.

        Raises as `Orders` says: then none was.
        """
        return await self._give_each(await self._orders.pauses(wanted, paused))

    async def selected(self, selector: Selector) -> Sequence[Sight]:
        """By the labels that the store holds now; none is no error. Raises StoreError."""
        return [await self._devices.as_stored(one) for one in await self._orders.select(selector)]

    async def upgrade(
        self,
        wanted: Wanted | None,
        version: str,
        retry: bool,
        replace: bool,
        over: str | None = None,
    ) -> Sequence[OrderResult]:
        """None: every device. `over`: as `Ordered` has it.

        Where it raises, as `Orders` says, nothing was ordered at all.
        """
        orders = await self._orders.upgrades(wanted, version, retry, replace, over)
        return await self._give_each(orders)

    async def rollback(self, wanted: Wanted) -> Sequence[OrderResult]:
        """Order each one back to what it ran before. Raises as `Orders` says: then none is."""
        return await self._give_each(await self._orders.rollbacks(wanted))

    async def abort(self, wanted: Wanted) -> Sequence[OrderResult]:
        """Raises as `Orders` says: then nothing was aborted."""
        return await self._give_each(await self._orders.aborts(wanted))

    async def preflight(self, wanted: Wanted | None, version: str) -> Sequence[PreflightResult]:
        """Asks; nothing is ordered. Raises as `Orders.trials` says."""
        return await self._preflights.ask(wanted, version)

    def list_soon(self) -> None:
        """Compare the buckets with the store again: something was seen and not stored."""
        self._observer.list_soon()

    async def learn(self, found: Versioned) -> Sight:
        """What somebody else has stored. Raises StoreError, UnknownDevice."""
        return await self._devices.as_stored(found)

    async def retire(self, device_id: str) -> None:
        """Take back what it was told, as far as it can be, and forget it. Idempotent.

        Raises StoreError, MessagingError: it is not forgotten.
        """
        device = self._devices.get(device_id)
        if device is None:
            return
        try:
            await self._take(device_id, AbortOrdered())
        except OrderRefused:
            pass  # nothing is under way, or it is committed
        except UnknownDevice:
            return  # its record was removed before this
        order = device.case.record.order
        if order is not None and order.open and order.desired is Desired.ABORT:
            await self._markers.put(order.marker(device_id))
        async with device.lock:
            self._devices.forget(device_id)

    # What happens

    async def run(self) -> None:
        """Until cancelled. Raises StoreError where the store cannot be read at the start."""
        await self._take_up()
        self._devices.hearing = True
        await self._commands.start()
        await self._observer.start(lambda: [*self._devices, *self._newcomers], self._take_up)
        try:
            await self._observer.run()
        finally:
            for task in self._tasks:
                task.cancel()

    async def _take_up(self) -> None:
        """What another operator has stored since, and perhaps died before it could act on it.

        Raises StoreError.
        """
        self._failures = self._failures + 1 if self._failed else 0
        self._failed = False
        for found in await self._store.load_all():
            await self._devices.as_stored(found)
            await asyncio.sleep(0)  # where there are thousands, others must have their turns

    def _saw(self, device_id: str, event: Sighting) -> None:
        """The observer's report. What changes nothing is settled here, without a task."""
        device = self._devices.get(device_id)
        if device is None:
            if device_id not in self._newcomers:
                if device_id in self._turned_away:
                    return
                self._newcomers[device_id] = Waiting()
                self._spawn(self._meet, device_id)
            self._newcomers[device_id].put(event)
            return
        if device.free:
            after, effects = step(device.case, event)
            if after.record == device.case.record and not effects:
                self._remember(device, after, event)
                return
        if device.waiting.put(event):
            self._spawn(self._take_oldest, device)

    async def _meet(self, device_id: str) -> None:
        """However much a newcomer says, it is adopted once, and then taken at its newest words.

        One that cannot be taken in now comes again by itself: it heartbeats.
        """
        try:
            await self._devices.adopt(device_id)
        except NotDeclared as refusal:
            self._turn_away(device_id, str(refusal))
            return
        except StoreError as error:
            self._turn_away(device_id, f"{device_id} is not taken in now: {error}")
            return
        except BaseException:
            self._newcomers.pop(device_id)
            raise
        self._turned_away.taken_in()
        said = self._newcomers.pop(device_id)
        self._observer.list_soon()  # what it said before it was known here
        while said:
            self._saw(device_id, said.take())

    def _turn_away(self, device_id: str, why: str) -> None:
        self._newcomers.pop(device_id)
        self._turned_away.add(device_id)
        self._complaints.of(device_id, why)

    async def _take_oldest(self, device: KnownDevice) -> None:
        async with device.lock:
            await self._decide(device, device.waiting.take())

    async def _order(self, device_id: str, event: Event) -> Sight:
        await self._devices.current(device_id)
        await self._take(device_id, event)
        return self.sight(device_id)

    async def _take(self, device_id: str, event: Event) -> None:
        """Decide, store, perform. Raises UnknownDevice, OrderRefused, StoreError."""
        device = self._devices.known(device_id)
        async with device.lock:
            await self._decide(device, event)

    async def _decide(self, device: KnownDevice, event: Event) -> None:
        while True:
            before = device.case.record
            after, effects = step(device.case, event)
            happenings = [e.happening for e in effects if isinstance(e, Tell)]
            try:
                if after.record != before:
                    await self._save(device, after, happenings)
                break
            except Conflict:
                await self._devices.reload(device)
        self._remember(device, after, event)
        for effect in effects:
            self._perform(before.device_id, effect)
        if happenings and after.record == before:
            self._spawn(self._tell, device, happenings)  # after the effects, which wait for no one

    async def _save(self, device: KnownDevice, after: Case, told: Sequence[Happening]) -> None:
        device.revision = await self._store.save(after.record, device.revision, told)

    async def _tell(self, device: KnownDevice, told: Sequence[Happening]) -> None:
        """History beside a record that did not change: no decision waits for it, or fails by it."""
        try:
            async with device.lock:
                while True:
                    try:
                        return await self._save(device, device.case, told)
                    except Conflict:
                        await self._devices.reload(device)
        except StoreError as error:
            name = device.case.record.device_id
            logger.error("missing from the history of %s: %s (%s)", name, told, error)

    def _remember(self, device: KnownDevice, after: Case, event: Event) -> None:
        device.case = after
        if isinstance(event, HeartbeatSeen) and event.live and event.heartbeat.role is Role.PRIMARY:
            device.heard_at_s = self._clock.monotonic()

    # Effects

    def _perform(self, device_id: str, effect: Effect) -> None:
        match effect:
            case WriteMarker(marker):
                self._spawn(self._markers.write, marker)
            case SendStop(upgrade_id, after):
                self._spawn(self._send_stop, device_id, upgrade_id, after)
            case Tell(happening):
                logger.info("%s: %s", device_id, happening.sentence)
            case _:
                assert_never(effect)

    async def _send_stop(self, device_id: str, upgrade_id: str, after: int) -> None:
        """The word that ends the old agent. Whatever comes back, nothing but an answer is one."""
        try:
            if after:
                await self._clock.sleep(backoff_s(after))
            if may_stop(await self._devices.looked_again(device_id), upgrade_id):
                answer = await self._commands.upgrade_stop(device_id, upgrade_id)
                await self._take(device_id, StopAnswered(upgrade_id, answer, self._clock.now()))
                return
        except UnknownDevice:
            return  # it was removed meanwhile
        except (MessagingError, StoreError) as error:
            # An answer that could not be stored was none, either: the device gives it again.
            logger.info("the stop of %s has no answer yet: %s", device_id, error)
        except Exception:  # a stop that stayed on its way would block all later ones
            logger.exception("the stop of %s failed", device_id)
        await self._take(device_id, StopUnanswered(upgrade_id))

    # Helpers

    async def _give_each(
        self, orders: Mapping[str, Ordered | AbortOrdered | PauseOrdered]
    ) -> Sequence[OrderResult]:
        return await asyncio.gather(*(self._give(name, order) for name, order in orders.items()))

    async def _give(
        self, device_id: str, event: Ordered | AbortOrdered | PauseOrdered
    ) -> OrderResult:
        to = event.version if isinstance(event, Ordered) else None
        try:
            if device_id not in self._devices:
                await self._devices.current(device_id)
            await self._take_as_stored(device_id, event)
        except (OrderRefused, StoreError, UnknownDevice) as refusal:
            return OrderResult(device_id, None, str(refusal), refusal.kind, to)
        order = self._devices.known(device_id).case.record.order
        if isinstance(event, PauseOrdered):
            order = order if order and order.open else None
            to = order.version if order else None
        return OrderResult(device_id, order.upgrade_id if order else None, None, to_version=to)

    async def _take_as_stored(self, device_id: str, event: Event) -> None:
        """A save finds out what another has written; a refusal has to be by what the store holds.

        Raises as `_take`.
        """
        try:
            await self._take(device_id, event)
        except OrderRefused:
            await self._devices.current(device_id)
            await self._take(device_id, event)

    def _spawn(self, work: Callable[[*Ts], Awaitable[None]], *given: *Ts) -> None:
        """Not called before its task runs: what is cancelled until then was never begun."""
        task = asyncio.create_task(self._logged(work, *given))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Callable[[*Ts], Awaitable[None]], *given: *Ts) -> None:
        try:
            await work(*given)
        except UnknownDevice as error:
            logger.info("%s", error)  # it was retired meanwhile
        except StoreError as error:
            logger.error("%s", error)
            self._failed = True  # what was seen and not stored is seen again
            self._observer.list_soon(min(LONGEST_WAIT_S, SOON_S * 2 ** min(self._failures, 16)))
        except Exception:  # the runner: one device's fault must not end the operator
            logger.exception("a decision failed")
