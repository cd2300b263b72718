"""How much the embedded server takes in before it has stored it: whoever floods is told to wait.

No monitoring page of the server shows these two limits. Without them it would take 10,000
messages, or 128 MB: a burst below that and above ours is then stored to the last message.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.processes.nats_fixture import MessagePlane, running_nats, until

from harmony_fleet.contracts.subjects import STATUS_BUCKET, key

REFUSED = "429"
BURST_LIMIT_S = 10.0
TRIES = 100
"""How far the server's reading gets ahead of its storing is chance; often it does."""


@asynccontextmanager
async def flooder(nats: MessagePlane) -> AsyncIterator[Client]:
    """A client that hands the socket a whole burst at once; ours waits for each message."""
    credentials = nats.operator_endpoint().credentials
    client = Client()
    await client.connect(
        nats.server.url,
        user_jwt_cb=credentials.jwt.encode,
        signature_cb=lambda nonce: base64.b64encode(credentials.sign(nonce.encode())),
        inbox_prefix="_INBOX_flooder",
        pending_size=64 * 1024 * 1024,
    )
    try:
        yield client
    finally:
        await client.close()


async def refused(client: Client, messages: int, size_bytes: int) -> int:
    """How many puts of one burst were refused because of those before them; all are answered."""
    answers: list[Msg] = []

    async def note(answer: Msg) -> None:
        answers.append(answer)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=note)
    for _ in range(messages):
        await client.publish(key(STATUS_BUCKET, "pi-1"), b"x" * size_bytes, reply=inbox)
    await until(lambda: len(answers) == messages, BURST_LIMIT_S)
    await subscription.unsubscribe()
    statuses = [(answer.headers or {}).get("Status") for answer in answers]
    stored = [a for a, status in zip(answers, statuses, strict=True) if status is None]
    assert all("error" not in json.loads(answer.data) for answer in stored)
    return statuses.count(REFUSED)


@pytest.mark.parametrize(
    ("messages", "size_bytes"),
    [pytest.param(4000, 10, id="by their number"), pytest.param(450, 16000, id="by their size")],
)
def test_a_flood_is_refused_before_it_fills_the_servers_memory(
    tmp_path: Path, messages: int, size_bytes: int
) -> None:
    async def run() -> bool:
        async with running_nats(tmp_path) as nats, nats.operator(), flooder(nats) as client:
            for _ in range(TRIES):
                if await refused(client, messages, size_bytes):
                    return True
            return False

    assert asyncio.run(run())
