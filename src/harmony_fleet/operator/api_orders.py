"""The API's orders to devices: upgrades, aborts, and rollbacks to what ran before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request

from harmony_fleet.contracts.identity import check_device_id, check_version
from harmony_fleet.operator.api_route import (
    Answer,
    ApiRoute,
    BadRequest,
    OrderResult,
    Services,
    decoded,
)


class UpgradeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: list[str] | None
    """Null: all devices. There is no default: who wants all of them says so."""
    version: str
    retry: bool = False
    """Also where these bytes have failed before on a device."""
    replace: bool = False
    """Also where another upgrade is under way: it is ended first."""


class AbortRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: list[str]


class RollbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: list[str]


@dataclass(frozen=True, slots=True)
class Ordered:
    device_id: str
    ordered: bool
    upgrade_id: str | None
    reason: str | None
    """Why nothing was ordered."""
    kind: str | None = None
    """Of the error that kept it from being ordered, such as `order_refused`."""
    to_version: str | None = None
    """What was ordered; null for an abort."""


@dataclass(frozen=True, slots=True)
class Results:
    results: tuple[Ordered, ...]


async def order_upgrades(services: Services, request: Request) -> Answer:
    asked = await decoded(request, UpgradeRequest)
    devices = None if asked.devices is None else _each_once(asked.devices)
    version = check_version(asked.version)
    found = await services.fleet.upgrade(devices, version, asked.retry, asked.replace)
    return Answer(_results(found), 202)


async def order_aborts(services: Services, request: Request) -> Answer:
    asked = await decoded(request, AbortRequest)
    return Answer(_results(await services.fleet.abort(_each_once(asked.devices))), 202)


async def order_rollbacks(services: Services, request: Request) -> Answer:
    asked = await decoded(request, RollbackRequest)
    return Answer(_results(await services.fleet.rollback(_each_once(asked.devices))), 202)


def _each_once(names: Sequence[str]) -> list[str]:
    if not names:
        raise BadRequest("the request's body: `devices` is empty; name at least one")
    return list(dict.fromkeys(check_device_id(name) for name in names))


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
        "Order an upgrade. Where devices are named, all of them or none.",
        order_upgrades,
        {202: Results},
        (404, 409, 413),
        body=UpgradeRequest,
    ),
    ApiRoute(
        "POST",
        "/aborts",
        "Order the end of the upgrades under way on these devices.",
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
)
