"""Tables as aligned lines, the same in a pipe and on a terminal. Pure; no colour, no box.

The last column is never padded: it holds sentences, and a terminal cuts them, a pipe does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from harmony_fleet.cli.views import DeviceView, ReleaseView
from harmony_fleet.cli.words import (
    NOTHING,
    heard,
    labels_of,
    place_of,
    progress_of,
    remark,
    shortened,
    size,
    time_of,
)
from harmony_fleet.contracts.preflight import CheckState
from harmony_fleet.contracts.upgrade import AgentUpgradePhase
from harmony_fleet.printable import printable

GAP: Final = "  "
WIDE: Final = 100
"""From so many columns on, a cause's sentence has room beside its name."""
_NAME: Final = 20
"""So much of a device's name is shown where there are fewer."""


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[str, ...]
    phase: AgentUpgradePhase | CheckState | None = None
    """For its colour."""
    phase_cell: int | None = None
    """Which cell says the phase, or the verdict."""
    silent_cell: int | None = None
    """Which cell says that the device is not heard, if it is not."""


@dataclass(frozen=True, slots=True)
class Table:
    headers: tuple[str, ...]
    rows: tuple[Row, ...]


def widths(table: Table) -> tuple[int, ...]:
    columns = zip(table.headers, *(row.cells for row in table.rows), strict=True)
    return tuple(max(map(len, column)) for column in columns)


def padded(cells: Sequence[str], wide: Sequence[int]) -> list[str]:
    """Every cell but the last at its column's width."""
    return [*(c.ljust(w) for c, w in zip(cells[:-1], wide[:-1], strict=True)), cells[-1]]


def lines(table: Table) -> list[str]:
    """Headers first, for a pipe."""
    wide = widths(table)
    every = [table.headers, *(row.cells for row in table.rows)]
    return [GAP.join(padded(cells, wide)) for cells in every]


def device_line(device: DeviceView) -> Row:
    """Its fields in a pipe: each of them always there, the progress on its own."""
    upgrade = device.upgrade
    cells = (
        device.device_id,
        device.current_version or NOTHING,
        str(upgrade.phase) if upgrade else NOTHING,
        upgrade.to_version if upgrade else NOTHING,
        progress_of(upgrade) if upgrade else NOTHING,
        heard(device).replace(" ", ""),
        remark(device, in_full=True),
    )
    return Row(cells)


PIPE_HEADERS: Final = ("DEVICE", "VERSION", "PHASE", "TO", "PROGRESS", "HEARD", "CAUSE")
PHASE: Final = f"{'PHASE':12}"
"""As wide as the longest phase: what is drawn again and again must not jump."""
HEADERS: Final = ("DEVICE", "VERSION", PHASE, "TO", "HEARD", "CAUSE")


LABELS: Final = "LABELS"
_CAUSE_ROOM: Final = 30
"""So many columns are left for a cause where labels are shown unasked."""


def devices_for_pipe(devices: Sequence[DeviceView], *, labels: bool = False) -> Table:
    table = Table(PIPE_HEADERS, tuple(device_line(device) for device in devices))
    return _labelled(table, devices) if labels else table


def devices_for_terminal(
    devices: Sequence[DeviceView], columns: int, *, labels: bool = False
) -> Table:
    """With the labels where they are asked for, or where any are there and room is for them."""
    table = Table(HEADERS, tuple(_device_row(device, columns) for device in devices))
    with_labels = _labelled(table, devices)
    wide = sum(widths(with_labels)[:-1]) + len(GAP) * len(HEADERS)
    fits = wide + _CAUSE_ROOM <= columns and any(device.labels for device in devices)
    return with_labels if labels or fits else table


def _labelled(table: Table, devices: Sequence[DeviceView]) -> Table:
    """With one more column before the last."""
    rows = (
        replace(row, cells=(*row.cells[:-1], labels_of(device) or NOTHING, row.cells[-1]))
        for row, device in zip(table.rows, devices, strict=True)
    )
    return Table((*table.headers[:-1], LABELS, table.headers[-1]), tuple(rows))


def name_for(columns: int, device_id: str) -> str:
    """As much of it as leaves room for the rest."""
    return device_id if columns >= WIDE else shortened(device_id, _NAME)


def _device_row(device: DeviceView, columns: int) -> Row:
    upgrade = device.upgrade
    in_full = columns >= WIDE
    cells = (
        name_for(columns, device.device_id),
        device.current_version or NOTHING,
        phase_and_progress(upgrade.phase, progress_of(upgrade)) if upgrade else NOTHING,
        upgrade.to_version if upgrade else NOTHING,
        heard(device),
        remark(device, in_full=in_full),
    )
    silent = None if device.online else 4
    return Row(cells, upgrade.phase if upgrade else None, phase_cell=2, silent_cell=silent)


def phase_and_progress(phase: AgentUpgradePhase, progress: str) -> str:
    return str(phase) if progress == NOTHING else f"{phase} {progress}"


def releases(found: Sequence[ReleaseView]) -> Table:
    rows = (
        Row(
            (
                release.version,
                size(release.size_bytes).replace(" ", ""),
                printable(release.python) or NOTHING,
                time_of(release.added_at),
                release.sha256[:16],
                place_of(release),
                printable(release.withdrawn or NOTHING),
            )
        )
        for release in found
    )
    headers = ("VERSION", "SIZE", "PYTHON", "ADDED", "SHA-256", "WHERE", "WITHDRAWN")
    return Table(headers, tuple(rows))
