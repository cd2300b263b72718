"""Of each device one object counts: of twins in two namespaces the older."""

import pytest

from harmony_fleet.operator.kubernetes.devices import Devices
from harmony_fleet.operator.kubernetes.mirror import Mirror
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.kubernetes.objects import Device, DeviceSpec, Metadata

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def made(device_id: str, space: str = "fleet", created: str = OLD, version: int = 1) -> Device:
    name = object_name(device_id)
    metadata = Metadata(
        name, space, resource_version=str(version), creation_timestamp=created, generation=1
    )
    return Device(
        metadata=metadata, spec=DeviceSpec(device_id="" if name == device_id else device_id)
    )


def devices(*found: Device) -> Devices:
    made = Devices(Mirror())
    for one in found:
        made.mirror.put(one)
    return made


def test_a_device_is_found_by_its_id_also_where_no_object_may_be_called_so() -> None:
    plain, underscored = made("pi-1"), made("pi_1")
    known = devices(plain, underscored)
    assert known.of("pi-1") == plain
    assert known.of("pi_1") == underscored
    assert known.of("pi-2") is None


def test_all_of_them_come_by_their_device_ids() -> None:
    known = devices(made("pi_2"), made("pi-10"), made("a"))
    assert [one.spec.device_id or one.metadata.name for one in known.all()] == [
        "a",
        "pi-10",
        "pi_2",
    ]


@pytest.mark.parametrize("later_first", [False, True])
def test_of_two_objects_for_one_device_the_older_counts(later_first: bool) -> None:
    older, twin = made("pi-1", "z", OLD), made("pi-1", "a", NEW)
    known = devices(*((twin, older) if later_first else (older, twin)))
    assert known.of("pi-1") == older
    assert known.all() == [older]
    assert (known.is_twin(older), known.is_twin(twin)) == (False, True)


def test_of_two_of_the_same_second_the_namespace_decides() -> None:
    one, other = made("pi-1", "a"), made("pi-1", "b")
    known = devices(other, one)
    assert known.of("pi-1") == one
    assert (known.is_twin(one), known.is_twin(other)) == (False, True)


def test_a_twin_counts_once_the_older_has_gone() -> None:
    older, twin = made("pi-1", "a", OLD), made("pi-1", "b", NEW)
    known = devices(older, twin)
    known.mirror.remove(("a", "pi-1"), 2)
    assert known.of("pi-1") == twin
    assert not known.is_twin(twin)
    known.mirror.remove(("b", "pi-1"), 3)
    assert known.of("pi-1") is None
    assert known.all() == []


def test_an_object_that_has_gone_is_a_twin_of_nobody_and_may_come_back() -> None:
    older, twin = made("pi-1", "a", OLD), made("pi-1", "b", NEW)
    known = devices(older, twin)
    known.mirror.remove(("b", "pi-1"), 2)
    assert not known.is_twin(older)
    again = made("pi-1", "b", NEW, version=3)
    known.mirror.put(again)
    assert known.is_twin(again)


def test_after_the_mirror_was_cleared_there_is_what_is_put_again() -> None:
    older, twin = made("pi-1", "a", OLD), made("pi-1", "b", NEW)
    known = devices(older, twin)
    known.mirror.clear()
    assert known.of("pi-1") is None
    assert known.all() == []
    known.mirror.put(twin)
    assert known.of("pi-1") == twin
    assert not known.is_twin(twin)
