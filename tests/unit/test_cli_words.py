import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.cli import layout, words
from harmony_fleet.cli.views import CauseView, DeviceView, ProgressView, UpgradeView
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.printable import printable


@given(st.text())
def test_nothing_that_is_said_can_move_a_cursor_or_begin_a_line(text: str) -> None:
    assert all(c.isprintable() for c in printable(text))
    assert all(c.isprintable() for c in words.paragraph(text).replace("\n", ""))
    assert all(line == printable(line) for line in words.evidence_lines(CauseView("", "", text)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (200000, "2 d")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(999, "999 B"), (312_400, "312 kB"), (1_600_000, "1.6 MB")]
)
def test_sizes_are_short(size_bytes: int, text: str) -> None:
    assert words.size(size_bytes) == text


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_a_percentage_is_never_above_a_hundred(done: int, total: int) -> None:
    text = words.percent(ProgressView(done, total))
    assert text == words.NOTHING or 0 <= int(text.removesuffix("%")) <= 100


def test_times_are_shown_to_the_second_and_others_as_they_are() -> None:
    assert words.time_of("2026-02-03T04:05:06.789+00:00") == "2026-02-03T04:05:06Z"
    assert words.time_of("2026-02-03T04:05:06Z") == "2026-02-03T04:05:06Z"
    assert words.time_of("yesterday") == "yesterday"


def _device(**fields: object) -> DeviceView:
    upgrade = UpgradeView("0" * 32, "1.1.0", Phase.STAGING, False, **fields)  # type: ignore[arg-type]
    return DeviceView("local-1", conditions=("Stalled",), upgrade=upgrade)


def test_the_remark_is_the_condition_and_the_cause_or_what_is_waited_for() -> None:
    caused = _device(cause=CauseView("disk_full", "free some space"), waits_for="space")
    assert words.remark(caused, in_full=True) == "Stalled; disk_full: free some space"
    assert words.remark(caused, in_full=False) == "Stalled; disk_full"
    assert words.remark(_device(waits_for="space"), in_full=True) == "Stalled; waits for space"
    assert words.remark(_device(waits_for="space"), in_full=False) == "Stalled"


CELL = st.text("abc-", min_size=1, max_size=9)


@given(st.lists(st.tuples(CELL, CELL, CELL)))
def test_columns_are_aligned_and_lines_have_no_space_at_their_end(
    rows: list[tuple[str, str, str]],
) -> None:
    table = layout.Table(("A", "B", "C"), tuple(layout.Row(cells) for cells in rows))
    head, *rest = layout.lines(table)
    for line, cells in zip(rest, rows, strict=True):
        assert line.split() == list(cells)
        assert line[head.index("C") :] == cells[2]
