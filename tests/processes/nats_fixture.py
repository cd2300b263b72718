"""A real message plane in a folder of its own: the embedded server, its streams, connected planes.

No test library in it, so that demo and benchmarks may do the same.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harmony_fleet.contracts.subjects import inbox_prefix
from harmony_fleet.embedded.accounts import Accounts, Amend
from harmony_fleet.embedded.certificates import Certificates
from harmony_fleet.embedded.nats import EmbeddedNats
from harmony_fleet.embedded.nats_configuration import Listening
from harmony_fleet.embedded.reach import Reach
from harmony_fleet.messaging.connection import Endpoint, Plane, Timing
from harmony_fleet.messaging.credentials import Credentials, encode_public, new_user_seed
from harmony_fleet.messaging.ed25519 import public_key
from harmony_fleet.operator.streams import ensure_streams

QUICK = Timing(connect_timeout_s=2.0, ping_interval_s=2.0, first_retry_s=0.02, longest_retry_s=0.2)
"""So that a server that went away is found again at once, and a busy machine is no lost server."""

IMPATIENT = replace(QUICK, connect_timeout_s=0.5, ping_interval_s=0.2)
"""So that a frozen server is noticed within half a second."""


@dataclass(frozen=True)
class MessagePlane:
    server: EmbeddedNats
    ca: Path | None = None

    def operator_endpoint(self) -> Endpoint:
        accounts = self.server.accounts
        return self._endpoint(accounts.operator_credentials, "operator", "_INBOX_operator")

    def device_endpoint(self, device_id: str, expires: int | None = None) -> Endpoint:
        """With a new key and a new JWT each time."""
        credentials = self.device_credentials(device_id, expires)
        return self._endpoint(credentials, device_id, inbox_prefix(device_id))

    def device_credentials(self, device_id: str, expires: int | None = None) -> Credentials:
        seed = new_user_seed()
        public = encode_public("U", public_key(seed))
        return Credentials(self.server.accounts.mint_device(device_id, public, expires), seed)

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Plane]:
        """Connected; the streams exist."""
        async with connected(self.operator_endpoint()) as plane:
            await ensure_streams(plane)
            yield plane

    @asynccontextmanager
    async def device(self, device_id: str) -> AsyncIterator[Plane]:
        async with connected(self.device_endpoint(device_id)) as plane:
            yield plane

    def _endpoint(self, credentials: Credentials, name: str, inbox: str) -> Endpoint:
        return Endpoint((self.server.url,), credentials, name, inbox, self.ca)


@asynccontextmanager
async def running_nats(
    folder: Path,
    port: int = 0,
    amend: Amend | None = None,
    *,
    monitor: bool = False,
    listening: Listening | None = None,
) -> AsyncIterator[MessagePlane]:
    """A server on `folder`, stopped at the end; what it stored stays for the next one there.

    `amend` changes the accounts' claims, where the folder has none yet.
    """
    if amend is not None:
        Accounts.open(folder / "accounts", amend)
    server = await EmbeddedNats.start(folder, port, None, listening, monitor=monitor)
    try:
        yield MessagePlane(server, listening.ca if listening else None)
    finally:
        await server.stop()


def under_tls(folder: Path, *names: str) -> Listening:
    """At the loopback address, with a certificate of the folder's own authority.

    For that address, unless it is to be for other names.
    """
    reach = Reach(tls=True)
    certificates = Certificates.open(folder, names or reach.hosts)
    return Listening(reach, certificates.server, certificates.ca)


@asynccontextmanager
async def connected(endpoint: Endpoint, timing: Timing = QUICK) -> AsyncIterator[Plane]:
    plane = Plane(endpoint, timing)
    await plane.start()
    try:
        if not await plane.wait_connected(5.0):
            raise TimeoutError(f"{endpoint.name} could not connect")
        yield plane
    finally:
        await plane.close()


async def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Raises TimeoutError if the condition does not come true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {limit_s} s")
        await asyncio.sleep(0.005)
