"""What a Device's spec asks of the operator now: `decide(asked, record)`. Pure.

And when that has been acted on: `acted_on(asked, record, known)`.

Rules
1. The spec's version is ordered once for each time that it is asked for: when it changes, or with
   a new `retry`. What has failed is not ordered again by itself, nor what was replaced by hand.
2. An order under way gives way to another version that is asked for; to the version that runs, by
   an abort. What is committed is in probation, and ends first.
3. Paused, nothing is ordered. An abort is no order.
4. Nothing is ordered of a device whose status was never heard: only that tells which generations
   its journal has seen, and it would ignore an order of one of them.
5. Acted on is what was ordered, what runs, and what an order was aborted for. Whoever asks for
   nothing, and then for the same again, asks anew.
"""

from dataclasses import dataclass, replace

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
    if record.runs(asked.version):
        return Settled()
    if asked.acted == asked.now and not _came_all_the_same(asked, record):
        return Settled()
    return Wait() if record.paused or record.journal_id is None else _order(asked)


def _under_way(asked: Asked, record: DeviceRecord, order: Order) -> Decision:
    if order.version == asked.version or order.phase is AgentUpgradePhase.COMMITTED:
        return Wait()
    if not record.runs(asked.version):
        return Wait() if record.paused else _order(asked)
    return GiveAbort() if order.desired is Desired.RUN else Wait()


def _came_all_the_same(asked: Asked, record: DeviceRecord) -> bool:
    """The abort that was acted on came too late."""
    order = record.order
    if order is None or order.desired is not Desired.ABORT or order.version == asked.version:
        return False
    return record.current_version == order.version


def _order(asked: Asked) -> GiveOrder:
    was = asked.acted or Acted()
    return GiveOrder(asked.version, retry=bool(asked.retry) and asked.retry != was.retry)


def acted_on(asked: Asked, record: DeviceRecord, known: str | None) -> Asked:
    """With what was acted on by now. `known`: the newest order's id before `record` was written."""
    order, version = record.order, asked.version
    ordered = order is not None and order.version == version and order.upgrade_id != known
    at_rest = order is None or not order.open or order.desired is Desired.ABORT
    runs = record.runs(version) and at_rest
    withdrawn = not version and asked.acted is not None
    return replace(asked, acted=asked.now) if ordered or runs or withdrawn else asked
