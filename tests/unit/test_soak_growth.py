"""What the soak calls growth: of memory and descriptors, in processes that do not live long."""

import os
from pathlib import Path

from soak.faults import Kind
from soak.growth import MOST_MORE_DESCRIPTORS, Growth, Sample, longest_life, slope_kib_per_min


def life(pid: int, kib_per_min: int, minutes: int, descriptors: int = 10) -> list[Sample]:
    return [
        Sample(60.0 * n, pid, 50_000 + kib_per_min * n, descriptors) for n in range(minutes + 1)
    ]


def faults(samples: list[Sample]) -> list[str]:
    return [fault.text for fault in Growth({"the operator": samples}, [100, 100]).faults()]


def test_a_steady_rise_over_a_long_life_is_a_fault_and_a_level_one_is_not() -> None:
    assert faults(life(1, 400, 12)) == ["the operator: 400 KiB more each minute"]
    assert not faults(life(1, 20, 12))


def test_what_a_process_takes_in_the_first_third_of_its_life_is_no_growth() -> None:
    warm = [Sample(one.at_s, 1, min(one.rss_kib, 54_000), 10) for one in life(1, 1000, 15)]
    assert not faults(warm)


def test_what_nats_takes_to_fill_its_first_block_is_no_growth_and_more_is() -> None:
    assert not Growth({"NATS": life(1, 2000, 12)}, [100, 100]).faults()
    assert Growth({"NATS": life(1, 2100, 12)}, [100, 100]).faults()


def test_a_short_life_is_not_judged_by_its_slope() -> None:
    assert not faults(life(1, 400, 8))


def test_of_many_lives_the_longest_counts() -> None:
    samples = [*life(1, 0, 2), *life(2, 10, 9), *life(3, 0, 1)]
    assert {one.pid for one in longest_life(samples)} == {2}
    assert round(slope_kib_per_min(longest_life(samples))) == 10


def test_an_agent_that_nobody_touches_may_rise_less_and_must_be_one_process() -> None:
    def told(samples: list[Sample]) -> list[Kind]:
        quiet = Growth({"quiet": samples, "other": samples}, [100, 100], {"quiet"})
        return [fault.kind for fault in quiet.faults()]

    assert told(life(1, 100, 12)) == [Kind.GROWTH]
    assert told(life(1, 20, 12)) == []
    assert told([*life(1, 0, 2), *life(2, 0, 2)]) == [Kind.LOST]


def test_more_and_more_descriptors_are_a_fault() -> None:
    last = Sample(60.0, 1, 50_000, 11 + MOST_MORE_DESCRIPTORS)
    assert len(faults([*life(1, 0, 0), last])) == 1


def test_a_data_folder_that_swells_is_a_fault() -> None:
    assert not Growth({}, [100, 20_000]).faults()
    assert Growth({}, [100, 40_000]).faults()


def test_only_a_process_that_lives_is_measured(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"0" * 8192)
    growth = Growth()
    growth.measure([("itself", os.getpid()), ("nobody", None)], tmp_path, 0.0)
    assert set(growth.samples) == {"itself"}
    assert growth.data_kib == [8]
