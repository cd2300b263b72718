"""Every check of `fleet doctor`: those of the machine, then what the control plane says.

A control plane that is not up is no problem by itself: devices go on without it.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import harmony_fleet
from harmony_fleet.cli.client import FleetClient
from harmony_fleet.cli.errors import NotUp
from harmony_fleet.cli.folder_reach import folder_reach
from harmony_fleet.cli.views import Api, Devices, DeviceView, Health, read
from harmony_fleet.cli.words import count, named
from harmony_fleet.embedded.doctor.examine import examine
from harmony_fleet.embedded.doctor.finding import Finding, guarded, ok, problem, warning
from harmony_fleet.embedded.doctor.folder import server_of
from harmony_fleet.embedded.up import PORT
from harmony_fleet.printable import printable

ANSWER_LIMIT_S: Final = 10.0
UP: Final = "control plane"
PLANE: Final = "message plane"
DEVICES: Final = "devices"


def examine_all(
    data: Path, nats_server: Path | None = None, ca: Path | None = None
) -> list[Finding]:
    """Never raises a FleetError."""
    return examine(data, PORT, nats_server) + guarded(UP, partial(_ask_all, data, ca))


def _ask_all(data: Path, ca: Path | None) -> Iterable[Finding]:
    try:
        with FleetClient(folder_reach(data, ca), ANSWER_LIMIT_S) as client:
            yield _version(client, read(Api, client.get("/api/v1/openapi.json")))
            yield from guarded(PLANE, partial(_ask_health, client, data))
            yield from guarded(DEVICES, partial(_ask_devices, client))
    except NotUp:
        yield _not_up(data)


def _not_up(data: Path) -> Finding:
    pid = server_of(data)
    if pid is not None:
        return problem(
            UP,
            f"process {pid} serves {data}, and does not say where",
            "wait if it was just started; else see what it says, and restart it",
        )
    return warning(UP, "it is not up, so neither it nor the devices were asked", "run `fleet up`")


def _version(client: FleetClient, api: Api) -> Finding:
    there, here = printable(api.info.version)[:40], harmony_fleet.__version__
    if there == here:
        return ok(UP, f"version {here} at {client.reach.url} takes the token")
    return warning(
        UP,
        f"it is version {there}, and this command is {here}",
        "restart `fleet up` with the version that is installed",
    )


def _ask_health(client: FleetClient, data: Path) -> Iterable[Finding]:
    health = read(Health, client.get("/healthz"))
    if not health.plane_connected:
        yield problem(
            PLANE,
            "the control plane does not reach its NATS server",
            f"see {data / 'nats/nats-server.log'}; `fleet up` starts it again by itself",
        )
    elif not health.plane_stores:
        yield problem(
            PLANE,
            "it answers and stores nothing",
            "free space on its disk: `fleet up` restarts its server once there is room",
        )
    else:
        yield ok(PLANE, f"it is reached at {client.reach.nats_url} and stores what it is given")


def _ask_devices(client: FleetClient) -> Iterable[Finding]:
    found = read(Devices, client.devices()).devices
    duplicate = [one.device_id for one in found if "DuplicateIdentity" in one.conditions]
    set_back = [one.device_id for one in found if "JournalSetBack" in one.conditions]
    stalled = [one.device_id for one in found if "Stalled" in one.conditions]
    silent = [one.device_id for one in found if not one.online]
    if duplicate:
        yield problem(
            DEVICES,
            f"two processes each answer to {named(duplicate)}",
            "give one of each two another identity: until then they get no orders",
        )
    if set_back:
        yield problem(
            DEVICES,
            f"the journal of {named(set_back)} was set back: nothing it reports is believed",
            f"`fleet why {set_back[0]}` says what to do",
        )
    if stalled:
        yield problem(
            DEVICES,
            f"the upgrade of {named(stalled)} does not move",
            f"`fleet why {stalled[0]}` says what it waits for",
        )
    if silent:
        yield warning(
            DEVICES,
            f"{count(len(silent), 'device')} not heard: {named(silent)}",
            "look whether it is on, runs its agent, and reaches the message plane",
        )
    if not (duplicate or set_back or stalled or silent):
        yield _all_heard(found)


def _all_heard(found: tuple[DeviceView, ...]) -> Finding:
    if not found:
        return ok(DEVICES, "there are none yet")
    return ok(DEVICES, f"heard, and without a condition: {len(found)}")
