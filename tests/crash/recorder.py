"""Every change that real processes make in a device's folders, as the kernel saw it: by strace.

The supervisor and all that it starts are traced, with the bytes that they write. Only what was
done counts: calls that failed changed nothing.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.disk import (
    FILE_MODE,
    Chmod,
    Create,
    Disk,
    Entry,
    File,
    Link,
    Operation,
    Rename,
    Snapshot,
    Symlink,
    Sync,
    Truncate,
    Unlink,
    Write,
)

from harmony_fleet.embedded.local_device import stop_supervisor

FOLDERS = ("usr/bin", "usr/local/bin", "usr/local/lib/fleet-agent", "var/lib/fleet-agent")
"""All that must survive a power cut; what lies in `run` and `log` need not."""

_CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,ftruncate,truncate,fsync,fdatasync,fallocate,"
    "sendfile,copy_file_range,rename,renameat,renameat2,unlink,unlinkat,symlink,symlinkat,link,"
    "linkat,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>)?(.*)", re.DOTALL)
_DONE = re.compile(r"(\w+)\((.*)\) += (\d+)(?:<.*>)?", re.DOTALL)
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>")
_MOST_BYTES = 1 << 24


class UnknownCall(AssertionError):
    """The device changed its disk in a way that the model does not know."""


def snapshot_of(root: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for folder in FOLDERS:
        for path in (root / folder).iterdir():
            name = str(path.relative_to(root))
            if path.is_symlink():
                found[name] = Link(str(path.readlink()))
            elif path.is_file():
                found[name] = File(path.read_bytes(), path.stat().st_mode & FILE_MODE)
    return found


@contextmanager
def traced_supervisor(root: Path, trace: Path) -> Iterator[None]:
    """The device runs in the block. `trace` is whole after it."""
    supervisor = [sys.executable, "-P", "-m", "harmony_fleet.embedded.supervisor"]
    with traced(trace, *supervisor, "--root", str(root)):
        try:
            yield
        finally:
            stop_supervisor(root)


@contextmanager
def traced(trace: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """It must end by itself, and well."""
    strace = ["strace", "-f", "-y", "-xx", "-s", str(_MOST_BYTES), "-o", str(trace)]
    process = subprocess.Popen(
        [*strace, "-e", f"trace={_CALLS}", *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode(errors="replace")


def operations(trace: Path, root: Path, before: Snapshot) -> list[Operation]:
    """In their order, from what the folders held before. Raises UnknownCall."""
    reader = _Reader(str(root), Disk(FOLDERS, before))
    for call in _calls(trace):
        reader.read(call)
    return reader.found


def _calls(trace: Path) -> Iterator[str]:
    """Each call on one line, where it ended."""
    begun: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        if (match := _LINE.fullmatch(line)) is None:
            continue
        process, resumed, text = match.groups()
        if text.endswith(" <unfinished ...>"):
            begun[process] = text.removesuffix(" <unfinished ...>")
        elif resumed:
            yield begun.pop(process, "") + text
        else:
            yield text


class _Reader:
    """Follows the names, so that it knows what an opening creates and where a write goes.

    All that a device writes, it writes from the beginning to the end of a file: a write goes
    behind what is there.
    """

    def __init__(self, root: str, disk: Disk) -> None:
        self._root, self._disk, self._umask = root, disk, _umask()
        self.found: list[Operation] = []

    def read(self, call: str) -> None:
        match = _DONE.fullmatch(call)
        if match is None:  # it failed, or it is a signal or an exit
            return
        name, arguments = match[1], match[2]
        for operation in self._meaning(name, arguments):
            self._disk.do(operation)
            self.found.append(operation)

    def _meaning(self, name: str, arguments: str) -> Iterator[Operation]:
        strings = [_decoded(text) for text in _STRING.findall(arguments)]
        open_file = _inside(self._root, self._descriptor(arguments))
        paths = [_inside(self._root, text.decode(errors="replace")) for text in strings]
        match name:
            case "openat" | "open":
                yield from self._opened(paths[0], arguments)
            case "write" if open_file:
                yield Write(open_file, self._size(open_file), strings[0])
            case "ftruncate" if open_file:
                yield Truncate(open_file, int(arguments.rpartition(", ")[2]))
            case "fchmod" if open_file:
                yield Chmod(open_file, int(arguments.rpartition(", ")[2], 8))
            case "fsync" if open_file:
                yield Sync(open_file)
            case "symlink" if paths[1]:
                yield Symlink(paths[1], strings[0].decode())
            case "rename" if paths[0] and paths[1]:
                yield Rename(paths[0], paths[1])
            case "unlink" if paths[0]:
                yield Unlink(paths[0])
            case _:
                if open_file or any(paths):
                    raise UnknownCall(f"{name} of {open_file or paths}")

    def _opened(self, path: str | None, arguments: str) -> Iterator[Operation]:
        if path is None or ("O_CREAT" not in arguments and "O_TRUNC" not in arguments):
            return
        if path not in self._disk.now():
            mode = int(arguments.rpartition(", ")[2], 8)
            yield Create(path, mode & ~self._umask)
        elif "O_TRUNC" in arguments:
            yield Truncate(path, 0)

    def _size(self, path: str) -> int:
        file = self._disk.now()[path]
        assert isinstance(file, File)
        return len(file.content)

    def _descriptor(self, arguments: str) -> str:
        match = _DESCRIPTOR.match(arguments)
        return _decoded(match[1]).decode(errors="replace") if match else ""


def _inside(root: str, path: str) -> str | None:
    """Relative to the root, where it is one of the folders or lies in one."""
    relative = path.removeprefix(f"{root}/")
    known = relative in FOLDERS or str(Path(relative).parent) in FOLDERS
    return relative if relative != path and known else None


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _umask() -> int:
    found = os.umask(0o77)
    os.umask(found)
    return found
