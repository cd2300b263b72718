"""What this process knows of the cluster's objects of one kind. No I/O.

Rules
1. An object is never taken back to an older state: what a watch says late, after a write of our
   own was answered, is not taken. Versions are compared as numbers (KEP-5504).
2. Whoever asked to be told is told of each object that has changed or gone, once it is so here.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

Key = tuple[str, str]
"""Namespace and name."""
Changed = Callable[[Key], None]
"""Must not block."""


class HasMetadata(Protocol):
    @property
    def resource_version(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


class Mirrored(Protocol):
    @property
    def metadata(self) -> HasMetadata: ...


T = TypeVar("T", bound=Mirrored)

_NOWHERE: Final = 0


class Mirror(Generic[T]):
    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._gone: dict[Key, int] = {}
        """The version at which it was deleted, until a list says what there is."""
        self._listed = _NOWHERE
        """The version of the last list: what is not newer, and was not in it, is not there."""
        self._listeners: list[Changed] = []
        self.newest = _NOWHERE
        """The highest version that was ever seen of any object."""

    def on_change(self, listener: Changed) -> None:
        self._listeners.append(listener)

    def off_change(self, listener: Changed) -> None:
        self._listeners.remove(listener)

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        """In no order."""
        return iter(tuple(self._objects.values()))

    def put(self, found: T) -> T:
        """As it is known then: what was there already may be newer."""
        key, version = key_of(found), version_of(found)
        self.newest = max(self.newest, version)
        there = self._objects.get(key)
        known = version_of(there) if there else max(self._listed, self._gone.get(key, _NOWHERE))
        if version <= known:
            return there or found
        self._gone.pop(key, None)
        self._objects[key] = found
        self._tell(key)
        return found

    def remove(self, key: Key, version: int) -> None:
        """It was deleted at that version."""
        self.newest = max(self.newest, version)
        there = self._objects.get(key)
        if there is not None and version_of(there) > version:
            return
        self._gone[key] = max(version, self._gone.get(key, _NOWHERE))
        if self._objects.pop(key, None) is not None:
            self._tell(key)

    def listed(self, found: set[Key], version: int) -> None:
        """All that there was at that version: what is older and not among it has gone."""
        for key, one in tuple(self._objects.items()):
            if key not in found and version_of(one) <= version:
                self.remove(key, version)
        self._gone = {key: at for key, at in self._gone.items() if at > version}
        self._listed = version
        self.newest = max(self.newest, version)

    def clear(self) -> None:
        """Nobody is told: what there is will be put again at once."""
        self._objects.clear()
        self._gone.clear()
        self._listed = self.newest = _NOWHERE

    def _tell(self, key: Key) -> None:
        for listener in self._listeners:
            listener(key)


def key_of(one: Mirrored) -> Key:
    return one.metadata.namespace, one.metadata.name


def version_of(one: Mirrored) -> int:
    return int(one.metadata.resource_version or _NOWHERE)
