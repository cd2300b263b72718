from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.cli.following import Followed, begin, changed, forgotten, seen, tally, told
from harmony_fleet.cli.views import CauseView, DeviceView, Result, UpgradeView
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

OURS, NEWER = "0" * 32, "1" * 32
PHASES = st.sampled_from(Phase)


def followed(phase: Phase = Phase.PENDING) -> Followed:
    return Followed("local-1", OURS, "1.1.0", phase=phase, final=phase.final)


def device(phase: Phase, upgrade_id: str = OURS) -> DeviceView:
    return DeviceView(
        "local-1", "1.0.0", upgrade=UpgradeView(upgrade_id, "1.1.0", phase, phase.final)
    )


def test_only_what_was_ordered_is_followed() -> None:
    results = [Result("a", True, OURS), Result("b", False, reason="no"), Result("c", True)]
    assert [one.device_id for one in begin(results, "1.1.0")] == ["a"]


@given(PHASES)
def test_what_is_said_of_this_upgrade_is_believed(phase: Phase) -> None:
    after = seen(followed(), device(phase))
    assert (after.phase, after.final, after.replaced) == (phase, phase.final, False)


@given(PHASES, PHASES)
def test_what_is_said_of_another_upgrade_changes_no_phase(ours: Phase, newer: Phase) -> None:
    after = seen(followed(ours), device(newer, NEWER))
    assert (after.phase, after.final) == (ours, ours.final)
    assert after.replaced != ours.final


@given(PHASES.filter(lambda phase: phase.final), PHASES)
def test_what_is_final_stays(end: Phase, later: Phase) -> None:
    ended = followed(end)
    assert seen(ended, device(later)) == ended
    assert told(ended, UpgradeView(OURS, "1.1.0", later, later.final)) == ended


@given(PHASES)
def test_what_the_operator_shows_of_a_replaced_upgrade_is_believed(phase: Phase) -> None:
    replaced, why = seen(followed(), device(Phase.STAGING, NEWER)), CauseView("aborted", "words")
    after = told(replaced, UpgradeView(OURS, "1.1.0", phase, phase.final, cause=why))
    assert (after.phase, after.final, after.cause, after.replaced) == (
        phase,
        phase.final,
        why,
        True,
    )


@given(PHASES)
def test_what_it_shows_of_another_one_is_not(phase: Phase) -> None:
    assert told(followed(), UpgradeView(NEWER, "1.1.0", phase, phase.final)) == followed()


def test_what_nobody_keeps_has_ended_without_success() -> None:
    after = forgotten(followed(Phase.COMMITTED))
    assert (after.final, after.succeeded, after.phase) == (True, False, Phase.UNRESOLVED)


def test_a_device_that_is_not_listed_changes_nothing() -> None:
    assert seen(followed(), None) == followed()


def test_a_change_is_another_phase_and_at_first_everything_is() -> None:
    before = [followed(), followed(Phase.STAGING)]
    assert changed((), before) == before
    assert changed([followed()], [followed()]) == []
    assert changed([followed()], [followed(Phase.STAGING)]) == [followed(Phase.STAGING)]


def test_a_tally_names_only_what_there_is() -> None:
    every = [followed(), followed(Phase.SUCCEEDED), followed(Phase.FAILED), followed(Phase.UNKNOWN)]
    assert tally(every) == "1 succeeded, 1 failed, 2 under way"
    assert tally(every[:1]) == "1 under way"
