"""What a Device's spec asks of the operator now: `decide(asked, record)`. Pure.

Rules
1. The spec's version is ordered once for each time that it is asked for: when it changes, or with
   a new `retry`. What has failed is not ordered again by itself, nor what was replaced by hand.
2. An order under way gives way to another version that is asked for; to the version that runs, by
   an abort. What is committed is in probation, and ends first.
3. Paused, nothing is ordered. An abort is no order.
4. Nothing is ordered of a device whose status was never heard: only that tells which generations
   its journal has seen, and it would ignore an order of one of them.
"""

from dataclasses import dataclass

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, Desired
from harmony_fleet.operator.records import DeviceRecord, Order


@dataclass(frozen=True, slots=True)
class Acted:
    """What of a spec was acted on."""

    version: str = ""
    retry: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A Device's spec, as far as it asks for something; labels and `paused` are in the record."""

    version: str = ""
    """Empty: none is asked for."""
    retry: str = ""
    acted: Acted | None = None
    """What was acted on last; None: nothing yet."""

    @property
    def now(self) -> Acted:
        return Acted(self.version, self.retry)


@dataclass(frozen=True, slots=True)
class GiveOrder:
    version: str
    retry: bool


@dataclass(frozen=True, slots=True)
class GiveAbort:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """For the order under way, for the device's first word, or for whoever paused it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is to be done: it is so, or it has failed."""


Decision = GiveOrder | GiveAbort | Wait | Settled


def decide(asked: Asked, record: DeviceRecord) -> Decision:
    if not asked.version:
        return Settled()
    order = record.order
    if order is not None and order.open:
        return _under_way(asked, record, order)
    if record.current_version == asked.version:
        return Settled()
    if asked.acted == asked.now and order is not None and order.version == asked.version:
        return Settled()
    return Wait() if record.paused or record.journal_id is None else _order(asked)


def _under_way(asked: Asked, record: DeviceRecord, order: Order) -> Decision:
    if order.version == asked.version or order.phase is AgentUpgradePhase.COMMITTED:
        return Wait()
    if record.current_version != asked.version:
        return Wait() if record.paused else _order(asked)
    return GiveAbort() if order.desired is Desired.RUN else Wait()


def _order(asked: Asked) -> GiveOrder:
    was = asked.acted or Acted()
    return GiveOrder(asked.version, retry=bool(asked.retry) and asked.retry != was.retry)
