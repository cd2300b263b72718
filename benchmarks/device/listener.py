"""A thread on the hub's network that listens to the message plane in the operator's name.

What it hears costs the NATS server a delivery each, which counts as the control plane's.
"""

import asyncio
import json
import threading
from collections.abc import Iterable
from pathlib import Path

from tests.machines.hub import Hub

from benchmarks.upgrade import Wire
from harmony_fleet.contracts import subjects
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging.connection import Endpoint, Plane

CONNECT_LIMIT_S = 10.0


class Listener:
    """One `Wire` for each device, filled until `close`."""

    def __init__(self, hub: Hub, data: Path, devices: Iterable[str]) -> None:
        """Raises TimeoutError where the plane of `fleet up` with that folder is not reached."""
        self.wires = {name: Wire() for name in devices}
        self._hub, self._data = hub, data
        self._subscribed = threading.Event()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._subscribed.wait()
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._hub.inside():
                asyncio.run(self._listen())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._failed = error
        finally:
            self._subscribed.set()

    async def _listen(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        plane = Plane(self._endpoint())
        await plane.start()
        try:
            if not await plane.wait_connected(CONNECT_LIMIT_S):
                raise TimeoutError(f"no contact with the message plane in {CONNECT_LIMIT_S:g} s")
            for name, wire in self.wires.items():
                await plane.subscribe(subjects.order_wake(name), wire.woken)
                await plane.subscribe(f"{subjects.answer_prefix(name)}*.*", wire.answered)
                await plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.{name}.*", wire.beat)
                await plane.subscribe(f"{subjects.SEEN_STATUS}.{name}", wire.said)
            self._subscribed.set()
            await self._closing.wait()
        finally:
            await plane.close()

    def _endpoint(self) -> Endpoint:
        url = json.loads((self._data / "up.json").read_text())["nats_url"]
        accounts = Accounts.open(self._data / "nats/accounts")
        ca = self._data / "tls/ca.pem"
        who = accounts.operator_credentials
        return Endpoint((url,), who, "bench", "_INBOX_bench", ca if ca.exists() else None)
