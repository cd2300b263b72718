"""The one HTTP server of the control plane: `/api/v1`, `/artifacts` and `/healthz`.

Every request must call it by a loopback name or by one that it was given, so that a page in a
browser cannot reach it under a name of its own (DNS rebinding); everything below `/api/v1` needs
the token, by `Authorization: Bearer` or by `Fleet-Token`. The latter is for whoever comes through a
cluster's API server, which takes the former for itself: such a request needs no known name, as it
bears the name of the API server, and a page in a browser has no token to send. Errors are JSON of
one shape. Not here: what the routes do, and the server that runs this application.
"""

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

import harmony_fleet
from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator import api_devices, api_orders, api_preflight, api_releases
from harmony_fleet.operator.api_route import Answer, ApiRoute, Services
from harmony_fleet.operator.openapi import ErrorBody, ErrorWords, document

PREFIX: Final = "/api/v1"
TOKEN_HEADER: Final = b"fleet-token"

_STATUS: Final = {
    "bad_request": 400,
    "invalid_value": 400,
    "malformed_message": 400,
    "not_an_artifact": 400,
    "version_mismatch": 400,
    "unauthorized": 401,
    "not_found": 404,
    "unknown_device": 404,
    "unknown_release": 404,
    "unknown_upgrade": 404,
    "nothing_selected": 404,
    "not_declared": 409,
    "order_refused": 409,
    "release_exists": 409,
    "release_refused": 409,
    "release_withdrawn": 409,
    "too_large": 413,
}
"""By the errors' stable kinds. Any other: 503 where trying again may help, else 500."""

logger = logging.getLogger(__name__)

_Reply = Answer | Response


@dataclass(frozen=True, slots=True)
class Health:
    status: str
    """`ok`, or `degraded` where the message plane is reached and stores nothing."""
    plane_connected: bool
    """Whether the message plane is reached now."""
    plane_stores: bool
    """Whether it stored what was put last, as far as is known."""


async def describe_api(_services: Services, _request: Request) -> Answer:
    return Answer(document(ROUTES, PREFIX, harmony_fleet.__version__))


ROUTES: Final = (
    *api_devices.ROUTES,
    *api_orders.ROUTES,
    *api_preflight.ROUTES,
    *api_releases.ROUTES,
    ApiRoute("GET", "/openapi.json", "This document.", describe_api, {200: dict}),
)


def application(services: Services, token: str, names: Set[str] = frozenset()) -> Starlette:
    """`names`: what a request may call it beside the loopback names; in lower case."""
    api = Router(
        [
            Route(r.path, _endpoint(services, r.handler), methods=[r.method], name=r.summary)
            for r in ROUTES
        ],
        redirect_slashes=False,
    )
    artifact = _endpoint(services, api_releases.send_artifact)
    app = Starlette(
        routes=[
            Route("/healthz", _endpoint(services, _health), methods=["GET"]),
            Route("/artifacts/{name}", artifact, methods=["GET"]),
            Mount(PREFIX, app=api, middleware=[Middleware(_TokenRequired, token=token)]),
        ],
        middleware=[Middleware(_KnownNameRequired, names=names)],
        exception_handlers={HTTPException: _no_such_route},
    )
    app.router.redirect_slashes = False
    return app


async def _health(services: Services, _request: Request) -> Answer:
    stores = services.plane_stores()
    status = "ok" if stores else "degraded"
    return Answer(Health(status, services.fleet.plane_connected, stores))


def _endpoint(
    services: Services, handler: Callable[[Services, Request], Awaitable[_Reply]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            reply = await handler(services, request)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except FleetError as error:
            return _refusal(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            words = "something went wrong in the control plane; its log says more"
            return _error(500, "internal", words)
        return reply if isinstance(reply, Response) else _json(reply.body, reply.status)

    return endpoint


class _TokenRequired:
    """Answers 401 unless the request carries the token. Takes equal time for any wrong one."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = {b"authorization": f"Bearer {token}".encode(), TOKEN_HEADER: token.encode()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"])
        same = [_same(given.get(name, b""), wanted) for name, wanted in self._wanted.items()]
        if any(same):
            await self._app(scope, receive, send)
            return
        words = (
            "the token is missing or wrong: send `Authorization: Bearer …` with the content of "
            "the file `token` in the control plane's data folder"
        )
        response = _error(401, "unauthorized", words)
        response.headers["www-authenticate"] = "Bearer"
        await response(scope, receive, send)


def _same(given: bytes, wanted: bytes) -> bool:
    """An empty one is none, whatever is wanted."""
    return hmac.compare_digest(given, wanted) and bool(given)


class _KnownNameRequired:
    def __init__(self, app: ASGIApp, names: Set[str]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _is_judged_by_token(scope) or self._is_known_here(scope):
            await self._app(scope, receive, send)
            return
        words = (
            "this server answers under its loopback address, such as 127.0.0.1, and under what "
            "`fleet up --name` calls it; under no other name"
        )
        await _error(400, "bad_host", words)(scope, receive, send)

    def _is_known_here(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) == 1 and _is_known(hosts[0].decode("latin-1"), self._names)


def _is_judged_by_token(scope: Scope) -> bool:
    """It bears a `Fleet-Token`, right or wrong, and asks for what needs the right one."""
    is_api = str(scope["path"]).startswith(f"{PREFIX}/")
    return is_api and any(name == TOKEN_HEADER for name, _ in scope["headers"])


def _is_known(host: str, names: Set[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name in names or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _no_such_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = HTTPStatus(status).phrase.lower().replace(" ", "_")
    words = f"{request.method} {request.url.path[:200]}: {HTTPStatus(status).description}"
    response = _error(status, kind, words)
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _refusal(error: FleetError) -> Response:
    status = _STATUS.get(error.kind, 503 if error.retryable else 500)
    if status >= 500:
        logger.warning("answered %d: %s: %s", status, error.kind, error)
    return _error(status, error.kind, str(error))


def _error(status: int, kind: str, message: str) -> Response:
    return _json(ErrorBody(ErrorWords(kind, message)), status)


def _json(body: object, status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
