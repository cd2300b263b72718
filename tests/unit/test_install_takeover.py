"""What an install decides about the program that it finds on a device."""

import itertools

import pytest

from harmony_fleet.install.roles.fleet_agent.module_utils.fleet_agent_takeover import (
    FOLDER,
    NOTHING,
    PROGRAM,
    VERSION,
    Decision,
    Found,
    Wanted,
    decide,
)

LINK = "/usr/local/bin/fleet-agent"
NEW = Wanted("2.0.0", "new")
OLD = "1.0.0"


def decided(found: Found) -> Decision:
    return decide(found, NEW, LINK)


def test_a_fresh_device_gets_the_version_and_its_link() -> None:
    assert decided(Found(NOTHING)) == Decision(deliver=True, link="2.0.0", starts="2.0.0")


def test_a_version_that_was_brought_already_is_not_brought_again() -> None:
    assert decided(Found(NOTHING, kept={"2.0.0": "new"})) == Decision(link="2.0.0", starts="2.0.0")


@pytest.mark.parametrize("running", [True, False])
def test_where_the_version_is_there_and_linked_nothing_is_done(running: bool) -> None:
    found = Found(VERSION, "2.0.0", "new", running, kept={"2.0.0": "new"})
    assert decided(found) == Decision(starts="2.0.0")


def test_a_damaged_file_of_the_version_is_brought_anew() -> None:
    found = Found(VERSION, "2.0.0", "bad", running=True, kept={"2.0.0": "bad"})
    assert decided(found) == Decision(deliver=True, starts="2.0.0")


def test_another_version_that_runs_goes_on_running() -> None:
    found = Found(VERSION, OLD, "old", running=True, kept={OLD: "old"})
    decision = decided(found)
    assert (decision.deliver, decision.link, decision.starts) == (False, "", OLD)
    assert "order an upgrade to have 2.0.0" in decision.remark


def test_another_version_that_does_not_run_is_replaced() -> None:
    found = Found(VERSION, OLD, "old", kept={OLD: "old"})
    assert decided(found) == Decision(deliver=True, link="2.0.0", starts="2.0.0")


def test_a_plain_program_that_runs_is_kept_and_linked_and_goes_on() -> None:
    decision = decided(Found(PROGRAM, OLD, "old", running=True))
    assert decision.preserve == decision.link == decision.starts == OLD
    assert decision.took_over
    assert not decision.deliver


def test_a_plain_program_that_does_not_run_is_kept_beside_the_version() -> None:
    decision = decided(Found(PROGRAM, OLD, "old"))
    assert (decision.preserve, decision.link, decision.deliver) == (OLD, "2.0.0", True)
    assert decision.took_over


def test_a_plain_program_that_was_kept_already_is_not_kept_again() -> None:
    decision = decided(Found(PROGRAM, OLD, "old", running=True, kept={OLD: "old"}))
    assert (decision.preserve, decision.link) == ("", OLD)


@pytest.mark.parametrize("running", [True, False])
def test_a_plain_file_of_the_very_version_becomes_a_link_to_it(running: bool) -> None:
    decision = decided(Found(PROGRAM, "2.0.0", "new", running))
    assert (decision.preserve, decision.link, decision.deliver) == ("", "2.0.0", True)
    assert decision.took_over


@pytest.mark.parametrize(
    "found",
    [
        Found(PROGRAM, "2.0.0", "another"),
        Found(PROGRAM, "2.0.0", "new", kept={"2.0.0": "another"}),
        Found(PROGRAM, OLD, "old", kept={OLD: "another"}),
    ],
)
def test_two_programs_of_one_version_are_for_a_person(found: Found) -> None:
    assert "another program" in decided(found).obstacle


def test_a_running_program_that_does_not_say_its_version_is_left_to_its_first_upgrade() -> None:
    decision = decided(Found(PROGRAM, None, "old", running=True))
    assert (decision.link, decision.starts, decision.deliver) == ("", "", True)
    assert "its first upgrade will keep it" in decision.remark


def test_what_neither_runs_nor_says_a_version_is_no_agent() -> None:
    assert "seems to be no agent" in decided(Found(PROGRAM, None, "old")).obstacle


def test_a_folder_in_the_link_s_place_is_for_a_person() -> None:
    assert "is a folder" in decided(Found(FOLDER)).obstacle


EVERY = [
    Found(place, version, digest, running, attempt_open, kept)
    for place, version, digest, running, attempt_open, kept in itertools.product(
        (NOTHING, VERSION, PROGRAM, FOLDER),
        (None, OLD, "2.0.0"),
        ("old", "new"),
        (True, False),
        (True, False),
        ({}, {OLD: "old"}, {OLD: "new"}, {"2.0.0": "new"}, {OLD: "old", "2.0.0": "old"}),
    )
]


def test_the_rules_hold_whatever_is_found() -> None:
    for found in EVERY:
        check_rules(found, decided(found))


def check_rules(found: Found, decision: Decision) -> None:
    if decision.obstacle:
        assert decision == Decision(decision.obstacle)
        return
    assert not found.attempt_open
    if found.running and found.place in {VERSION, PROGRAM}:
        assert decision.link in {"", found.version}, "a running agent's version was changed"
    if found.place == PROGRAM and decision.link:
        kept = {**found.kept, **({decision.preserve: found.sha256} if decision.preserve else {})}
        brought = {**kept, **({NEW.version: NEW.sha256} if decision.deliver else {})}
        assert found.sha256 in brought.values(), "the program in the link's place was lost"
    if decision.link and decision.link != decision.preserve:
        assert decision.deliver or decision.link in found.kept, "the link would lead nowhere"
