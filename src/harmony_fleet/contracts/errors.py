"""The root of all errors of this project, and the kinds that every part shares."""

from typing import ClassVar


class FleetError(Exception):
    """Anything the project reports. The text is one sentence for a person, with what to do next.

    `kind` is stable: status, logs and metrics use it. `retryable`: the same call may succeed later.
    """

    kind: ClassVar[str] = "fleet"
    retryable: ClassVar[bool] = False


class InvalidValue(FleetError, ValueError):
    """A value from outside does not have the form that its name demands. Nothing was changed."""

    kind = "invalid_value"


class MalformedMessage(FleetError):
    """Bytes from the wire or the disk are not the message they should be. Nothing was changed."""

    kind = "malformed_message"
