"""Every state of one device with every event, and long random histories beside an oracle.

The oracle keeps its own books on what was seen, said and ordered, in the words of the design, and
never looks at what the coordinator remembers.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.coordinator_cases import (
    FIRST,
    HEARD,
    SECOND,
    THIRD,
    after,
    answered,
    candidate,
    ended,
    ordered,
    primary,
    said,
)

from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.heartbeat import Role
from harmony_fleet.contracts.upgrade import ENDED_KEPT, AgentUpgradePhase, Desired
from harmony_fleet.labels import changes
from harmony_fleet.operator.coordinator import (
    Case,
    Effect,
    OrderRefused,
    SendStop,
    Tell,
    WriteMarker,
    step,
)
from harmony_fleet.operator.events import (
    AbortOrdered,
    Event,
    HeartbeatSeen,
    LabelsOrdered,
    MarkerSeen,
    Ordered,
    PauseOrdered,
    SightForgotten,
    StatusSeen,
    StopAnswered,
    StopUnanswered,
)
from harmony_fleet.operator.identity_watch import CALM_INTERVALS, Identity, Instance
from harmony_fleet.operator.records import Order

P = AgentUpgradePhase
ENDS = [phase for phase in P if phase.final]


def verdict_of(upgrade_id: str, phase: P) -> tuple[Any, ...]:
    return (ended(upgrade_id, 1, phase),)


EVENTS: list[Event] = [
    ordered(SECOND, "3.0.0"),
    ordered(SECOND, "3.0.0", replace=True),
    ordered(SECOND, "1.0.0"),
    AbortOrdered(),
    LabelsOrdered(changes(["ring=canary", "old-"])),
    PauseOrdered(True),
    PauseOrdered(False),
    *(primary(live) for live in (True, False)),
    primary(instance_id="instance-9"),
    primary(agent_version="2.0.0", upgrade_id=FIRST),
    primary(agent_version="3.0.0", live=False),
    *(candidate(upgrade_id, live) for upgrade_id in (FIRST, SECOND) for live in (True, False)),
    candidate(agent_version="2.0.1"),
    candidate(role=Role.UNKNOWN),
    *(said(9, phase) for phase in P),
    *(said(9, phase, SECOND, generation=9) for phase in (P.STAGING, P.SUCCEEDED)),
    *(said(9, None, None, generation=9, ended=verdict_of(FIRST, phase)) for phase in ENDS),
    said(9, None, None, generation=0),
    said(9, P.STAGING, SECOND, generation=9, ended_complete=False),
    said(9, P.COMMITTED, THIRD, generation=9, deferred=FIRST),
    said(1, P.ROLLED_BACK),
    said(0, P.SUCCEEDED, journal_id="journal-2"),
    MarkerSeen(None),
    *(answered(outcome) for outcome in Outcome),
    *(answered(outcome, SECOND) for outcome in Outcome),
    StopUnanswered(FIRST),
    StopUnanswered(SECOND),
    SightForgotten(),
]


def states() -> Iterator[Case]:
    yield HEARD
    heard = after(HEARD, said(3, None, None, generation=0))
    for phase, desired, seen, flying, twins in product(
        P, Desired, (None, FIRST, SECOND), (False, True), (False, True)
    ):
        paused = flying is twins  # beside all else, half and half
        case = after(heard, ordered())
        assert case.record.order is not None
        order = replace(case.record.order, phase=phase, desired=desired)
        yield replace(
            case,
            record=replace(case.record, order=order, paused=paused),
            seen_upgrade=seen,
            stop_in_flight=flying,
            identity=Identity((Instance("boot-1", "instance-1", 1000),), duplicate=twins),
        )


STATES = list(states())


def orders(case: Case) -> dict[str, Order]:
    newest = (case.record.order,) if case.record.order else ()
    return {order.upgrade_id: order for order in (*case.record.past, *newest)}


def check_step(before: Case, event: Event, now: Case, effects: tuple[Effect, ...]) -> None:
    """What holds of each single step, whatever came before it."""
    record, order = now.record, now.record.order
    assert record.device_id == before.record.device_id
    assert record.highest >= before.record.highest
    if record.labels != before.record.labels:
        assert isinstance(event, LabelsOrdered)
        assert replace(record, labels=before.record.labels) == before.record
    if record.paused != before.record.paused:
        assert event == PauseOrdered(record.paused)
        assert replace(record, paused=before.record.paused) == before.record
    if isinstance(event, Ordered):
        assert not record.paused
    for upgrade_id, old in orders(before).items():
        if upgrade_id in orders(now) and not old.open:
            assert orders(now)[upgrade_id] == old, "a verdict is final"
    if record.current_version != before.record.current_version:
        assert isinstance(event, HeartbeatSeen)
        assert event.heartbeat.role is Role.PRIMARY
        assert event.live or before.record.current_version is None
    if now.seen_upgrade not in {before.seen_upgrade, None}:
        assert isinstance(event, HeartbeatSeen)
        assert event.live
    for effect in effects:
        if isinstance(effect, WriteMarker):
            assert order is not None
            assert order.open
            assert effect.marker == order.marker(record.device_id)
        if isinstance(effect, SendStop):
            assert order is not None
            assert effect.upgrade_id == order.upgrade_id == now.seen_upgrade
            assert order.phase is P.CUTOVER_READY
            assert order.desired is Desired.RUN
            assert not now.identity.duplicate
            assert now.stop_in_flight
    for upgrade_id, new in orders(now).items():
        old_order = orders(before).get(upgrade_id)
        if old_order and new.phase is not old_order.phase:
            assert isinstance(event, StatusSeen | StopAnswered)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_in_every_state_keeps_the_rules(event: Event) -> None:
    for before in STATES:
        try:
            now, effects = step(before, event)
        except OrderRefused:
            assert isinstance(event, Ordered | AbortOrdered)
            continue
        assert step(before, event) == (now, effects), "pure"
        check_step(before, event, now, effects)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_stop_is_sent_exactly_where_all_that_it_needs_is_there(event: Event) -> None:
    if not isinstance(event, HeartbeatSeen | StatusSeen | StopAnswered | StopUnanswered):
        for before in STATES:
            if not (isinstance(event, Ordered | AbortOrdered) and refused(before, event)):
                assert not any(isinstance(e, SendStop) for e in step(before, event)[1])
        return
    for before in STATES:
        now, effects = step(before, event)
        order = now.record.order
        answers = isinstance(event, StopAnswered | StopUnanswered)
        landed = answers and order is not None and event.upgrade_id == order.upgrade_id  # type: ignore[union-attr]
        free = landed or not before.stop_in_flight
        due = (
            order is not None
            and order.phase is P.CUTOVER_READY
            and order.desired is Desired.RUN
            and now.seen_upgrade == order.upgrade_id
            and not now.identity.duplicate
            and free
        )
        assert due == any(isinstance(effect, SendStop) for effect in effects)


def refused(case: Case, event: Event) -> bool:
    try:
        step(case, event)
    except OrderRefused:
        return True
    return False


@pytest.mark.parametrize("desired", Desired)
@pytest.mark.parametrize("phase", P)
def test_an_abort_is_taken_exactly_while_the_device_may_still_obey_it(
    phase: P, desired: Desired
) -> None:
    for case in STATES:
        order = case.record.order
        if order and (order.phase, order.desired) == (phase, desired):
            assert refused(case, AbortOrdered()) == (phase.final or phase is P.COMMITTED)


# Random histories


@dataclass
class Oracle:
    """The books of somebody who watched everything, with the design in hand."""

    ids: list[str] = field(default_factory=list)
    """Of all orders; the newest last."""
    versions: dict[str, str] = field(default_factory=dict)
    sights: set[str] = field(default_factory=set)
    aborted: set[str] = field(default_factory=set)
    reported: dict[str, P] = field(default_factory=dict)
    flying: bool = False
    told_stops: set[str] = field(default_factory=set)
    highest_named: int = 0
    primaries: list[str] = field(default_factory=list)
    """Who was heard, since one alone was heard for long."""
    beats: int = 0
    suspected: bool = False
    journal: tuple[str | None, int] = (None, -1)

    @property
    def newest(self) -> str | None:
        return self.ids[-1] if self.ids else None

    def note(self, event: Event) -> None:
        match event:
            case Ordered():
                self.ids.append(event.upgrade_id)
                self.versions[event.upgrade_id] = event.version
                self.flying = False
            case AbortOrdered():
                self.aborted.add(self.ids[-1])
            case HeartbeatSeen(heartbeat, True):
                self.note_beat(heartbeat)
            case StatusSeen():
                self.note_status(event)
            case StopAnswered() | StopUnanswered() if event.upgrade_id == self.newest:
                self.flying = False
                if isinstance(event, StopAnswered) and event.answer.outcome is Outcome.OK:
                    self.report(event.upgrade_id, P.COMMITTED)
            case SightForgotten():
                self.sights.clear()
            case _:
                pass

    def note_beat(self, beat: Any) -> None:
        newest = self.newest
        right = newest and (beat.upgrade_id, beat.agent_version) == (newest, self.versions[newest])
        if newest and right and not self.over(newest):
            self.sights.add(newest)
        if beat.role is Role.PRIMARY:
            self.primaries.append(beat.instance_id)
            turns = [who for who, _ in groupby(self.primaries)]
            if max(Counter(turns).values()) >= 3:
                self.suspected = True
            alone = self.primaries[-1 - CALM_INTERVALS :]
            if len(alone) > CALM_INTERVALS and len(set(alone)) == 1:
                self.suspected, self.primaries = False, alone

    def note_status(self, event: StatusSeen) -> None:
        status = event.status
        if status.journal_id == self.journal[0] and status.seq <= self.journal[1]:
            if status.seq < self.journal[1]:
                self.sights.clear()  # what was seen was of a life that the device has forgotten
            return
        self.journal = (status.journal_id, status.seq)
        self.highest_named = max(self.highest_named, status.generation)
        for verdict in status.ended:
            if verdict.upgrade_id != status.upgrade_id:
                self.report(verdict.upgrade_id, verdict.phase)
        if status.upgrade_id and status.phase:
            self.report(status.upgrade_id, status.phase)

    def report(self, upgrade_id: str, phase: P) -> None:
        if upgrade_id in self.ids and not self.over(upgrade_id):
            self.reported[upgrade_id] = phase

    def over(self, upgrade_id: str) -> bool:
        return self.reported.get(upgrade_id, P.PENDING).final

    @property
    def stop_is_due(self) -> bool:
        newest = self.newest
        return (
            newest is not None
            and newest in self.sights
            and newest not in self.aborted
            and self.reported.get(newest) is P.CUTOVER_READY
            and not self.suspected
        )


Step = tuple[Any, ...]
NAMED = ("newest", "older", "foreign")

LIKELY: list[Step] = [
    ("beat", "newest", Role.CANDIDATE, True, True, "i2"),
    ("status", "newest", P.CUTOVER_READY, 1, "j1", True, ()),
    ("unanswered", "newest"),
    ("beat", "newest", Role.PRIMARY, False, True, "i1"),
    ("beat", "newest", Role.PRIMARY, False, True, "i3"),
    ("order", True),
]
RARER: list[Step] = [
    *product(("beat",), NAMED, Role, (True, False), (True, False), ("i1", "i3")),
    *product(("status",), NAMED, P, (1, 0), ("j1",), (True, False), ((),)),
    *product(("status",), NAMED, (P.STAGING, P.CUTOVER_READY), (-1,), ("j1", "j2"), (True,), ((),)),
    *(("status", "newest", P.STAGING, 1, "j1", True, (("older", end),)) for end in ENDS),
    *product(("answer",), NAMED, Outcome),
    *product(("unanswered",), NAMED),
    *((name,) for name in ("calm", "turns", "abort", "forget", "marker") for _ in range(10)),
    *[("pause", True), ("pause", False)] * 10,
    *[("order", False), ("order", True)] * 5,
]
HISTORIES = st.lists(st.sampled_from(LIKELY) | st.sampled_from(LIKELY + RARER), max_size=25).map(
    lambda steps: [("order", False), *steps]
)


def event_of(what: Step, oracle: Oracle, seq: int) -> list[Event]:
    def named(which: str) -> str:
        older = oracle.ids[-2] if len(oracle.ids) > 1 else "e" * 32
        return {"newest": oracle.newest or "f" * 32, "older": older, "foreign": "f" * 32}[which]

    match what:
        case ("order", replacing):
            number = len(oracle.ids) + 1
            return [ordered(f"{number:032x}", f"2.0.{number}", replace=replacing)]
        case ("beat", which, role, right, live, who):
            version = oracle.versions.get(named(which), "9.9.9") if right else "1.0.0"
            oracle.beats += 1
            said_so = {"agent_version": version, "role": role, "instance_id": who}
            return [candidate(named(which), live, beat=oracle.beats, **said_so)]
        case ("calm",):
            oracle.beats += CALM_INTERVALS + 1
            numbers = range(oracle.beats - CALM_INTERVALS, oracle.beats + 1)
            return [primary(instance_id="i1", beat=number) for number in numbers]
        case ("turns",):
            oracle.beats += 1
            return [
                primary(instance_id=who, beat=oracle.beats) for who in ("i1", "i3") * 2 + ("i1",)
            ]
        case ("status", which, phase, ahead, journal, complete, verdicts):
            generation = len(oracle.ids) - (which == "older")
            past = tuple(ended(named(one), 1, end) for one, end in verdicts)
            return [
                said(
                    *(max(0, seq + ahead), phase, named(which)),
                    generation=max(0, generation),
                    journal_id=journal,
                    ended_complete=complete,
                    ended=past,
                )
            ]
        case ("answer", which, outcome):
            return [answered(outcome, named(which))]
        case ("unanswered", which):
            return [StopUnanswered(named(which))]
        case ("abort",):
            return [AbortOrdered()]
        case ("pause", paused):
            return [PauseOrdered(paused)]
        case ("forget",):
            return [SightForgotten()]
        case _:
            return [MarkerSeen(None)]


def lived(history: list[Step]) -> Iterator[tuple[Case, Event, Case, Any, Oracle]]:
    """Each step of a history, with the oracle's books as they are after it."""
    case, oracle = HEARD, Oracle()
    for what in history:
        for event in event_of(what, oracle, max(0, case.record.seq)):
            try:
                now, effects = step(case, event)
            except OrderRefused:
                continue
            oracle.note(event)
            yield case, event, now, effects, oracle
            case = now


def is_stop_told(effect: Effect) -> bool:
    return isinstance(effect, Tell) and effect.happening.kind == "stop_sent"


@settings(max_examples=250)
@given(HISTORIES)
def test_in_every_history_a_stop_needs_all_that_the_design_demands(
    history: list[Step],
) -> None:
    for _, event, now, effects, oracle in lived(history):
        stops = [effect for effect in effects if isinstance(effect, SendStop)]
        for stop in stops:
            assert stop.upgrade_id == oracle.newest
            assert oracle.stop_is_due
            assert not oracle.flying
            oracle.flying = True
        first = {stop.upgrade_id for stop in stops} - oracle.told_stops
        assert {tell.happening.upgrade_id for tell in effects if is_stop_told(tell)} == first
        oracle.told_stops |= first
        if isinstance(event, HeartbeatSeen | StatusSeen | StopAnswered | StopUnanswered):
            assert oracle.flying or not oracle.stop_is_due, "and where all is there, it is sent"
        assert len(stops) <= 1
        assert now.identity.duplicate == oracle.suspected


@given(HISTORIES)
def test_in_every_history_each_step_keeps_the_rules(history: list[Step]) -> None:
    for before, event, now, effects, _ in lived(history):
        check_step(before, event, now, effects)


@given(HISTORIES)
def test_in_every_history_generations_only_grow(history: list[Step]) -> None:
    given_out: list[int] = []
    for _, event, now, _, oracle in lived(history):
        if isinstance(event, Ordered):
            assert now.record.order is not None
            generation = now.record.order.generation
            assert generation > max([oracle.highest_named, *given_out])
            given_out.append(generation)


@given(HISTORIES)
def test_in_every_history_a_verdict_is_the_device_s_word_or_follows_from_it(
    history: list[Step],
) -> None:
    for before, event, now, _, oracle in lived(history):
        for upgrade_id, order in orders(now).items():
            if order.open or not orders(before).get(upgrade_id, order).open:
                continue
            assert isinstance(event, StatusSeen)
            said_so = oracle.reported.get(upgrade_id) is order.phase
            status = event.status
            skipped = (
                order.phase is P.NEVER_STARTED
                and status.ended_complete
                and order.journal_id in {None, status.journal_id}
                and status.generation > order.generation
                and upgrade_id not in {status.upgrade_id, status.deferred}
                and upgrade_id not in {verdict.upgrade_id for verdict in status.ended}
                and len(status.ended) < ENDED_KEPT
            )
            assert said_so or skipped
            if skipped:
                oracle.reported[upgrade_id] = P.NEVER_STARTED


@given(HISTORIES, st.integers(-3, 0))
def test_in_every_history_an_old_statement_changes_nothing(history: list[Step], back: int) -> None:
    for _, _, now, _, _ in lived(history):
        record = now.record
        if record.journal_id is not None and record.seq + back >= 0:
            newest = record.order.upgrade_id if record.order else FIRST
            old = said(record.seq + back, P.ROLLED_BACK, newest, journal_id=record.journal_id)
            after, effects = step(now, old)
            assert after.record == now.record
            assert not any(isinstance(effect, WriteMarker) for effect in effects)


def test_the_histories_reach_what_they_are_about() -> None:
    """Else the properties above would hold of nothing."""
    reached: Counter[str] = Counter()

    @settings(max_examples=400, database=None, derandomize=True)
    @given(HISTORIES)
    def live(history: list[Step]) -> None:
        for _, _, now, effects, oracle in lived(history):
            reached.update(type(effect).__name__ for effect in effects)
            reached["duplicate"] += now.identity.duplicate
            reached["aborted"] += bool(oracle.aborted)
            reached["paused"] += now.record.paused
            reached.update(order.phase.name for order in orders(now).values())

    live()
    for name in (
        *("SendStop", "WriteMarker", "Tell"),
        *("duplicate", "aborted", "paused", "NEVER_STARTED"),
    ):
        assert reached[name] >= 10, (name, reached)


def test_the_states_and_events_are_all_there_are() -> None:
    assert {type(event) for event in EVENTS} == set(Event.__args__)
    assert len(STATES) == 1 + len(P) * len(Desired) * 3 * 2 * 2
