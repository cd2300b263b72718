"""What a process knows of the cluster's objects never goes back, however late it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_fleet.operator.kubernetes.mirror import Key, Mirror
from harmony_fleet.operator.kubernetes.objects import Device, Metadata

PI: Key = ("fleet", "pi-1")
OTHER: Key = ("fleet", "pi-2")


def one(version: int, key: Key = PI) -> Device:
    space, name = key
    return Device(metadata=Metadata(name, space, resource_version=str(version)))


@dataclass
class Watched:
    mirror: Mirror[Device] = field(default_factory=Mirror)
    told: list[tuple[str, int | None]] = field(default_factory=list)
    """The names, with the version that was there then; None: it had gone."""

    def __post_init__(self) -> None:
        self.mirror.on_change(self._changed)

    def _changed(self, key: Key) -> None:
        found = self.mirror.get(key)
        version = int(found.metadata.resource_version) if found else None
        self.told.append((key[1], version))

    def version(self, key: Key = PI) -> int | None:
        found = self.mirror.get(key)
        return int(found.metadata.resource_version) if found else None


def test_what_is_put_is_there_and_told_once() -> None:
    watched = Watched()
    assert watched.mirror.get(PI) is None
    assert watched.mirror.put(one(1)) == one(1)
    assert watched.mirror.put(one(1)) == one(1)
    assert list(watched.mirror) == [one(1)]
    assert len(watched.mirror) == 1
    assert watched.told == [("pi-1", 1)]


def test_what_a_watch_says_late_is_not_taken() -> None:
    watched = Watched()
    watched.mirror.put(one(7))
    assert watched.mirror.put(one(5)) == one(7), "as it is known"
    assert watched.told == [("pi-1", 7)]
    assert watched.mirror.put(one(10)) == one(10), "by number: 10 is after 7"


def test_what_was_deleted_stays_so_until_it_is_created_anew() -> None:
    watched = Watched()
    watched.mirror.put(one(5))
    watched.mirror.remove(PI, 8)
    assert watched.mirror.put(one(6)) == one(6), "who wrote it gets what he wrote"
    assert watched.version() is None
    watched.mirror.put(one(9))
    assert watched.version() == 9
    assert watched.told == [("pi-1", 5), ("pi-1", None), ("pi-1", 9)]


def test_a_deletion_that_comes_late_takes_no_newer_object() -> None:
    watched = Watched()
    watched.mirror.put(one(9))
    watched.mirror.remove(PI, 8)
    assert watched.version() == 9


def test_a_deletion_is_told_once_and_only_of_what_was_there() -> None:
    watched = Watched()
    watched.mirror.remove(PI, 4)
    watched.mirror.put(one(5))
    watched.mirror.remove(PI, 6)
    watched.mirror.remove(PI, 7)
    assert watched.told == [("pi-1", 5), ("pi-1", None)]


def test_an_earlier_deletion_that_comes_late_makes_no_later_one_forgotten() -> None:
    watched = Watched()
    watched.mirror.remove(PI, 8)
    watched.mirror.remove(PI, 3)
    watched.mirror.put(one(5))
    assert watched.version() is None


def test_what_a_list_does_not_hold_has_gone_unless_it_is_newer_than_the_list() -> None:
    watched = Watched()
    for version, key in ((3, PI), (9, OTHER)):
        watched.mirror.put(one(version, key))
    watched.mirror.listed(set(), 7)
    assert (watched.version(PI), watched.version(OTHER)) == (None, 9)
    watched.mirror.listed({OTHER}, 20)
    assert watched.version(OTHER) == 9
    assert watched.told[-1] == ("pi-1", None)


def test_what_is_older_than_a_list_that_does_not_hold_it_is_not_taken_afterwards() -> None:
    """A read of our own may be answered before an object is deleted, and arrive after the list."""
    watched = Watched()
    watched.mirror.put(one(3))
    watched.mirror.listed(set(), 7)
    watched.mirror.put(one(5))
    assert watched.version() is None
    watched.mirror.put(one(8))
    assert watched.version() == 8


def test_after_a_list_a_deletion_that_is_newer_still_counts() -> None:
    watched = Watched()
    watched.mirror.put(one(3))
    watched.mirror.remove(PI, 9)
    watched.mirror.listed({PI}, 7)
    watched.mirror.put(one(6))
    assert watched.version() is None


def test_a_mirror_that_was_cleared_takes_what_there_is_however_old_and_tells_of_no_deletion() -> (
    None
):
    watched = Watched()
    watched.mirror.put(one(50))
    watched.mirror.remove(OTHER, 60)
    watched.mirror.listed({PI}, 70)
    watched.mirror.clear()
    assert len(watched.mirror) == 0
    watched.mirror.put(one(2))
    watched.mirror.put(one(3, OTHER))
    watched.mirror.listed({PI, OTHER}, 4)
    assert (watched.version(PI), watched.version(OTHER)) == (2, 3)
    assert watched.told == [("pi-1", 50), ("pi-1", 2), ("pi-2", 3)]


def test_who_asked_to_be_told_no_more_is_not() -> None:
    watched = Watched()
    watched.mirror.off_change(watched._changed)
    watched.mirror.put(one(1))
    assert watched.told == []
    with pytest.raises(ValueError, match="not in list"):
        watched.mirror.off_change(watched._changed)


def test_the_newest_version_seen_is_known() -> None:
    watched = Watched()
    assert watched.mirror.newest == 0
    watched.mirror.put(one(7))
    watched.mirror.put(one(5, OTHER))
    assert watched.mirror.newest == 7
    watched.mirror.remove(PI, 9)
    watched.mirror.listed(set(), 12)
    assert watched.mirror.newest == 12


# Against the cluster's own books: one object after the other, told late and in any order


@dataclass(frozen=True)
class Told:
    """A put of that version, a deletion at it, or a list as it was at it."""

    what: str
    version: int


LIVES = st.lists(st.booleans(), min_size=1, max_size=8)
"""At the versions 1, 2, …: whether the object is there (written then), or is not (deleted then)."""


def state_at(life: Sequence[bool], version: int) -> int | None:
    """The version that the object has then; None: it is not there."""
    return version if life[version - 1] else None


@given(LIVES, st.data())
def test_in_any_order_of_what_is_told_nothing_goes_back_and_the_end_is_the_truth(
    life: list[bool], data: st.DataObject
) -> None:
    versions = range(1, len(life) + 1)
    words = [Told("put" if life[v - 1] else "remove", v) for v in versions]
    words += [Told("list", v) for v in versions if data.draw(st.booleans(), f"list at {v}")]
    watched, furthest = Watched(), 0
    for word in data.draw(st.permutations(words)):
        if word.what == "put":
            watched.mirror.put(one(word.version))
        elif word.what == "remove":
            watched.mirror.remove(PI, word.version)
        elif word.version >= furthest:  # a list that is older than the last is not one to go by
            furthest = word.version
            there = state_at(life, word.version)
            if there is not None:
                watched.mirror.put(one(there))
            watched.mirror.listed({PI} if there is not None else set(), word.version)
        now = watched.version()
        assert now is None or life[now - 1]
    assert watched.version() == state_at(life, len(life))
    shown = [version for _, version in watched.told if version is not None]
    assert shown == sorted(set(shown))
