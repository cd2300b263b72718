"""The Devices that count: of each device one object, whatever namespaces there are.

Where two objects of two namespaces name one device, the older one is meant; the other is a twin,
which changes nothing.
"""

from collections import defaultdict
from collections.abc import Sequence

from harmony_fleet.operator.kubernetes.mapping import device_id_of
from harmony_fleet.operator.kubernetes.mirror import Key, Mirror
from harmony_fleet.operator.kubernetes.names import object_name
from harmony_fleet.operator.kubernetes.objects import Device


class Devices:
    def __init__(self, mirror: Mirror[Device]) -> None:
        self.mirror = mirror
        self._namespaces: defaultdict[str, set[str]] = defaultdict(set)
        mirror.on_change(self._changed)

    def of(self, device_id: str) -> Device | None:
        return min(self.named(object_name(device_id)), key=_age, default=None)

    def named(self, name: str) -> Sequence[Device]:
        """In whatever namespaces, in no order."""
        found = (self.mirror.get((space, name)) for space in self._namespaces.get(name, ()))
        return list(filter(None, found))

    def all(self) -> Sequence[Device]:
        """By device id."""
        found = (one for one in self.mirror if not self.is_twin(one))
        return sorted(found, key=device_id_of)

    def is_twin(self, device: Device) -> bool:
        if len(self._namespaces.get(device.metadata.name, ())) < 2:
            return False
        first = self.of(device_id_of(device))
        return first is not None and first.metadata.namespace != device.metadata.namespace

    def _changed(self, key: Key) -> None:
        space, name = key
        if self.mirror.get(key) is not None:
            self._namespaces[name].add(space)
            return
        self._namespaces[name].discard(space)
        if not self._namespaces[name]:
            del self._namespaces[name]


def _age(device: Device) -> tuple[str, str]:
    return device.metadata.creation_timestamp, device.metadata.namespace
