"""The explorer: what it finds in the shipped code, that it finds what is wrong, and its loop."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from harmony_fleet.agent.upgrade.boot_time import BootTime
from harmony_fleet.agent.upgrade.drive import Driver
from harmony_fleet.agent.upgrade.effects import Effect
from harmony_fleet.agent.upgrade.events import (
    CandidateExited,
    CandidateReady,
    Event,
    OrderRead,
    PrimaryStarted,
    Reported,
    ServiceStopping,
    Staged,
    StagingFailed,
    StopReceived,
    TimeRanOut,
    Verified,
)
from harmony_fleet.agent.upgrade.inbox import Inbox
from harmony_fleet.agent.upgrade.states import Deadline, OpenState, Starting
from harmony_fleet.contracts.upgrade import CauseKind, Desired, Marker, cause
from harmony_fleet.operator.bucket import BucketWrite, bucket_write
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.known import read_again
from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore import operators
from harmony_fleet.simulation.explore.device import fresh_device
from harmony_fleet.simulation.explore.moves import BITS
from harmony_fleet.simulation.explore.number import DONE, FIRST, MASK, RECORD, desks_of
from harmony_fleet.simulation.explore.prove import load, replay, save, told
from harmony_fleet.simulation.explore.running import Run, drive, perform
from harmony_fleet.simulation.explore.scenarios import PLANS, Plan
from harmony_fleet.simulation.explore.search import Search, StoryImpossible
from harmony_fleet.simulation.explore.world import (
    BOOT,
    DEVICE,
    IDS,
    NEW,
    OLD,
    Desk,
    Hand,
    Plane,
    Process,
    Scenario,
    Wish,
    artifact,
    digest,
)

GOOD = PLANS[0].scenario
FOUND = sorted((Path(__file__).parent / "traces").glob("*.json"))
"""Each broke something once, in code that shipped."""


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.scenario.name)
def test_every_state_keeps_the_invariants_and_all_ends_settled(plan: Plan) -> None:
    explored = Search(plan.scenario, plan.quick).run()
    stories = [line for violation in explored.violations for line in told(explored, violation)]
    assert not stories, "\n".join(stories)
    assert explored.settled > 0


def test_two_explorations_visit_the_same_states_in_the_same_order() -> None:
    first, second = Search(GOOD, 0), Search(GOOD, 0)
    assert first.run().transitions == second.run().transitions
    assert first.states == second.states


def test_two_processes_with_other_hashes_visit_the_same_states_on_the_same_ways() -> None:
    code = (
        "import hashlib;from harmony_fleet.simulation.explore.scenarios import plan;"
        "from harmony_fleet.simulation.explore.search import Search;"
        "search = Search(plan('another order').scenario, 0);search.run();"
        "ways = [search.story(number) for number in range(0, len(search.states), 100)];"
        "print(len(ways), hashlib.sha256(repr(ways).encode()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


@pytest.mark.parametrize("operators", [1, 2])
def test_a_marker_written_in_one_move_leads_to_the_same_states_as_in_three(operators: int) -> None:
    scenario = replace(GOOD, operators=operators, wishes=WISHES[operators])
    names: Names = {}
    at_once, looking = (
        _between_looks(replace(scenario, looks=looks), names) for looks in (False, True)
    )
    assert at_once == looking
    assert len(at_once) > 900


WISHES = {1: (Wish.UPGRADE, Wish.ABORT), 2: (Wish.UPGRADE,)}
Names = dict[Hashable, int]


def _between_looks(scenario: Scenario, names: Names) -> set[tuple[int, ...]]:
    """The states in which no operator has looked without having acted on it."""
    search = Search(scenario, 0)
    search.run()
    moves, found = search.moves, set()

    @cache
    def desk_name(desk: int, plane: int, record: int) -> int:
        parts = moves.desks.values[desk], moves.planes.values[plane], moves.records.values[record]
        known = _known_writes(*parts)
        looked = known.writing is not None and known.writing.hand is not Hand.BEGINS
        return -1 if looked else names.setdefault(known, len(names))

    @cache
    def rest_name(rest: int) -> int:
        device, plane = moves.devices.values[rest & MASK], moves.planes.values[rest >> BITS & MASK]
        record = moves.records.values[rest >> RECORD & MASK]
        return names.setdefault((device, plane, record, rest >> DONE), len(names))

    for state in search.states:
        plane, record = state >> BITS & MASK, state >> RECORD & MASK
        desks = [desk_name(desk, plane, record) for desk in desks_of(moves, state)]
        if -1 not in desks:
            found.add((rest_name(state & (1 << FIRST) - 1), *sorted(desks)))
    return found


def _known_writes(desk: Desk, plane: Plane, record: DeviceRecord) -> Desk:
    """An operator that has yet to find out that there is nothing to write has found out."""
    writing = desk.writing
    if writing is None or writing.hand is not Hand.BEGINS:
        return desk
    case = desk.case if desk.in_sync else read_again(desk.case, record)
    write = bucket_write(case, writing.wanted, plane.marker)
    return desk if write is BucketWrite.WRITE else replace(desk, writing=None)


def test_a_story_that_breaks_something_is_told_shortest_first_saved_and_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as mistaken:
        mistaken.setattr(operators, "may_stop", _as_soon_as_it_is_ordered)
        mistaken.setattr("harmony_fleet.operator.coordinator.may_stop", _as_soon_as_it_is_ordered)
        explored = Search(GOOD, 0).run()
        (violation,) = explored.violations
        assert violation.what.startswith("2: ")
        assert violation.story == (
            "operator 1 is asked: upgrade",
            "operator 1 hears the status",
            "operator 1 sends the stop",
        )
        trace = load(save(tmp_path, explored, violation))
        assert replay(trace) == violation.what
    with pytest.raises(StoryImpossible):
        replay(trace)


@pytest.mark.parametrize("trace", FOUND, ids=lambda path: path.stem)
def test_a_story_that_broke_something_once_can_still_happen_and_breaks_nothing(trace: Path) -> None:
    assert replay(load(trace)) == ""


def _as_soon_as_it_is_ordered(case: Case, upgrade_id: str) -> bool:
    order = case.record.order
    return order is not None and order.upgrade_id == upgrade_id


NO_TRACES = [
    "{",
    json.dumps({"scenario": "no such", "faults": 0}),
    json.dumps({"scenario": GOOD.name, "faults": 99, "what": "", "story": []}),
    json.dumps({"scenario": GOOD.name, "faults": -1, "what": "", "story": []}),
    '{"scenario": "' + GOOD.name + '", "faults": 1e400, "what": "", "story": []}',
    "[" * 200_000,
]


@pytest.mark.parametrize("text", NO_TRACES, ids=range(len(NO_TRACES)))
def test_a_file_that_is_no_trace_is_refused_with_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    done = _explore("--replay", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scenario_that_is_not_there_is_refused_and_those_that_are_are_named() -> None:
    done = _explore("--scenario", "to the moon")
    assert done.returncode == 2
    assert "'an abort'" in done.stderr


@pytest.mark.parametrize("processes", ["0", "-3", "many"])
def test_a_number_of_processes_that_is_none_is_refused(processes: str) -> None:
    done = _explore("--processes", processes)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_the_command_and_its_processes() -> None:
    command = [sys.executable, "-m", "harmony_fleet.simulation.explore"]
    long = ["--scenario", "two operators", "--faults", "1", "--processes", "2"]
    with subprocess.Popen([*command, *long], stderr=subprocess.PIPE, text=True) as asked:
        try:
            children = Path(f"/proc/{asked.pid}/task/{asked.pid}/children")
            while len(workers := children.read_text().split()) < 2:
                assert asked.poll() is None
                time.sleep(0.05)
            asked.send_signal(signal.SIGINT)
            _, told = asked.communicate(timeout=30)
        finally:
            asked.kill()
    assert (asked.returncode, told) == (130, "interrupted\n")
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.05)


def test_the_command_prints_a_table_with_what_it_visited() -> None:
    done = _explore("--scenario", "wrong-bytes", "--faults", "1")
    assert done.returncode == 0, done.stderr
    assert "| to a version: wrong-bytes | 1 |" in done.stdout
    assert "| **all** |" in done.stdout


def _explore(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harmony_fleet.simulation.explore", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# The loop


def _order(desired: Desired = Desired.RUN) -> OrderRead:
    upgrade_id = IDS[Wish.UPGRADE]
    return OrderRead(Marker(DEVICE, upgrade_id, 1, NEW, artifact(NEW), desired))


STAGED = Staged(digest(OLD))
STOP = StopReceived(IDS[Wish.UPGRADE], f"0.{IDS[Wish.UPGRADE]}", BootTime(BOOT, 0.0))
ARMED: tuple[Event, ...] = (_order(), STAGED, Verified(), CandidateReady())
LIVES: dict[str, tuple[Event, ...]] = {
    "it commits": (*ARMED, replace(STOP, upgrade_id="f" * 32), STOP),
    "it is aborted": (*ARMED, _order(Desired.ABORT), STOP, Reported(6)),
    "nobody decides": (*ARMED, TimeRanOut(Deadline.STOP)),
    "the candidate dies": (*ARMED, CandidateExited(cause(CauseKind.CANDIDATE_DIED, "it died"))),
    "staging fails": (_order(), StagingFailed(cause(CauseKind.DOWNLOAD_FAILED, "404")), STOP),
    "it is stopped while staging": (_order(), ServiceStopping(system=False)),
    "it is stopped while armed": (*ARMED, ServiceStopping(system=True)),
    "what cannot be is ignored": (CandidateReady(), *ARMED, STAGED, STOP),
}


@pytest.mark.parametrize("life", LIVES.values(), ids=list(LIVES))
def test_the_explorer_s_loop_does_what_the_driver_does_in_the_same_order(
    life: Sequence[Event],
) -> None:
    ours, shipped = _run(), _run()
    end = ServiceStopping(system=False)  # else it would wait for ever
    events = [_started(ours), *life, end]
    for event in events:
        if ours.process is not None:
            drive(ours, ours.process, event)
    asyncio.run(_shipped(shipped, events))
    assert shipped.points == ours.points
    assert shipped.disk.image() == ours.disk.image()
    assert (shipped.answers, shipped.exited) == (ours.answers, ours.exited)


def _run() -> Run:
    run = Run(fresh_device(plain=False), OLD)
    run.versions.land(NEW, digest(NEW))
    run.points.clear()
    run.process = Process(OLD, Starting())
    return run


def _started(run: Run) -> PrimaryStarted:
    return PrimaryStarted(
        OLD, run.journal.read(), run.versions.link_version(), run.versions.previous_version()
    )


@dataclass
class Recorder:
    """In the performer's place: the same steps on the same disk."""

    run: Run
    inbox: Inbox = field(default_factory=Inbox)

    async def __call__(self, effect: Effect, state: OpenState) -> Event | None:
        assert self.run.process is not None
        self.run.process = replace(self.run.process, state=state)
        self.run.point(type(effect).__name__)
        return perform(self.run, self.run.process, effect)


async def _shipped(run: Run, events: Sequence[Event]) -> None:
    recorder = Recorder(run)
    driver = Driver(run.journal, recorder, retry_s=0.0)  # type: ignore[arg-type]
    first, *rest = events
    assert isinstance(first, PrimaryStarted)
    for event in rest:
        recorder.inbox.post(event)
    run.exited = await driver.run(first)
    run.point("Exit")
