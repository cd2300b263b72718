"""Plausible mistakes, each a small change of the shipped code, and the test that must see it."""

from dataclasses import dataclass
from typing import Final

from demo.without import Removal

DRIVE, PERFORM, LOOP = "agent/upgrade/drive.py", "agent/upgrade/perform.py", "operator/loop.py"
COORDINATOR = "operator/coordinator.py"
UNIT = "install/roles/fleet_agent/templates/fleet-agent.service.j2"


@dataclass(frozen=True, slots=True)
class Mistake:
    changes: tuple[Removal, ...]
    file: str
    """Of the test, below `tests`."""
    test: str
    """That must fail, with any of its parameters; most are seen by several."""
    case: str = ""
    """Of its parameters, in brackets, where one alone is run."""

    @property
    def node(self) -> str:
        return f"{self.file}::{self.test}{self.case}"


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
        "unit/test_drive.py",
        "test_each_state_is_durable_before_its_effects_are_performed",
    ),
    "a file is renamed before it is synced": Mistake(
        (
            Removal(
                "agent/upgrade/durable.py",
                "            file.flush()\n            os.fsync(descriptor)\n",
                "            file.flush()\n",
            ),
        ),
        "unit/test_journal.py",
        "test_a_journal_is_synced_before_its_name_and_its_name_before_write_returns",
    ),
    "a swapped link's folder is not synced": Mistake(
        (
            Removal(
                "agent/upgrade/durable.py",
                "        raise\n    sync(link.parent)\n",
                "        raise\n",
            ),
        ),
        "unit/test_layout.py",
        "test_a_swap_is_a_rename_and_then_a_sync_of_its_folder",
    ),
    "a stop is matched by its device only": Mistake(
        (
            Removal(
                "agent/upgrade/stop_signal.py",
                "    return attempt is not None and attempt.upgrade_id == stop.upgrade_id\n",
                "    return attempt is not None\n",
            ),
        ),
        "unit/test_stop_signal.py",
        "test_an_armed_upgrade_is_stopped_by_its_own_id_and_by_no_other",
    ),
    "a replayed heartbeat is counted": Mistake(
        (
            Removal(
                COORDINATOR,
                "        event.live\n        and order is not None\n",
                "        order is not None\n",
            ),
        ),
        "unit/test_coordinator.py",
        "test_a_restarted_operator_needs_its_own_sight_although_the_store_says_cutover_ready",
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
        "unit/test_coordinator.py",
        "test_no_answer_means_unknown_and_the_stop_is_sent_again_a_little_later_each_time",
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
        "unit/test_drive.py",
        "test_an_old_version_whose_file_is_damaged_writes_it_anew_and_goes_back",
    ),
    "the rollback target's self-test is left out": Mistake(
        (
            Removal(
                PERFORM,
                "await _side_by_side(_fault_of(self._way_back(effect.target)), new)\n",
                "(None, await new)\n",
            ),
        ),
        "unit/test_drive.py",
        "test_what_fails_before_the_cutover_fails_the_order_and_was_never_started",
    ),
    "old versions are cleared away, the running one with them": Mistake(
        (
            Removal(
                "agent/upgrade/layout.py",
                "        needed = keep.union(version for version in linked if version)\n",
                "        needed = frozenset(v for v in linked - {self.own_version} if v)\n",
            ),
        ),
        "unit/test_layout_pruning.py",
        "test_what_was_left_of_a_version_goes_unless_the_version_stays",
    ),
    "an abort is not durable": Mistake(
        (
            Removal(
                LOOP,
                "                if after.record != before:\n",
                "                aborted = isinstance(event, AbortOrdered)\n"
                "                if after.record != before and not aborted:\n",
            ),
        ),
        "processes/test_operator_loop.py",
        "test_an_abort_by_one_operator_is_neither_undone_nor_overtaken_by_the_other",
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
                "        await CommandServer(process.plane, process.identity, yes, yes).start()\n",
            ),
        ),
        "processes/test_agent.py",
        "test_a_candidate_heartbeats_with_its_upgrade_and_answers_nothing",
    ),
    "two may decide after a restart": Mistake(
        (
            Removal(
                "agent/upgrade/machine.py",
                "            return swap_again(running, journal, Party.OLD)\n",
                "            return _settle(running, journal)\n",
            ),
        ),
        "unit/test_machine_old_primary.py",
        "test_a_start_in_committed_swaps_again_and_exits_75",
    ),
    "a partial download is trusted": Mistake(
        (
            Removal(
                "asset/landing.py",
                "        if found != self._expected.sha256:\n",
                "        if False:\n",
            ),
        ),
        "unit/test_asset_landing.py",
        "test_a_partial_with_a_wrong_byte_is_refused_and_never_executable",
    ),
    "a reboot ends probation": Mistake(
        (
            Removal(
                "agent/upgrade/guard_rules.py",
                "    if attempt.starts < event.starts_allowed:\n",
                "    if attempt.starts < event.starts_allowed or attempt.since != event.now:\n",
            ),
        ),
        "unit/test_machine_guard.py",
        "test_in_committed_after_too_many_starts_it_rolls_back_as_a_crash_loop_with_evidence",
    ),
}

UNDER_SYSTEMD: Final = {
    "no guard stands before a start": Mistake(
        (
            Removal(
                UNIT,
                "ExecStartPre=-/usr/bin/timeout -k 2 20 {{ fleet_agent_previous }} guard\n",
                "",
            ),
        ),
        "machines/test_phases.py",
        "test_an_upgrade_that_is_hit_ends_as_the_protocol_says",
        "[primary 1.0.1: after swap_link 1.1.1 kill_the_agent]",
    ),
    "the unit has systemd's own start limit": Mistake(
        (Removal(UNIT, "StartLimitIntervalSec=0\n", ""),),
        "machines/test_faults.py",
        "test_an_agent_is_started_again_however_often_it_is_killed",
    ),
    "the candidate is a part of the permanent unit": Mistake(
        (
            Removal(
                "agent/upgrade/systemd_settings.py",
                '        yield "RuntimeMaxSec", f"{transient.runtime_limit_s:g}"\n',
                '        yield "RuntimeMaxSec", f"{transient.runtime_limit_s:g}"\n'
                '        yield "PartOf", transient.unit.replace("-candidate", "")\n',
            ),
        ),
        "machines/test_systemd_executor.py",
        "test_the_systemd_executor",
        "[debian-12-a_candidate_outlives_the_permanent_units_restart_and_stop]",
    ),
}
"""Seen on machines with a real systemd, by the one case that is named."""
