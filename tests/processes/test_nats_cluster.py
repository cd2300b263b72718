"""The message plane of an operator in a cluster: three servers, by what `fleet plane keys` made."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from tests.processes.nats_cluster import NatsCluster, nats_cluster
from tests.processes.nats_fixture import connected, until

from harmony_fleet.contracts.subjects import (
    HEARTBEAT_BUCKET,
    MARKER_BUCKET,
    SEEN_STATUS,
    STATUS_BUCKET,
    inbox_prefix,
    stream,
)
from harmony_fleet.embedded.plane_keys import make_plane_keys
from harmony_fleet.messaging import keyvalue
from harmony_fleet.messaging.connection import Endpoint, Message, MessagingError, Plane
from harmony_fleet.messaging.credentials import Credentials, encode_public, new_user_seed
from harmony_fleet.messaging.ed25519 import public_key
from harmony_fleet.operator.credentials import KeyPair, device_jwt
from harmony_fleet.operator.streams import StreamLimits, ensure_streams

T = TypeVar("T")
LIMIT_S = 60.0
THREE = StreamLimits(replicas=3)


@dataclass
class World:
    cluster: NatsCluster
    keys: Path

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[Plane]:
        """By the file that its Secret has. The streams exist, on three servers."""
        credentials = Credentials.load(self.keys / "operator.creds")
        endpoint = Endpoint(self.cluster.urls, credentials, "operator", "_INBOX_operator")
        async with connected(endpoint) as plane:
            await again(lambda: ensure_streams(plane, THREE))
            yield plane

    @asynccontextmanager
    async def device(self, device_id: str, server: int) -> AsyncIterator[Plane]:
        """Let in as the operator would: by its Secret's seed, and its values' account."""
        said = yaml.safe_load((self.keys / "operator-values.yaml").read_text())
        signing = KeyPair.parse("A", (self.keys / "signing.seed").read_text().strip())
        seed = new_user_seed()
        public = encode_public("U", public_key(seed))
        jwt = device_jwt(signing, said["plane"]["devicesAccount"], device_id, public)
        servers = (self.cluster.urls[server],)
        credentials = Credentials(jwt, seed)
        endpoint = Endpoint(servers, credentials, device_id, inbox_prefix(device_id))
        async with connected(endpoint) as plane:
            yield plane


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """Until it is answered: the servers elect leaders first."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await ask()
            except MessagingError:
                await asyncio.sleep(0.1)


async def replicas(plane: Plane, bucket: str) -> int:
    """How many servers have all of it."""
    answer = await plane.request(f"$JS.API.STREAM.INFO.{stream(bucket)}", b"", 5)
    found = json.loads(answer.payload)
    others = found["cluster"].get("replicas", [])
    return 1 + len([one for one in others if one["current"] and not one.get("offline")])


def in_world(tmp_path: Path, use: Callable[[World], Awaitable[None]]) -> None:
    keys = tmp_path / "keys"
    make_plane_keys(keys, "harmony-fleet")
    with nats_cluster(tmp_path / "nats", keys / "nats-values.yaml") as cluster:

        async def run() -> None:
            await use(World(cluster, keys))

        try:
            asyncio.run(run())
        except BaseException as error:
            error.add_note(cluster.words())
            raise


def test_every_stream_is_on_three_servers(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with world.operator() as operator:
            for bucket in (MARKER_BUCKET, STATUS_BUCKET, HEARTBEAT_BUCKET):
                async with asyncio.timeout(LIMIT_S):
                    while await again(partial(replicas, operator, bucket)) < 3:
                        pass

    in_world(tmp_path, use)


def test_operator_and_device_hear_each_other_through_different_servers(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with world.operator() as operator, world.device("pi-1", server=2) as device:
            heard: list[Message] = []
            woken: list[Message] = []

            async def hear(message: Message) -> None:
                heard.append(message)

            async def wake(message: Message) -> None:
                woken.append(message)

            await operator.subscribe(f"{SEEN_STATUS}.*", hear)
            await device.subscribe("fleet.order.pi-1", wake)
            await operator.flush(5)
            await device.flush(5)
            await again(lambda: keyvalue.put(device, STATUS_BUCKET, "pi-1", b"status", 5))
            await again(lambda: keyvalue.put(operator, MARKER_BUCKET, "pi-1", b"order", 5))
            await until(lambda: bool(heard and woken), LIMIT_S)
            found = await again(lambda: keyvalue.get(device, MARKER_BUCKET, "pi-1", 5))
            assert found is not None
            assert found.value == b"order"
            beat = "pi-1.primary"
            await again(lambda: keyvalue.put(device, HEARTBEAT_BUCKET, beat, b"beat", 5))
            with pytest.raises(MessagingError):
                await keyvalue.put(device, STATUS_BUCKET, "pi-2", b"not its own", 1)

    in_world(tmp_path, use)


def test_who_has_keys_of_another_plane_is_not_let_in(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        make_plane_keys(tmp_path / "other", "harmony-fleet")
        stranger = World(world.cluster, tmp_path / "other")
        for entering in (stranger.operator(), stranger.device("pi-1", server=1)):
            with pytest.raises(TimeoutError, match="could not connect"):
                async with entering:
                    pass

    in_world(tmp_path, use)


@pytest.mark.e2e
def test_one_server_may_be_killed_and_all_of_them_restarted(tmp_path: Path) -> None:
    async def use(world: World) -> None:
        async with world.operator() as operator:
            await again(lambda: keyvalue.put(operator, MARKER_BUCKET, "pi-1", b"one", 5))
            world.cluster.stop(0, signal.SIGKILL)
            await again(lambda: keyvalue.put(operator, MARKER_BUCKET, "pi-1", b"two", 5))
        world.cluster.stop_all()
        world.cluster.start()
        async with world.operator(), world.device("pi-1", server=0) as device:
            found = await again(lambda: keyvalue.get(device, MARKER_BUCKET, "pi-1", 5))
            assert found is not None
            assert found.value == b"two"

    in_world(tmp_path, use)
