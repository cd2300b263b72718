"""Every change that this process makes in a device's folders: as `recorder`, without strace.

What changes a disk goes through the functions of `os` that are listed here; each is noted once it
has been done. Whoever records compares the model with the disk afterwards: what would go past
these functions is found there.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.crash.disk import (
    FILE_MODE,
    Chmod,
    Create,
    Operation,
    Rename,
    Symlink,
    Sync,
    Unlink,
    Write,
)
from tests.crash.recorder import FOLDERS, UnknownCall

_UNKNOWN = ("link", "truncate", "ftruncate", "chmod", "mkdir", "rmdir", "write", "pwrite")
"""Not one of them is done to these folders; where one is, the model has to learn it."""


@contextmanager
def recorded(root: Path) -> Iterator[list[Operation]]:
    """Filled by the block, in order."""
    recorder = _Recorder(str(root))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fdopen", "fsync", "fchmod", "symlink", "rename", "unlink"):
            patch.setattr(os, name, getattr(recorder, name))
        patch.setattr(os, "replace", recorder.rename)
        for name in _UNKNOWN:
            patch.setattr(os, name, recorder.unknown(name, getattr(os, name)))
        yield recorder.found


class _File(io.FileIO):
    """Tells what it wrote, and where."""

    def __init__(self, descriptor: int, note: Callable[[int, bytes], None]) -> None:
        super().__init__(descriptor, "r+b")
        self._note = note

    def write(self, data: Any, /) -> int:
        offset = self.tell()
        count = super().write(data)
        self._note(offset, bytes(memoryview(data)[:count]))
        return count


@dataclass
class _Recorder:
    root: str
    found: list[Operation] = field(default_factory=list)
    calls: dict[str, Callable[..., Any]] = field(default_factory=lambda: dict(vars(os)))
    """As they were."""

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        descriptor: int = self.calls["open"](path, flags, mode)
        place = self._inside(path)
        if place and flags & os.O_TRUNC:
            raise UnknownCall(f"{place} is written over in place")
        if place and new:
            self.found.append(Create(place, os.fstat(descriptor).st_mode & FILE_MODE))
        return descriptor

    def fdopen(self, descriptor: int, mode: str) -> Any:
        place = self._behind(descriptor)
        if place is None or mode != "w+b":
            raise UnknownCall(f"a descriptor of {place} is opened for {mode}")
        file = _File(descriptor, lambda at, data: self.found.append(Write(place, at, data)))
        return io.BufferedRandom(file)

    def fsync(self, descriptor: int) -> None:
        self.calls["fsync"](descriptor)
        self._note(self._behind(descriptor), Sync)

    def fchmod(self, descriptor: int, mode: int) -> None:
        self.calls["fchmod"](descriptor, mode)
        self._note(self._behind(descriptor), lambda place: Chmod(place, mode))

    def symlink(self, target: Any, path: Any, *_: bool) -> None:
        self.calls["symlink"](target, path)
        self._note(self._inside(path), lambda place: Symlink(place, os.fspath(target)))

    def rename(self, path: Any, to: Any) -> None:
        self.calls["rename"](path, to)
        place = self._inside(to)
        self._note(self._inside(path), lambda old: Rename(old, str(place)))

    def unlink(self, path: Any) -> None:
        self.calls["unlink"](path)
        self._note(self._inside(path), Unlink)

    def unknown(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: Any, *words: Any, **more: Any) -> Any:
            place = self._behind(path) if isinstance(path, int) else self._inside(path)
            if place:
                raise UnknownCall(f"{name} of {place}")
            return call(path, *words, **more)

        return checked

    def _note(self, place: str | None, operation: Callable[[str], Operation]) -> None:
        if place:
            self.found.append(operation(place))

    def _behind(self, descriptor: int) -> str | None:
        return self._inside(Path(f"/proc/self/fd/{descriptor}").readlink())

    def _inside(self, path: Any) -> str | None:
        """Relative to the root, where it is one of the folders or lies in one."""
        name = os.path.relpath(os.fspath(path), self.root)
        return name if name in FOLDERS or str(Path(name).parent) in FOLDERS else None
