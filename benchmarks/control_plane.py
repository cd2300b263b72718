"""`fleet up` as a process of its own, and what can be counted of it from outside."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.light import cpu_s, rss_mib, until
from benchmarks.light_process import PROGRAMS
from benchmarks.transactions import transactions
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.credentials import Credentials
from harmony_fleet.operator.records import Release
from harmony_fleet.operator.sqlite_store import SqliteStore
from harmony_fleet.operator.system import SystemClock

FLEET = Path(sys.executable).with_name("fleet")
UP_LIMIT_S = 30.0
END_LIMIT_S = 10.0
ANSWER_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Running totals, and two sizes."""

    operator_cpu_s: float
    nats_cpu_s: float
    operator_mib: float
    nats_mib: float
    messages: int
    """That anyone sent to the server."""
    message_bytes: int
    transactions: int
    saves: int
    """Of device records: several may share a transaction."""


@dataclass
class Process:
    data: Path
    pid: int
    operator: Plane
    """A second connection in the operator's name, to listen."""
    system: Plane

    @property
    def accounts(self) -> Path:
        return self.data / "nats/accounts"

    @property
    def url(self) -> str:
        return str(json.loads((self.data / "up.json").read_text())["nats_url"])

    @property
    def nats_pid(self) -> int:
        (ports,) = (self.data / "nats/ports").glob("nats-server_*.ports")
        return int(ports.stem.rsplit("_", 1)[1])

    async def counted(self) -> Counted:
        server = await self._server()
        return Counted(
            cpu_s(self.pid),
            cpu_s(self.nats_pid),
            rss_mib(self.pid),
            rss_mib(self.nats_pid),
            server["in_msgs"],
            server["in_bytes"],
            transactions(self.data / "fleet.db"),
            self._saves(),
        )

    async def _server(self) -> dict[str, Any]:
        answer = await self.system.request("$SYS.REQ.SERVER.PING.VARZ", b"", ANSWER_LIMIT_S)
        found: dict[str, Any] = json.loads(answer.payload)["data"]
        return found

    def _saves(self) -> int:
        """Each one adds one to its record's revision."""
        with closing(sqlite3.connect(f"file:{self.data}/fleet.db?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT total(revision) FROM device").fetchone()[0])


async def add_light_releases(store: SqliteStore) -> None:
    for digest, content in PROGRAMS.items():
        version, now = content.decode(), SystemClock().now()
        await store.add_release(Release(version, version, len(content), digest, ">=3.11", now))


def _spawn(data: Path) -> "subprocess.Popen[bytes]":
    with data.with_suffix(".log").open("a") as log:
        argv = [str(FLEET), "--data", str(data), "up", "--port", "0"]
        return subprocess.Popen(argv, stdout=log, stderr=log)


@asynccontextmanager
async def control_plane(data: Path) -> AsyncIterator[Process]:
    """Up when this is entered, with the light devices' releases; ended by process id.

    `data` is a folder that exists.
    """
    async with SqliteStore(data / "fleet.db", SystemClock()) as store:
        await add_light_releases(store)
    up = _spawn(data)
    try:
        await until((data / "up.json").exists, UP_LIMIT_S, lambda: "fleet up is not up")
        async with _planes(data) as (operator, system):
            yield Process(data, up.pid, operator, system)
    finally:
        up.terminate()
        try:
            up.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()


@asynccontextmanager
async def _planes(data: Path) -> AsyncIterator[tuple[Plane, Plane]]:
    accounts = Accounts.open(data / "nats/accounts")
    url = json.loads((data / "up.json").read_text())["nats_url"]

    def plane(who: Credentials) -> Plane:
        return Plane(Endpoint((url,), who, "bench", "_INBOX_bench"))

    planes = plane(accounts.operator_credentials), plane(accounts.system_credentials)
    try:
        for one in planes:
            await one.start()
            assert await one.wait_connected(ANSWER_LIMIT_S)
        yield planes
    finally:
        await asyncio.gather(*(one.close() for one in planes))
