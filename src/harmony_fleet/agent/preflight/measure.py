"""Measures what lies on this device's disks, by reading alone: no file is made to try, or mended.

What it means is judged in `disk` and `program`.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from harmony_fleet.agent.bootstrap import pinned_descriptor
from harmony_fleet.agent.config import PathsConfig
from harmony_fleet.agent.folders import look_at_all
from harmony_fleet.agent.preflight.disk import Room
from harmony_fleet.agent.preflight.program import Kind, Place, Target
from harmony_fleet.agent.upgrade import content
from harmony_fleet.agent.upgrade.durable import RESERVE_BYTES, RESERVE_LEAVES_BYTES
from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import FLEET_AGENT
from harmony_fleet.agent.upgrade.record import Journal
from harmony_fleet.asset.landing import partial_path
from harmony_fleet.contracts.preflight import PreflightCommand


@dataclass(frozen=True, slots=True)
class Disks:
    """What was found on them."""

    staged: bool
    """The artifact's file is here already, whole."""
    rooms: tuple[Room, ...]
    folder_flaws: tuple[str, ...]
    link: Place
    previous: Place
    target: Target


def measure(paths: PathsConfig, running: str, asked: PreflightCommand, journal: Journal) -> Disks:
    """Blocks. Raises OSError where a disk cannot be read at all."""
    places = Paths(paths.versions, paths.link, paths.previous, paths.state)
    layout = Layout(FLEET_AGENT, places)
    link = _place(paths.link, layout.link_version(), layout)
    staged = _is_staged(layout.path_of(asked.version), asked)
    return Disks(
        staged,
        tuple(_rooms(layout, running, asked, staged)),
        tuple(f"{f.path} {f.flaw}" for f in look_at_all(paths) if f.flaw),
        link,
        _place(paths.previous, layout.previous_version(), layout),
        _target(layout, link, running, journal),
    )


def _place(path: Path, version: str | None, layout: Layout) -> Place:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return Place(str(path), Kind.NOTHING)
    if stat.S_ISLNK(mode):
        file = layout.path_of(version) if version else Path(os.path.realpath(path))
        return Place(str(path), Kind.LINK, str(path.readlink()), version, content.flaw(file))
    return Place(str(path), Kind.FILE if stat.S_ISREG(mode) else Kind.OTHER)


def _is_staged(path: Path, asked: PreflightCommand) -> bool:
    """As a download finds it: whatever its mode, which staging sets."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != asked.artifact.size_bytes:
            return False
        with path.open("rb") as file:
            return content.damage_inside(file, asked.artifact.sha256) is None
    except OSError:
        return False


def _rooms(layout: Layout, running: str, asked: PreflightCommand, staged: bool) -> Iterator[Room]:
    """One for each file system that is written; a folder that is missing is the folders' flaw."""
    needed = {
        layout.paths.versions: _to_fetch(layout, asked, staged) + _to_keep(layout, running),
        layout.paths.state: RESERVE_BYTES,
    }
    systems: dict[int, list[Path]] = {}
    for folder in needed:
        if folder.is_dir():
            systems.setdefault(folder.stat().st_dev, []).append(folder)
    for folders in systems.values():
        disk = os.statvfs(folders[0])
        yield Room(
            str(folders[0]),
            disk.f_bavail * disk.f_frsize,
            sum(needed[folder] for folder in folders),
            RESERVE_LEAVES_BYTES,
            disk.f_favail if disk.f_files else None,
        )


def _to_fetch(layout: Layout, asked: PreflightCommand, staged: bool) -> int:
    """What an earlier download left is gone on from."""
    if staged:
        return 0
    partial = partial_path(layout.path_of(asked.version), asked.artifact.sha256)
    held_bytes = partial.lstat().st_size if partial.is_file() else 0
    return max(0, asked.artifact.size_bytes - held_bytes)


def _to_keep(layout: Layout, running: str) -> int:
    """A plain file in the link's place is copied by the first upgrade."""
    place = layout.paths.link
    if place.is_symlink() or not place.is_file() or os.path.lexists(layout.path_of(running)):
        return 0
    return place.stat().st_size


def _target(layout: Layout, link: Place, running: str, journal: Journal) -> Target:
    kept, own = layout.path_of(running), _own_digest()
    there, plain = os.path.lexists(kept), link.kind is Kind.FILE
    proven = journal.installed
    known = proven.sha256 if proven and proven.version == running else own
    file = layout.paths.link if plain and not there else kept
    return Target(
        running,
        str(kept),
        content.damage(file, known),
        known=known is not None,
        mendable=own is not None and own == known,
        clash=plain and there and not content.same(layout.paths.link, kept),
    )


def _own_digest() -> str | None:
    """Of what runs, by the descriptor that it runs from; None: it does not run from an artifact."""
    descriptor = pinned_descriptor()
    if descriptor is None:
        return None
    digest = sha256()
    try:
        for chunk in content.chunks(descriptor):
            digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()
