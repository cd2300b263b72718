"""`fleet simulate` at work: from its options to a rehearsal, with its progress and its picture."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from harmony_fleet.cli.errors import CommandFailed, Interrupted
from harmony_fleet.cli.interrupts import heeding_interrupts
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.showing_rehearsal import drawing_of, show
from harmony_fleet.simulation.picture import svg
from harmony_fleet.simulation.rehearsal import FAILS_LATER, Asked, Release
from harmony_fleet.simulation.rehearsing import Progress, rehearse

EVERY_S: Final = 900.0
FAILS_AFTER_S: Final = 20.0
HALF_DOWNLOADED: Final = 1.5
"""Of the fastest download: the slowest takes twice as long."""


class MustNeverBe(CommandFailed):
    """The rehearsal has shown a defect of what is rehearsed, or of the rehearsal."""

    kind = "violation"


def asked_of(options: dict[str, Any]) -> Asked:
    """Raises UsageError: what says nothing here, or contradicts itself."""
    release = Release(options["release"])
    plane_s, operator_s = options["plane_outage"] or 0.0, options["operator_outage"] or 0.0
    if options["outage_at"] is not None and not plane_s and not operator_s:
        raise click.UsageError("--outage-at needs --plane-outage or --operator-outage.")
    if options["every"] is not None and options["at_once"] is None:
        raise click.UsageError("--every is between two groups: say their size by --at-once.")
    fails_after_s = _fails_after_s(release, options["fails_after"], options["probation"])
    at_s = options["outage_at"]
    return Asked(
        options["devices"],
        release,
        plane_outage_s=plane_s,
        operator_outage_s=operator_s,
        outage_at_s=HALF_DOWNLOADED * options["download"] if at_s is None else at_s,
        at_once=options["at_once"] or 0,
        every_s=options["every"] or EVERY_S,
        probation_s=options["probation"],
        heartbeat_s=options["heartbeat"],
        download_s=options["download"],
        fails_after_s=fails_after_s,
        seed=options["seed"],
    )


def _fails_after_s(release: Release, wanted_s: float | None, probation_s: float) -> float:
    if release not in FAILS_LATER:
        if wanted_s is not None:
            kinds = ", ".join(sorted(FAILS_LATER))
            raise click.UsageError(f"--fails-after is of these kinds of --bad-release: {kinds}.")
        return FAILS_AFTER_S
    seconds = FAILS_AFTER_S if wanted_s is None else wanted_s
    if seconds >= probation_s:
        raise click.UsageError(
            f"A release that fails {seconds:g} s after its start has come through a probation of "
            f"{probation_s:g} s: nothing goes back then. Say a longer --probation, or a shorter "
            "--fails-after."
        )
    return seconds


def rehearse_and_show(settings: Settings, asked: Asked, picture: Path | None) -> None:
    """Raises BadParameter, Interrupted, MustNeverBe, OSError."""
    place = None if picture is None else _place(picture)
    try:
        with heeding_interrupts(), _progress(asked.devices) as progress:
            found = rehearse(asked, progress=progress)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; nothing was written") from error
    if place is not None:
        _write(place, svg(drawing_of(asked, found)))
    show(settings, asked, found, picture)
    if found.violations:
        raise MustNeverBe(
            f"this must never be, and was: {found.violations[0].strip()}: please report it, with "
            "the command as you typed it"
        )


@contextmanager
def _progress(devices: int) -> Iterator[Progress]:
    """Drawn for a person who waits; a rehearsal of a few devices is over before."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(
        length=devices, label="rehearsing", show_pos=True, file=sys.stderr
    ) as bar:
        yield bar.update


def _place(picture: Path) -> Path:
    """Where to write it, seen before anything is computed. Raises BadParameter."""
    place = picture.resolve()
    if not place.parent.is_dir():
        raise _unusable(picture, f"there is no folder {place.parent}")
    if place.exists() and not place.is_file():
        raise _unusable(picture, "it is no regular file")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise _unusable(picture, f"the folder {place.parent} cannot be written to")
    return place


def _unusable(picture: Path, why: str) -> click.BadParameter:
    return click.BadParameter(f"{str(picture)!r}: {why}.", param_hint="'--picture'")


def _write(place: Path, text: str) -> None:
    """The whole of it, or nothing."""
    new = place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(place)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
