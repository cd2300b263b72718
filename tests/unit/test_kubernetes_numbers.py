"""The numbers of all histories: they grow, and none is shown before a lower one that may come."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.operator.kubernetes.numbers import ENTRIES, Numbers


def test_numbers_follow_each_other_and_begin_above_the_clusters_version() -> None:
    numbers = Numbers()
    with numbers.given(3, version=7, last=0) as first:
        assert first == 7 * ENTRIES + 1
    with numbers.given(1, version=7, last=0) as second:
        assert second == first + 3
    with numbers.given(1, version=9, last=0) as third:
        assert third == 9 * ENTRIES + 1


def test_a_devices_own_numbers_never_go_back() -> None:
    with Numbers().given(1, version=7, last=9_000_000) as first:
        assert first == 9_000_001


def test_a_number_that_somebody_wrote_by_hand_does_not_lead_all_others_out_of_their_range() -> None:
    numbers = Numbers()
    with numbers.given(1, version=7, last=2**63 - 1) as first:
        assert first == 7 * ENTRIES + 1
    with numbers.given(1, version=7, last=0) as second:
        assert second == first + 1


def test_what_comes_after_one_that_is_on_its_way_is_not_read_before_it() -> None:
    numbers = Numbers()
    with numbers.given(2, 1, 0) as slow:
        with numbers.given(1, 1, 0) as quick:
            pass
        assert numbers.readable(slow - 1)
        assert not numbers.readable(slow)
        assert not numbers.readable(quick)
    assert numbers.readable(quick)


def test_a_write_that_failed_holds_nothing_back() -> None:
    numbers = Numbers()
    with pytest.raises(TimeoutError), numbers.given(1, 1, 0):
        raise TimeoutError
    with numbers.given(1, 1, 0) as later:
        pass
    assert numbers.readable(later)


def test_a_write_that_tells_nothing_holds_nothing_back() -> None:
    numbers = Numbers()
    with numbers.given(1, 1, 0) as told, numbers.given(0, 1, 0):
        assert numbers.readable(told - 1)
    with numbers.given(0, 1, 0), numbers.given(1, 1, 0) as after:
        pass
    with numbers.given(0, 1, 0):
        assert numbers.readable(after)


WRITES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9000), st.booleans()),
    max_size=20,
)
"""How many it tells, the cluster's version, the device's last, whether another one ends then."""


@given(WRITES)
def test_whoever_reads_on_from_the_last_number_misses_none(
    writes: list[tuple[int, int, int, bool]],
) -> None:
    numbers, under_way, stored = Numbers(), [], set[int]()
    seen: list[int] = []
    for count, version, last, ends in writes:
        stack = ExitStack()
        first = stack.enter_context(numbers.given(count, version, last))
        under_way.append((stack, range(first, first + count)))
        if ends:
            stack, those = under_way.pop(len(under_way) // 2)
            stored |= set(those)
            stack.close()
        read_from = seen[-1] if seen else 0
        seen += sorted(n for n in stored if n > read_from and numbers.readable(n))
    for stack, those in under_way:
        stored |= set(those)
        stack.close()
    seen += sorted(n for n in stored if n > (seen[-1] if seen else 0))
    assert seen == sorted(stored)
