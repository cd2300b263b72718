"""`guard --expired` of the agent's own file, at a plane that answers its control."""

import asyncio
import time
from hashlib import sha256

from tests.processes.test_agent import Device, device

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.deadman import Controls
from harmony_fleet.agent.upgrade.guard_command import CONTROLS, LEAVE_UNIT, RESTART_UNIT, Files
from harmony_fleet.agent.upgrade.journal import FileJournal
from harmony_fleet.agent.upgrade.record import Stage
from harmony_fleet.contracts.codec import encode
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.testing.upgrade_samples import ID, journal_in

RECONNECT_MAX_S = 1000.0
LONGEST_BACKOFF_S = 1.5 * RECONNECT_MAX_S
"""The configured wait is spread by half either way."""
SLACK_S = 60.0
"""More than the commands below take, on any machine."""
COMMITTED_AGO_S = 10 * RECONNECT_MAX_S


def test_two_controls_with_contact_count_only_further_apart_than_the_longest_backoff() -> None:
    async def check() -> None:
        async with device() as one:
            files = Files(one.machine.state)
            commit(one)
            near = controlled(one, LONGEST_BACKOFF_S - SLACK_S)
            assert await expired(one) == LEAVE_UNIT
            assert files.mark() is None
            assert files.controls() == near
            controlled(one, 2 * LONGEST_BACKOFF_S)
            assert await expired(one) == RESTART_UNIT
            mark = files.mark()
            assert mark is not None
            assert (mark.upgrade_id, mark.cause.kind) == (ID, CauseKind.NO_CONTACT)

    asyncio.run(check())


async def expired(one: Device) -> int:
    reconnect = f"plane.reconnect_max_s={RECONNECT_MAX_S}"
    return (await one.run("--set", reconnect, "guard", "--expired")).returncode


def ago(seconds: float) -> float:
    """On the boot clock; below zero where the machine has not been up for so long."""
    return time.clock_gettime(time.CLOCK_MONOTONIC) - seconds


def commit(one: Device) -> None:
    """Long ago, and the version before is what is installed here."""
    file = one.machine.link.resolve().read_bytes()
    journal = journal_in(
        Stage.COMMITTED,
        since=BootTime("boot-1", ago(COMMITTED_AGO_S)),
        target_sha256=sha256(file).hexdigest(),
    )
    FileJournal(one.machine.state, lambda: "journal-1").write(journal)


def controlled(one: Device, seconds_ago: float) -> Controls:
    """As after a control with contact so long ago."""
    known = Controls(ID, "boot-1", ago(seconds_ago))
    (one.machine.state / CONTROLS).write_bytes(encode(known))
    return known
