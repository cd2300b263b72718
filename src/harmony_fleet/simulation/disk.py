"""A device's disk as far as upgrades go: its names, what they lead to, and what a power cut leaves.

Rules
1. A name holds the value that programs see, behind every one that a power cut may bring back.
2. `sync` of a folder makes what is seen of its names durable. Names change whole, as by a rename.
3. A power cut leaves of each name one of its values, whichever it leaves of the others: later
   changes may survive earlier ones.
4. Bytes that were renamed into place before they were synced may be lost with the power: `TORN`.
5. Each change asks `before` first, which may end the program there, or refuse by an OSError.

This keeps less than a journaling file system does, as POSIX allows. `files` puts the ports on it.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from typing import Final

STATE, BIN, LIB, VERSIONS = "state", "bin", "lib", "versions"
"""Folders."""
JOURNAL: Final = f"{STATE}/journal.json"
UNREADABLE: Final = f"{STATE}/journal.json.unreadable"
ATTEMPT_OPEN: Final = f"{STATE}/attempt-open"
EXPIRED: Final = f"{STATE}/expired.json"
CONTROLS: Final = f"{STATE}/controls.json"
RESERVE: Final = f"{STATE}/reserve"
LINK: Final = f"{BIN}/fleet-agent"
PREVIOUS: Final = f"{LIB}/previous"

Value = Hashable
"""None: there is nothing by that name."""


class Damage(Enum):
    """What bytes may be instead of what was written."""

    TORN = "torn"


TORN: Final = Damage.TORN


@dataclass(frozen=True, slots=True)
class Unsynced:
    """A value by whose name bytes were put that are not durable."""

    value: Value


Values = tuple[Value, ...]
"""The durable one, then the later ones in their order; the last is seen."""
Image = tuple[tuple[str, Values], ...]
"""A whole disk as a value, by name in order."""
GONE: Final[Values] = (None,)


def file_of(version: str) -> str:
    """The name of a version's file."""
    return f"{VERSIONS}/{version}"


def _nothing(_change: str) -> None:
    pass


@dataclass(slots=True)
class Disk:
    names: dict[str, Values] = field(default_factory=dict)
    before: Callable[[str], None] = _nothing
    """Asked before each change, and before each sync, with its name."""

    @classmethod
    def of(cls, image: Image) -> "Disk":
        return cls(dict(image))

    def image(self) -> Image:
        return tuple(sorted((name, held) for name, held in self.names.items() if held != GONE))

    def seen(self, name: str) -> Value:
        """What a program finds by that name; None where there is nothing."""
        value = self.names.get(name, GONE)[-1]
        return value.value if isinstance(value, Unsynced) else value

    def listed(self, folder: str) -> list[str]:
        """The names in a folder, without it."""
        prefix = f"{folder}/"
        found = (name for name in self.names if name.startswith(prefix))
        return sorted(name.removeprefix(prefix) for name in found if self.seen(name) is not None)

    def put(self, name: str, value: Value) -> None:
        """Rename a file or link into place, whose bytes were synced; the name itself is not yet."""
        self.before(f"rename {name}")
        self._add(name, value)

    def remove(self, name: str) -> None:
        """Nothing happens where there is nothing."""
        if self.seen(name) is not None:
            self.before(f"remove {name}")
            self._add(name, None)

    def sync(self, folder: str) -> None:
        """The names in it are durable when this returns."""
        self.before(f"sync {folder}")
        prefix = f"{folder}/"
        for name, held in self.names.items():
            if len(held) > 1 and name.startswith(prefix):
                self.names[name] = held[-1:]

    def _add(self, name: str, value: Value) -> None:
        held = self.names.get(name, GONE)
        if held[-1] != value:
            self.names[name] = (*held, value)


def cuts(image: Image) -> Iterator[Image]:
    """Every disk that a power cut may leave of this one, each once."""
    names = [name for name, _ in image]
    left = [
        tuple(dict.fromkeys(one for held in values for one in _left(held))) for _, values in image
    ]
    for chosen in product(*left):
        pairs = zip(names, chosen, strict=True)
        yield tuple((name, (value,)) for name, value in pairs if value is not None)


def _left(value: Value) -> tuple[Value, ...]:
    return (value.value, TORN) if isinstance(value, Unsynced) else (value,)
