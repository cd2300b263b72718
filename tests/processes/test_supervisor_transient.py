"""What the primary asks for: the candidate, self-tests. They outlive who asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.local_world import (
    LAST_WORDS,
    SETTINGS,
    Device,
    ask_and_go_away,
    candidate,
    device,
    running_file,
    self_test,
    start,
    until,
)

from harmony_fleet.agent.upgrade.local_messages import (
    OUTPUT_KEPT,
    Candidate,
    Machine,
    Ran,
    RestartUnit,
    StopCandidate,
    StopUnit,
)
from harmony_fleet.embedded.supervisor.settings import CANDIDATE, TRANSIENT


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path / "device") as made:
        yield made


def test_the_candidate_outlives_the_primary_and_its_restarts(one: Device) -> None:
    one.prepare()
    one.install("2.0.0")
    one.run()
    assert start(one).running
    pid = one.state().candidate_pid
    one.ask(RestartUnit(), Machine)
    one.until_running()
    one.ask(StopUnit(), Machine)
    assert one.state().candidate_pid == pid
    assert running_file(one.path_of("2.0.0")) == [pid]


def test_ready_from_the_primary_is_not_ready_from_the_candidate(one: Device) -> None:
    one.prepare(primary="ready()\nwhile True: ready(); notify(b'WATCHDOG=1'); time.sleep(0.02)")
    one.install("2.0.0", candidate="hang()")
    one.run()
    request = replace(candidate(one, "2.0.0", 1000), ready_limit_s=0.5)
    assert not one.ask(request, Candidate).running
    assert one.seen(CANDIDATE, "not ready in time") == 1


def test_a_candidate_that_ends_is_forgotten_and_not_restarted(one: Device) -> None:
    one.prepare()
    one.install("2.0.0", candidate="ready(); wait_for('go'); sys.exit(75)")
    one.run()
    start(one)
    one.mark("go")
    until(lambda: one.state().candidate_pid is None)
    assert one.seen(CANDIDATE, "ended status=75") == one.seen(CANDIDATE, "started") == 1


def test_a_candidate_that_misses_its_watchdog_is_killed_and_the_primary_is_not(
    one: Device,
) -> None:
    one.prepare(replace(SETTINGS, watchdog_s=1.2))
    one.install("2.0.0", candidate="ready(); hang()")
    one.run()
    start(one)
    until(lambda: one.seen(CANDIDATE, "watchdog missed status=-6") == 1)
    assert one.state().unit_starts == 1


def test_a_candidate_that_nobody_ends_runs_only_for_its_whole_time(one: Device) -> None:
    one.prepare()
    one.install("2.0.0")
    one.run()
    assert start(one, runtime_limit_s=0.3).running
    until(lambda: one.seen(CANDIDATE, "ran for its whole time status=-15") == 1)


def test_a_candidate_that_ignores_term_is_killed(one: Device) -> None:
    one.prepare(replace(SETTINGS, stop_limit_s=0.3))
    one.install("2.0.0", candidate="ignore_term(); ready(); rest()")
    one.run()
    start(one)
    assert LAST_WORDS in one.ask(StopCandidate(), Candidate).output
    assert one.state().candidate_pid is None


def test_a_second_stop_does_not_break_into_the_first(one: Device) -> None:
    resists = "signal.signal(15, lambda *_: mark('told'))"
    one.prepare(replace(SETTINGS, stop_limit_s=0.5))
    one.install("2.0.0", candidate=f"{resists}; ready(); rest()")
    one.run()
    start(one)
    ask_and_go_away(one, StopCandidate())
    until(lambda: bool(one.marks("told")))
    one.ask(StopCandidate(), Candidate)
    assert running_file(one.path_of("2.0.0")) == []


def test_a_self_test_goes_on_when_the_primary_that_asked_for_it_is_gone(one: Device) -> None:
    one.prepare()
    one.install("2.0.0", self_test="mark('begun'); wait_for('go'); mark('done')")
    one.run()
    ask_and_go_away(one, self_test(one))
    until(lambda: len(one.marks("begun")) == 1)
    one.ask(StopUnit(), Machine)
    one.mark("go")
    until(lambda: one.seen(TRANSIENT, "ended status=0") == 1)
    assert len(one.marks("done")) == 1


def test_a_self_test_whose_primary_is_gone_is_still_ended_at_its_limit(one: Device) -> None:
    one.prepare()
    one.install("2.0.0", self_test="ignore_term(); hang()")
    one.run()
    ask_and_go_away(one, self_test(one, limit_s=0.3))
    until(lambda: one.seen(TRANSIENT, "ended status=-9 at its limit") == 1)
    assert running_file(one.path_of("2.0.0")) == []


def test_a_candidate_goes_on_when_the_primary_that_asked_for_it_is_gone(one: Device) -> None:
    one.prepare()
    one.install("2.0.0", candidate="wait_for('go'); ready(); rest()")
    one.run()
    ask_and_go_away(one, candidate(one, "2.0.0", 1000))
    until(lambda: one.seen(CANDIDATE, "started") == 1)
    one.mark("go")
    until(lambda: one.seen(CANDIDATE, "ready") == 1)


def test_of_a_long_output_the_end_is_kept(one: Device) -> None:
    one.prepare()
    flood = "os.write(1, bytes([0, 255]) * 500000 + b'the end')"
    one.install("2.0.0", self_test=flood)
    one.run()
    ran = one.ask(self_test(one), Ran)
    assert ran.output.endswith("the end")
    assert len(ran.output) <= OUTPUT_KEPT
    assert ran.exit_status == 0


def test_a_program_that_cannot_be_run_is_an_answer(one: Device) -> None:
    one.prepare()
    one.run()
    ran = one.ask(self_test(one), Ran)
    assert (ran.exit_status, ran.timed_out) == (127, False)
    assert "No such file" in ran.output
    assert not start(one).running
