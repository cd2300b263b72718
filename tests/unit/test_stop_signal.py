"""Who answers a stop what, and who acts on it: only what is armed, for that very upgrade."""

import pytest

from harmony_fleet.agent.upgrade.effects import (
    AnswerStop,
)
from harmony_fleet.agent.upgrade.events import (
    StopReceived,
)
from harmony_fleet.agent.upgrade.record import Journal, Stage
from harmony_fleet.agent.upgrade.states import (
    Armed,
    State,
    Trial,
)
from harmony_fleet.agent.upgrade.stop_signal import acknowledge, acts_on, answer_stop
from harmony_fleet.contracts.commands import Outcome
from harmony_fleet.testing.upgrade_samples import (
    ENDED_ID,
    ID,
    IDLE,
    LOST,
    NEW,
    NOW,
    OLD,
    OTHER_ID,
    journal_in,
    states,
)


def stop(upgrade_id: str = ID) -> StopReceived:
    return StopReceived(upgrade_id, "reply", NOW)


ARMED: tuple[State, ...] = (
    Armed(OLD, journal_in(Stage.CUTOVER)),
    Armed(OLD, journal_in(Stage.CUTOVER), heard=True),
    Trial(NEW, journal_in(Stage.CUTOVER)),
)


@pytest.mark.parametrize("state", ARMED)
def test_an_armed_upgrade_is_stopped_by_its_own_id_and_by_no_other(state: State) -> None:
    assert acts_on(state, stop())
    assert not acts_on(state, stop(OTHER_ID))
    assert not acts_on(state, stop(ENDED_ID))


def test_nothing_but_an_armed_upgrade_is_ever_stopped() -> None:
    for state in states():
        if not isinstance(state, Armed | Trial):
            assert not acts_on(state, stop())


def test_an_armed_state_without_an_attempt_is_stopped_by_nothing() -> None:
    assert not acts_on(Armed(OLD, IDLE), stop(ENDED_ID))


def test_what_is_committed_is_acknowledged_again() -> None:
    assert answer_stop(journal_in(Stage.COMMITTED), stop()) == acknowledge(stop())
    assert acknowledge(stop()) == AnswerStop("reply", Outcome.OK)


@pytest.mark.parametrize("stage", [stage for stage in Stage if not stage.open])
def test_what_has_ended_is_told_its_verdict(stage: Stage) -> None:
    journal = journal_in(stage)
    expected = AnswerStop("reply", Outcome.ENDED, ended=journal.ended[-1])
    assert answer_stop(journal, stop()) == expected


REFUSED = [
    (IDLE, ID, "no upgrade is under way"),
    (journal_in(Stage.STAGING), ID, "in staging"),
    (journal_in(Stage.VERIFYING), ID, "in verifying"),
    (journal_in(Stage.CUTOVER), ID, "in cutover"),
    (journal_in(Stage.REVERTING), ID, "in reverting"),
    (journal_in(Stage.COMMITTED), OTHER_ID, "another upgrade"),
    (LOST, ID, "another upgrade"),
]


@pytest.mark.parametrize(("journal", "upgrade_id", "reason"), REFUSED)
def test_anything_else_is_refused_with_the_reason(
    journal: Journal, upgrade_id: str, reason: str
) -> None:
    answer = answer_stop(journal, stop(upgrade_id))
    assert (answer.outcome, answer.ended) == (Outcome.REFUSED, None)
    assert reason in answer.reason
