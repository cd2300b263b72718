"""What the operator makes of the answers to a preflight, and of its own side of the order."""

from dataclasses import replace

import pytest
from tests.unit.wire_cases import ARTIFACT, CHECK, ID

from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.contracts.preflight import Check, CheckName, CheckState, PreflightAnswer
from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.operator.coordinator import Case
from harmony_fleet.operator.events import Ordered
from harmony_fleet.operator.identity_watch import Identity
from harmony_fleet.operator.orders import Trial
from harmony_fleet.operator.preflight_rules import (
    PreflightResult,
    judge_answer,
    judge_order,
    judge_silence,
)
from harmony_fleet.operator.records import DeviceRecord, Order

NOW = "2026-01-01T00:00:00Z"
ORDER = Ordered(ID, "2.0.0", ARTIFACT, NOW, False, False)
BUSY = Order(ID, 1, "3.0.0", ARTIFACT, NOW, phase=AgentUpgradePhase.STAGING, since=NOW)
CASE = Case(DeviceRecord("pi-1", "1.0.0"))
TRIAL = Trial.of(CASE, ORDER, ">=3.11")
ANSWER = PreflightAnswer("pi-1", Outcome.OK, version="2.0.0", checks=(CHECK,))


def test_an_order_that_would_be_given_is_no_obstacle() -> None:
    found = judge_order(TRIAL)
    assert (found.name, found.state) == (CheckName.ORDER, CheckState.OK)


def judged(current: str, order: Order | None = None, *, duplicate: bool = False) -> Check:
    case = Case(DeviceRecord("pi-1", current, order), identity=Identity(duplicate=duplicate))
    return judge_order(Trial.of(case, ORDER, ">=3.11"))


def test_an_order_that_would_be_refused_is_one_and_says_why() -> None:
    found = judged("1.0.0", BUSY)
    assert found.state is CheckState.FAILED
    assert "already being upgraded to 3.0.0" in found.detail


def test_a_device_that_runs_the_version_already_needs_no_order() -> None:
    found = judged("2.0.0")
    assert (found.state, "runs there already" in found.detail) == (CheckState.OK, True)
    assert judged("2.0.0", BUSY).state is CheckState.FAILED


@pytest.mark.parametrize("current", ["1.0.0", "2.0.0"])
def test_of_two_devices_under_one_name_none_is_ordered_whatever_runs(current: str) -> None:
    found = judged(current, duplicate=True)
    assert found.state is CheckState.FAILED
    assert "two devices answer to 'pi-1'" in found.detail


def test_the_checks_of_an_answer_are_taken_as_they_are() -> None:
    assert judge_answer(ANSWER, "2.0.0") == (CHECK,)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (PreflightAnswer("pi-1", Outcome.REFUSED, "does not know that verb"), "not know that verb"),
        (PreflightAnswer("pi-1", Outcome.REFUSED), "does not say why"),
        (PreflightAnswer("pi-1", Outcome.OK, version="2.0.0"), "without having looked"),
        (replace(ANSWER, version="3.0.0"), "something else"),
        (replace(ANSWER, version=None), "something else"),
        (replace(ANSWER, outcome=Outcome.UNKNOWN), "something else"),
        (replace(ANSWER, outcome=Outcome.ENDED), "something else"),
    ],
)
def test_an_answer_that_says_nothing_about_this_upgrade_is_unknown(
    answer: PreflightAnswer, words: str
) -> None:
    (found,) = judge_answer(answer, "2.0.0")
    assert (found.name, found.state) == (CheckName.ANSWER, CheckState.UNKNOWN)
    assert words in found.detail


def test_silence_is_never_a_yes() -> None:
    found = PreflightResult("pi-1", (judge_order(TRIAL), *judge_silence("nobody listens")))
    assert found.verdict is CheckState.UNKNOWN
    assert found.checks[-1].detail == "no answer: nobody listens"
