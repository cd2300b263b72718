"""The command protocol: one request on `device-cmd.<device_id>`, one answer or none.

No answer, or "no responders", means that the outcome is unknown: never yes, never no.
"""

from dataclasses import dataclass

from harmony_fleet.contracts.identity import (
    check_count,
    check_device_id,
    check_text,
    check_token,
    check_upgrade_id,
    check_version,
)
from harmony_fleet.contracts.upgrade import Ended
from harmony_fleet.contracts.wire import SCHEMA, Tolerant


class Verb(Tolerant):
    PING = "Ping"
    """Are you there? Changes nothing."""
    INFO = "Info"
    """What runs? Changes nothing."""
    UPGRADE_STOP = "UpgradeStop"
    """The operator's commit of one upgrade."""
    PREFLIGHT = "Preflight"
    """Would an upgrade work here? Changes nothing. Asked by a `PreflightCommand`."""
    UNKNOWN = "Unknown"


class Outcome(Tolerant):
    OK = "ok"
    """Ping, Info: done. UpgradeStop: committed; asking again gives the same answer."""
    ENDED = "ended"
    """UpgradeStop: that upgrade has ended, with this verdict."""
    REFUSED = "refused"
    """Nothing was done, for this reason."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Command:
    device_id: str
    """Whom it is for: the last part of the key, said again because whoever reads it checks it."""
    verb: Verb
    """What is asked."""
    upgrade_id: str | None = None
    """For UpgradeStop: the one upgrade that it commits."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        if self.upgrade_id is not None:
            check_upgrade_id(self.upgrade_id)
        check_count(self.schema, "schema", minimum=1)


@dataclass(frozen=True, slots=True)
class Info:
    """The answer's body for `Info`."""

    agent_version: str
    """Of the primary, which answers."""
    instance_id: str
    """Random, new with each process."""
    boot_id: str
    """New with each start of the machine."""
    python: str
    """The interpreter's version, such as 3.11.7."""
    platform: str
    """Operating system and machine, such as `linux-x86_64`."""

    def __post_init__(self) -> None:
        check_version(self.agent_version)
        check_token(self.instance_id)
        check_token(self.boot_id)
        check_text(self.python, "python", 40)
        check_text(self.platform, "platform", 80)


@dataclass(frozen=True, slots=True)
class Answer:
    device_id: str
    """Who says so: the part of the key, said again because whoever reads it checks it."""
    outcome: Outcome
    """What became of the command."""
    reason: str = ""
    """Why it was refused, in one sentence."""
    ended: Ended | None = None
    """With the outcome `ended`: the verdict on that upgrade."""
    info: Info | None = None
    """To `Info`: what runs."""
    schema: int = SCHEMA
    """Of this message; raised only when a field changes its meaning."""

    def __post_init__(self) -> None:
        check_device_id(self.device_id)
        check_text(self.reason, "reason", 400)
        check_count(self.schema, "schema", minimum=1)
