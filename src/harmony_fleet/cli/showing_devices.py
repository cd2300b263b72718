"""Devices, for a person, for a pipe and for a program."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from harmony_fleet.cli.layout import devices_for_pipe, devices_for_terminal, lines
from harmony_fleet.cli.output import (
    on_terminal,
    remark,
    say,
    say_answer,
    say_wrapped,
)
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import Devices, DeviceView, UpgradeView, read
from harmony_fleet.cli.words import (
    NOTHING,
    cause_in_full,
    evidence_lines,
    heard,
    labels_of,
    progress_of,
    time_of,
)
from harmony_fleet.printable import printable

_LABEL: Final = 14


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list shows."""

    selector: str | None = None
    labels: bool = False
    """Also where there is little room, and in a pipe."""


def show_list(settings: Settings, wanted: Wanted, answer: bytes) -> None:
    if settings.as_json:
        say_answer(answer)
        return
    devices = read(Devices, answer).devices
    if not devices and wanted.selector is not None:
        remark(f"no device has labels that {wanted.selector!r} selects")
    elif not devices:
        remark("there is no device yet: start some with `fleet device start-local 3`")
    elif on_terminal():
        from harmony_fleet.cli.render import Screen

        screen = Screen()
        screen.show(devices_for_terminal(devices, screen.columns, labels=wanted.labels))
    else:
        for line in lines(devices_for_pipe(devices, labels=wanted.labels)):
            say(line)


def show_one(settings: Settings, answer: bytes) -> None:
    if settings.as_json:
        say_answer(answer)
        return
    for label, text in _facts(read(DeviceView, answer)):
        say_wrapped(f"{label:{_LABEL}}{text}", indent=_LABEL)


def show_labels(settings: Settings, answer: bytes) -> None:
    if settings.as_json:
        say_answer(answer)
        return
    device = read(DeviceView, answer)
    say(f"{device.device_id}  {labels_of(device) or NOTHING}")


def _facts(device: DeviceView) -> Iterator[tuple[str, str]]:
    age = heard(device)
    state = "online" if device.online else "silent"
    yield "device", device.device_id
    yield "version", device.current_version or NOTHING
    yield "heard", age if age == "never" else f"{age} ago, {state}"
    yield "instance", printable(device.instance_id or NOTHING)
    yield "boot", printable(device.boot_id or NOTHING)
    if device.labels:
        yield "labels", labels_of(device).replace(",", ", ")
    if device.paused:
        yield "paused", "nothing new is ordered of it until it is resumed"
    for condition in device.conditions:
        yield "condition", printable(condition)
    if device.upgrade is not None:
        yield from _upgrade_facts(device.upgrade)


def _upgrade_facts(upgrade: UpgradeView) -> Iterator[tuple[str, str]]:
    yield "upgrade", f"{upgrade.from_version or NOTHING} to {upgrade.to_version}"
    yield "phase", f"{upgrade.phase} since {time_of(upgrade.since)}"
    if upgrade.progress is not None and not upgrade.final:
        yield "progress", progress_of(upgrade)
    if upgrade.attempt > 1:
        yield "attempt", str(upgrade.attempt)
    if upgrade.desired != "run" and not upgrade.final:
        yield "ordered", printable(upgrade.desired)
    if upgrade.waits_for:
        yield "waits for", printable(upgrade.waits_for)
    if upgrade.cause is not None:
        yield "cause", cause_in_full(upgrade.cause)
        for line in evidence_lines(upgrade.cause):
            yield "", line
    yield "upgrade id", upgrade.upgrade_id
