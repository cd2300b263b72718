"""Where every scenario begins: a device that idles, and is known, as after its installation."""

from dataclasses import replace

from harmony_fleet.operator.records import DeviceRecord
from harmony_fleet.simulation.explore.device import Devices, fresh_device
from harmony_fleet.simulation.explore.meeting import Meetings
from harmony_fleet.simulation.explore.office import Office, new_desk, told
from harmony_fleet.simulation.explore.operators import View, acts
from harmony_fleet.simulation.explore.world import DEVICE, Device, Kind, Plane, Sight


def installed(plain: bool) -> tuple[Device, Plane, DeviceRecord]:
    """A device that has started and reported for the first time."""
    devices = Devices(Kind.GOOD, faulty=False)
    (started,) = devices.own(fresh_device(plain))
    device, plane, record = started.reaction.device, Plane(), DeviceRecord(DEVICE)
    meetings = Meetings(devices)
    office = Office(new_desk(record, Sight.LOOKED), plane, record)
    for _ in range(3):
        for meeting in meetings.of(device, plane):
            if meeting.said is not None:
                office = told(office, meeting.said)
            else:
                device, plane = meeting.device, meeting.plane
                break
    office = replace(office, plane=plane)
    for act in acts(office, View.STATUSES, looks=False):
        office = act.office
    return device, plane, office.record
