"""What every route of the HTTP API is made of: its row in the table, its services, its errors.

A handler takes services and a request and gives an Answer, or raises a FleetError; how those
become HTTP is `api`'s, how the table becomes OpenAPI is `openapi`'s.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
from starlette.requests import Request

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.labels import Changes, Selector
from harmony_fleet.operator.ports import Clock, DeviceStore
from harmony_fleet.operator.preflight_rules import PreflightResult
from harmony_fleet.operator.results import OrderResult, Wanted
from harmony_fleet.operator.views import Sight

T = TypeVar("T")

MAX_BODY_BYTES: Final = 1024 * 1024
"""Of a JSON body: ten thousand device ids fit in it."""


class Fleet(Protocol):
    """The operator's loop, as far as the API needs it. Errors pass through to the answer."""

    @property
    def plane_connected(self) -> bool: ...

    def sights(self) -> Sequence[Sight]:
        """All devices, by id."""

    async def look_up(self, device_id: str) -> Sight:
        """As the store has it now, whoever wrote it. Raises UnknownDevice, StoreError."""

    async def register(self, device_id: str) -> None:
        """Idempotent."""

    async def label(self, device_id: str, changes: Changes) -> Sight:
        """The device as it is then. Raises UnknownDevice."""

    async def selected(self, selector: Selector) -> Sequence[Sight]:
        """Those whose labels the store holds now are such, by id."""

    async def upgrade(
        self, wanted: Wanted | None, version: str, retry: bool, replace: bool
    ) -> Sequence[OrderResult]:
        """None: all devices; of these, or of those selected, each refusal is in its result.

        Where devices are named: one that is unknown or refuses raises, and nothing is ordered.
        """

    async def abort(self, wanted: Wanted) -> Sequence[OrderResult]:
        """Of named devices all of them, or it raises. Of those selected, what is under way."""

    async def rollback(self, wanted: Wanted) -> Sequence[OrderResult]:
        """Each back to what it ran before; all of them, or it raises and nothing is ordered."""

    async def pause(self, wanted: Wanted | None, paused: bool) -> Sequence[OrderResult]:
        """Or resume. None: all devices. Where devices are named: all of them, or it raises."""

    async def preflight(self, wanted: Wanted | None, version: str) -> Sequence[PreflightResult]:
        """Each asked whether that upgrade would work there; nothing is ordered.

        Where devices are named: one that is unknown raises, and none is asked.
        """


@dataclass(frozen=True, slots=True)
class Services:
    fleet: Fleet
    store: DeviceStore
    clock: Clock
    artifacts: Path
    """The folder behind `/artifacts`."""
    artifact_base_url: str
    """Of `/artifacts`, as devices reach it; no slash at its end."""
    mint: Callable[[str, str, int], str]
    """Device id, public key and end (seconds since the epoch) to a JWT for that device.

    Raises FleetError.
    """
    nats_url: str
    """Where a device reaches the message plane."""
    plane_stores: Callable[[], bool] = lambda: True
    ca: str = ""
    """The certificate of the authority that a device has to trust, in PEM; empty without TLS."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: object
    status: int = 200


Handler = Callable[[Services, Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One row of the table that both the application and its OpenAPI document are made from."""

    method: str
    path: str
    """Below `/api/v1`, parameters in braces."""
    summary: str
    handler: Handler
    answers: Mapping[int, type]
    """The type of each good answer's body, by status."""
    refusals: Sequence[int] = ()
    """Statuses that it may answer with an error, beyond 400, 401, 500 and 503."""
    body: type | None = None
    """A msgspec Struct, or bytes."""
    query: type | None = field(default=None)


class BadRequest(FleetError):
    """The request is not what this route takes. Nothing was changed."""

    kind = "bad_request"


class TooLarge(FleetError):
    """The body has more bytes than this route takes. Nothing was changed."""

    kind = "too_large"


class NotFound(FleetError):
    kind = "not_found"


async def decoded(request: Request, kind: type[T]) -> T:
    """The JSON body. Raises BadRequest with the place in it, TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"the request's body is larger than {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the request's body: {error}") from error


def queried(request: Request, kind: type[T]) -> T:
    """The query's values. Raises BadRequest."""
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the request's query: {error}") from error
