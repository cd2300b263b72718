"""Runs an application on a socket that is already listening, and ends it in order.

The socket comes first, so that a port in use is known before anything else is started. It speaks
HTTP, or HTTPS where there is a certificate. Signals are not touched: they belong to the program.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from harmony_fleet.contracts.errors import FleetError
from harmony_fleet.operator.certificate import Certificate

END_LIMIT_S: Final = 2
"""For requests under way when the server ends; whole seconds, for uvicorn."""
_STARTED_CHECK_S: Final = 0.002


class PortUnusable(FleetError):
    """Nothing was started."""

    kind = "port_unusable"
    retryable = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortUnusable."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms for each answer.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)  # also what makes a second one on this port fail
    except OSError as error:
        listener.close()
        raise PortUnusable(_why(host, port, error)) from error
    return listener


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, certificate: Certificate | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Answers requests inside; the task ends by itself only where the server failed.

    `certificate`: for HTTPS. Raises CertificateUnusable.
    """
    context = None if certificate is None else certificate.context()
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=END_LIMIT_S,
        ssl_context_factory=(lambda _config, _default: context) if context else None,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    keeper = _keeper(certificate, context)
    try:
        while not (server.started or task.done()):  # noqa: ASYNC110 - uvicorn sets no event
            await asyncio.sleep(_STARTED_CHECK_S)
        yield task
    finally:
        if keeper is not None:
            keeper.cancel()
        server.should_exit = True
        await asyncio.wait({task})
        listener.close()


def _keeper(
    certificate: Certificate | None, context: ssl.SSLContext | None
) -> asyncio.Task[None] | None:
    if certificate is None or context is None:
        return None
    return asyncio.create_task(certificate.keep(context))


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use by another program: end it, or choose another "
            "port, such as `fleet up --port 0` for any free one"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is reserved for the administrator: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine: `ip address` lists those that are"
    return f"port {port} on {host} cannot be used: {error.strerror or error}"
