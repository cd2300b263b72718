"""What a replica answers over HTTP: itself while it leads, else by asking the one that does.

So any replica may be asked, and one Service stands before all of them. `/healthz` and `/readyz`
are each replica's own.
"""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from harmony_fleet.operator.kubernetes.replica import Leading, Replica
from harmony_fleet.operator.openapi import ErrorBody, ErrorWords

logger = logging.getLogger(__name__)

PASSED_ON: Final = "Fleet-Passed-On"
"""A request is passed on once: two replicas that each take the other for the leader are not asked
in turn for ever."""
PASS_LIMIT: Final = httpx.Timeout(900.0, connect=2.0)
"""As long as the longest answer takes: a preflight of many devices."""
_NOT_PASSED: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"),
        *("host", "transfer-encoding", "content-length"),
    }
)
"""Of one connection alone (RFC 9110, 7.6.1), or made anew for the next one."""


class Front:
    """An ASGI application."""

    def __init__(
        self,
        replica: Replica,
        made: Callable[[Leading], ASGIApp],
        others: httpx.AsyncClient,
        name: str,
    ) -> None:
        """`made`: the API of one time of leading; `others`: what asks them.

        `name`: whom their certificates are for.
        """
        self._replica, self._made, self._others, self._name = replica, made, others, name
        self._for: tuple[Leading, ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, receive)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> ASGIApp:
        if scope["path"] == "/healthz":
            return Response("ok\n")
        if scope["path"] == "/readyz":
            ready = self._replica.ready
            return Response("ready\n" if ready else "not ready\n", 200 if ready else 503)
        if leading := self._replica.leading:
            return self._application(leading)
        request = Request(scope, receive)
        address = self._replica.leader_address
        if not address or PASSED_ON in request.headers:
            return _nobody_leads()
        return await self._pass_on(request, address)

    def _application(self, leading: Leading) -> ASGIApp:
        if self._for is None or self._for[0] is not leading:
            self._for = (leading, self._made(leading))
        return self._for[1]

    async def _pass_on(self, request: Request, address: str) -> Response:
        try:
            passed = self._as_passed_on(request, address)
        except httpx.InvalidURL as error:
            return _error(ErrorWords("bad_request", f"the address cannot be read: {error}"), 400)
        try:
            answer = await self._others.send(passed, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, OverflowError) as error:
            # OverflowError: there is no such port
            logger.warning("the leader at %s cannot be asked: %r", address, error)
            return _nobody_leads()
        except (httpx.HTTPError, ClientDisconnect) as error:
            logger.warning("the leader at %s did not answer: %r", address, error)
            return _unanswered()
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _NOT_PASSED}
        return StreamingResponse(_read(answer), answer.status_code, headers)

    def _as_passed_on(self, request: Request, address: str) -> httpx.Request:
        """Path and headers as they came, byte by byte. Raises InvalidURL."""
        scope = request.scope
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        kept = [(k, v) for k, v in request.headers.raw if k.decode("latin-1") not in _NOT_PASSED]
        return self._others.build_request(
            request.method,
            httpx.URL(address).copy_with(raw_path=target),
            headers=[*kept, (PASSED_ON.encode(), b"1")],
            content=_body(request),
            timeout=PASS_LIMIT,
            extensions={"sni_hostname": self._name},
        )


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for part in request.stream():
        yield part


async def _read(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()


def _nobody_leads() -> Response:
    """Nothing was done: whoever hears it may ask again."""
    words = ErrorWords("not_leading", "no replica of the operator leads just now: try again")
    return _error(words, 503, {"Retry-After": "1"})


def _unanswered() -> Response:
    """Not `not_leading`: an order that was carried out would be given twice."""
    words = (
        "the leading replica did not answer; whether it acted is unknown: look before you repeat"
    )
    return _error(ErrorWords("unanswered", words), 503)


def _error(words: ErrorWords, status: int, headers: dict[str, str] | None = None) -> Response:
    body = msgspec.json.encode(ErrorBody(words))
    return Response(body, status, headers, media_type="application/json")
