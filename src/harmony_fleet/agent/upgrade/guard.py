"""`previous guard`: the previous version's code, run before each start of the primary.

The decision is the machine's (`guard_rules`); this is the loop that performs it without an event
loop, so that it starts fast. It never blocks a start: whatever goes wrong ends with a log line.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harmony_fleet.agent.upgrade.effects import (
    CheckTarget,
    CloseAttempt,
    Effect,
    SwapLink,
)
from harmony_fleet.agent.upgrade.events import (
    Event,
    ExpiryMark,
    GuardStarted,
    JournalRead,
    LinkSwapped,
    StepFailed,
    TargetDamaged,
    TargetSound,
)
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.ports import (
    Clock,
    JournalStore,
    UpgradeFault,
    Versions,
)
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.agent.upgrade.states import (
    GuardDone,
    Starting,
    State,
)
from harmony_fleet.contracts.upgrade import cause

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GuardPorts:
    running: str
    versions: Versions
    journal: JournalStore
    clock: Clock
    starts_allowed: int
    log: Callable[[], str] = str
    """The end of the permanent unit's log: what the failed version said last. Never raises."""


def guard(ports: GuardPorts, mark: ExpiryMark | None) -> State:
    """Decide about this start and do it. The last state that was made durable is returned.

    Raises JournalUnwritable, or UpgradeFault where the journal could not be made durable: nothing
    was changed since the last journaled state.
    """
    found = ports.journal.read()
    durable = found.journal if isinstance(found, JournalRead) else None
    ports.versions.make_durable()
    first = GuardStarted(
        ports.running,
        found,
        ports.versions.link_version(),
        ports.versions.previous_version(),
        ports.clock.boot_time(),
        ports.starts_allowed,
        mark,
        ports.log() if durable is not None and durable.open_attempt is not None else "",
        ports.versions.link_gone(),
    )
    return _drive(ports, first, durable)


def _drive(ports: GuardPorts, first: Event, durable: Journal | None) -> State:
    state: State = Starting()
    pending = deque([first])
    while pending:
        state, effects = step(state, pending.popleft())
        if state.journal != durable:
            ports.journal.write(state.journal)
            durable = state.journal
        for effect in effects:
            outcome = _perform(ports, effect)
            if outcome is not None:
                pending.append(outcome)
    if not isinstance(state, GuardDone):
        logger.error("the guard stopped in %s", type(state).__name__)
    return state


def _perform(ports: GuardPorts, effect: Effect) -> Event | None:
    try:
        match effect:
            case CheckTarget(version, sha256):
                return _check(ports, version, sha256)
            case SwapLink(version):
                ports.versions.swap_link(version)
                return LinkSwapped()
            case CloseAttempt():
                _close(ports)
                return None
            case _:
                raise ValueError(f"{effect} is not for the guard")
    except UpgradeFault as fault:
        logger.warning("%s", fault)
        return StepFailed(cause(fault.cause, fault.sentence, fault.evidence))


def _close(ports: GuardPorts) -> None:
    try:
        ports.versions.close_attempt()
    except UpgradeFault as fault:
        logger.warning("left for the start that follows: %s", fault)


def _check(ports: GuardPorts, version: str, sha256: str | None) -> Event:
    try:
        ports.versions.check_target(version, sha256)
    except UpgradeFault as fault:
        logger.warning("cannot roll back: %s", fault)
        return TargetDamaged(fault.sentence)
    return TargetSound()


def tail(log: Path, limit_bytes: int = 2048) -> str:
    """The last lines of a log file, or nothing where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - limit_bytes))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
