"""Interpreter, modules and time: what a preflight makes of what was measured. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from harmony_fleet.contracts.preflight import Check, CheckName, CheckState, check

CLOCK_BOUND_S: Final = 60.0
"""A certificate or a credential that was just made is dated by the operator's clock."""

_NEEDED: Final = re.compile(r">=(\d{1,3})\.(\d{1,3})", re.ASCII)

Minor = tuple[int, int]


def judge_python(running: Minor, floor: Minor, needed: str) -> Check:
    """`needed`: what the artifact says of itself, such as `>=3.11`, or nothing."""
    lowest = floor
    if needed:
        found = _NEEDED.fullmatch(needed)
        if found is None:
            words = f"the artifact needs Python {needed}, which is not understood here"
            return check(CheckName.PYTHON, CheckState.UNKNOWN, words)
        lowest = max(floor, (int(found[1]), int(found[2])))
    words = f"Python {_minor(running)} runs the agent, {_minor(lowest)} or newer is needed"
    state = CheckState.OK if running >= lowest else CheckState.FAILED
    return check(CheckName.PYTHON, state, words)


def _minor(version: Minor) -> str:
    return ".".join(map(str, version))


def judge_modules(exit_status: int, output: str) -> Check:
    """Of the process that tried to import them all: it printed how many, or what is wrong."""
    said = output.strip().splitlines() or ["it said nothing"]
    if exit_status == 0:
        return check(CheckName.MODULES, CheckState.OK, f"all {said[-1]} can be imported")
    words = f"not every module of the agent can be imported: {said[-1]}"
    return check(CheckName.MODULES, CheckState.FAILED, words)


def judge_clock(asked_at: str, now: datetime) -> Check:
    """Never more than a warning: no wall clock decides anything in an upgrade."""
    try:
        theirs = datetime.fromisoformat(asked_at)
    except ValueError:
        words = "the operator named no time that is understood here"
        return check(CheckName.CLOCK, CheckState.UNKNOWN, words)
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    ahead_s = (now - theirs).total_seconds()
    if abs(ahead_s) <= CLOCK_BOUND_S:
        words = f"within {CLOCK_BOUND_S:.0f} s of the operator's time"
        return check(CheckName.CLOCK, CheckState.OK, words)
    side = "ahead of" if ahead_s > 0 else "behind"
    words = (
        f"{abs(ahead_s):.0f} s {side} the operator's: set it, for certificates and credentials "
        "are valid by the clock"
    )
    return check(CheckName.CLOCK, CheckState.WARNING, words)
