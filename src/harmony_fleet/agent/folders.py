"""The folders that an upgrade writes, looked at and not written: what would keep it from that."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harmony_fleet.agent.config import PathsConfig


@dataclass(frozen=True, slots=True)
class Folder:
    """As this process sees it, in the name space of mounts that its service has."""

    name: str
    """What it is the folder of."""
    path: Path
    there: bool
    writable: bool = False
    read_only: bool = False
    """By its mount."""
    noexec: bool = False
    """By its mount."""

    @property
    def flaw(self) -> str | None:
        """Why an upgrade cannot use it, as the end of a sentence."""
        if not self.there:
            return "is not there"
        if self.read_only:
            return "is on a read-only file system"
        if not self.writable:
            return "cannot be written"
        if self.noexec and self.name == "versions":
            return "is on a file system mounted noexec"
        return None


def look_at_all(paths: PathsConfig) -> Iterator[Folder]:
    yield look_at("state", paths.state)
    yield look_at("versions", paths.versions)
    yield look_at("link", paths.link.parent)
    yield look_at("previous", paths.previous.parent)


def look_at(name: str, path: Path) -> Folder:
    if not path.is_dir():
        return Folder(name, path, there=False)
    flags = os.statvfs(path).f_flag
    return Folder(
        name,
        path,
        there=True,
        writable=os.access(path, os.W_OK | os.X_OK),
        read_only=bool(flags & os.ST_RDONLY),
        noexec=bool(flags & os.ST_NOEXEC),
    )
