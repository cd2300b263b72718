"""What the permanent unit must be like for an upgrade to be handed over to it. Pure.

After the commit only systemd can start the new version: a unit that it would not start again, or
that starts another program, would leave the device without an agent.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from harmony_fleet.agent.upgrade.states import EXIT_RESTART

AGAIN: Final = "remove the drop-in, or the mask, that does it, or install the device again"
"""What a person can do about each flaw."""
PROPERTIES: Final = (
    *("LoadState", "ExecStart", "Restart"),
    *("RestartForceExitStatus", "RestartPreventExitStatus"),
)
"""As `systemctl show` names them."""

_COMMAND: Final = re.compile(r"(?:^|[{; ])path=([^;]+?) *; *argv\[\]=([^;]+?) *;")
"""As `systemctl show` writes it: `{ path=/bin/x ; argv[]=/bin/x ; … }`."""


def flaws(found: Mapping[str, str], link: str) -> Iterator[str]:
    """Of those properties; one that is missing is a flaw, where it matters."""
    if (state := found.get("LoadState")) != "loaded":
        yield f"cannot be started: it is {state or 'unknown'}"
        return
    started = _COMMAND.search(found.get("ExecStart", ""))
    if started is None or started[1] != link:
        what = started[1] if started else "nothing that is understood here"
        yield f"starts {what}, not {link}"
    elif started[2] != link:
        yield f"starts {started[2]}: arguments, which no candidate gets; the configuration has all"
    forced = found.get("RestartForceExitStatus", "").split()
    prevented = found.get("RestartPreventExitStatus", "").split()
    again = found.get("Restart") == "always" or str(EXIT_RESTART) in forced
    if not again or str(EXIT_RESTART) in prevented:
        yield f"does not start again after exit status {EXIT_RESTART}"
