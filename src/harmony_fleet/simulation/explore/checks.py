"""The invariants of the protocol, asked of the world itself: what must never be, and how all ends.

By the numbers of the list in `docs/proof.md`. Each returns what is wrong, or nothing.
"""

from typing import Final

from harmony_fleet.agent.upgrade.effects import StartCandidate
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.states import Checking, Idle, Reverting, Starting, Trial
from harmony_fleet.contracts.upgrade import AgentUpgradePhase, CauseKind, Ended
from harmony_fleet.operator.records import DeviceRecord, Order
from harmony_fleet.simulation.disk import JOURNAL, LINK, TORN, Disk, file_of
from harmony_fleet.simulation.explore.world import (
    LIE,
    NEW,
    OLD,
    VERSIONS,
    Device,
    Kind,
    Watch,
    digest,
    says,
)
from harmony_fleet.simulation.files import Program

PHASE: Final = AgentUpgradePhase
_UNDONE: Final = frozenset({PHASE.FAILED, PHASE.ROLLED_BACK})
_BY_THE_GUARD: Final = frozenset(
    {
        CauseKind.CRASH_LOOP,
        CauseKind.NO_CONTACT,
        CauseKind.PROBATION_EXPIRED,
        CauseKind.PLANE_UNREACHABLE,
    }
)
"""Why a commit may be undone."""
_NEVER_STARTED: Final = frozenset({Kind.WRONG_BYTES, Kind.FAILS_SELF_TEST})
_NEVER_PROVEN: Final = _NEVER_STARTED | {
    Kind.LIES,
    Kind.LIES_AS_OLD,
    Kind.CRASHES_AT_ONCE,
    Kind.NO_CONTACT,
}


def of_device(device: Device, kind: Kind) -> str:
    """Of each state of the device alone."""
    disk = Disk.of(device.disk)
    journal = disk.seen(JOURNAL)
    said = _judged(device, journal, kind) if isinstance(journal, Journal) else ""
    return _linked(device, disk, kind) or _files(device, disk) or said


def _linked(device: Device, disk: Disk, kind: Kind) -> str:
    """4, and with it 1: what the unit starts is there, whole, and was verified."""
    version = disk.seen(LINK)
    if version == Program(digest(OLD)):
        return ""
    if not isinstance(version, str):
        return "4: the link leads nowhere"
    if disk.seen(file_of(version)) != digest(version) and not (device.damaged and version == OLD):
        return f"4: the link leads to {version}, whose file is not whole"
    if version == NEW and kind in _NEVER_STARTED:
        return "4: the link leads to a version that did not pass its self-test"
    return ""


def _files(device: Device, disk: Disk) -> str:
    """3: what has its final name has its right bytes."""
    for version in disk.listed("versions"):
        found = disk.seen(file_of(version))
        if found != digest(version) and not (device.damaged and version == OLD and found is TORN):
            return f"3: the file of {version} was never verified"
    return ""


def _judged(device: Device, journal: Journal, kind: Kind) -> str:
    """5, 10: after its stop was acknowledged only the guard may undo an upgrade; only what has
    proven itself succeeds; and who was undone does not run on."""
    for ended in journal.ended:
        acknowledged = ended.upgrade_id in device.acknowledged
        if acknowledged and ended.phase in _UNDONE and ended.cause not in _BY_THE_GUARD:
            return f"5: acknowledged, and {ended.phase} by {ended.cause}"
        succeeded = ended.phase is PHASE.SUCCEEDED and ended.cause is None
        if succeeded and VERSIONS[ended.upgrade_id] == NEW and kind in _NEVER_PROVEN:
            return "10: a version that never proved itself succeeded"
    process, attempt = device.process, journal.attempt
    if process is None or attempt is None or not isinstance(process.state, Idle):
        return ""
    if not _was_committed(device, process.running, journal):
        return f"2: {process.running} stays, and no stop committed it"
    if process.state.journal != journal or not attempt.upgrade_id:
        return ""
    last = journal.verdict_on(attempt.upgrade_id)
    if (
        last is not None
        and last.phase is PHASE.ROLLED_BACK
        and process.running != attempt.from_version
    ):
        return "7: the version that was rolled back runs on"
    return ""


def _was_committed(device: Device, version: str, journal: Journal) -> bool:
    """Where a journal was lost, nobody knows."""
    known = {VERSIONS[upgrade_id] for upgrade_id in device.committed} | {OLD}
    return version in known or not journal.ended_complete


def of_devices_change(before: Device, after: Device, stopped: str | None) -> str:
    """Of each move of the device. `stopped`: by a stop for this upgrade_id."""
    committed = after.committed - before.committed
    if committed - {stopped, _stop_again(before)}:
        return "2: committed, and no stop named it"
    if committed and _is_starting(before):
        return "2: committed, and the candidate was not READY"
    was, now = _taken(before), Disk.of(after.disk).seen(JOURNAL)
    put_back = before.damaged and _link(before) != OLD == _link(after)
    if put_back and Disk.of(after.disk).seen(file_of(OLD)) is TORN:
        return "4: the link was put back to a damaged file"
    if not isinstance(was, Journal) or not isinstance(now, Journal):
        return ""
    return _verdicts(was, now) or _again(was, now)


def _is_starting(device: Device) -> bool:
    """Its candidate: nobody knows yet whether it can run at all."""
    process = device.process
    starts = process is not None and isinstance(process.work, StartCandidate)
    return starts and process is not None and process.watch is not Watch.READY


def _taken(device: Device) -> object:
    """What the agent goes by, and tells: not what the disk half took and then refused."""
    process = device.process
    if process is not None and not isinstance(process.state, Starting):
        return process.state.journal
    return Disk.of(device.disk).seen(JOURNAL)


def _link(device: Device) -> object:
    return Disk.of(device.disk).seen(LINK)


def _stop_again(device: Device) -> str | None:
    """A stop that is taken again, for the disk refused to keep what followed from it."""
    return getattr(device.process.again, "upgrade_id", None) if device.process else None


def _verdicts(was: Journal, now: Journal) -> str:
    """5: a verdict stays. One that was never durable may go with the power, and was nobody's."""
    if was.journal_id != now.journal_id:
        return ""
    if len({ended.upgrade_id for ended in now.ended}) < len(now.ended):
        return "5: two verdicts on one upgrade"
    known = {ended.upgrade_id: ended for ended in was.ended}
    for ended in now.ended:
        if ended != known.get(ended.upgrade_id, ended):
            return f"5: {known[ended.upgrade_id].phase} became {ended.phase}"
    return ""


def _again(was: Journal, now: Journal) -> str:
    """11: what failed here for a cause that counts is tried again only where somebody says so."""
    attempt, before = now.open_attempt, was.open_attempt
    if attempt is None or attempt.retry or attempt.upgrade_id is None or now.seq <= was.seq:
        return ""
    if before is not None and before.upgrade_id == attempt.upgrade_id:
        return ""
    failed = (VERSIONS[one.upgrade_id] for one in was.ended if _counts(one))
    return (
        f"11: {attempt.to_version} failed here, and is tried again"
        if attempt.to_version in failed
        else ""
    )


def _counts(ended: Ended) -> bool:
    return ended.cause is not None and ended.cause.counts_against_release


def of_record(device: Device, record: DeviceRecord) -> str:
    """10, 7: the store says what was, and not what was ordered."""
    if record.current_version not in device.ran | {LIE}:
        return f"7: the store says that {record.current_version} runs, which never did"
    for order in _orders(record):
        said = order.phase in {PHASE.COMMITTED, PHASE.SUCCEEDED}
        if said and order.upgrade_id not in device.committed and not _already(order):
            return f"10: the store says {order.phase}, and the device never committed"
    return ""


def _already(order: Order) -> bool:
    return order.cause is not None and order.cause.kind is CauseKind.ALREADY_RUNNING


def of_records_change(before: DeviceRecord, after: DeviceRecord) -> str:
    """5, 8: what is final in the store stays, and no order is forgotten."""
    now = {order.upgrade_id: order for order in _orders(after)}
    for order in _orders(before):
        if order.upgrade_id not in now:
            return f"8: the order {order.upgrade_id[:4]} is forgotten"
        if order.phase.final and now[order.upgrade_id].phase is not order.phase:
            return f"5: {order.phase} became {now[order.upgrade_id].phase} in the store"
    return ""


def settled(device: Device, record: DeviceRecord, kind: Kind) -> bool:
    """6, 7, 8: a working agent runs, nothing is under way, and the store knows how all ended.

    Where the file to go back to is damaged, who would go back waits for its repair, and says so.
    """
    process = device.process
    if process is None or isinstance(process.state, Starting):
        return False
    damaged = Disk.of(device.disk).seen(file_of(OLD)) is TORN
    if damaged and isinstance(process.state, Trial | Checking | Reverting):
        return True
    journal = process.state.journal
    if not isinstance(process.state, Idle) or journal.open_attempt is not None:
        return False
    if device.candidate is not None:
        return False
    if record.current_version != says(process.running, kind):
        return False
    return all(_known(order, journal) for order in _orders(record))


def _known(order: Order, journal: Journal) -> bool:
    verdict = journal.verdict_on(order.upgrade_id)
    if verdict is None:
        return order.phase is PHASE.NEVER_STARTED or not journal.ended_complete
    if verdict.cause is CauseKind.JOURNAL_LOST:  # it may have said how it ended before
        return order.phase.final
    return order.phase is verdict.phase


def _orders(record: DeviceRecord) -> tuple[Order, ...]:
    return (*record.past, *((record.order,) if record.order else ()))
