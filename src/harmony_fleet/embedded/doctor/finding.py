"""What one check has found. No I/O."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harmony_fleet.contracts.errors import FleetError

MEND_DISK: Final = "mend that file or its disk, then ask again"
OTHER_USER: Final = "run as the user of `fleet up`"


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Nothing is broken by it now."""
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    sentence: str
    mend: str | None = None
    """What to do about it; None where all is well."""


def ok(check: str, sentence: str) -> Finding:
    return Finding(check, Level.OK, sentence)


def warning(check: str, sentence: str, mend: str) -> Finding:
    return Finding(check, Level.WARNING, sentence, mend)


def problem(check: str, sentence: str, mend: str) -> Finding:
    return Finding(check, Level.PROBLEM, sentence, mend)


def guarded(
    check: str, look: Callable[[], Iterable[Finding]], mend: str = MEND_DISK
) -> list[Finding]:
    """One check that cannot be made never keeps the others from being made."""
    try:
        return list(look())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        said = f"it cannot be looked at: {where}{error.strerror or error}"
        refused = isinstance(error, PermissionError)
        return [problem(check, said, OTHER_USER if refused else MEND_DISK)]
    except FleetError as error:
        refused = isinstance(error.__cause__, PermissionError)
        return [problem(check, str(error), OTHER_USER if refused else mend)]
