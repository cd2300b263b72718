import pytest
from tests.unit.coordinator_cases import HEARD, after, fed, ordered, told

from harmony_fleet.labels import MAX_LABELS, Label, changes
from harmony_fleet.operator.coordinator import OrderRefused, Tell, step
from harmony_fleet.operator.events import LabelsOrdered


def labelled(*words: str) -> LabelsOrdered:
    return LabelsOrdered(changes(words))


def test_labels_are_kept_by_key_and_stand_in_the_history() -> None:
    case, effects = fed(HEARD, labelled("ring=canary", "area=north"), labelled("ring-", "area=x"))
    assert case.record.labels == (Label("area", "x"),)
    assert told(effects) == ["labels", "labels"]
    assert isinstance(effects[1], Tell)
    assert effects[1].happening.sentence == "labels: area=x, ring removed"


def test_labels_that_are_so_already_are_no_event() -> None:
    case = after(HEARD, labelled("ring=canary"))
    assert step(case, labelled("ring=canary", "old-")) == (case, ())


def test_more_labels_than_are_kept_are_refused() -> None:
    full = after(HEARD, labelled(*(f"k{n}=" for n in range(MAX_LABELS))))
    with pytest.raises(OrderRefused, match="65 labels; 64 is the most"):
        step(full, labelled("one-more="))
    assert step(full, labelled("one-more=", "k0-"))[0].record.labels != full.record.labels


def test_an_upgrade_leaves_the_labels_as_they_are() -> None:
    case = after(HEARD, labelled("ring=canary"), ordered())
    assert case.record.labels == (Label("ring", "canary"),)
