"""Who is turned away comes again later each time; once one is taken in, all may come."""

from harmony_fleet.operator.turned_away import FIRST_WAIT_S, LONGEST_WAIT_S, TurnedAway


def test_each_time_in_a_row_the_wait_is_longer_up_to_a_bound() -> None:
    now_s = 0.0
    turned_away: TurnedAway[str] = TurnedAway(lambda: now_s)
    longest = FIRST_WAIT_S
    for _ in range(20):
        assert "pi-1" not in turned_away
        turned_away.add("pi-1")
        now_s += longest / 2 - 0.01
        assert "pi-1" in turned_away
        now_s += longest / 2 + 0.02
        longest = min(longest * 2, LONGEST_WAIT_S)


def test_one_does_not_keep_another_out_and_who_is_taken_in_opens_to_all() -> None:
    turned_away: TurnedAway[str] = TurnedAway(lambda: 0.0)
    turned_away.add("pi-1")
    assert "pi-2" not in turned_away
    turned_away.taken_in()
    assert "pi-1" not in turned_away
