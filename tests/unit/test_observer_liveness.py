"""Which heartbeats are live, beside somebody who knows when each was stored, and in what stream."""

from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.operator.liveness import (
    Liveness,
    StreamState,
    Verdict,
    judge,
    looked,
    lost,
)

OLD, NEW = StreamState("monday", 7), StreamState("tuesday", 3)
SEEN: Final = looked(Liveness(), 0, OLD)


def test_before_the_first_look_nothing_is_live() -> None:
    assert judge(Liveness(), 99) is Verdict.NOT_LIVE


@pytest.mark.parametrize(
    ("sequence", "verdict"),
    [
        (8, Verdict.LIVE),
        (7, Verdict.LOOK_AGAIN),
        (1, Verdict.LOOK_AGAIN),
        (None, Verdict.NOT_LIVE),
    ],
)
def test_only_what_was_stored_above_the_baseline_is_live(
    sequence: int | None, verdict: Verdict
) -> None:
    assert judge(SEEN, sequence) is verdict


def test_a_later_look_at_the_same_stream_changes_nothing() -> None:
    for last_sequence in (0, 7, 900):
        assert looked(SEEN, 0, StreamState("monday", last_sequence)) == SEEN


def test_a_stream_that_was_made_anew_counts_from_where_it_was_first_seen() -> None:
    anew = looked(SEEN, 0, NEW)
    assert [judge(anew, sequence) for sequence in (3, 4)] == [Verdict.LOOK_AGAIN, Verdict.LIVE]


def test_a_look_that_was_asked_for_before_a_loss_is_no_baseline_after_it() -> None:
    assert looked(lost(SEEN), 0, OLD) == lost(SEEN)
    assert judge(looked(lost(SEEN), 0, OLD), 99) is Verdict.NOT_LIVE
    assert judge(looked(lost(SEEN), 1, OLD), 99) is Verdict.LIVE


# Histories


@dataclass
class Plane:
    """The heartbeats' stream, which may be lost, and what the operator has asked and heard."""

    streams: int = 1
    stored: int = 0
    """In the present stream."""
    looks: list[tuple[int, StreamState]] = field(default_factory=list)
    """That were asked for, and not answered yet: the connection, and what is answered."""
    liveness: Liveness = field(default_factory=Liveness)

    def happen(self, what: str) -> Verdict | None:
        """How a heartbeat was judged, where one was heard."""
        match what:
            case "made anew":
                self.streams, self.stored = self.streams + 1, 0
            case "stored unheard":
                self.stored += 1
            case "lost":
                self.liveness = lost(self.liveness)
            case "asked":
                state = StreamState(f"stream {self.streams}", self.stored)
                self.looks.append((self.liveness.connection, state))
            case "answered" | "answered late" if self.looks:
                at = 0 if what == "answered late" else -1
                self.liveness = looked(self.liveness, *self.looks.pop(at))
            case "heard":
                self.stored += 1
                return judge(self.liveness, self.stored)
            case _:
                pass  # an answer to nothing
        return None


STEPS: Final = ("heard", "heard", "asked", "answered", "stored unheard")
RARER: Final = ("made anew", "lost", "answered late")
HISTORIES: Final = st.lists(st.sampled_from(STEPS) | st.sampled_from(STEPS + RARER), max_size=40)


def look(plane: Plane) -> None:
    plane.looks.clear()
    plane.happen("asked")
    plane.happen("answered")


@given(HISTORIES, st.integers(0, 40))
def test_in_every_history_a_value_from_before_the_connection_is_never_live(
    history: list[str], back: int
) -> None:
    """However late it comes, if the stream of its time is still there."""
    plane = Plane()
    old: list[tuple[int, int]] = []  # stream and sequence of what was stored before
    for what in history:
        if what == "lost":
            old = [(plane.streams, sequence) for sequence in range(1, plane.stored + 1)]
        plane.happen(what)
        for stream, sequence in old[-1 - back :]:
            baseline = plane.liveness.baseline
            if baseline is not None and baseline.created == f"stream {stream}":
                assert judge(plane.liveness, sequence) is not Verdict.LIVE


@given(HISTORIES)
def test_in_every_history_a_baseline_is_of_this_connection(history: list[str]) -> None:
    plane = Plane()
    asked: dict[int, list[StreamState]] = {}
    for what in history:
        if what == "asked":
            state = StreamState(f"stream {plane.streams}", plane.stored)
            asked.setdefault(plane.liveness.connection, []).append(state)
        plane.happen(what)
        if plane.liveness.baseline is not None:
            assert plane.liveness.baseline in asked[plane.liveness.connection]


@given(HISTORIES)
def test_in_every_history_one_look_is_enough_for_the_next_heartbeat_to_be_live(
    history: list[str],
) -> None:
    """Whatever was lost before: a heartbeat that is not live has the stream looked at."""
    plane = Plane()
    for what in history:
        plane.happen(what)
    look(plane)
    assert plane.happen("heard") is Verdict.LIVE


@given(HISTORIES)
def test_in_every_history_what_is_not_live_after_a_look_asks_for_another(
    history: list[str],
) -> None:
    plane = Plane()
    for what in history:
        if plane.happen(what) is Verdict.NOT_LIVE:
            assert plane.liveness.baseline is None
