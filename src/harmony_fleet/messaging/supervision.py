"""Keeps a nats-py client connected by building a new one after each loss.

One way of recovery only. nats-py's own reconnect is switched off: it gives up for good on an
expired JWT, waits without end for a full socket to drain, and sends after the reconnect what was
handed to it before. So each loss ends the client here, and all that it still held ends with it.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable

from nats import errors as nats_errors
from nats.aio.client import Client

from harmony_fleet.messaging.cancellation import heed_cancellation
from harmony_fleet.messaging.endpoint import Endpoint, Timing

logger = logging.getLogger(__name__)


class _Client(Client):
    """Tells that it is closing when it begins to.

    nats-py calls back at the end, which is late where the socket is full, and never where it fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self.closing.set()
        try:
            await super()._close(status, do_cbs)
        except OSError as error:
            logger.debug("closing: %r", error)


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
    except (OSError, TimeoutError, nats_errors.Error) as error:
        logger.warning("%s: cannot connect: %s", endpoint.name, str(error) or repr(error))
    except Exception:
        logger.exception("%s: the client failed; building a new one", endpoint.name)
    finally:
        await _discard(client)
    return 0.0 if begun is None else loop.time() - begun


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
        )
    heed_cancellation()


async def _discard(client: Client) -> None:
    try:
        async with asyncio.timeout(1.0):
            await client.close()
    except Exception as error:  # noqa: BLE001 - nothing that an ending client raises matters
        logger.debug("closing: %r", error)
    finally:  # also where the closing itself is cancelled
        _abort(client)


def _abort(client: Client) -> None:
    """A socket whose peer reads no more is never drained, so closing it would never end."""
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
