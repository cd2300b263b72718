"""Mistakes in what the device decides: its machine, its guard, its journal's record."""

from typing import Final

from tests.proof.seeding import Bug, change, to

OLD, NEW = "agent/upgrade/old_primary.py", "agent/upgrade/new_primary.py"
MACHINE, REVERT = "agent/upgrade/machine.py", "agent/upgrade/revert.py"
RULES = "agent/upgrade/guard_rules.py"

BEFORE_THE_COMMIT: Final = (
    Bug(
        "the link is swapped before anything was verified",
        (
            change(
                OLD,
                "            work = Verify(attempt_of(journal).to_version, state.running)\n"
                "            return Verifying(state.running, journal), (Report(), work)\n",
                "            prepare = PrepareCutover(state.running)\n"
                "            return Preparing(state.running, journal), (Report(), prepare)\n",
            ),
        ),
        to("fails-self-test"),
    ),
    Bug(
        "a stop is matched by its device only",
        (
            change(
                "agent/upgrade/stop_signal.py",
                "    return attempt is not None and attempt.upgrade_id == stop.upgrade_id\n",
                "    return attempt is not None\n",
            ),
        ),
        to("another order"),
    ),
    Bug(
        "the device commits without a stop when the deadline is over",
        (
            change(
                OLD,
                "    if not isinstance(state, Armed) or event.deadline not in {Deadline.STOP, "
                "Deadline.OVERALL}:\n"
                "        return state, ()\n",
                "    if not isinstance(state, Armed) or event.deadline not in {Deadline.STOP, "
                "Deadline.OVERALL}:\n"
                "        return state, ()\n"
                "    if state.heard:\n"
                "        journal = advance(state.journal, JournalStage.COMMITTED)\n"
                "        leave = (StopClocks(), Exit(EXIT_RESTART))\n"
                "        return Leaving(journal, EXIT_RESTART), leave\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "a stop is obeyed before the candidate is READY",
        (
            change(
                "agent/upgrade/stop_signal.py",
                "    if not isinstance(state, Armed | Trial):\n",
                "    if not isinstance(state, CuttingOver | Armed | Trial):\n",
            ),
            change(
                "agent/upgrade/stop_signal.py",
                "    Armed,\n    State,\n",
                "    Armed,\n    CuttingOver,\n    State,\n",
            ),
            change(
                OLD,
                "            return state, (StartCandidate(attempt.to_version, "
                "attempt.upgrade_id),)\n",
                "            start = StartCandidate(attempt.to_version, attempt.upgrade_id)\n"
                "            return state, (start, Report())\n",
            ),
        ),
        to("never-ready"),
    ),
    Bug(
        "a stale order is obeyed",
        (
            change(
                OLD,
                "    return generation > journal.highest and journal.verdict_on(upgrade_id) is "
                "None\n",
                "    return journal.verdict_on(upgrade_id) is None\n",
            ),
        ),
    ),
    Bug(
        "an order that has ended is obeyed again",
        (
            change(
                OLD,
                "    return generation > journal.highest and journal.verdict_on(upgrade_id) is "
                "None\n",
                "    attempt = journal.open_attempt\n"
                "    return attempt is None or attempt.upgrade_id != upgrade_id\n",
            ),
        ),
        to("silent"),
    ),
    Bug(
        "the quarantine is forgotten",
        (
            change(
                OLD,
                "    if quarantined(state.journal, marker):\n",
                "    if False:\n",
            ),
        ),
        to("failed, and again"),
    ),
    Bug(
        "a damaged journal is taken for that of a new device",
        (
            change(
                MACHINE,
                "        case JournalAbsent(new_id) | JournalUnreadable(new_id):\n"
                "            return after_loss(new_id, link, previous)\n",
                "        case JournalAbsent(new_id) | JournalUnreadable(new_id):\n"
                "            return fresh(new_id)\n",
            ),
        ),
        to("crashes-at-once"),
    ),
)

FROM_THE_COMMIT_ON: Final = (
    Bug(
        "a commit is taken back when the service is stopped",
        (
            change(
                NEW,
                '    """A start that a person ended was no crash; one that took the machine down '
                'may be."""\n',
                "    if not system:\n"
                "        why, party = revert.interrupted(), Party.NEW\n"
                "        return revert.begin(state.running, state.journal, why, party, True)\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "the guard takes a commit back",
        (
            change(
                RULES,
                "        case Stage.CUTOVER | Stage.REVERTING:\n"
                "            return revert.resume(event.running, journal, Party.GUARD)\n"
                "        case Stage.COMMITTED:\n"
                "            return _committed(event, journal, attempt)\n",
                "        case Stage.CUTOVER | Stage.REVERTING | Stage.COMMITTED:\n"
                "            return revert.resume(event.running, journal, Party.GUARD)\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "two may decide after a restart: the guard leaves a cutover to whoever is started",
        (
            change(
                RULES,
                "        case Stage.STAGING | Stage.VERIFYING:\n"
                "            return GuardDone(journal), ()\n"
                "        case Stage.CUTOVER | Stage.REVERTING:\n",
                "        case Stage.STAGING | Stage.VERIFYING | Stage.CUTOVER:\n"
                "            return GuardDone(journal), ()\n"
                "        case Stage.REVERTING:\n",
            ),
        ),
    ),
    Bug(
        "the guard does not count starts",
        (
            change(
                RULES,
                "    counted = count(journal, starts=attempt.starts + 1, since=event.now)\n",
                "    counted = count(journal, starts=attempt.starts, since=event.now)\n",
            ),
        ),
        to("crashes-at-once"),
    ),
    Bug(
        "each boot counts the starts anew",
        (
            change(
                RULES,
                "    if attempt.starts < event.starts_allowed:\n",
                "    rebooted = attempt.since and attempt.since.boot_id != event.now.boot_id\n"
                "    if attempt.starts < event.starts_allowed or rebooted:\n",
            ),
        ),
    ),
    Bug(
        "a start is taken off the count also where it took the machine down",
        (
            change(
                NEW,
                "    if not system and attempt.starts > 0:\n",
                "    if attempt.starts > 0:\n",
            ),
        ),
    ),
    Bug(
        "a restart ends probation: it came back, so it works",
        (
            change(
                NEW,
                "    return _enter_probation(running, journal, (SayReady(),))\n\n\ndef step",
                "    if attempt_of(journal).starts > 1 and attempt_of(journal).upgrade_id:\n"
                "        ended = end(journal, Stage.SUCCEEDED, None)\n"
                "        return Idle(running, ended), (SayReady(), StopCandidate(), Report())\n"
                "    return _enter_probation(running, journal, (SayReady(),))\n\n\ndef step",
            ),
        ),
        to("no-contact"),
    ),
    Bug(
        "probation ends without an acknowledged report",
        (
            change(
                NEW,
                "    if not (state.time_reached and state.reported):\n",
                "    if not state.time_reached:\n",
            ),
            change(
                NEW,
                "    if state.reported:\n        return _proven_if_both(state)\n",
                "    if True:\n        return _proven_if_both(state)\n",
            ),
        ),
        to("no-contact"),
    ),
    Bug(
        "attempt-open is removed at the commit",
        (
            change(
                NEW,
                "    rest = (StopCandidate(), Report(), StartClock(Deadline.PROBATION), "
                "ReadOrder())\n",
                "    close = CloseAttempt(keep=(running, attempt_of(journal).from_version))\n"
                "    clock = StartClock(Deadline.PROBATION)\n"
                "    rest = (StopCandidate(), close, Report(), clock, ReadOrder())\n",
            ),
        ),
        to("no-contact"),
    ),
    Bug(
        "the candidate is never swept after a commit",
        (
            change(
                NEW,
                "    rest = (StopCandidate(), Report(), StartClock(Deadline.PROBATION), "
                "ReadOrder())\n",
                "    rest = (Report(), StartClock(Deadline.PROBATION), ReadOrder())\n",
            ),
        ),
        to("good"),
    ),
    Bug(
        "the dead-man timer judges without a control",
        (
            change(
                "agent/upgrade/deadman.py",
                "    if not contact:\n        lost",
                "    if not contact and contact is None:\n        lost",
            ),
        ),
        to("good"),
    ),
    Bug(
        "two decide at once: the dead-man timer rolls back itself, beside the primary",
        (
            change(
                "agent/upgrade/guard_command.py",
                "    return RESTART_UNIT if files.leave_mark(mark) else LEAVE_UNIT\n",
                "    guard(ports, mark)\n    return RESTART_UNIT\n",
            ),
        ),
    ),
)

THE_WAY_BACK: Final = (
    Bug(
        "RolledBack is journaled before the link is durable",
        (
            change(
                REVERT,
                "    journal = advance(state.journal, Stage.REVERTING, cause=why)\n",
                "    journal = advance(state.journal, Stage.REVERTING, cause=why)\n"
                "    journal = end(journal, Stage.ROLLED_BACK, why)\n",
            ),
            change(REVERT, "(_check(journal),)\n", "(SwapLink(journal.attempt.from_version),)\n"),
            change(
                REVERT,
                "            known = attempt_of(state.journal).waits == why.sentence\n"
                "            journal = state.journal if known else note(state.journal, "
                "waits=why.sentence)\n",
                "            journal = state.journal\n",
            ),
            change(
                REVERT,
                "            return state, (_check(state.journal),)\n",
                "            return state, (SwapLink(state.journal.attempt.from_version),)\n",
            ),
            change(
                REVERT,
                "            attempt = attempt_of(state.journal)\n"
                "            journal = end(state.journal, Stage.ROLLED_BACK, attempt.cause)\n"
                "            return _after(state, journal, "
                "CloseAttempt(keep=(attempt.from_version,)))\n",
                "            keep = (state.journal.attempt.from_version,)\n"
                "            return _after(state, state.journal, CloseAttempt(keep=keep))\n",
            ),
        ),
        to("silent"),
    ),
    Bug(
        "the target is not checked before the way back",
        (
            change(
                REVERT,
                "    leave = () if party is Party.GUARD else (CancelWork(), StopClocks())\n"
                "    return state, (*leave, _check(journal))\n",
                "    leave = () if party is Party.GUARD else (CancelWork(), StopClocks())\n"
                "    reverting, _ = _checked(state, TargetSound())\n"
                "    return reverting, (*leave, SwapLink(attempt_of(journal).from_version))\n",
            ),
        ),
        to("silent"),
    ),
    Bug(
        "a check from before the journal was written is enough for the link",
        (
            change(
                REVERT,
                "(_check(journal),)\n",
                "(SwapLink(attempt_of(journal).from_version),)\n",
            ),
        ),
        to("silent"),
    ),
    Bug(
        "a version that nobody committed is taken at its word",
        (
            change(
                MACHINE,
                "    linked = event.link == attempt.to_version\n",
                "    linked = False\n",
            ),
        ),
        to("lies-as-old"),
    ),
    Bug(
        "an old version that finds a revert half done settles as it is",
        (
            change(
                MACHINE,
                "        case Stage.CUTOVER | Stage.REVERTING:\n"
                "            state, effects = revert.resume(running, journal, Party.OLD)\n",
                "        case Stage.REVERTING:\n"
                "            return _settle(running, journal)\n"
                "        case Stage.CUTOVER:\n"
                "            state, effects = revert.resume(running, journal, Party.OLD)\n",
            ),
        ),
        to("silent"),
    ),
)
