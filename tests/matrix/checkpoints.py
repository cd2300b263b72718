"""Laid over the agent of a test, never shipped: it stops itself where the test wants it stopped.

Each step that touches the disk, a process or the wire is a checkpoint before and after it; one that
replaces a file also between the file's writing and its renaming, one that waits for a child of the
local supervisor while that runs, and a download once some of it is there. Where the device's root,
or under systemd the folder of its journal, has a folder `checkpoints` at a process's start, each
of its checkpoints is noted in its `log`, from its second time on with a number, and with whether
there is a candidate; the one that `stop` names is taken once: the process stops itself by SIGSTOP,
between two instructions, and `stopped` says its pid. What happens to it then is the test's.
"""

import functools
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import harmony_fleet
from harmony_fleet.agent.upgrade import journal, layout, local, plane, systemd

CANDIDATE = ", with a candidate"
ON_SYSTEMD = Path("/var/lib/fleet-agent/checkpoints")
_CONFIG = os.environ.get("FLEET_AGENT_CONFIG")
FOLDER = Path(_CONFIG).parents[2] / "checkpoints" if _CONFIG else ON_SYSTEMD

_AT_ONCE = {
    journal.FileJournal: ("write",),
    layout.Layout: (
        "capture_revert_target",
        "check_target",
        "point_previous",
        "swap_link",
        "open_attempt",
        "close_attempt",
        "prune",
        "make_durable",
    ),
}
_STEPS = ("stage", "self_test", "dry_run_guard", "start_candidate", "stop_candidate")
_WAITED_FOR = {
    local.LocalExecutor: _STEPS,
    systemd.SystemdExecutor: _STEPS,
    plane.NatsStopAnswers: ("answer",),
}
_HAS_A_CHILD = ("self_test", "dry_run_guard", "start_candidate")
_UNDER_WAY: ContextVar[str] = ContextVar("_UNDER_WAY", default="")
"""The step within which this is."""


def install() -> None:
    if not FOLDER.is_dir():
        return
    for kind, names in _AT_ONCE.items():
        for name in names:
            setattr(kind, name, _at_once(name, getattr(kind, name)))
    for kind, names in _WAITED_FOR.items():
        for name in names:
            setattr(kind, name, _waited_for(name, getattr(kind, name)))
    os.replace = _replacing(os.replace)
    local._connection = _connecting(local._connection)


def _at_once(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def checked(self: Any, *words: Any, **more: Any) -> Any:
        told = _told(name, words)
        _reach("before", told)
        token = _UNDER_WAY.set(told)
        try:
            outcome = step(self, *words, **more)
        finally:
            _UNDER_WAY.reset(token)
        _reach("after", told)
        return outcome

    return checked


def _waited_for(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    async def checked(self: Any, *words: Any, **more: Any) -> Any:
        told = _told(name, words)
        _reach("before", told)
        token = _UNDER_WAY.set(told)
        try:
            outcome = await step(self, *_watched(name, told, words), **more)
        finally:
            _UNDER_WAY.reset(token)
        _reach("after", told)
        return outcome

    return checked


def _watched(name: str, told: str, words: tuple[Any, ...]) -> tuple[Any, ...]:
    """A download tells its progress as the last of its words."""
    if name != "stage":
        return words
    *others, progress = words
    begun = False

    def told_some(held_bytes: int) -> None:
        nonlocal begun
        if held_bytes and not begun:
            begun = True
            _reach("during", told)
        progress(held_bytes)

    return (*others, told_some)


def _replacing(replace: Callable[..., None]) -> Callable[..., None]:
    """What is to take the other's place is written by now."""

    def checked(*words: Any, **more: Any) -> None:
        told = _UNDER_WAY.get()
        if told and not told.startswith("stage"):
            _reach("during", told)
        replace(*words, **more)

    return checked


def _connecting(connection: Callable[..., Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def checked(socket: Path) -> AsyncIterator[tuple[Any, Any]]:
        async with connection(socket) as (reader, writer):
            yield _Answer(reader), writer

    return checked


class _Answer:
    """Waited for while the child runs that was asked for."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        told = _UNDER_WAY.get()
        if told.startswith(_HAS_A_CHILD):
            _reach("during", told)
        line: bytes = await self._reader.readline()
        return line


def _told(name: str, words: tuple[Any, ...]) -> str:
    """`write cutover`, `swap_link 1.1.0`, `self_test 1.0.0`."""
    first = words[0] if words else None
    attempt = getattr(first, "attempt", None)
    what = attempt.stage if attempt is not None else first if isinstance(first, str) else ""
    return f"{name} {what}".strip()


def _reach(when: str, what: str) -> None:
    if "--expired" in sys.argv:
        return  # the timer wakes when it likes
    role = "guard" if "guard" in sys.argv else f"primary {harmony_fleet.__version__}"
    checkpoint = _numbered(f"{role}: {when} {what}")
    with (FOLDER / "log").open("a") as log:
        log.write(f"{checkpoint}{CANDIDATE if _candidate_lives() else ''}\n")
    try:
        wanted = (FOLDER / "stop").read_text()
    except FileNotFoundError:
        return
    if wanted != checkpoint:
        return
    (FOLDER / "stop").unlink()
    (FOLDER / "stopped.new").write_text(str(os.getpid()))
    (FOLDER / "stopped.new").rename(FOLDER / "stopped")
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread does nothing more


def _numbered(checkpoint: str) -> str:
    """`guard: before make_durable`, `guard: before make_durable (2)`."""
    log = FOLDER / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    names = [line.removesuffix(CANDIDATE) for line in lines]
    times = sum(name == checkpoint or name.startswith(f"{checkpoint} (") for name in names)
    return f"{checkpoint} ({times + 1})" if times else checkpoint


def _candidate_lives() -> bool:
    """By its arguments and its device: an ended one has none."""
    root = f"{FOLDER.parent}/".encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"candidate" in words and any(word.startswith(root) for word in words):
                return True
    return False
