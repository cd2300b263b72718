"""A process of light devices: `python -m benchmarks.light_process WANTED`, which is JSON.

It says `ready` once all were switched on, and answers each line on its standard input with the
instants (monotonic, so the same clock in every process) at which its devices tried to connect. The
devices are set as in production, but for the length of probation. It ends with its input.
"""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from harmony_fleet.agent.config import HeartbeatConfig, UpgradeConfig
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging.credentials import Credentials, encode_creds, new_user_seed
from harmony_fleet.testing.light_device import LightDevice, config_in

BETWEEN_STARTS_S = 0.005
VERSIONS = ("2.0.0", "2.1.0")
"""No other release of the benchmarks has these."""
PROGRAMS = {sha256(v.encode()).hexdigest(): v.encode() for v in VERSIONS}


@dataclass(frozen=True, slots=True)
class Wanted:
    folder: str
    accounts: str
    """The folder of the message plane's accounts."""
    url: str
    names: list[str]
    probation_s: float


class CountingLoop(asyncio.SelectorEventLoop):
    """Remembers each attempt at a connection, whatever became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts_s: list[float] = []

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        self.attempts_s.append(time.monotonic())
        return await super().create_connection(*args, **options)


def _device(wanted: Wanted, accounts: Accounts, name: str) -> LightDevice:
    seed = new_user_seed()
    jwt = accounts.mint_device(name, Credentials("", seed).public_key())
    limits = UpgradeConfig(probation_s=wanted.probation_s)
    folder = Path(wanted.folder) / name
    config = config_in(folder, name, (wanted.url,), encode_creds(jwt, seed), limits)
    plane = replace(config.plane, reconnect_max_s=30.0)
    config = replace(config, plane=plane, heartbeat=HeartbeatConfig())
    return LightDevice(config, VERSIONS[0], PROGRAMS)


async def _live(wanted: Wanted, attempts_s: list[float]) -> None:
    accounts = Accounts.open(Path(wanted.accounts))
    devices = [_device(wanted, accounts, name) for name in wanted.names]
    for device in devices:
        device.power_on()
        await asyncio.sleep(BETWEEN_STARTS_S)
    print("ready", flush=True)
    loop, reading = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    while await loop.run_in_executor(reading, sys.stdin.readline):
        print(json.dumps(attempts_s), flush=True)


def main() -> None:
    wanted = Wanted(**json.loads(sys.argv[1]))
    loop = CountingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_live(wanted, loop.attempts_s))


if __name__ == "__main__":
    main()
