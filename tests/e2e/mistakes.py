"""Plausible mistakes, each a small change of the shipped code, and the tests that must see it."""

from dataclasses import dataclass
from typing import Final

from demo.without import Removal

DRIVE, PERFORM = "agent/upgrade/drive.py", "agent/upgrade/perform.py"
COORDINATOR = "operator/coordinator.py"


@dataclass(frozen=True, slots=True)
class Mistake:
    changes: tuple[Removal, ...]
    tests: str
    """The file that sees it first; most are seen by several."""


MISTAKES: Final = {
    "the journal is written after the step": Mistake(
        (
            Removal(DRIVE, "                await self._make_durable(after)\n", ""),
            Removal(
                DRIVE,
                "                    pending.append(outcome)\n",
                "                    pending.append(outcome)\n"
                "            await self._make_durable(after)\n",
            ),
        ),
        "tests/unit/test_drive.py",
    ),
    "a file is renamed before it is synced": Mistake(
        (
            Removal(
                "agent/upgrade/durable.py",
                "            file.flush()\n            os.fsync(descriptor)\n",
                "            file.flush()\n",
            ),
        ),
        "tests/unit/test_journal.py",
    ),
    "a swapped link's folder is not synced": Mistake(
        (
            Removal(
                "agent/upgrade/durable.py",
                "        raise\n    sync(link.parent)\n",
                "        raise\n",
            ),
        ),
        "tests/contract/test_versions.py tests/unit/test_layout.py",
    ),
    "a stop is matched by its device only": Mistake(
        (
            Removal(
                "agent/upgrade/stop_signal.py",
                "    return attempt is not None and attempt.upgrade_id == stop.upgrade_id\n",
                "    return attempt is not None\n",
            ),
        ),
        "tests/unit/test_stop_signal.py",
    ),
    "a replayed heartbeat is counted": Mistake(
        (
            Removal(
                COORDINATOR,
                "        event.live\n        and order is not None\n",
                "        order is not None\n",
            ),
        ),
        "tests/unit/test_coordinator.py",
    ),
    "a stop that timed out is taken for a success": Mistake(
        (
            Removal(
                COORDINATOR,
                "    return replace(case, stop_in_flight=False, "
                "unanswered=case.unanswered + 1), ()\n\n\ndef _with_stop",
                "    order = replace(order, phase=AgentUpgradePhase.COMMITTED)\n"
                "    return replace(case, record=replace(case.record, order=order)), ()\n"
                "\n\ndef _with_stop",
            ),
        ),
        "tests/unit/test_coordinator.py",
    ),
    "the rollback target is not checked before the way back": Mistake(
        (
            Removal(
                PERFORM,
                "                    await asyncio.to_thread("
                "executor.check_target, version, sha256)\n",
                "",
            ),
        ),
        "tests/unit/test_drive.py",
    ),
    "the rollback target's self-test is left out": Mistake(
        (
            Removal(
                PERFORM,
                "await _side_by_side(_fault_of(self._way_back(effect.target)), new)\n",
                "(None, await new)\n",
            ),
        ),
        "tests/unit/test_drive.py",
    ),
    "old versions are cleared away, the running one with them": Mistake(
        (
            Removal(
                "agent/upgrade/layout.py",
                "        needed = keep.union(version for version in linked if version)\n",
                "        needed = frozenset(v for v in linked - {self.own_version} if v)\n",
            ),
        ),
        "tests/unit/test_layout_pruning.py",
    ),
    "an abort is not durable": Mistake(
        (
            Removal(
                COORDINATOR,
                "    return replace(case, record=record), "
                "(Tell(told), WriteMarker(order.marker(name)))\n",
                "    return case, (Tell(told), WriteMarker(order.marker(name)))\n",
            ),
        ),
        "tests/unit/test_coordinator.py",
    ),
    "the candidate answers": Mistake(
        (
            Removal(
                "agent/candidate.py",
                "        await ignore_commands(process.plane, self._device_id)\n",
                "        from harmony_fleet.agent.command_server import CommandServer\n"
                "        from harmony_fleet.agent.upgrade.effects import AnswerStop\n"
                "        from harmony_fleet.agent.upgrade.plane import NatsStopAnswers\n"
                "        from harmony_fleet.contracts.commands import Outcome\n\n"
                "        async def yes(_upgrade_id: str, reply_to: str) -> None:\n"
                "            answers = NatsStopAnswers(process.plane, self._device_id)\n"
                "            await answers.answer(AnswerStop(reply_to, Outcome.OK))\n\n"
                "        await CommandServer(process.plane, process.identity, yes).start()\n",
            ),
        ),
        "tests/processes/test_agent.py",
    ),
    "two may decide after a restart": Mistake(
        (
            Removal(
                "agent/upgrade/machine.py",
                "            return swap_again(running, journal, Party.OLD)\n",
                "            return _settle(running, journal)\n",
            ),
        ),
        "tests/unit/test_machine_old_primary.py",
    ),
    "a partial download is trusted": Mistake(
        (
            Removal(
                "asset/landing.py",
                "        if found != self._expected.sha256:\n",
                "        if False:\n",
            ),
        ),
        "tests/unit/test_asset_landing.py",
    ),
    "a reboot ends probation": Mistake(
        (
            Removal(
                "agent/upgrade/guard_rules.py",
                "    if attempt.starts < event.starts_allowed:\n",
                "    if attempt.starts < event.starts_allowed or attempt.since != event.now:\n",
            ),
        ),
        "tests/unit/test_machine_guard.py",
    ),
}
