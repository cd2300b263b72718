"""One program's files on this device: its versions, the link, `previous`, `attempt-open`.

    <versions>/<name>-v<version>   one file for each version, executable
    <link>, <previous>             symbolic links that lead straight to one of them
    <state>/attempt-open           there is an upgrade that the dead-man timer should watch

Rules
1. A link is only ever replaced whole, and only by one to a complete, executable file.
2. No text becomes part of a path before `check_version` has let it through.
3. A file is executable only after its content was checked.
4. Nothing here decides: which version, and when, is the machine's.

Shared by the agent and the guard. No event loop, no process: those are the executor's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from harmony_fleet.agent.upgrade import content, durable, journal
from harmony_fleet.agent.upgrade.ports import Program, UpgradeFault
from harmony_fleet.agent.upgrade.pruning import superfluous, version_in
from harmony_fleet.contracts.identity import check_token, check_version
from harmony_fleet.contracts.upgrade import CauseKind

ATTEMPT_OPEN = "attempt-open"
EXPIRED = "expired.json"
"""The dead-man timer's mark for the guard."""
CONTROLS = "controls.json"
"""What the dead-man timer has found out so far."""

EXECUTABLE = 0o755


@dataclass(frozen=True, slots=True)
class Paths:
    versions: Path
    """A folder; `link` and `previous` may lie in it or elsewhere, on the same disk or another."""
    link: Path
    previous: Path
    state: Path
    """The folder of the journal."""


@dataclass
class Layout:
    """`ports.Versions` on a file system. The folders must exist.

    A `version` that is none raises InvalidValue, and nothing on the disk is touched.
    """

    program: Program
    paths: Paths
    own_descriptor: int | None = None
    """Open for reading on the file that this process runs from; neither closed nor moved here."""
    own_version: str | None = None
    versions_kept: int = 3
    _writing: Lock = field(default_factory=Lock, init=False, repr=False)
    """A thread whose caller was cancelled may still write; temporary names are shared."""

    def __post_init__(self) -> None:
        check_token(self.program.name)

    def path_of(self, version: str) -> Path:
        return self.paths.versions / (self._prefix + check_version(version))

    def link_version(self) -> str | None:
        return self._version_behind(self.paths.link)

    def link_gone(self) -> bool:
        return not os.path.lexists(self.paths.link)

    def previous_version(self) -> str | None:
        return self._version_behind(self.paths.previous)

    def capture_revert_target(self, version: str) -> None:
        """A copy, not a hard link: who overwrites the link's place in place must not reach it.

        Raises UpgradeFault also where another program is kept as `version` already, or where no
        link could ever take the place of what is there.
        """
        place, kept = self.paths.link, self.path_of(version)
        if place.is_dir() and not place.is_symlink():
            sentence = f"{place} is a folder, where the program's link is to be: remove it"
            raise UpgradeFault(CauseKind.DEVICE_FAULT, sentence)
        with self._writing, _faults("keep the installed program as", kept):
            if place.is_symlink() or not place.is_file():
                return
            if not os.path.lexists(kept):
                _copy(place, kept)
            elif not content.same(place, kept):
                raise _different(place, kept)
            else:
                _make_durable(kept)

    def check_target(self, version: str, sha256: str | None) -> None:
        path = self.path_of(version)
        with self._writing:
            damage = content.damage(path, sha256)
            if damage and version == self.own_version and self.own_descriptor is not None:
                _write_anew(path, self.own_descriptor, sha256)
                damage = content.damage(path, sha256)
            if damage:
                raise _damaged(path, damage)
            with _faults("sync", path):
                _make_durable(path)

    def point_previous(self, version: str) -> None:
        self._point(self.paths.previous, version)

    def swap_link(self, version: str) -> None:
        self._point(self.paths.link, version)

    def open_attempt(self) -> None:
        mark = self.paths.state / ATTEMPT_OPEN
        with _faults("create", mark):
            mark.touch()
            durable.sync(self.paths.state)

    def close_attempt(self) -> None:
        """`attempt-open` goes last: while it is there, somebody will call this again."""
        marks = [self.paths.state / name for name in (EXPIRED, CONTROLS, ATTEMPT_OPEN)]
        with self._writing:
            for path in (self.paths.link, self.paths.previous, *marks):
                with suppress(OSError):  # what a kill left half done; in nobody's way
                    durable.temporary(path).unlink(missing_ok=True)
        for mark in marks:
            with _faults("remove", mark):
                mark.unlink(missing_ok=True)
        with _faults("sync", self.paths.state):
            durable.sync(self.paths.state)

    def prune(self, keep: frozenset[str]) -> None:
        """The highest versions stay, and what runs or is linked; nothing goes while an attempt
        is open."""
        if os.path.lexists(self.paths.state / ATTEMPT_OPEN):
            return
        linked = {self.link_version(), self.previous_version(), self.own_version}
        needed = keep.union(version for version in linked if version)
        with suppress(OSError):
            names = os.listdir(self.paths.versions)  # noqa: PTH208 - names, in one call
            for name in superfluous(names, self._prefix, needed, self.versions_kept):
                with suppress(OSError):
                    (self.paths.versions / name).unlink()

    def make_durable(self) -> None:
        written = self.paths.state / journal.FILE_NAME
        for path in (written, self.paths.state, self.paths.link.parent):
            with _faults("sync", path):
                if path != written or path.exists():
                    durable.sync(path)

    @property
    def _prefix(self) -> str:
        return f"{self.program.name}-v"

    def _version_behind(self, link: Path) -> str | None:
        try:
            text = os.readlink(link)  # noqa: PTH115 - a Path would drop a trailing slash
        except OSError:
            return None
        folder, name = os.path.split(text)
        if os.path.realpath(link.parent / folder) != os.path.realpath(self.paths.versions):
            return None
        return version_in(name, self._prefix)

    def _point(self, link: Path, version: str) -> None:
        """Where it points there already it is only synced: a read-only disk is no obstacle."""
        target = self.path_of(version)
        if flaw := content.flaw(target):
            sentence = f"{target} {flaw}: {link} stays as it is; stage version {version} again"
            raise UpgradeFault(CauseKind.DEVICE_FAULT, sentence)
        with self._writing, _faults("replace", link):
            if self._version_behind(link) == version:
                durable.sync(link.parent)
            else:
                reserve = journal.reserve_in(self.paths.state)
                reserve.backs(lambda: durable.link_to(link, target))


def _make_durable(program: Path) -> None:
    """Who wrote it may have been killed before its name was."""
    durable.sync(program)
    durable.sync(program.parent)


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as program, durable.replacing(path, EXECUTABLE) as copy:
        copy.writelines(content.chunks(program.fileno()))


def _write_anew(path: Path, descriptor: int, sha256: str | None) -> None:
    try:
        with durable.replacing(path, EXECUTABLE) as file:
            file.writelines(content.chunks(descriptor))
            if damage := content.damage_inside(file, sha256):
                raise _damaged(path, f"cannot be written anew: what runs {damage}")
    except OSError as error:
        raise _damaged(path, f"could not be written anew ({error.strerror})") from error


def _damaged(path: Path, damage: str) -> UpgradeFault:
    sentence = f"{path} {damage}: nothing to go back to; put that version's file there again"
    return UpgradeFault(CauseKind.ROLLBACK_TARGET_DAMAGED, sentence)


def _different(place: Path, kept: Path) -> UpgradeFault:
    return UpgradeFault(
        CauseKind.DEVICE_FAULT,
        f"{place} and {kept} are different programs of one version; remove {kept}, "
        f"or restart the service if {place} was replaced by hand",
    )


@contextmanager
def _faults(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = durable.is_full(error)
        advice = "free some space on its disk" if full else "check its folder and its disk"
        raise UpgradeFault(
            CauseKind.DISK_FULL if full else CauseKind.DEVICE_FAULT,
            f"could not {doing} {path}: {error.strerror or error}; {advice}",
        ) from error
