"""The rules by which the benchmarks count. Quick."""

from benchmarks.pace import Pace, missed_between
from benchmarks.reconnect import most_in_a_second


def test_a_heartbeat_is_missed_after_one_and_a_half_announced_intervals() -> None:
    passed_s = (0.2, 1.0, 1.5, 1.51, 2.5, 2.51)
    assert [missed_between(s, 1000) for s in passed_s] == [0, 0, 0, 1, 1, 2]


def test_what_the_earlier_heartbeat_announced_counts_and_not_the_later_one() -> None:
    pace = Pace()
    pace.heard(10.0, 250)
    pace.heard(10.4, 1000)
    assert (pace.missed, pace.beats) == (1, 2)
    pace.heard(11.8, 250)
    assert (pace.missed, pace.beats) == (1, 3)


def test_what_is_overdue_at_the_end_was_missed_too() -> None:
    pace = Pace()
    pace.heard(10.0, 250)
    pace.begin()
    pace.looked(10.6)
    assert (pace.missed, pace.longest_s) == (1, 10.6 - 10.0)


def test_the_busiest_second_is_found_wherever_it_begins() -> None:
    assert most_in_a_second([0.0, 0.9, 1.0, 1.1, 1.89, 5.0]) == 4
    assert most_in_a_second([]) == 0
