"""States and events of the upgrade's machine, several values of each kind, for whoever runs `step`
over all their pairs: the tests, and the diagram in the docs.

One device, running OLD, is ordered to go to NEW by the upgrade ID. Before it there was another
upgrade, ENDED_ID. THIRD is a version that somebody put there by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.effects import (
    Effect,
)
from harmony_fleet.agent.upgrade.events import (
    CandidateExited,
    CandidateReady,
    CandidateStartFailed,
    CutoverPrepared,
    Event,
    ExpiryMark,
    Found,
    GuardStarted,
    JournalAbsent,
    JournalRead,
    JournalUnreadable,
    LinkSwapped,
    OrderRead,
    OrderUnusable,
    PlaneAsked,
    PrimaryStarted,
    Reported,
    ServiceStopping,
    Staged,
    StagingFailed,
    StepFailed,
    StopReceived,
    TargetDamaged,
    TargetSound,
    TimeRanOut,
    Verified,
    VerifyingFailed,
)
from harmony_fleet.agent.upgrade.illegal import IllegalEvent
from harmony_fleet.agent.upgrade.machine import step
from harmony_fleet.agent.upgrade.record import (
    Attempt,
    Installed,
    Journal,
    Stage,
    after_loss,
    end,
    fresh,
)
from harmony_fleet.agent.upgrade.states import (
    EXIT_RESTART,
    EXIT_STOP,
    Armed,
    Checking,
    CuttingOver,
    Deadline,
    GuardDone,
    Idle,
    Leaving,
    OpenState,
    Party,
    Preparing,
    Probation,
    Recommitting,
    Reverting,
    Staging,
    Starting,
    State,
    Trial,
    Verifying,
)
from harmony_fleet.contracts.upgrade import (
    AgentUpgradePhase,
    Artifact,
    Cause,
    CauseKind,
    Desired,
    Ended,
    Marker,
    cause,
)

OLD: Final = "1.0.0"
NEW: Final = "1.1.0"
THIRD: Final = "3.0.0"

ID: Final = "0123456789abcdef" * 2
OTHER_ID: Final = "fedcba9876543210" * 2
ENDED_ID: Final = "00ff00ff00ff00ff" * 2

GENERATION: Final = 5
"""Of the upgrade ID; ENDED_ID had one less."""
STARTS_ALLOWED: Final = 5

OLD_SHA256: Final = "0" * 64
ARTIFACT: Final = Artifact("http://127.0.0.1:7700/artifacts/new", 1_000_000, "1" * 64)
BAD_ARTIFACT: Final = Artifact("http://127.0.0.1:7700/artifacts/bad", 1_000_000, "b" * 64)
"""Of a digest that is quarantined here."""

NOW: Final = BootTime("boot-1", 1000.0)
WHY: Final = cause(CauseKind.CANDIDATE_DIED, "it died", "last words")

IDLE: Final = Journal(
    "journal-1",
    seq=10,
    highest=GENERATION - 1,
    attempt=Attempt(ENDED_ID, GENERATION - 1, Stage.FAILED, OLD, NEW),
    ended=(Ended(ENDED_ID, GENERATION - 1, AgentUpgradePhase.FAILED, CauseKind.ABORTED),),
    quarantined=(BAD_ARTIFACT.sha256,),
    installed=Installed(OLD, OLD_SHA256),
)
"""Of a device that waits for its next order."""

OPEN_STAGES: Final = tuple(stage for stage in Stage if stage.open)
ENDED_STAGES: Final = tuple(stage for stage in Stage if not stage.open)


def journal_in(stage: Stage, **changes: Any) -> Journal:
    """In the middle, or at the end, of the upgrade ID."""
    open_stage = stage if stage.open else Stage.COMMITTED
    plain = Attempt(ID, GENERATION, open_stage, OLD, NEW, ARTIFACT, OLD_SHA256)
    if stage is Stage.REVERTING:
        plain = replace(plain, cause=WHY)
    if stage is Stage.COMMITTED:
        plain = replace(plain, since=NOW)
    journal = replace(IDLE, seq=20, highest=GENERATION, attempt=replace(plain, **changes))
    return journal if stage.open else end(journal, stage, _end_of(stage))


def _end_of(stage: Stage) -> Cause | None:
    return None if stage is Stage.SUCCEEDED else WHY


LOST: Final = after_loss("journal-2", link=NEW, previous=OLD)
"""What is assumed after a loss, where the link is not on `previous`."""


def marker(**changes: Any) -> Marker:
    """The order for the upgrade ID, taken up by no journal of its own generation."""
    return replace(Marker("pi-1", ID, GENERATION, NEW, ARTIFACT), **changes)


def next_order(**changes: Any) -> Marker:
    """One that every journal here has still to see."""
    return marker(upgrade_id=OTHER_ID, generation=GENERATION + 1, **changes)


def states() -> tuple[State, ...]:
    return (Starting(), *_old_states(), *_new_states(), *_ways_back(), *_last_states())


def _old_states() -> Iterator[OpenState]:
    for journal in (fresh("journal-1"), IDLE, replace(IDLE, lost=True)):
        yield Idle(OLD, journal)
    for stage in ENDED_STAGES:
        yield Idle(NEW if stage is Stage.SUCCEEDED else OLD, journal_in(stage))
    yield Staging(OLD, journal_in(Stage.STAGING))
    yield Staging(OLD, journal_in(Stage.STAGING, tries=3, target_sha256=None))
    yield Verifying(OLD, journal_in(Stage.VERIFYING))
    yield Preparing(OLD, journal_in(Stage.VERIFYING))
    yield CuttingOver(OLD, journal_in(Stage.CUTOVER))
    for heard in (None, False, True):
        yield Armed(OLD, journal_in(Stage.CUTOVER), heard)


def _new_states() -> Iterator[OpenState]:
    yield Trial(NEW, journal_in(Stage.CUTOVER))
    damaged = cause(CauseKind.ROLLBACK_TARGET_DAMAGED, "cannot go back")
    yield Trial(NEW, journal_in(Stage.CUTOVER, cause=damaged))
    for time_reached, reported in ((False, False), (True, False), (False, True)):
        for journal in (
            journal_in(Stage.COMMITTED, starts=1),
            journal_in(Stage.COMMITTED, deferred=OTHER_ID),
            LOST,
        ):
            yield Probation(NEW, journal, time_reached, reported)


def _ways_back() -> Iterator[OpenState]:
    for stage, party, stopping in product(
        (Stage.CUTOVER, Stage.REVERTING), (Party.OLD, Party.NEW), (False, True)
    ):
        running = OLD if party is Party.OLD else NEW
        yield Checking(running, journal_in(stage), WHY, party, stopping)
        if stage is Stage.REVERTING:
            yield Reverting(running, journal_in(stage), party, stopping)
    for journal in (journal_in(Stage.CUTOVER), journal_in(Stage.COMMITTED, starts=5), LOST):
        yield Checking(OLD, journal, WHY, Party.GUARD)
    yield Reverting(OLD, journal_in(Stage.REVERTING), Party.GUARD)


def _last_states() -> Iterator[OpenState]:
    yield Recommitting(OLD, journal_in(Stage.COMMITTED), Party.OLD)
    yield Recommitting(OLD, journal_in(Stage.COMMITTED, starts=1), Party.GUARD)
    yield Leaving(journal_in(Stage.COMMITTED), EXIT_RESTART)
    yield Leaving(journal_in(Stage.ROLLED_BACK), EXIT_RESTART)
    yield Leaving(IDLE, EXIT_STOP)
    yield GuardDone(journal_in(Stage.COMMITTED, starts=1))
    yield GuardDone(journal_in(Stage.ROLLED_BACK))


def events() -> tuple[Event, ...]:
    return (*began(), *_asked(), *_outcomes(), *_others())


def _found() -> Iterator[Found]:
    yield JournalAbsent("journal-9")
    yield JournalUnreadable("journal-9")
    for journal in (fresh("journal-1"), IDLE, LOST, *(journal_in(stage) for stage in Stage)):
        yield JournalRead(journal)
    yield JournalRead(journal_in(Stage.STAGING, tries=3))


def began() -> Iterator[PrimaryStarted | GuardStarted]:
    links = ((OLD, OLD), (NEW, OLD), (NEW, None), (None, None))
    marks = (None, ExpiryMark(ID, WHY), ExpiryMark(OTHER_ID, WHY))
    for found, (link, previous) in product(_found(), links):
        for running in (OLD, NEW, THIRD):
            yield PrimaryStarted(running, found, link, previous)
        for running, mark, allowed in product((OLD, THIRD), marks, (0, STARTS_ALLOWED)):
            begun = GuardStarted(running, found, link, previous, NOW, allowed, mark, "last words")
            yield begun
            if link is None:
                yield replace(begun, link_gone=True)


def _asked() -> Iterator[Event]:
    ids = (ID, OTHER_ID, ENDED_ID)
    generations = (GENERATION - 1, GENERATION, GENERATION + 1)
    for upgrade_id, generation in product(ids, generations):
        yield OrderUnusable(upgrade_id, generation, "schema of the future")
        named = marker(upgrade_id=upgrade_id, generation=generation)
        for desired, version in product(Desired, (OLD, NEW)):
            yield OrderRead(replace(named, desired=desired, version=version))
        for retry in (False, True):
            yield OrderRead(replace(named, artifact=BAD_ARTIFACT, retry=retry))
    for upgrade_id in ids:
        yield StopReceived(upgrade_id, "fleet.answer.pi-1.1", NOW)


def _outcomes() -> tuple[Event, ...]:
    return (
        Staged(OLD_SHA256),
        StagingFailed(WHY),
        Verified(),
        VerifyingFailed(WHY),
        VerifyingFailed(WHY, contact=False),
        CutoverPrepared(),
        LinkSwapped(),
        StepFailed(cause(CauseKind.DEVICE_FAULT, "the disk refused")),
        CandidateReady(),
        CandidateStartFailed(WHY),
        PlaneAsked(True),
        PlaneAsked(False),
        PlaneAsked(None),
        CandidateExited(WHY),
        CandidateExited(WHY, system=True),
        TargetSound(),
        TargetDamaged("the file is cut short"),
    )


def _others() -> Iterator[Event]:
    yield Reported(20)
    for deadline in Deadline:
        yield TimeRanOut(deadline, "last words")
    for system in (False, True):
        yield ServiceStopping(system)


@dataclass(frozen=True, slots=True)
class Move:
    """What the machine makes of one event in one state."""

    before: State
    event: Event
    after: OpenState
    effects: tuple[Effect, ...]


def move(before: State, event: Event) -> Move | None:
    """None where the event is illegal in that state."""
    try:
        return Move(before, event, *step(before, event))
    except IllegalEvent:
        return None


def pairs() -> Iterator[tuple[State, Event]]:
    """Every event in every state; of the many starts only two where nothing starts."""
    starts = tuple(began())
    later = (starts[0], starts[-1], *_asked(), *_outcomes(), *_others())
    for state in states():
        yield from product((state,), events() if state == Starting() else later)


def moves() -> Iterator[Move]:
    """All that are legal, of all pairs."""
    for before, event in pairs():
        made = move(before, event)
        if made is not None:
            yield made
