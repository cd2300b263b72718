"""Makes the operator do what the Devices' specs ask for, and their status say how it stands.

While this replica leads: `Driver.run()`. Every Device that has changed, or of which something else
was seen, is looked at by one worker at a time: what somebody else has stored is learned, what is
asked for is ordered, what keeps it from coming about is noted. What a look finds does not depend
on what made it happen, so one that was missed is made up for by the next.

A spec that nobody has looked at goes first, and no look waits for a note of another to be written.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, get_args

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.known import Sight
from harmony_fleet.operator.kubernetes.asking import Asking
from harmony_fleet.operator.kubernetes.conditions import Obstacle, Presence
from harmony_fleet.operator.kubernetes.devices import Devices
from harmony_fleet.operator.kubernetes.mapping import (
    ObjectUnusable,
    check_usable,
    device_id_of,
    reason,
    record_of,
    revision_of,
)
from harmony_fleet.operator.kubernetes.mirror import Key, Mirror, key_of
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.kubernetes.notes import Notes
from harmony_fleet.operator.kubernetes.objects import AgentRelease, Device
from harmony_fleet.operator.kubernetes.render import Outlook
from harmony_fleet.operator.kubernetes.store import KubernetesStore
from harmony_fleet.operator.kubernetes.work_queue import WorkQueue
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.ports import Clock, Versioned
from harmony_fleet.operator.views import Condition, online, waits_for
from harmony_fleet.operator.views import conditions as trouble
from harmony_fleet.operator.write_behind import WriteBehind

logger = logging.getLogger(__name__)

_TROUBLES: Final = frozenset(get_args(Condition))
"""What comes and goes without a change of the Device."""
WORKERS: Final = 8
NOTES: Final = 4
"""That are written at once."""
LOOK_S: Final = 2.0
"""Between two looks at which devices are heard."""
PATIENCE_S: Final = 90.0
"""After its start an operator calls nobody silent: three intervals of the longest usual ones."""


class Driver:
    def __init__(
        self,
        operator: Operator,
        store: KubernetesStore,
        behind: WriteBehind,
        devices: Devices,
        releases: Mirror[AgentRelease],
        clock: Clock,
    ) -> None:
        """`behind`: what the operator writes to, over that store."""
        self._operator, self._store, self._behind = operator, store, behind
        self._devices, self._clock = devices, clock
        self._queue: WorkQueue[Key] = WorkQueue()
        self._notes = Notes(store, behind)
        self._asking = Asking(operator, store, clock, self._queue.add_later)
        self._releases = releases
        self._began_s = clock.monotonic()
        devices.mirror.on_change(self._changed)
        releases.on_change(self._release_changed)

    async def run(self) -> None:
        """Until cancelled. The operator must be running."""
        for device in self._devices.mirror:
            self._changed(key_of(device))
        workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        workers += [asyncio.create_task(self._notes.run()) for _ in range(NOTES)]
        try:
            await self._look_around()
        finally:
            self._devices.mirror.off_change(self._changed)
            self._releases.off_change(self._release_changed)
            self._queue.close()
            self._notes.close()
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)

    def _changed(self, key: Key) -> None:
        device = self._devices.mirror.get(key)
        self._queue.add(key, first=device is None or _asks(device))

    def _release_changed(self, key: Key) -> None:
        """Whoever waits for it may have it now."""
        for device in self._devices.mirror:
            asks = object_name(device.spec.version) == key[1]
            if asks and (_waits(device) or self._asking.misses(key_of(device))):
                self._queue.add(key_of(device))

    async def _look_around(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            for sight in self._operator.sights():
                device = self._devices.of(sight.case.record.device_id)
                if device is not None and self._differs(device, sight):
                    self._queue.add_later(key_of(device), 0)  # no sooner than what failed before

    def _differs(self, device: Device, sight: Sight) -> bool:
        shown = device.status.heartbeat if device.status else None
        presence = self._presence(sight)
        found = trouble(sight, self._clock.now())
        changed = presence is not None and (shown or Presence.UNHEARD) != presence
        return changed or bool(found) != (reason(device, "Stalled") in _TROUBLES)

    def _presence(self, sight: Sight) -> Presence | None:
        """None: it cannot be told yet."""
        if online(sight):
            return Presence.FRESH
        if sight.heard_age_s is not None:
            return Presence.LOST
        patient = self._clock.monotonic() - self._began_s < PATIENCE_S
        if patient or sight.case.record.current_version is None:
            return None
        return Presence.LOST

    # One Device

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(0)  # most looks wait for nothing: others must have their turns
            key = await self._queue.take()
            try:
                await self._look_at(key)
                self._queue.done(key)
            except FleetError as error:
                logger.warning("%s/%s is looked at again later: %s", *key, error)
                self._queue.failed(key)
            except Exception:  # the runner: one device's fault must not end the others' turns
                logger.exception("looking at %s/%s failed", *key)
                self._queue.failed(key)

    async def _look_at(self, key: Key) -> None:
        """Raises StoreError, MessagingError."""
        device = self._devices.mirror.get(key)
        if device is None:
            await self._gone(key)
            return
        if device.metadata.deletion_timestamp:
            await self._retire(device)
            return
        try:
            check_usable(device)
            record_of(device)
        except ObjectUnusable as error:
            await self._leave_alone(device, Obstacle("Unusable", str(error)))
            return
        if self._devices.is_twin(device):
            await self._leave_alone(device, Obstacle("Twin", self._older(device)))
            return
        await self._bring_about(key, device)

    async def _bring_about(self, key: Key, device: Device) -> None:
        device = await self._store.hold(device)
        # An order names its version in the spec first: half of it is no other one that is asked for
        await self._behind.settled(device_id_of(device))
        device = self._devices.mirror.get(key) or device
        stored = Versioned(record_of(device), revision_of(device))
        sight = await self._operator.learn(self._behind.as_known(stored))
        obstacle = await self._asking.ask(device, sight)
        sight = self._operator.sight(sight.case.record.device_id)
        obstacle = obstacle or self._obstacle(sight)
        outlook = Outlook(self._presence(sight), obstacle, device.metadata.generation)
        self._notes.add(sight.case.record.device_id, outlook)

    async def _leave_alone(self, device: Device, obstacle: Obstacle) -> None:
        """Whoever mends it, changes it, and it is looked at again."""
        logger.error("%s/%s is left alone: %s", *key_of(device), obstacle.sentence)
        await self._store.leave_alone(device, obstacle)

    def _older(self, twin: Device) -> str:
        older = self._devices.of(device_id_of(twin))
        where = older.metadata.namespace if older else "another namespace"
        name = device_id_of(twin)
        return f"the Device of {name} in {where} is older, and counts: delete one of them"

    async def _gone(self, key: Key) -> None:
        _space, name = key
        self._asking.forget(key)
        for twin in self._devices.named(name):
            self._queue.add(key_of(twin))  # it may be the one that counts now
        for device_id in self._called(name):
            if self._devices.of(device_id) is None:
                self._store.forget(device_id)
                await self._operator.retire(device_id)

    def _called(self, name: str) -> Sequence[str]:
        """The device ids that an object of this name may have been for."""
        if "." not in name:
            return (name,)
        known = (sight.case.record.device_id for sight in self._operator.sights())
        return [device_id for device_id in known if object_name(device_id) == name]

    async def _retire(self, device: Device) -> None:
        if not self._devices.is_twin(device):
            await self._operator.retire(device_id_of(device))
            self._store.forget(device_id_of(device))
        await self._store.let_go(device)

    def _obstacle(self, sight: Sight) -> Obstacle | None:
        found = trouble(sight, self._clock.now())
        if not found:
            return None
        waits = waits_for(sight)
        return Obstacle(found[0], f"waits for {waits}" if waits else "see `fleet why`")


def _asks(device: Device) -> bool:
    """Something of its spec was not looked at yet."""
    if device.status is None or device.metadata.deletion_timestamp:
        return True
    return device.status.observed_generation != device.metadata.generation


def _waits(device: Device) -> bool:
    """For a release, as far as its status knows."""
    return reason(device, "Stalled") is not None or reason(device, "Reconciling") == "Ordering"
