"""systemd's own commands, run as short processes; what they say becomes an outcome or an error."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from harmony_fleet.contracts.errors import FleetError

LIMIT_S: Final = 15.0
"""For a question, which takes some milliseconds."""

_OURS: Final = ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "INVOCATION_ID", "JOURNAL_STREAM")
"""What speaks to this very process, and is not for its children."""


class SystemdUnavailable(FleetError):
    """No answer, or none that can be used: what was asked for may have been done, or not."""

    kind: ClassVar[str] = "systemd_unavailable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Said:
    status: int
    output: str
    errors: str


async def run(argv: Sequence[str], limit_s: float = LIMIT_S) -> Said:
    """Cancelled, or at the limit, the command is killed; what it asked for may still happen.

    Raises SystemdUnavailable.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=child_environment(os.environ),
        )
    except OSError as error:
        why = f"cannot run {argv[0]}: {error.strerror}; is this device's service manager systemd?"
        raise SystemdUnavailable(why) from error
    try:
        async with asyncio.timeout(limit_s):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise SystemdUnavailable(f"{argv[0]} gave no answer within {limit_s:g} s") from error
    finally:
        await _end(process)
    status = process.returncode
    return Said(
        -1 if status is None else status,
        output.decode(errors="replace"),
        errors.decode(errors="replace").strip(),
    )


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in own.items() if not name.startswith(_OURS)}
    return {**kept, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


async def properties(unit: str, *names: str) -> dict[str, str]:
    """Of one unit, also where systemd knows none of that name. Raises SystemdUnavailable."""
    said = await run(["systemctl", "show", f"--property={','.join(names)}", "--", unit])
    if said.status != 0:
        raise SystemdUnavailable(f"systemd tells nothing of {unit}: {said.errors}")
    pairs = (line.partition("=") for line in said.output.splitlines())
    return {key: value for key, equals, value in pairs if equals}


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
