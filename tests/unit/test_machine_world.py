"""The machine in a small world where anything may fail at any time: safe always, live in a calm."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.upgrade_world import EXPIRED, Luck, World

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.events import (
    ExpiryMark,
    OrderRead,
    ServiceStopping,
    StopReceived,
)
from harmony_fleet.agent.upgrade.record import Stage as JournalStage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    Checking,
    Idle,
    Reverting,
)
from harmony_fleet.contracts.upgrade import Desired
from harmony_fleet.testing.upgrade_samples import NEW, OLD, marker

VERSIONS = st.sampled_from([OLD, NEW, NEW, "1.2.0"])
GUARD_LUCK = st.none() | st.lists(st.sampled_from(Luck), max_size=4)
"""None: everything works. Where the list ends early, the guard is killed."""


class Upgrades(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(version=VERSIONS)
    def first_order(self, version: str) -> None:
        self.order(version, retry=False)

    # What goes on by itself

    @rule(
        steps=st.integers(1, 40),
        bad=st.dictionaries(st.integers(0, 39), st.sampled_from([Luck.BAD, Luck.HALF]), max_size=2),
        guarded=st.sampled_from([True, True, True, False]),
        guard_luck=GUARD_LUCK,
        obedient=st.booleans(),
    )
    def go_on(
        self,
        steps: int,
        bad: dict[int, Luck],
        guarded: bool,
        guard_luck: list[Luck] | None,
        obedient: bool,
    ) -> None:
        """The service manager starts what has ended; an operator that is there sends its stop."""
        for number in range(steps):
            luck = bad.get(number, Luck.GOOD)
            process = self.world.process
            if process is None:
                self.world.now_s += 1
                self.world.start(guarded, guard_luck)
            elif process.effects:
                self.world.perform(luck)
            elif process.first or process.inbox:
                self.world.take_next(writable=luck is not Luck.BAD)
            elif process.work is not None and not process.started:
                self.world.work_goes_on(luck)
            elif obedient and self.world.observed() is not None:
                self.stop()

    @precondition(lambda self: self.world.process is not None and self.world.process.clocks)
    @rule(number=st.integers(0, 3))
    def clock_runs_out(self, number: int) -> None:
        assert self.world.process is not None
        clocks = sorted(self.world.process.clocks)
        self.world.clock_runs_out(clocks[number % len(clocks)])

    # Faults

    @rule(kind=st.sampled_from(["kill", "kill", "reboot", "sigterm", "shutdown", "candidate"]))
    def fault(self, kind: str) -> None:
        world = self.world
        match kind:
            case "kill":
                world.kill()
            case "reboot":
                world.reboot()
            case "sigterm" | "shutdown" if world.process is not None:
                world.process.inbox.append(ServiceStopping(system=kind == "shutdown"))
            case "candidate" if world.process and world.process.started and world.process.work:
                world.work_goes_on(Luck.BAD)

    @precondition(lambda self: self.world.link != self.world.previous and self._not_going_back())
    @rule()
    def previous_is_damaged(self) -> None:
        if self.world.previous is not None:
            self.world.whole[self.world.previous] = False

    @precondition(lambda self: self.world.process is None and self.world.durable is not None)
    @rule()
    def journal_is_lost(self) -> None:
        self.world.losses += 1
        self.world.damaged_journal = True

    # The operator, and the dead-man timer

    @rule(version=VERSIONS, retry=st.booleans())
    def order(self, version: str, retry: bool) -> None:
        generation = 1 + (self.world.marker.generation if self.world.marker else 0)
        named = marker(upgrade_id=f"{generation:032x}", generation=generation)
        self.world.marker = replace(named, version=version, retry=retry)
        self._wake()

    @precondition(lambda self: self.world.marker is not None)
    @rule()
    def abort(self) -> None:
        assert self.world.marker is not None
        self.world.marker = replace(self.world.marker, desired=Desired.ABORT)
        self._wake()

    @precondition(lambda self: self.world.stops)
    @rule(number=st.integers(0, 9))
    def stop_comes_again(self, number: int) -> None:
        sent = sorted(self.world.stops)
        self._deliver_stop(sent[number % len(sent)])

    @precondition(lambda self: self.world.durable is not None)
    @rule()
    def probation_expires(self) -> None:
        assert self.world.durable is not None
        attempt = self.world.durable.open_attempt
        if attempt is not None and attempt.stage is JournalStage.COMMITTED:
            self.world.mark = ExpiryMark(attempt.upgrade_id, EXPIRED)

    # What always holds; more is checked by the world as it goes

    @invariant()
    def the_link_leads_to_a_complete_version(self) -> None:
        assert self.world.whole.get(self.world.link)

    @invariant()
    def who_is_armed_has_a_way_back(self) -> None:
        state = self.world.process.state if self.world.process else None
        if isinstance(state, Armed):
            assert self.world.previous == state.running
            assert self.world.attempt_open

    def teardown(self) -> None:
        """What could not be swept in the storm is swept by the next start."""
        self.world.calm_down()
        verdicts = dict(self.world.verdicts)
        self.world.kill()
        self.world.calm_down()
        assert self.world.verdicts == verdicts
        process = self.world.process
        assert process is not None
        assert isinstance(process.state, Idle)
        assert process.state.journal == self.world.durable
        assert process.running == self.world.link
        assert self.world.candidate is None
        assert not self.world.attempt_open

    # Words

    def stop(self) -> None:
        """Sent once the operator has seen the new version's heartbeat; it may come late."""
        upgrade_id = self.world.observed()
        assert upgrade_id is not None
        self.world.stops.add(upgrade_id)
        self._deliver_stop(upgrade_id)

    def _not_going_back(self) -> bool:
        process = self.world.process
        return process is None or not (
            isinstance(process.state, Checking | Reverting) or process.effects or process.first
        )

    def _wake(self) -> None:
        if self.world.process is not None and self.world.marker is not None:
            self.world.process.inbox.append(OrderRead(self.world.marker))

    def _deliver_stop(self, upgrade_id: str) -> None:
        now = BootTime(f"boot-{self.world.boot}", self.world.now_s)
        if self.world.process is not None:
            self.world.process.inbox.append(StopReceived(upgrade_id, "reply", now))


Upgrades.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestUpgrades = Upgrades.TestCase
