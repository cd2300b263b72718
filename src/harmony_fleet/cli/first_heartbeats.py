"""Waits until the control plane has heard the devices of an install."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.polling import Deadline, Lost, poll
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.showing_install import Result, State
from harmony_fleet.cli.views import Devices, DeviceView, read


def known(client: FleetClient) -> dict[str, DeviceView]:
    return {one.device_id: one for one in read(Devices, client.devices()).devices}


@dataclass(slots=True)
class FirstHeartbeats:
    """Of what was installed; a device that was started counts once another process is heard."""

    before: Mapping[str, DeviceView]
    heard: dict[str | None, DeviceView] = field(default_factory=dict)

    def wait(self, settings: Settings, results: Sequence[Result], limit_s: float) -> None:
        """For all that did not fail. Raises CommandFailed: there is no operator to ask."""
        waiting = [one for one in results if one.state is not State.FAILED]
        for now in poll(settings, known, Deadline(limit_s)) if waiting else ():
            if not isinstance(now, Lost):
                self._look(now, waiting)
            if len(self.heard) == len(waiting):
                return

    def _look(self, now: Mapping[str, DeviceView], waiting: Sequence[Result]) -> None:
        for one in waiting:
            device = now.get(one.device_id or "")
            if device is not None and device.online and not (one.started and self._is_old(device)):
                self.heard[one.device_id] = device

    def _is_old(self, device: DeviceView) -> bool:
        old = self.before.get(device.device_id)
        return old is not None and old.instance_id == device.instance_id
