"""Interpreter, modules and clock, as a preflight judges them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.agent.preflight.host import (
    CLOCK_BOUND_S,
    judge_clock,
    judge_modules,
    judge_python,
)
from harmony_fleet.contracts.preflight import CheckName, CheckState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLOOR = (3, 11)


@pytest.mark.parametrize(
    ("running", "needed", "state"),
    [
        ((3, 11), ">=3.11", CheckState.OK),
        ((3, 13), ">=3.9", CheckState.OK),
        ((3, 11), ">=3.12", CheckState.FAILED),
        ((3, 9), ">=3.10", CheckState.FAILED),
        ((3, 10), ">=3.9", CheckState.FAILED),
        ((3, 11), "", CheckState.OK),
        ((3, 10), "", CheckState.FAILED),
        ((3, 13), "~=3.11", CheckState.UNKNOWN),
        ((3, 13), ">=3.११", CheckState.UNKNOWN),
    ],
)
def test_python_must_be_as_new_as_the_agent_and_the_artifact_need(
    running: tuple[int, int], needed: str, state: CheckState
) -> None:
    found = judge_python(running, FLOOR, needed)
    assert (found.name, found.state) == (CheckName.PYTHON, state)


def test_the_python_that_is_there_and_the_one_that_is_needed_are_both_named() -> None:
    words = judge_python((3, 9), FLOOR, ">=3.12").detail
    assert "3.9 runs" in words
    assert "3.12 or newer" in words


@pytest.mark.parametrize(
    ("exit_status", "output", "state", "words"),
    [
        (0, "91\n", CheckState.OK, "all 91 can be imported"),
        (0, "a warning\n91\n", CheckState.OK, "all 91"),
        (1, "trace\nagent.x: ModuleNotFoundError: No module named 'ssl'\n", "failed", "'ssl'"),
        (-9, "", CheckState.FAILED, "it said nothing"),
    ],
)
def test_modules_are_judged_by_the_process_that_imported_them(
    exit_status: int, output: str, state: CheckState, words: str
) -> None:
    found = judge_modules(exit_status, output)
    assert (found.name, found.state) == (CheckName.MODULES, state)
    assert words in found.detail


@pytest.mark.parametrize("off_s", [0.0, CLOCK_BOUND_S, -CLOCK_BOUND_S])
def test_a_clock_near_the_operators_is_right(off_s: float) -> None:
    found = judge_clock("2026-01-01T00:00:00.000Z", NOW + timedelta(seconds=off_s))
    assert (found.name, found.state) == (CheckName.CLOCK, CheckState.OK)


@pytest.mark.parametrize(("off_s", "side"), [(3600.0, "ahead of"), (-3600.0, "behind")])
def test_a_clock_far_off_is_a_warning_that_says_how_far(off_s: float, side: str) -> None:
    found = judge_clock("2026-01-01T00:00:00Z", NOW + timedelta(seconds=off_s))
    assert found.state is CheckState.WARNING
    assert f"3600 s {side} the operator's" in found.detail


@pytest.mark.parametrize("off_h", [0, 5])
def test_a_time_without_a_zone_is_taken_for_utc_and_another_zone_for_what_it_is(off_h: int) -> None:
    assert judge_clock("2026-01-01T00:00:00", NOW).state is CheckState.OK
    there = NOW + timedelta(hours=off_h)
    said = f"{there:%Y-%m-%dT%H:%M:%S}+0{off_h}:00"
    assert judge_clock(said, NOW).state is CheckState.OK


@given(st.text(max_size=40))
def test_whatever_stands_for_a_time_a_clock_never_fails(asked_at: str) -> None:
    assert judge_clock(asked_at, NOW).state is not CheckState.FAILED


def test_a_time_that_is_none_is_unknown() -> None:
    assert judge_clock("noon", NOW).state is CheckState.UNKNOWN
