"""Has the operator do what a Device's spec asks for: `Asking.ask`, or why it cannot be."""

from collections.abc import Callable
from typing import Final, assert_never

from harmony_fleet.operator.coordinator import AlreadyRuns, OrderRefused, Overtaken
from harmony_fleet.operator.known import Sight
from harmony_fleet.operator.kubernetes.conditions import Obstacle
from harmony_fleet.operator.kubernetes.mapping import device_id_of, reason
from harmony_fleet.operator.kubernetes.mirror import Key, key_of
from harmony_fleet.operator.kubernetes.objects import Device
from harmony_fleet.operator.kubernetes.render import asked_of
from harmony_fleet.operator.kubernetes.store import KubernetesStore
from harmony_fleet.operator.kubernetes.wants import GiveAbort, GiveOrder, Settled, Wait, decide
from harmony_fleet.operator.loop import Operator
from harmony_fleet.operator.ports import Clock, Conflict, StoreError
from harmony_fleet.operator.results import ReleaseRefused, ReleaseWithdrawn, UnknownRelease

ON_ITS_WAY_S: Final = 10.0
"""A release that a Device asks for may be applied in one go with it, and after it."""
_UNKNOWN: Final = "UnknownRelease"


class Asking:
    def __init__(
        self,
        operator: Operator,
        store: KubernetesStore,
        clock: Clock,
        look_later: Callable[[Key, float], None],
    ) -> None:
        """`look_later`: at that Device, in so many seconds."""
        self._operator, self._store, self._clock = operator, store, clock
        self._look_later = look_later
        self._missed: dict[Key, tuple[str, float]] = {}
        """Which release a Device asks for that was not there, and since when."""

    def misses(self, key: Key) -> bool:
        """A release that it asks for was not there."""
        return key in self._missed

    def forget(self, key: Key) -> None:
        self._missed.pop(key, None)

    async def ask(self, device: Device, sight: Sight) -> Obstacle | None:
        """What is asked for; or why that cannot be."""
        name = sight.case.record.device_id
        decision = decide(asked_of(device), sight.case.record)
        match decision:
            case GiveOrder(version, retry):
                order = sight.case.record.order
                over = order.upgrade_id if order else ""
                return await self._order(device, version, retry, over)
            case GiveAbort():
                return await self._abort(name)
            case Wait() | Settled():
                return None
            case _:
                assert_never(decision)

    async def _order(self, device: Device, version: str, retry: bool, over: str) -> Obstacle | None:
        """`over`: the order that it was decided upon. Another replica may have given one since."""
        names = [device_id_of(device)]
        try:
            with self._store.following(names[0], version):
                (result,) = await self._operator.upgrade(names, version, retry, True, over)
        except UnknownRelease:
            return self._unknown(device, version)
        except ReleaseWithdrawn as refusal:
            return Obstacle("ReleaseWithdrawn", str(refusal))
        except ReleaseRefused as refusal:
            return Obstacle("ReleaseRefused", str(refusal))
        except (AlreadyRuns, Overtaken) as refusal:  # what was looked at was older than what is
            raise Conflict(str(refusal)) from refusal
        except OrderRefused as refusal:
            return Obstacle("OrderRefused", str(refusal))
        if result.reason is None:
            return None
        if result.kind == OrderRefused.kind:
            return Obstacle("OrderRefused", result.reason)
        raise StoreError(result.reason)  # also where it was overtaken: it is looked at again

    def _unknown(self, device: Device, version: str) -> Obstacle | None:
        """Not at once: whoever waits for the Device would take Stalled for its end."""
        key, now_s = key_of(device), self._clock.monotonic()
        missed, since_s = self._missed.get(key, ("", now_s))
        if missed != version:
            self._missed[key] = (version, now_s)
            since_s = now_s
        left_s = since_s + ON_ITS_WAY_S - now_s
        if left_s <= 0 or reason(device, "Stalled") == _UNKNOWN:
            return Obstacle(_UNKNOWN, f"there is no AgentRelease of version {version}")
        self._look_later(key, left_s)
        return None

    async def _abort(self, name: str) -> Obstacle | None:
        try:
            await self._operator.abort([name])
        except OrderRefused as refusal:
            return Obstacle("AbortRefused", str(refusal))
        return None
