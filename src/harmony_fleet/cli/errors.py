"""What a command can end with, and the exit status that each kind has.

2: what was typed or named cannot be used. 1: it was right, and failed. Nothing else is used
here but 130, for an interrupt.
"""

from pathlib import Path
from typing import ClassVar, Final

from harmony_fleet.contracts.errors import FleetError, InvalidValue

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

_BAD_INPUT_KINDS: Final = frozenset(
    {
        InvalidValue.kind,
        "not_an_artifact",
        "authority_unreadable",
        "config",
        "file_refused",
        "backup_refused",
        "backup_unusable",
        "restore_refused",
        "plane_keys_unusable",
        "ansible_missing",
    }
)
"""Errors of packages that are loaded only by the command that needs them."""


class CommandFailed(FleetError):
    """The command was understood, and did not succeed."""

    kind = "failed"
    exit_status: ClassVar[int] = FAILED


class NotUp(CommandFailed):
    """No operator serves this data folder, or none listens where one did."""

    kind = "not_up"
    retryable = True

    def __init__(self, data: Path) -> None:
        super().__init__(f"no fleet is up in {data}: run `fleet up`")


class NotTrusted(CommandFailed):
    """What answers there has no certificate of the authority that is trusted. Nothing was sent."""

    kind = "not_trusted"

    def __init__(self, url: str, ca: Path | None, reason: str) -> None:
        super().__init__(
            f"what answers at {url} is not vouched for by {ca} ({reason}): see that this is the "
            "control plane's own tls/ca.pem, or name that by --ca"
        )


class NotInCluster(CommandFailed):
    """The command is of one machine, and the operator that is asked is a cluster's."""

    kind = "not_in_cluster"
    exit_status: ClassVar[int] = BAD_INPUT

    def __init__(self, command: str) -> None:
        super().__init__(
            f"`{command}` is of this machine, and here the operator of a cluster is asked: "
            f"run `harmony-fleet {command}`, without a cluster's options"
        )


class Unreachable(CommandFailed):
    """The operator did not answer, or broke off. Whether it acted is unknown."""

    kind = "unreachable"
    retryable = True


class WrongToken(CommandFailed):
    kind = "wrong_token"


class ServerFailed(CommandFailed):
    """The operator answered that it could not do it, or with something that is no answer."""

    kind = "server_failed"


class ServerBusy(CommandFailed):
    """The operator cannot do it now, and says why in its own words."""

    kind = "server_busy"
    retryable = True


class TimedOut(CommandFailed):
    """What was waited for had not come. It may still."""

    kind = "timed_out"


class Interrupted(CommandFailed):
    """By the person who waited. Nothing was undone."""

    kind = "interrupted"
    exit_status = INTERRUPTED


class Refused(FleetError):
    """The operator refuses what was asked for: an unknown name, a conflict, a bad value."""

    kind = "refused"
    exit_status: ClassVar[int] = BAD_INPUT

    def __init__(self, sentence: str, server_kind: str = "refused") -> None:
        super().__init__(sentence)
        self.server_kind = server_kind
        """The operator's own, finer name for it."""


def exit_status(error: FleetError) -> int:
    if isinstance(error, CommandFailed | Refused):
        return error.exit_status
    return BAD_INPUT if error.kind in _BAD_INPUT_KINDS else FAILED


def kind_of(error: FleetError) -> str:
    return error.server_kind if isinstance(error, Refused) else error.kind
