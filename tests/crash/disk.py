"""What a power cut may leave of a few folders: every state that a file system is allowed to keep.

The model is POSIX's, and allows more than a journaling file system keeps in practice:
1. A file's bytes and mode are durable with its own fsync. Until then any number of the changes
   since may be there, the last write by half; or all but one of them; or the size without the
   bytes; and the mode whichever it was.
2. A name in a folder is durable with that folder's fsync. Until then any subset of the changes
   since may be there, whatever was kept of the files that they name. A rename is one change.
3. A symbolic link is whole wherever its name is.
Pure: operations in, states out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import PurePosixPath

FILE_MODE = 0o7777


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Link:
    target: str


Entry = File | Link
Snapshot = Mapping[str, Entry]
"""By path, relative to the root."""


@dataclass(frozen=True, slots=True)
class Create:
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Chmod:
    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Symlink:
    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Rename:
    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Unlink:
    path: str


@dataclass(frozen=True, slots=True)
class Sync:
    """Of a file or a folder."""

    path: str


Change = Write | Truncate | Chmod
"""Of one file."""
Operation = Create | Write | Truncate | Chmod | Symlink | Rename | Unlink | Sync


@dataclass(eq=False)
class Inode:
    """A file, or a link, whatever its names."""

    durable: Entry
    changes: list[Change] = field(default_factory=list)

    def now(self) -> Entry:
        return self._after(len(self.changes))

    def sync(self) -> None:
        self.durable, self.changes = self.now(), []

    def variants(self) -> set[Entry]:
        if isinstance(self.durable, Link) or not self.changes:
            return {self.durable}
        entries = (self._after(count) for count in range(len(self.changes) + 1))
        files = [entry for entry in entries if isinstance(entry, File)]
        contents = {file.content for file in files}
        contents |= {self._unwritten(count) for count in range(len(self.changes) + 1)}
        contents |= {self._torn(number) for number in range(len(self.changes))}
        contents |= {self._lacking(number) for number in range(len(self.changes))}
        return {File(content, mode) for content in contents for mode in {f.mode for f in files}}

    def _after(self, count: int) -> Entry:
        entry = self.durable
        for change in self.changes[:count]:
            assert isinstance(entry, File), "a link does not change"
            entry = changed(entry, change)
        return entry

    def _unwritten(self, count: int) -> bytes:
        """The size is there, and of the bytes none that was written since the last fsync."""
        entry = self.durable
        for change in self.changes[:count]:
            assert isinstance(entry, File)
            entry = changed(entry, _unwritten(change))
        assert isinstance(entry, File)
        return entry.content

    def _lacking(self, number: int) -> bytes:
        """All that was written later is there: the pages of a file are written in any order."""
        entry = self.durable
        for at, change in enumerate(self.changes):
            assert isinstance(entry, File)
            entry = changed(entry, _unwritten(change) if at == number else change)
        assert isinstance(entry, File)
        return entry.content

    def _torn(self, number: int) -> bytes:
        change, before = self.changes[number], self._after(number)
        assert isinstance(before, File)
        if isinstance(change, Write):
            half = change.data[: len(change.data) // 2]
            before = changed(before, Write(change.path, change.offset, half))
        return before.content


def changed(file: File, change: Change) -> File:
    match change:
        case Write(_, offset, data):
            padded = file.content.ljust(offset, b"\0")
            return File(padded[:offset] + data + padded[offset + len(data) :], file.mode)
        case Truncate(_, size_bytes):
            return File(file.content[:size_bytes].ljust(size_bytes, b"\0"), file.mode)
        case Chmod(_, mode):
            return File(file.content, mode)


def _unwritten(change: Change) -> Change:
    """The size that it brings, and none of its bytes."""
    if isinstance(change, Write):
        return Write(change.path, change.offset, bytes(len(change.data)))
    return change


Names = dict[str, "Inode | None"]
"""By name in one folder; None: it goes."""


@dataclass
class Folder:
    durable: dict[str, Inode] = field(default_factory=dict)
    changes: list[Names] = field(default_factory=list)

    def now(self) -> dict[str, Inode]:
        return _with(self.durable, self.changes)

    def sync(self) -> None:
        self.durable, self.changes = self.now(), []

    def variants(self) -> Iterator[dict[str, Inode]]:
        for count in range(len(self.changes) + 1):
            for kept in combinations(self.changes, count):
                yield _with(self.durable, kept)


def _with(names: dict[str, Inode], changes: Iterable[Names]) -> dict[str, Inode]:
    found: dict[str, Inode | None] = dict(names)
    for change in changes:
        found |= change
    return {name: inode for name, inode in found.items() if inode is not None}


class Disk:
    """The folders of one device. All that it begins with is durable."""

    def __init__(self, folders: Iterable[str], snapshot: Snapshot) -> None:
        self.folders = {folder: Folder() for folder in folders}
        for path, entry in snapshot.items():
            folder, name = _place(path)
            self.folders[folder].durable[name] = Inode(entry)

    def now(self) -> dict[str, Entry]:
        return {
            f"{folder}/{name}": inode.now()
            for folder, names in self.folders.items()
            for name, inode in names.now().items()
        }

    def durable(self, path: str) -> Entry | None:
        """What no power cut takes back any more."""
        folder, name = _place(path)
        inode = self.folders[folder].durable.get(name)
        return inode.durable if inode else None

    def do(self, operation: Operation) -> None:
        match operation:
            case Create(path, mode):
                self._name(path, Inode(File(b"", mode)))
            case Symlink(path, target):
                self._name(path, Inode(Link(target)))
            case Write(path) | Truncate(path) | Chmod(path):
                self._inode(path).changes.append(operation)
            case Rename(path, to):
                inode = self._inode(path)
                (folder, name), (other, new) = _place(path), _place(to)
                assert folder == other, f"{path} was moved to another folder"
                self.folders[folder].changes.append({name: None, new: inode})
            case Unlink(path):
                self._name(path, None)
            case Sync(path) if path in self.folders:
                self.folders[path].sync()
            case Sync(path):
                self._inode(path).sync()

    def crash_states(self) -> Iterator[Snapshot]:
        """Each that a power cut at this instant may leave; some more than once."""
        kept = [list(folder.variants()) for folder in self.folders.values()]
        for folders in product(*kept):
            named = [
                (f"{folder}/{name}", inode)
                for folder, names in zip(self.folders, folders, strict=True)
                for name, inode in names.items()
            ]
            choices = [list(inode.variants()) for _, inode in named]
            for entries in product(*choices):
                yield dict(zip((path for path, _ in named), entries, strict=True))

    def _name(self, path: str, inode: Inode | None) -> None:
        folder, name = _place(path)
        self.folders[folder].changes.append({name: inode})

    def _inode(self, path: str) -> Inode:
        folder, name = _place(path)
        return self.folders[folder].now()[name]


def _place(path: str) -> tuple[str, str]:
    where = PurePosixPath(path)
    return str(where.parent), where.name
