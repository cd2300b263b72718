"""The API's preflight: would an upgrade work? The same devices can be chosen as for an upgrade."""

from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request

from harmony_fleet.contracts.identity import check_version
from harmony_fleet.contracts.preflight import Check, CheckState
from harmony_fleet.operator.api_orders import wanted_of
from harmony_fleet.operator.api_route import Answer, ApiRoute, Services, decoded


class PreflightRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    devices: list[str] | None
    """Null: all devices, or those selected. There is no default: who means all says so."""
    version: str
    selector: str | None = None
    """By labels, such as `ring=canary,!broken`; `devices` is null then."""


@dataclass(frozen=True, slots=True)
class PreflightView:
    device_id: str
    verdict: CheckState
    """The worst of its checks: the upgrade would work where it is `ok` or `warning`."""
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class PreflightResults:
    version: str
    results: tuple[PreflightView, ...]


async def ask_preflight(services: Services, request: Request) -> Answer:
    asked = await decoded(request, PreflightRequest)
    wanted, version = wanted_of(asked.devices, asked.selector), check_version(asked.version)
    found = await services.fleet.preflight(wanted, version)
    views = (PreflightView(one.device_id, one.verdict, one.checks) for one in found)
    return Answer(PreflightResults(version, tuple(views)))


ROUTES: Final = (
    ApiRoute(
        "POST",
        "/preflight",
        "Ask devices whether an upgrade would work there. Nothing is ordered or changed. It takes "
        "up to half a minute for each 64 devices.",
        ask_preflight,
        {200: PreflightResults},
        (404, 413),
        body=PreflightRequest,
    ),
)
