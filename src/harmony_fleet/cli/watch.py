"""`fleet device list --watch`: a picture that changes, changed lines in a pipe, JSON lines."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.layout import (
    devices_for_pipe,
    devices_for_terminal,
    lines,
)
from harmony_fleet.cli.output import on_terminal, parsed, say, say_line
from harmony_fleet.cli.polling import Deadline, Lost, answers, poll
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.showing_devices import Wanted
from harmony_fleet.cli.views import Devices, DeviceView, read
from harmony_fleet.cli.words import count

AGE: Final = "heartbeat_age_s"
"""Changes with every look, and is no news."""


def watch(settings: Settings, wanted: Wanted) -> None:
    """Until it is interrupted. The operator's absence is said, and survived."""
    if settings.as_json:
        _watch_in_json(settings, wanted)
    elif on_terminal():
        _watch_on_terminal(settings, wanted)
    else:
        _watch_in_pipe(settings, wanted)


def _look(wanted: Wanted) -> Callable[[FleetClient], bytes]:
    return lambda client: client.devices(wanted.selector)


def _watch_on_terminal(settings: Settings, wanted: Wanted) -> None:
    from harmony_fleet.cli.render import Screen

    found, note = Devices(()), ""
    with Screen().live() as picture:
        for answer in poll(settings, _look(wanted), Deadline(None)):
            if isinstance(answer, Lost):
                note = f"{answer.sentence} (trying again)"
            else:
                found, note = read(Devices, answer), ""
            table = devices_for_terminal(found.devices, picture.columns, labels=wanted.labels)
            picture.draw(_title(found), table, note)


def _title(found: Devices) -> str:
    online = sum(device.online for device in found.devices)
    return f"{count(len(found.devices), 'device')}, {online} online"


def _watch_in_pipe(settings: Settings, wanted: Wanted) -> None:
    known: dict[str, DeviceView] = {}
    for answer in answers(settings, _look(wanted)):
        devices, first = read(Devices, answer).devices, not known
        header, *aligned = lines(devices_for_pipe(devices, labels=wanted.labels))
        if first and devices:
            say(header)
        for device, line in zip(devices, aligned, strict=True):
            seen = replace(device, heartbeat_age_s=None)
            if known.get(device.device_id) != seen:
                known[device.device_id] = seen
                say(line)


def _watch_in_json(settings: Settings, wanted: Wanted) -> None:
    known: dict[str, dict[str, Any]] = {}
    for answer in answers(settings, _look(wanted)):
        read(Devices, answer)  # what is no list of devices is an error, as everywhere
        for device in parsed(answer)["devices"]:
            seen = {name: value for name, value in device.items() if name != AGE}
            if known.get(device["device_id"]) != seen:
                known[device["device_id"]] = seen
                say_line(device)
