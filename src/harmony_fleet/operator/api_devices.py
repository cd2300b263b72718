"""The API's devices: to list, explain, label and register them."""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from starlette.requests import Request

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.contracts.identity import (
    MAX_COUNT,
    check_device_id,
    check_upgrade_id,
)
from harmony_fleet.labels import Changes, Label, check_changes, check_key, check_value, selector
from harmony_fleet.operator.api_route import (
    Answer,
    ApiRoute,
    Services,
    decoded,
    queried,
)
from harmony_fleet.operator.credentials import end_after
from harmony_fleet.operator.views import (
    DeviceView,
    EventView,
    UpgradeView,
    event_view,
    upgrade_view,
    upgrade_views,
    view,
)
from harmony_fleet.operator.why import why

MAX_EVENTS: Final = 1000
"""In one answer: as many as a store keeps for one device."""


VALID_DAYS: Final = 3650
"""Ten years: there is no renewal by the device itself yet."""
MOST_VALID_DAYS: Final = 36500


class UnknownUpgrade(FleetError):
    """No such upgrade of this device is kept."""

    kind = "unknown_upgrade"


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] = 0
    """Only events with a number above this."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_EVENTS)] = 100


class DevicesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    selector: str | None = None
    """By labels, such as `ring=canary,!broken`."""


class LabelsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: dict[str, str | None]
    """A JSON merge patch (RFC 7396): a value puts a label, null removes one."""


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_id: str
    public_key: str
    """Of the key pair that the device made and keeps: an nkey of a user, `U…`."""
    valid_days: Annotated[int, msgspec.Meta(ge=1, le=MOST_VALID_DAYS)] = VALID_DAYS
    """From now on; no plane lets it in afterwards."""


@dataclass(frozen=True, slots=True)
class DeviceList:
    devices: tuple[DeviceView, ...]
    """By device id."""


@dataclass(frozen=True, slots=True)
class EventList:
    events: tuple[EventView, ...]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class UpgradeList:
    upgrades: tuple[UpgradeView, ...]
    """Oldest first: the newest order, and of those before it what is kept."""


@dataclass(frozen=True, slots=True)
class Explanation:
    device_id: str
    text: str
    """One short paragraph."""


@dataclass(frozen=True, slots=True)
class Registered:
    device_id: str
    jwt: str
    """The device's credential for the message plane, worth nothing without its private key."""
    nats_url: str
    ca: str
    """The authority that the device has to trust, in PEM; empty where there is no TLS."""


@dataclass(frozen=True, slots=True)
class MessagePlane:
    nats_url: str
    """As a device reaches it."""
    ca: str
    """The authority that the device has to trust, in PEM; empty where there is no TLS."""


async def list_devices(services: Services, request: Request) -> Answer:
    text, now, fleet = queried(request, DevicesQuery).selector, services.clock.now(), services.fleet
    sights = fleet.sights() if text is None else await fleet.selected(selector(text))
    return Answer(DeviceList(tuple(view(sight, now) for sight in sights)))


async def label_device(services: Services, request: Request) -> Answer:
    asked = (await decoded(request, LabelsRequest)).labels
    put = [Label(check_key(k), check_value(v, k)) for k, v in asked.items() if v is not None]
    removed = [check_key(key) for key, value in asked.items() if value is None]
    changes = check_changes(Changes(tuple(put), tuple(removed)))
    sight = await services.fleet.label(_named(request), changes)
    return Answer(view(sight, services.clock.now()))


async def show_device(services: Services, request: Request) -> Answer:
    return Answer(view(await services.fleet.look_up(_named(request)), services.clock.now()))


async def explain_device(services: Services, request: Request) -> Answer:
    device_id = _named(request)
    sight = await services.fleet.look_up(device_id)
    return Answer(Explanation(device_id, why(sight, services.clock.now())))


async def show_upgrade(services: Services, request: Request) -> Answer:
    device_id = _named(request)
    upgrade_id = check_upgrade_id(request.path_params["upgrade_id"])
    found = upgrade_view(await services.fleet.look_up(device_id), upgrade_id)
    if found is None:
        raise UnknownUpgrade(
            f"{device_id} has no upgrade {upgrade_id}: it was never ordered there, or so many have "
            "been since that it is kept no more"
        )
    return Answer(found)


async def list_upgrades(services: Services, request: Request) -> Answer:
    return Answer(UpgradeList(upgrade_views(await services.fleet.look_up(_named(request)))))


async def list_device_events(services: Services, request: Request) -> Answer:
    device_id = _named(request)
    await services.fleet.look_up(device_id)
    return await _events(services, request, device_id)


async def list_events(services: Services, request: Request) -> Answer:
    return await _events(services, request, None)


async def register_device(services: Services, request: Request) -> Answer:
    asked = await decoded(request, Registration)
    device_id = check_device_id(asked.device_id)
    jwt = services.mint(device_id, asked.public_key, end_after(asked.valid_days))
    await services.fleet.register(device_id)
    return Answer(Registered(device_id, jwt, services.nats_url, services.ca), 201)


async def show_plane(services: Services, _request: Request) -> Answer:
    return Answer(MessagePlane(services.nats_url, services.ca))


def _named(request: Request) -> str:
    return check_device_id(request.path_params["device_id"])


async def _events(services: Services, request: Request, device_id: str | None) -> Answer:
    asked = queried(request, EventsQuery)
    found = await services.store.events(device_id, asked.after, asked.limit)
    return Answer(EventList(tuple(event_view(event) for event in found)))


ROUTES: Final = (
    ApiRoute(
        "GET",
        "/devices",
        "All devices, or those that a selector chooses by their labels.",
        list_devices,
        {200: DeviceList},
        query=DevicesQuery,
    ),
    ApiRoute(
        "POST",
        "/devices",
        "Register a device and sign the public key that it made. Idempotent.",
        register_device,
        {201: Registered},
        (413,),
        body=Registration,
    ),
    ApiRoute(
        "GET",
        "/plane",
        "Where a device reaches the message plane, and whom it has to trust there.",
        show_plane,
        {200: MessagePlane},
    ),
    ApiRoute("GET", "/devices/{device_id}", "One device.", show_device, {200: DeviceView}, (404,)),
    ApiRoute(
        "PATCH",
        "/devices/{device_id}/labels",
        "Put labels on a device, and remove some.",
        label_device,
        {200: DeviceView},
        (404, 409, 413),
        body=LabelsRequest,
    ),
    ApiRoute(
        "GET",
        "/devices/{device_id}/events",
        "What happened to one device.",
        list_device_events,
        {200: EventList},
        (404,),
        query=EventsQuery,
    ),
    ApiRoute(
        "GET",
        "/devices/{device_id}/upgrades",
        "The upgrades of one device that are kept.",
        list_upgrades,
        {200: UpgradeList},
        (404,),
    ),
    ApiRoute(
        "GET",
        "/devices/{device_id}/upgrades/{upgrade_id}",
        "One upgrade of a device: the newest, or one of those before it.",
        show_upgrade,
        {200: UpgradeView},
        (404,),
    ),
    ApiRoute(
        "GET",
        "/devices/{device_id}/why",
        "What a device runs and waits for, and on which evidence, in words.",
        explain_device,
        {200: Explanation},
        (404,),
    ),
    ApiRoute(
        "GET",
        "/events",
        "What happened to all devices.",
        list_events,
        {200: EventList},
        query=EventsQuery,
    ),
)
