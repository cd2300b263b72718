"""`upgrade --wait`: looks until every ordered upgrade has ended, and shows each of its steps.

A look is one request for all devices, and one more for each device whose newest order is not the
one that is waited for.
"""

from typing import Final

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.errors import CommandFailed, Interrupted, Refused, TimedOut
from harmony_fleet.cli.following import Followed, forgotten, seen, told
from harmony_fleet.cli.polling import Deadline, Lost, poll
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.showing import Moment, show_for
from harmony_fleet.cli.views import Devices, DeviceView, UpgradeView, read
from harmony_fleet.cli.words import count, named
from harmony_fleet.printable import printable

_UNKNOWN_UPGRADE: Final = "unknown_upgrade"
"""As the operator names it."""
_NAMED: Final = 3
"""So many pending devices are named in a sentence, the others counted."""


class UpgradeFailed(CommandFailed):
    """At least one of the upgrades that were waited for ended otherwise than Succeeded."""

    kind = "upgrade_failed"


def wait(settings: Settings, ordered: list[Followed], timeout_s: float | None) -> list[Followed]:
    """As they are when all have ended, or when the time is over.

    Raises Interrupted: whoever waited has left, and the upgrades go on.
    """
    try:
        return _wait(settings, ordered, timeout_s)
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped waiting; the upgrades go on: follow with `fleet device list --watch`, "
            "end them with `fleet abort`"
        ) from error


def _wait(settings: Settings, ordered: list[Followed], timeout_s: float | None) -> list[Followed]:
    deadline, look = Deadline(timeout_s), Look(ordered)
    with show_for(settings) as show:
        show.step(Moment((), ordered, 0.0))
        for answer in poll(settings, look.at, deadline):
            if isinstance(answer, Lost):
                show.lost(answer.sentence)
                continue
            show.step(Moment(look.before, answer, deadline.elapsed_s))
            if all(one.final for one in answer):
                break
        show.end(look.now, deadline.elapsed_s)
    return look.now


def judge(followed: list[Followed], timeout_s: float | None) -> None:
    """Raises UpgradeFailed and TimedOut. Only what was seen to succeed is a success."""
    pending = [one for one in followed if not one.final]
    failed = [one for one in followed if one.final and not one.succeeded]
    if pending:
        which = named([_pending(one) for one in pending], _NAMED)
        raise TimedOut(
            f"{count(len(pending), 'upgrade')} had not ended after {timeout_s:g} s: {which}; "
            "nothing was aborted: follow with `fleet device list --watch`"
        )
    if failed:
        first = failed[0].device_id
        raise UpgradeFailed(
            f"{len(failed)} of {count(len(followed), 'upgrade')} did not succeed: "
            f"ask `fleet why {first}`"
        )


def _pending(one: Followed) -> str:
    waits = f", waits for {printable(one.waits_for)}" if one.waits_for else ""
    return f"{one.device_id} ({one.phase}{waits})"


class Look:
    """The upgrades as they were at the last look and at the one before it."""

    def __init__(self, ordered: list[Followed]) -> None:
        self.before = self.now = ordered

    def at(self, client: FleetClient) -> list[Followed]:
        found = read(Devices, client.devices()).devices
        devices = {device.device_id: device for device in found}
        now = [_look(client, one, devices.get(one.device_id)) for one in self.now]
        self.before, self.now = self.now, now
        return now


def _look(client: FleetClient, followed: Followed, device: DeviceView | None) -> Followed:
    now = seen(followed, device)
    if now.final or not now.replaced:
        return now
    try:
        return told(now, read(UpgradeView, client.upgrade_of(now.device_id, now.upgrade_id)))
    except Refused as error:
        if error.server_kind != _UNKNOWN_UPGRADE:
            raise
        return forgotten(now)
