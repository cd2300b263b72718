"""Values as short words for a person. Pure; whatever came from a device is made printable."""

from typing import Final

from harmony_fleet.cli.views import CauseView, DeviceView, ProgressView, ReleaseView, UpgradeView
from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.printable import printable

NOTHING: Final = "-"
"""An empty cell, so that a line in a pipe always has the same number of fields."""

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400


def evidence_lines(cause: CauseView) -> list[str]:
    lines = [printable(line) for line in cause.evidence.splitlines()]
    return [line for line in lines if line]


def duration(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min"
    if seconds < _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h"
    return f"{seconds // _DAY_S:.0f} d"


def labels_of(device: DeviceView) -> str:
    """`key=value,key=value`, as a selector would name them all."""
    return ",".join(f"{printable(k)}={printable(v)}" for k, v in sorted(device.labels.items()))


def exactly(seconds: float) -> str:
    """To the tenth while it is short: `3.2 s`, `4 min 05 s`, `2 h 05 min`, `3 d 04 h`."""
    tenths = round(seconds, 1)
    if tenths < _MINUTE_S:
        return f"{tenths:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S:02} h"


def heard(device: DeviceView) -> str:
    """How long ago its last heartbeat came."""
    if device.heartbeat_age_s is None:
        return "never"
    return duration(device.heartbeat_age_s)


def size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.0f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def place_of(release: ReleaseView) -> str:
    """Where a device gets it from."""
    return "here" if release.stored_here else printable(release.url)


def percent(progress: ProgressView | None) -> str:
    if progress is None or progress.total_bytes <= 0:
        return NOTHING
    return f"{min(100, progress.done_bytes * 100 // progress.total_bytes)}%"


def progress_of(upgrade: UpgradeView) -> str:
    """Only staging has one: what came before or after is said by the phase."""
    staging = upgrade.phase is AgentUpgradePhase.STAGING
    return percent(upgrade.progress) if staging else NOTHING


def kind_of(cause: CauseView) -> str:
    return printable(cause.kind)


def cause_in_full(cause: CauseView) -> str:
    return f"{kind_of(cause)}: {printable(cause.sentence)}"


def remark(device: DeviceView, *, in_full: bool) -> str:
    """What a person should know beside the phase: conditions, a cause, or what it waits for.

    Not `in_full`, for where there is little room: a cause has its name only, and what is waited
    for is left to the phase.
    """
    said = ["paused"] if device.paused else []
    said += [printable(condition) for condition in device.conditions]
    upgrade = device.upgrade
    if upgrade is not None and upgrade.cause is not None:
        said.append(cause_in_full(upgrade.cause) if in_full else kind_of(upgrade.cause))
    elif in_full and upgrade is not None and upgrade.waits_for and not upgrade.final:
        said.append(f"waits for {printable(upgrade.waits_for)}")
    return "; ".join(said) or NOTHING


def shortened(name: str, most: int) -> str:
    """Its middle left out: names that belong together often differ at the end only."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def time_of(rfc3339: str) -> str:
    """To the second: `2026-02-03T04:05:06Z` of any such time in UTC."""
    text = printable(rfc3339)
    return text[:19] + "Z" if text.endswith(("Z", "+00:00")) and len(text) > 19 else text


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def named(names: list[str], most: int = 5) -> str:
    """A few in full, the others counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def paragraph(text: str) -> str:
    """Line by line printable; the line breaks stay."""
    return "\n".join(printable(line) for line in text.splitlines())
