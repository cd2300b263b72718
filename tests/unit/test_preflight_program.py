"""Links, the file to go back to and the quarantine, as a preflight judges them."""

from dataclasses import replace

import pytest
from tests.unit.wire_cases import ENDED_ONE

from harmony_fleet.agent.preflight.program import (
    Kind,
    Place,
    Target,
    judge_link,
    judge_previous,
    judge_quarantine,
    judge_target,
)
from harmony_fleet.agent.upgrade.record import Installed, Journal, fresh
from harmony_fleet.contracts.preflight import CheckName, CheckState
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

OK, WARNING, FAILED = CheckState.OK, CheckState.WARNING, CheckState.FAILED

RUNNING = "1.0.0"
NEW_DEVICE = fresh("journal-1")
UPGRADED = replace(NEW_DEVICE, installed=Installed(RUNNING, "ab" * 32))
LINK = Place("/usr/local/bin/fleet-agent", Kind.LINK, "../fleet-agent-v1.0.0", RUNNING)
PREVIOUS = Place("/usr/local/lib/fleet-agent/previous", Kind.LINK, "../fleet-agent-v0.9.0", "0.9.0")
TARGET = Target(RUNNING, "/usr/bin/fleet-agent-v1.0.0", None, known=True, mendable=True)


@pytest.mark.parametrize(
    ("place", "state", "words"),
    [
        (LINK, OK, "leads to version 1.0.0, which runs"),
        (replace(LINK, flaw="is empty"), WARNING, "whose file is empty"),
        (replace(LINK, version="2.0.0"), WARNING, "leads to 2.0.0, while version 1.0.0 runs"),
        (replace(LINK, leads_to="/opt/x", version=None), WARNING, "leads to /opt/x, while"),
        (replace(LINK, kind=Kind.FILE), OK, "a plain file: the first upgrade keeps it"),
        (replace(LINK, kind=Kind.NOTHING), WARNING, "is gone"),
        (replace(LINK, kind=Kind.OTHER), FAILED, "no link can take its place"),
    ],
)
def test_the_link_should_lead_to_what_runs_and_must_be_replaceable(
    place: Place, state: CheckState, words: str
) -> None:
    found = judge_link(place, RUNNING)
    assert (found.name, found.state) == (CheckName.LINK, state)
    assert words in found.detail


@pytest.mark.parametrize(
    ("place", "state", "words"),
    [
        (PREVIOUS, OK, "leads to version 0.9.0"),
        (replace(PREVIOUS, flaw="is not executable"), WARNING, "which is not executable: until"),
        (replace(PREVIOUS, version=None), WARNING, "which is no version's file: until"),
        (replace(PREVIOUS, kind=Kind.FILE), WARNING, "is no link: until"),
        (replace(PREVIOUS, kind=Kind.NOTHING), WARNING, "is gone: until"),
        (replace(PREVIOUS, kind=Kind.OTHER), FAILED, "no link can take its place"),
    ],
)
def test_previous_should_lead_to_a_version_that_can_guard(
    place: Place, state: CheckState, words: str
) -> None:
    found = judge_previous(place, UPGRADED)
    assert (found.name, found.state) == (CheckName.PREVIOUS, state)
    assert words in found.detail


@pytest.mark.parametrize(
    ("journal", "state"),
    [
        (NEW_DEVICE, OK),
        (replace(NEW_DEVICE, ended=(replace(ENDED_ONE, phase=Phase.FAILED),)), OK),
        (replace(NEW_DEVICE, ended=(replace(ENDED_ONE, phase=Phase.ROLLED_BACK),)), WARNING),
        (UPGRADED, WARNING),
    ],
)
def test_only_a_cutover_makes_a_previous(journal: Journal, state: CheckState) -> None:
    gone = replace(PREVIOUS, kind=Kind.NOTHING)
    assert judge_previous(gone, journal).state is state


@pytest.mark.parametrize(
    ("target", "state", "words"),
    [
        (TARGET, OK, "has the digest that is known"),
        (replace(TARGET, known=False), OK, "is whole by its own sums"),
        (replace(TARGET, damage="is empty"), WARNING, "writes it anew from"),
        (
            replace(TARGET, damage="is empty", mendable=False),
            FAILED,
            "put that version's file there again, since /usr/bin/fleet-agent-v1.0.0 is empty",
        ),
        (replace(TARGET, clash=True), FAILED, "are different programs"),
    ],
)
def test_there_must_be_a_file_to_go_back_to_or_one_that_the_upgrade_can_mend(
    target: Target, state: CheckState, words: str
) -> None:
    found = judge_target(target)
    assert (found.name, found.state) == (CheckName.ROLLBACK_TARGET, state)
    assert words in found.detail


def test_an_artifact_that_failed_here_needs_retry() -> None:
    known, other = "ab" * 32, "cd" * 32
    found = judge_quarantine(known, (other, known))
    assert (found.name, found.state) == (CheckName.QUARANTINE, FAILED)
    assert "--retry" in found.detail
    assert judge_quarantine(known, (other,)).state is OK
