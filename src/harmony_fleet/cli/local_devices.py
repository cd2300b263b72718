"""`start-local` and `stop-local` in words; the devices themselves are the embedded package's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.output import say, say_document
from harmony_fleet.cli.programs import chosen_release, fetch
from harmony_fleet.cli.settings import Settings
from harmony_fleet.cli.views import Devices, Enrolled, read
from harmony_fleet.cli.words import count
from harmony_fleet.embedded.start_local import (
    TIMINGS,
    Enrolment,
    LocalDevices,
    Made,
    Program,
    wait_until_heard,
)
from harmony_fleet.messaging.trust import authority


@dataclass(frozen=True, slots=True)
class Wanted:
    """What new devices are to be like."""

    number: int
    version: str | None
    plain_file: bool
    timing: str


class PlaneOverHttp:
    """Adapter of `start_local.Plane`."""

    def __init__(self, client: FleetClient) -> None:
        self._client = client

    def register(self, device_id: str, public_key: str) -> Enrolment:
        """With the message plane's URL on this machine, which may not know its other names."""
        enrolled = read(Enrolled, self._client.enrol(device_id, public_key))
        nats_url = self._client.reach.nats_url or enrolled.nats_url
        return Enrolment(enrolled.jwt, nats_url, enrolled.ca)

    def heard(self) -> dict[str, str | None]:
        devices = read(Devices, self._client.devices()).devices
        return {one.device_id: one.instance_id if one.online else None for one in devices}


def start_new(settings: Settings, wanted: Wanted) -> None:
    local = _local(settings)
    with settings.connect() as client:
        plane = PlaneOverHttp(client)
        before = plane.heard()
        timing = TIMINGS[wanted.timing]
        with local.choosing():
            program = _program(client, wanted.version, local.folder)
            made = [
                local.make(plane, name, program, timing, wanted.plain_file)
                for name in local.free_names(before, wanted.number)
            ]
        _say_as_heard(settings, plane, made, before)


def start_again(settings: Settings, names: Sequence[str]) -> None:
    local = _local(settings)
    for name in names:
        local.root(name)  # all of them are known before one is touched
    with settings.connect() as client:
        plane = PlaneOverHttp(client)
        before = plane.heard()
        reach = client.reach
        ca = authority(reach.ca) if reach.ca else ""
        tried = [(name, local.start_again(name, reach.nats_url, ca)) for name in names]
        for name in [name for name, made in tried if made is None and not settings.as_json]:
            say(f"{name}  runs already")
        _say_as_heard(settings, plane, [made for _, made in tried if made], before)


def stop(settings: Settings, names: Sequence[str]) -> None:
    local = _local(settings)
    ended = local.stop(names or local.names())
    if settings.as_json:
        say_document(
            {"devices": [{"device_id": name, "stopped": was} for name, was in ended.items()]}
        )
        return
    for name, was in ended.items():
        if was or names:
            say(f"{name}  {'stopped' if was else 'was not running'}")
    if not names and not any(ended.values()):
        say(f"no local device was running ({count(len(ended), 'device')} in {local.folder})")


def _local(settings: Settings) -> LocalDevices:
    return LocalDevices(settings.data / "devices")


def _program(client: FleetClient, version: str | None, folder: Path) -> Program:
    """Downloaded once, and kept for the next ones."""
    release = chosen_release(client, version)
    kept = folder / ".programs"
    kept.mkdir(parents=True, exist_ok=True)
    file = kept / f"fleet-agent-v{release.version}"
    fetch(client, release, file)
    return Program(release.version, file)


def _say_as_heard(
    settings: Settings, plane: PlaneOverHttp, made: Sequence[Made], before: dict[str, str | None]
) -> None:
    for one in wait_until_heard(plane, made, before):
        if not settings.as_json:
            say(f"{one.device_id}  started, and heard")
    if settings.as_json:
        started = [
            {
                "device_id": one.device_id,
                "root": str(one.root),
                "supervisor_pid": one.supervisor_pid,
            }
            for one in made
        ]
        say_document({"devices": started})
