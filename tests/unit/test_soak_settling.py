"""When the soak says that a fleet has settled: a pure function of what its judge saw."""

from soak.calm import HEARD_WITHIN_S, Look
from soak.faults import Fault, Kind
from soak.settling import STEADY_LOOKS, STEADY_S, in_a_row, replaced, settled

FAULT = Fault(Kind.LOST, "soak-1: 0 primaries run, not one")


def look(at_s: float, pid: int = 7, *faults: Fault) -> Look:
    return Look(at_s, faults, {"soak-1": (pid,), "soak-2": (8,)})


def row(*looks: Look) -> list[Look]:
    clean: list[Look] = []
    for one in looks:
        clean = in_a_row(clean, one)
    return clean


def test_it_has_settled_after_many_looks_without_a_fault_over_a_long_time_only() -> None:
    enough = [look(second) for second in range(int(STEADY_S) + 1)]
    assert settled(row(*enough))
    assert not settled(row(*enough[1:]))
    assert not settled(row(look(0.0), look(STEADY_S)))
    assert STEADY_S > HEARD_WITHIN_S
    assert STEADY_LOOKS > 2


def test_a_fault_begins_the_count_anew() -> None:
    looks = [look(second) for second in range(20)]
    looks[15] = look(15, 7, FAULT)
    assert not settled(row(*looks))
    assert len(row(*looks)) == 4


def test_another_primary_is_a_fault_and_begins_the_count_anew() -> None:
    looks = [look(second) for second in range(20)]
    looks[18:] = [look(18, 9), look(19, 9)]
    assert [fault.kind for fault in replaced(looks[:18], looks[18])] == [Kind.LOST]
    assert not settled(row(*looks))
    assert replaced(looks[:17], looks[17]) == replaced([], looks[18]) == []


def test_a_primary_that_ends_now_and_then_never_settles() -> None:
    assert not any(settled(row(*(look(n, n // 4) for n in range(end)))) for end in range(60))
