"""Which version a person's `fleet rollback` leads a device back to. Pure.

It is no memory of its own: the orders that are kept say what ran before. What succeeded last and
changed the version counts, also where that was a rollback: twice back is where one began.
"""

from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind
from harmony_fleet.operator.coordinator import OrderRefused
from harmony_fleet.operator.records import DeviceRecord, Order


def way_back(record: DeviceRecord) -> str:
    """The version that ran before the newest upgrade that succeeded.

    Raises OrderRefused: one is under way, or what ran before is not known.
    """
    name, newest = record.device_id, record.order
    if newest is not None and newest.open:
        raise OrderRefused(_under_way(name, newest))
    order = _last_change(record)
    if order is None or order.from_version is None:
        raise OrderRefused(
            f"what {name} ran before is not known: of its orders that are kept, none succeeded and "
            f"says what ran before it; choose a version with `fleet upgrade {name} --to VERSION`"
        )
    if record.current_version != order.version:
        runs = record.current_version or "nothing"
        raise OrderRefused(
            f"{name} was last heard to run {runs}, and its last upgrade that succeeded led to "
            f"{order.version}: what to go back to is not clear; choose a version with `fleet "
            f"upgrade {name} --to VERSION`"
        )
    return order.from_version


def _last_change(record: DeviceRecord) -> Order | None:
    """An upgrade that found its version running already has changed nothing."""
    orders: tuple[Order, ...] = (*record.past, *((record.order,) if record.order else ()))
    for order in reversed(orders):
        idle = order.cause is not None and order.cause.kind is CauseKind.ALREADY_RUNNING
        if order.phase is AgentUpgradePhase.SUCCEEDED and not idle:
            return order
    return None


def _under_way(name: str, order: Order) -> str:
    if order.phase is AgentUpgradePhase.COMMITTED:
        return (
            f"{name} has {order.version} on probation, and goes back by itself if that fails: wait "
            f"for the end of it, then run `fleet rollback {name}`"
        )
    return (
        f"{name} is being upgraded to {order.version} ({order.phase}), and nothing is there to go "
        f"back from yet: run `fleet abort {name}`"
    )
