"""Keeps a nats-py client connected by building a new one after each loss.

One way of recovery only. nats-py's own reconnect is switched off: it gives up for good on an
expired JWT, waits without end for a full socket to drain, and sends after the reconnect what was
handed to it before. So each loss ends the client here, and all that it still held ends with it.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nats import errors as nats_errors
from nats.aio.client import Client

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.messaging.cancellation import heed_cancellation
from harmony_fleet.messaging.endpoint import Endpoint, Timing
from harmony_fleet.messaging.requests import MessagingError

logger = logging.getLogger(__name__)


class TlsMismatch(MessagingError):
    """The server's first line and its URL differ about TLS. Nothing was sent to it."""

    kind = "tls_mismatch"
    retryable = False


class _Client(Client):
    """Tells that it is closing when it begins to, and speaks TLS exactly where the URL says so.

    nats-py calls back at the end, which is late where the socket is full, and never where it fails.
    And it believes the server's first line about TLS, which comes in the clear: whoever stands
    between the two could take TLS out of it, and be sent the rest in the clear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._current_server is not None:
            server = self._current_server.uri
            refuse_mismatch(server.geturl(), offers_tls=bool(info.get("tls_required")))
        await super()._process_info(info, initial_connection)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self.closing.set()
        try:
            await super()._close(status, do_cbs)
        except OSError as error:
            logger.debug("closing: %r", error)


def refuse_mismatch(server: str, *, offers_tls: bool) -> None:
    """Raises TlsMismatch."""
    asks_for_tls = server.startswith("tls://")
    if asks_for_tls and not offers_tls:
        raise TlsMismatch(
            f"{server} speaks no TLS, or somebody on the way took it out: nothing was sent"
        )
    if offers_tls and not asks_for_tls:
        raise TlsMismatch(
            f"{server} takes TLS only: name it tls://, and its authority (an agent: plane.ca)"
        )


CameUp = Callable[[Client], Awaitable[None]]


async def keep_connected(
    endpoint: Endpoint, timing: Timing, came_up: CameUp, went_down: Callable[[], None]
) -> None:
    """Runs until cancelled. `went_down` follows each `came_up`, also one that raised."""
    attempt = 0
    while True:
        lasted_s = await _one_client(endpoint, timing, came_up, went_down)
        heed_cancellation()  # it may have come together with the error that ended the client
        attempt = 0 if lasted_s >= timing.steady_after_s else attempt + 1
        await asyncio.sleep(timing.retry_delay_s(attempt))


async def _one_client(
    endpoint: Endpoint, timing: Timing, came_up: CameUp, went_down: Callable[[], None]
) -> float:
    """From its first attempt to its loss. How long it was connected, in seconds."""
    client, loop = _Client(), asyncio.get_running_loop()
    begun = None
    try:
        await _connect(client, endpoint, timing)
        begun = loop.time()
        try:
            await came_up(client)
            await client.closing.wait()
        finally:
            went_down()
        logger.warning("%s: connection lost: %s", endpoint.name, client.last_error or "closed")
    except (OSError, TimeoutError, nats_errors.Error, FleetError) as error:
        logger.warning("%s: cannot connect: %s", endpoint.name, _why(error))
    except Exception:
        logger.exception("%s: the client failed; building a new one", endpoint.name)
    finally:
        await _discard(client)
    return 0.0 if begun is None else loop.time() - begun


def _why(error: Exception) -> str:
    """In words that do not need a reader of OpenSSL's source."""
    if (reason := getattr(error, "verify_message", None)) is not None:
        return f"the server's certificate is not believed: {reason}"
    return str(error) or repr(error)


def _tls_options(endpoint: Endpoint) -> dict[str, Any]:
    """Raises AuthorityUnreadable: as if the plane were away, and until the file is back."""
    if not endpoint.asks_for_tls:
        return {}
    from harmony_fleet.messaging.trust import plane_context

    return {"tls": plane_context(endpoint.ca)}


async def _connect(client: Client, endpoint: Endpoint, timing: Timing) -> None:
    """One try of each server, then raises."""

    async def failed(error: Exception) -> None:
        """Must not raise: it is called from within nats-py's loops, and they would end."""
        level = logging.WARNING if client.is_connected else logging.DEBUG
        logger.log(level, "%s: %s", endpoint.name, str(error) or repr(error))

    def sign(nonce: str) -> bytes:
        return base64.b64encode(endpoint.credentials.sign(nonce.encode()))

    async with asyncio.timeout(timing.connect_timeout_s * (1 + len(endpoint.servers))):
        await client.connect(
            list(endpoint.servers),
            name=endpoint.name,
            inbox_prefix=endpoint.inbox_prefix,
            user_jwt_cb=endpoint.credentials.jwt.encode,
            signature_cb=sign,
            error_cb=failed,
            allow_reconnect=False,
            # Below 1: nats-py tries a server as often as this, and once more; 0 means without end.
            max_reconnect_attempts=0.5,  # type: ignore[arg-type]
            reconnect_time_wait=0,
            pending_size=0,
            max_outstanding_pings=1,
            # annotated as int, but handed to asyncio, which takes fractions
            connect_timeout=timing.connect_timeout_s,  # type: ignore[arg-type]
            ping_interval=timing.ping_interval_s,  # type: ignore[arg-type]
            **_tls_options(endpoint),
        )
    heed_cancellation()
    _tell_asyncio_of_tls(client)


def _tell_asyncio_of_tls(client: Client) -> None:
    """nats-py builds its encrypted stream itself; asyncio would warn at the end of each."""
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None and writer.get_extra_info("ssl_object") is not None:
        writer.transport.get_protocol()._over_ssl = True


async def _discard(client: Client) -> None:
    """One that was never connected has nothing to send, and after a handshake that failed nobody
    would tell it that its socket is closed."""
    try:
        if client.is_connected:
            async with asyncio.timeout(1.0):
                await client.close()
    except Exception as error:  # noqa: BLE001 - nothing that an ending client raises matters
        logger.debug("closing: %r", error)
    finally:  # also where the closing itself is cancelled
        _abort(client)


def _abort(client: Client) -> None:
    """A socket whose peer reads no more is never drained, so closing it would never end.

    Under TLS there are two writers: the encrypted one, and below it the socket's own, which is all
    that there is as long as the handshake has not succeeded.
    """
    for name in ("_io_writer", "_bare_io_writer"):
        writer = getattr(client._transport, name, None)
        if writer is not None:
            writer.transport.abort()
