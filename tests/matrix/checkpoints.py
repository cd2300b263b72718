"""Laid over the agent of a test, never shipped: it stops itself where the test wants it stopped.

Each step that touches the disk, a process or the wire is a checkpoint before and after it. Where
the device's root has a folder `checkpoints`, each is noted in its `log`; the one that `stop` names
is taken once: the process stops itself by SIGSTOP, between two instructions, and `stopped` says
its pid. What happens to it then is the test's.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harmony_fleet
from harmony_fleet.agent.upgrade import journal, layout, local, plane

FOLDER = Path(os.environ.get("FLEET_AGENT_CONFIG", "/none/none/none")).parents[2] / "checkpoints"

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
_WAITED_FOR = {
    local.LocalExecutor: (
        "stage",
        "self_test",
        "dry_run_guard",
        "start_candidate",
        "stop_candidate",
    ),
    plane.NatsStopAnswers: ("answer",),
}


def install() -> None:
    if not FOLDER.is_dir():
        return
    for kind, names in _AT_ONCE.items():
        for name in names:
            setattr(kind, name, _at_once(name, getattr(kind, name)))
    for kind, names in _WAITED_FOR.items():
        for name in names:
            setattr(kind, name, _waited_for(name, getattr(kind, name)))


def _at_once(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def checked(self: Any, *words: Any, **more: Any) -> Any:
        told = _told(name, words)
        _reach("before", told)
        outcome = step(self, *words, **more)
        _reach("after", told)
        return outcome

    return checked


def _waited_for(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    async def checked(self: Any, *words: Any, **more: Any) -> Any:
        told = _told(name, words)
        _reach("before", told)
        outcome = await step(self, *words, **more)
        _reach("after", told)
        return outcome

    return checked


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
    checkpoint = f"{role}: {when} {what}"
    with (FOLDER / "log").open("a") as log:
        log.write(f"{checkpoint}\n")
    try:
        wanted = (FOLDER / "stop").read_text()
    except FileNotFoundError:
        return
    if wanted != checkpoint:
        return
    (FOLDER / "stop").unlink()
    (FOLDER / "stopped.new").write_text(str(os.getpid()))
    (FOLDER / "stopped.new").rename(FOLDER / "stopped")
    os.kill(os.getpid(), signal.SIGSTOP)
