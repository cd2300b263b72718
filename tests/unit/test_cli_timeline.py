"""The timeline of a device's upgrades: what stands together, and what is counted from where."""

from dataclasses import replace

import pytest

from harmony_fleet.cli.timeline import EVIDENCE, INDENT, Block, blocks, head, lines
from harmony_fleet.cli.views import CauseView, EventView, UpgradeView
from harmony_fleet.cli.words import exactly
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

A, B = "a" * 32, "b" * 32
CAUSE = CauseView("crash_loop", "it crashed", "line 1\n\nline 2")


def at(second: float) -> str:
    return f"2026-02-03T04:05:{second:06.3f}Z"


def event(
    second: float,
    kind: str,
    upgrade_id: str | None = A,
    sentence: str = "something",
    side: str = "operator",
) -> EventView:
    return EventView(int(second * 10), "pi-1", at(second), kind, sentence, upgrade_id, side)


DONE = UpgradeView(
    A, "2.0.0", Phase.SUCCEEDED, True, from_version="1.0.0", ordered_at=at(1), since=at(10)
)


def kinds(block: Block) -> list[str]:
    return [one.kind for one in block.events]


def texts(block: Block) -> list[str]:
    return [line.text for line in lines(block)]


def test_events_stand_with_their_upgrade_also_where_two_run_into_each_other() -> None:
    events = [
        event(1, "ordered"),
        event(2, "ordered", B),
        event(3, "phase"),
        event(4, "phase", B),
    ]
    first, second = blocks(events, [DONE])
    assert (first.upgrade_id, kinds(first)) == (A, ["ordered", "phase"])
    assert (second.upgrade_id, kinds(second)) == (B, ["ordered", "phase"])
    assert (first.upgrade, second.upgrade) == (DONE, None)


def test_what_names_no_upgrade_stands_in_the_one_that_it_fell_into_or_by_itself() -> None:
    events = [
        event(0, "labels", None),
        event(1, "ordered"),
        event(2, "version", None),
        event(3, "phase"),
        event(4, "labels", None),
        event(5, "labels", None),
        event(6, "ordered", B),
        event(7, "duplicate_identity", None),
    ]
    found = [(one.upgrade_id, kinds(one)) for one in blocks(events, [])]
    assert found == [
        (None, ["labels"]),
        (A, ["ordered", "version", "phase"]),
        (None, ["labels", "labels"]),
        (B, ["ordered"]),
        (None, ["duplicate_identity"]),
    ]


def test_the_newest_of_several_upgrades_under_way_takes_what_names_none() -> None:
    events = [
        event(1, "ordered"),
        event(2, "ordered", B),
        event(3, "version", None),
        event(4, "phase"),
        event(5, "phase", B),
    ]
    assert [kinds(one) for one in blocks(events, [])] == [
        ["ordered", "phase"],
        ["ordered", "version", "phase"],
    ]


def test_times_are_counted_from_the_order() -> None:
    events = [event(1, "ordered"), event(4.25, "phase", sentence="2.0.0: Staging", side="device")]
    (block,) = blocks(events, [DONE])
    wanted = f"1.0.0 to 2.0.0: Succeeded after 9.0 s; ordered 2026-02-03T04:05:01Z, upgrade {A}"
    assert head(block) == wanted
    first, second = texts(block)
    assert first.split() == ["+0.0", "s", "operator", "ordered", "something"]
    assert second.split() == ["+3.2", "s", "device", "phase", "Staging"]
    assert second.index("Staging") == INDENT


def test_where_the_order_is_known_no_more_times_are_counted_from_what_is() -> None:
    (block,) = blocks([event(5, "phase"), event(6, "phase")], [])
    assert head(block) == f"upgrade {A}, kept no more; first known at 2026-02-03T04:05:05Z"
    assert texts(block)[1].split()[:2] == ["+1.0", "s"]


def test_an_upgrade_under_way_and_what_is_outside_say_so() -> None:
    staging = replace(DONE, phase=Phase.STAGING, final=False, from_version=None)
    (block,) = blocks([event(1, "ordered")], [staging])
    assert head(block).startswith("nothing known to 2.0.0: Staging, still under way; ordered ")
    (outside,) = blocks([event(1, "labels", None)], [staging])
    assert head(outside) == "outside of an upgrade, since 2026-02-03T04:05:01Z"


def test_evidence_stands_once_below_the_report_that_it_belongs_to() -> None:
    words = "2.0.0: RolledBack, crash_loop: it crashed"
    events = [event(1, "ordered"), event(2, "phase", sentence=words), event(3, "version")]
    (block,) = blocks(events, [replace(DONE, phase=Phase.ROLLED_BACK, cause=CAUSE)])
    first, told, *evidence, last = texts(block)
    assert told[INDENT:] == "RolledBack, crash_loop: it crashed"
    assert evidence == [" " * EVIDENCE + "| line 1", " " * EVIDENCE + "| line 2"]
    assert first[INDENT:] == last[INDENT:] == "something"
    assert len(texts(replace(block, events=(events[0],)))) == 1


def test_of_long_evidence_the_end_is_shown_unless_all_is_wanted() -> None:
    long = replace(CAUSE, evidence="\n".join(f"line {n}" for n in range(20)))
    upgrade = replace(DONE, phase=Phase.ROLLED_BACK, cause=long)
    (block,) = blocks([event(2, "phase", sentence="crash_loop: it crashed")], [upgrade])
    _, first, *rest = (line[EVIDENCE:] for line in texts(block))
    assert first.startswith("| … ")
    assert rest == [f"| line {n}" for n in range(13, 20)]
    assert len(list(lines(block, whole=True))) == 21


def test_a_time_that_cannot_be_read_is_shown_as_it_is() -> None:
    (block,) = blocks([replace(event(1, "ordered"), at="yesterday")], [])
    assert texts(block)[0].split()[0] == "yesterday"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (65, "1 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (273_600, "3 d 04 h"),
    ],
)
def test_a_span_is_exact_while_it_is_short(seconds: float, words: str) -> None:
    assert exactly(seconds) == words
