"""How hard a client knocks where no server is: many devices do so at the same time."""

import asyncio
import logging
import socket

import pytest
from benchmarks.light_process import CountingLoop

from harmony_fleet.messaging.connection import Endpoint, Plane, Timing
from harmony_fleet.messaging.credentials import Credentials, new_user_seed


def test_each_attempt_tries_a_server_that_refuses_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    loop = CountingLoop()

    async def knock() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # and does not listen
            server = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
            who = Credentials("jwt", new_user_seed())
            timing = Timing(first_retry_s=0.01, longest_retry_s=0.01)
            plane = Plane(Endpoint((server,), who, "one", "_INBOX_one"), timing)
            await plane.start()
            async with asyncio.timeout(20):
                while caplog.text.count("cannot connect") < 3:
                    await asyncio.sleep(0.001)
            tried, failed = len(loop.attempts_s), caplog.text.count("cannot connect")
            await plane.close()
            assert failed <= tried <= failed + 1  # the next one may be on its way

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(knock())
