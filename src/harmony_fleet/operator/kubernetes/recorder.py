"""Events of the cluster, for `kubectl describe`: `Recorder.told` is what the store tells.

Of a device's history only what ends an upgrade, or needs a person, becomes an Event: all of it
stands in the Device itself. Nobody waits for them, and under a flood the oldest go. What is said
again is counted in the Event that said it first, as long as that is there.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.events_v1 import Event

from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.kubernetes.cluster import FIELD_MANAGER, Cluster
from harmony_fleet.operator.kubernetes.names import API_VERSION
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.kubernetes.times import micro_text, micro_time
from harmony_fleet.operator.kubernetes.turns import Rank
from harmony_fleet.operator.ports import Clock, Conflict, StoreError
from harmony_fleet.operator.records import Happening

MOST_WAITING: Final = 1000
MOST_KNOWN: Final = 1000
_MAX_NOTE: Final = 1024
_NEEDS_A_PERSON: Final = {
    "duplicate_identity": "DuplicateIdentity",
    "journal_set_back": "JournalSetBack",
    "stop_refused": "StopRefused",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Note:
    device: ObjectReference
    reason: str
    text: str
    good: bool

    @property
    def key(self) -> tuple[str | None, str, str]:
        return self.device.uid, self.reason, self.text


class Recorder:
    def __init__(self, cluster: Cluster, clock: Clock, instance: str) -> None:
        """`instance`: which replica says so."""
        self._cluster, self._clock, self._instance = cluster, clock, instance
        self._waiting: deque[_Note] = deque(maxlen=MOST_WAITING)
        self._known: OrderedDict[tuple[str | None, str, str], tuple[str, int]] = OrderedDict()
        self._some = asyncio.Event()

    def told(self, device: Device, happenings: Sequence[Happening]) -> None:
        for reason, happening in worth_telling(device, happenings):
            good = reason == AgentUpgradePhase.SUCCEEDED
            note = happening.sentence[:_MAX_NOTE]
            self._waiting.append(_Note(_reference(device), reason, note, good))
            self._some.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                note = self._waiting.popleft()
                try:
                    await self._say(note)
                except StoreError as error:
                    logger.warning("no Event tells %r: %s", note.text, error)

    async def _say(self, note: _Note) -> None:
        name, times = self._known.get(note.key, ("", 0))
        now = self._clock.now()
        if not (times and await self._counted(note, name, times + 1, now)):
            name, times = f"{note.device.name}.{secrets.token_hex(8)}", 0
            await self._cluster.create(self._event(note, name, now), Rank.NOTED)
        self._known[note.key] = (name, times + 1)
        self._known.move_to_end(note.key)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def _counted(self, note: _Note, name: str, times: int, now: str) -> bool:
        """False: it has gone, for the cluster keeps Events for an hour, as a rule."""
        space = note.device.namespace or ""
        series = {"series": {"count": times, "lastObservedTime": micro_text(now)}}
        try:
            await self._cluster.merge(Event, space, name, series, Rank.NOTED)
        except Conflict:
            return False
        return True

    def _event(self, note: _Note, name: str, now: str) -> Event:
        return Event(
            metadata=ObjectMeta(name=name, namespace=note.device.namespace),
            eventTime=micro_time(now),
            type="Normal" if note.good else "Warning",
            reason=note.reason,
            action="Upgrade",
            note=note.text,
            regarding=note.device,
            reportingController=FIELD_MANAGER,
            reportingInstance=self._instance,
        )


def worth_telling(
    device: Device, happenings: Sequence[Happening]
) -> Iterator[tuple[str, Happening]]:
    """Each with its reason, one word. Of phases stored in one go the last is the one it is in."""
    end = _end(device, happenings)
    for happening in happenings:
        if reason := _NEEDS_A_PERSON.get(happening.kind):
            yield reason, happening
        elif device.status and device.status.upgrade and happening is end:
            yield device.status.upgrade.phase, happening


def _end(device: Device, happenings: Sequence[Happening]) -> Happening | None:
    upgrade = device.status.upgrade if device.status else None
    if upgrade is None or not AgentUpgradePhase(upgrade.phase).final:
        return None
    phases = (one for one in reversed(happenings) if one.kind == "phase")
    return next((one for one in phases if one.upgrade_id == upgrade.upgrade_id), None)


def _reference(device: Device) -> ObjectReference:
    known = device.metadata
    return ObjectReference(
        apiVersion=API_VERSION,
        kind="Device",
        name=known.name,
        namespace=known.namespace,
        uid=known.uid,
    )
