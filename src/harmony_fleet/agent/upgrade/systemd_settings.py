"""What a transient unit takes over from the permanent one, and how it is asked for. Pure.

What an upgrade runs has the permanent unit's user, environment, sandbox and limits: what was
tried is what will be committed. Its settings are read as `systemctl cat` shows them, drop-ins
included, in their order; systemd itself puts together what stands there more than once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OWN: Final = frozenset(
    {
        "Type",
        "PIDFile",
        "BusName",
        "Sockets",
        "RemainAfterExit",
        "GuessMainPID",
        "SuccessExitStatus",
        "OOMPolicy",
        "TimeoutSec",
        "TimeoutStartSec",
        "TimeoutStopSec",
        "TimeoutAbortSec",
        "TimeoutStartFailureMode",
        "RuntimeMaxSec",
        "RuntimeDirectoryPreserve",
        "WatchdogSec",
    }
)
"""How the permanent unit starts, ends and is started again: no matter of a transient one."""
OWN_PREFIXES: Final = (
    *("ExecStart", "ExecCondition", "ExecReload", "ExecStop"),
    *("Restart", "FileDescriptorStore"),
)
"""ExecPaths= and ExecSearchPath= are no commands."""


class Kind(StrEnum):
    ONESHOT = "oneshot"
    """Started means: it has run to its end, and well."""
    NOTIFY = "notify"
    """Started means: it has said READY."""


@dataclass(frozen=True, slots=True)
class Transient:
    unit: str
    kind: Kind
    argv: tuple[str, ...]
    start_limit_s: float
    """Until it counts as started; it is ended then."""
    runtime_limit_s: float | None = None
    """Counted from there."""
    stop_limit_s: float = 5.0
    """Between SIGTERM and SIGKILL."""


def service_settings(unit_files: str) -> tuple[tuple[str, str], ...]:
    """Every setting of the [Service] sections of `systemctl cat`, in order, as it is written."""
    return tuple(_settings(unit_files))


def watchdog_s(settings: Sequence[tuple[str, str]]) -> str:
    """As it is written; empty where there is none."""
    values = [value for key, value in settings if key == "WatchdogSec"]
    return values[-1] if values else ""


def command(transient: Transient, permanent: Sequence[tuple[str, str]]) -> list[str]:
    """systemd-run's arguments. It returns as soon as the unit has started, or could not."""
    argv = [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={transient.unit}",
        f"--service-type={transient.kind}",
    ]
    for key, value in (*_carried(permanent), *_own(transient, permanent)):
        argv += ["-p", f"{key}={value}"]
    return [*argv, "--", *transient.argv]


def _own(transient: Transient, permanent: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield "TimeoutStartSec", f"{transient.start_limit_s:g}"
    yield "TimeoutStopSec", f"{transient.stop_limit_s:g}"
    if transient.runtime_limit_s is not None:
        yield "RuntimeMaxSec", f"{transient.runtime_limit_s:g}"
    if transient.kind is Kind.NOTIFY and (limit := watchdog_s(permanent)):
        yield "WatchdogSec", limit


def _carried(permanent: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """A folder in /run that both have must outlive the transient one."""
    for key, value in permanent:
        if key not in OWN and not key.startswith(OWN_PREFIXES):
            yield key, value
    if any(key == "RuntimeDirectory" for key, _ in permanent):
        yield "RuntimeDirectoryPreserve", "yes"


def _settings(unit_files: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in _lines(unit_files):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == "Service" and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _lines(unit_files: str) -> Iterator[str]:
    """Continued lines are one; comments are none, also between continued lines (systemd.syntax)."""
    begun = ""
    for raw in unit_files.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")):
            continue
        if raw.endswith("\\"):
            begun += line[:-1] + " "
            continue
        yield (begun + line).strip()
        begun = ""
