"""The API's orders to devices: upgrades, aborts, rollbacks to what ran before, and pauses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request

from harmony_fleet.contracts.identity import check_device_id, check_version
from harmony_fleet.labels import selector
from harmony_fleet.operator.api_route import (
    Answer,
    ApiRoute,
    BadRequest,
    Services,
    decoded,
)
from harmony_fleet.operator.results import OrderResult, Wanted


class UpgradeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: list[str] | None
    """Null: all devices, or those selected. There is no default: who wants all says so."""
    version: str
    selector: str | None = None
    """By labels, such as `ring=canary,!broken`; `devices` is null then."""
    retry: bool = False
    """Also where these bytes have failed before on a device."""
    replace: bool = False
    """Also where another upgrade is under way: it is ended first."""


class AbortRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices by name, or by a selector: one of both."""

    devices: list[str] | None = None
    selector: str | None = None
    """By labels; of those selected, what is under way is aborted."""


class RollbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices by name, or by a selector: one of both."""

    devices: list[str] | None = None
    selector: str | None = None
    """By labels."""


class PauseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: list[str] | None
    """Null: all devices, or those selected. There is no default: who wants all says so."""
    selector: str | None = None
    """By labels; `devices` is null then."""


@dataclass(frozen=True, slots=True)
class Ordered:
    device_id: str
    ordered: bool
    upgrade_id: str | None
    """Of the order. Of a pause or its end: of an upgrade under way, which goes on."""
    reason: str | None
    """Why nothing was ordered."""
    kind: str | None = None
    """Of the error that kept it from being ordered, such as `order_refused`."""
    to_version: str | None = None
    """What was ordered; null for an abort. Beside a pause: what is under way."""


@dataclass(frozen=True, slots=True)
class Results:
    results: tuple[Ordered, ...]


async def order_upgrades(services: Services, request: Request) -> Answer:
    asked = await decoded(request, UpgradeRequest)
    wanted = wanted_of(asked.devices, asked.selector)
    version = check_version(asked.version)
    found = await services.fleet.upgrade(wanted, version, asked.retry, asked.replace)
    return Answer(_results(found), 202)


async def order_aborts(services: Services, request: Request) -> Answer:
    asked = await decoded(request, AbortRequest)
    return Answer(_results(await services.fleet.abort(_some(asked))), 202)


async def order_rollbacks(services: Services, request: Request) -> Answer:
    asked = await decoded(request, RollbackRequest)
    return Answer(_results(await services.fleet.rollback(_some(asked))), 202)


async def pause_devices(services: Services, request: Request) -> Answer:
    return await _pause(services, request, paused=True)


async def resume_devices(services: Services, request: Request) -> Answer:
    return await _pause(services, request, paused=False)


async def _pause(services: Services, request: Request, *, paused: bool) -> Answer:
    asked = await decoded(request, PauseRequest)
    wanted = wanted_of(asked.devices, asked.selector)
    return Answer(_results(await services.fleet.pause(wanted, paused)))


def _some(asked: AbortRequest | RollbackRequest) -> Wanted:
    wanted = wanted_of(asked.devices, asked.selector)
    if wanted is None:
        raise BadRequest("the request's body: name `devices`, or say a `selector`")
    return wanted


def wanted_of(devices: Sequence[str] | None, text: str | None) -> Wanted | None:
    """None: all devices. Raises BadRequest, InvalidValue."""
    if text is None:
        return None if devices is None else _named(devices)
    if devices is not None:
        raise BadRequest("the request's body: name `devices` or say a `selector`, not both")
    return selector(text)


def _named(names: Sequence[str]) -> list[str]:
    if not names:
        raise BadRequest("the request's body: `devices` is empty; name at least one")
    return [check_device_id(name) for name in names]


def _results(found: Sequence[OrderResult]) -> Results:
    return Results(tuple(_ordered(one) for one in found))


def _ordered(result: OrderResult) -> Ordered:
    return Ordered(
        device_id=result.device_id,
        ordered=result.reason is None,
        upgrade_id=result.upgrade_id,
        reason=result.reason,
        kind=result.kind,
        to_version=result.to_version,
    )


ROUTES: Final = (
    ApiRoute(
        "POST",
        "/upgrades",
        "Order an upgrade. Where devices are named, all of them or none; of all, or of those that "
        "a selector chooses, each one that can take it.",
        order_upgrades,
        {202: Results},
        (404, 409, 413),
        body=UpgradeRequest,
    ),
    ApiRoute(
        "POST",
        "/aborts",
        "Order the end of the upgrades under way on these devices. Where they are named, all of "
        "them or none.",
        order_aborts,
        {202: Results},
        (404, 409, 413),
        body=AbortRequest,
    ),
    ApiRoute(
        "POST",
        "/rollbacks",
        "Order each device back to what it ran before its newest upgrade that succeeded. All of "
        "them or none.",
        order_rollbacks,
        {202: Results},
        (404, 409, 413),
        body=RollbackRequest,
    ),
    ApiRoute(
        "POST",
        "/pauses",
        "Order nothing new of these devices until they are resumed; what is under way goes on. "
        "Where they are named, all of them or none. Idempotent.",
        pause_devices,
        {200: Results},
        (404, 413),
        body=PauseRequest,
    ),
    ApiRoute(
        "POST",
        "/resumes",
        "Take these devices' pause back. Where they are named, all of them or none. Idempotent.",
        resume_devices,
        {200: Results},
        (404, 413),
        body=PauseRequest,
    ),
)
