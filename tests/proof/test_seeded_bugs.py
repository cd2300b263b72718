"""The seeded bugs can be made; a few are looked for here, and all of them by `make prove-bugs`."""

import pytest
from demo.without import SOURCE
from tests.proof.bugs import ALL, BUGS
from tests.proof.hunt import EXPLORER, within
from tests.proof.prove_bugs import PAGE, try_one
from tests.proof.seeding import Bug

from harmony_fleet.simulation.explore.search import Search
from harmony_fleet.simulation.scenario import scenario_of
from harmony_fleet.simulation.world import run

QUICK = (
    "a stop is sent without an observation",
    "a stop is obeyed before the candidate is READY",
    "the guard takes a commit back",
    "an abort is not durable",
)


def test_each_bug_changes_passages_that_are_there_exactly_once() -> None:
    changes = {change for bug in ALL for change in bug.changes}
    found = {change: (SOURCE / change.file).read_text().count(change.passage) for change in changes}
    assert [change for change, times in found.items() if times != 1] == []


@pytest.mark.parametrize("bug", ALL, ids=BUGS)
def test_each_bug_leaves_code_that_can_be_read(bug: Bug) -> None:
    for file in {change.file for change in bug.changes}:
        text = (SOURCE / file).read_text()
        for change in bug.changes:
            text = text.replace(change.passage, change.left) if change.file == file else text
        compile(text, file, "exec")


@pytest.mark.parametrize("name", QUICK)
def test_a_bug_is_caught_and_the_code_without_it_is_not_blamed(name: str) -> None:
    bug = BUGS[name]
    catch = try_one(bug).catch
    assert catch is not None
    if catch["by"] == EXPLORER:
        assert catch["where"] == bug.scenarios[0].name
        assert Search(bug.scenarios[0], 0).run().violations == ()
    else:
        assert run(scenario_of(int(catch["where"]))).violations == []


def test_what_the_changed_code_raises_is_no_catch() -> None:
    def broken() -> object:
        raise ZeroDivisionError

    assert within(1.0, broken) is None


def test_the_page_has_a_row_for_each_bug_and_says_that_it_was_caught() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    told = {row.split(" | ")[0].removeprefix("| ").partition(" (for ")[0] for row in rows}
    assert told == set(BUGS)
    assert [row for row in rows if "**missed**" in row] == []
