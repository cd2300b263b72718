"""The watcher: a process of its own that believes nobody. Its verdict is the demo's.

It follows the agent processes of each device by pidfds, hears heartbeats as they are stored, and
asks the API for phases and causes. Orders come as JSON lines on standard input, findings leave as
JSON lines on standard output: `{"begin": NAME}` starts a step, `{"judge": EXPECTED}` ends it.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.processes import DeviceProcesses, follow, processes_of
from harmony_fleet.contracts import codec, subjects
from harmony_fleet.contracts.errors import MalformedMessage
from harmony_fleet.contracts.heartbeat import Heartbeat
from harmony_fleet.embedded.accounts import Accounts
from harmony_fleet.messaging.connection import Endpoint, Plane
from harmony_fleet.messaging.requests import Message

SCAN_S = 0.01
SETTLE_S = 3.0
"""What was reported and what runs may be so far apart on a slow machine."""


@dataclass(frozen=True, slots=True)
class Expected:
    release: str
    """What was ordered."""
    version: str
    """What every primary runs in the end, by the file that it holds open."""
    phase: str
    cause: str | None = None
    words: str = ""
    """What the evidence, or else the sentence, must say."""
    starts_least: int = 0
    starts_most: int = 0
    """How often the release is started as the permanent agent: never, if it is refused before."""
    gap_limit_s: float = 0.0
    """The longest time that a device may be without any agent process."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was observed of one device in one step."""

    device_id: str
    release: str | None
    """What the device's last upgrade was to."""
    version: str | None
    phase: str | None
    cause: str | None
    words: str
    """The evidence that travelled with the cause."""
    without_agent_s: float
    heartbeat_gap_s: float
    starts: int
    """Of the release, as the permanent agent."""
    faults: tuple[str, ...]
    """Where it is not as expected; empty when it is."""


@dataclass
class Hearing:
    """The arrival of one device's heartbeats, whoever of its agents sent them."""

    last_s: float | None = None
    longest_s: float = 0.0

    def hear(self) -> None:
        now = time.monotonic()
        if self.last_s is not None:
            self.longest_s = max(self.longest_s, now - self.last_s)
        self.last_s = now

    def reset(self) -> None:
        self.longest_s = 0.0

    def gap_s(self) -> float:
        open_s = 0.0 if self.last_s is None else time.monotonic() - self.last_s
        return max(self.longest_s, open_s)


@dataclass
class Watcher:
    api: str
    token: str
    devices: dict[str, DeviceProcesses]
    heard: dict[str, Hearing] = field(default_factory=dict)

    async def hear(self, message: Message) -> None:
        try:
            beat = codec.decode(Heartbeat, message.payload)
        except MalformedMessage:
            return
        self.heard.setdefault(beat.device_id, Hearing()).hear()

    def begin(self) -> None:
        for device in self.devices.values():
            device.begin()
        for hearing in self.heard.values():
            hearing.reset()

    async def judge(self, expected: Expected) -> list[Finding]:
        """As soon as nothing is at fault, or else as it is after `SETTLE_S`."""
        ends_s = time.monotonic() + SETTLE_S
        while True:
            found = self.findings(await self._views(), expected)
            if time.monotonic() > ends_s or not any(one.faults for one in found):
                return found
            await asyncio.sleep(0.1)

    async def _views(self) -> dict[str, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(base_url=self.api, headers=headers, timeout=15) as client:
            views = (await client.get("/api/v1/devices")).json()["devices"]
        return {view["device_id"]: view for view in views}

    def findings(self, views: dict[str, dict[str, Any]], expected: Expected) -> list[Finding]:
        """One for each device that is watched, whether or not the control plane knows it."""
        return [self._find(name, views.get(name, {}), expected) for name in self.devices]

    def _find(self, name: str, view: dict[str, Any], expected: Expected) -> Finding:
        upgrade = view.get("upgrade") or {}
        cause = upgrade.get("cause") or {}
        device, hearing = self.devices[name], self.heard.get(name, Hearing())
        primary = device.primary()
        found = Finding(
            name,
            upgrade.get("to_version"),
            primary.opened if primary else None,
            upgrade.get("phase"),
            cause.get("kind"),
            cause.get("evidence") or cause.get("sentence") or "",
            device.longest_gap_s(),
            hearing.gap_s(),
            device.starts_of(expected.release),
            (),
        )
        faults = faults_of(found, str(view.get("current_version")), expected)
        return Finding(**{**asdict(found), "faults": faults})


def faults_of(found: Finding, said: str, expected: Expected) -> tuple[str, ...]:
    """`said` is the version that the control plane believes to run."""
    faults = []
    if found.release != expected.release:
        faults.append(f"its last upgrade was to {found.release}, not to {expected.release}")
    if found.version != expected.version:
        faults.append(f"runs {found.version}, not {expected.version}")
    if said != found.version:
        faults.append(f"the control plane says {said}")
    if (found.phase, found.cause) != (expected.phase, expected.cause):
        faults.append(f"ended {found.phase}, {found.cause}: not {expected.phase}, {expected.cause}")
    if expected.words not in found.words:
        faults.append(f"the cause does not say {expected.words!r}, but {found.words[-300:]!r}")
    if found.without_agent_s > expected.gap_limit_s:
        faults.append(f"was without an agent for {found.without_agent_s:.2f} s")
    if not expected.starts_least <= found.starts <= expected.starts_most:
        faults.append(
            f"started {expected.release} {found.starts} times, "
            f"not {expected.starts_least} to {expected.starts_most}"
        )
    if not found.heartbeat_gap_s:
        faults.append("was never heard")
    return tuple(faults)


async def _serve(watcher: Watcher) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    watching = asyncio.create_task(follow(watcher.devices.values(), SCAN_S))
    while line := await reader.readline():
        order = json.loads(line)
        if "judge" in order:
            findings = await watcher.judge(Expected(**order["judge"]))
            answer: object = [asdict(finding) for finding in findings]
        else:
            watcher.begin()
            answer = order
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if watching.done():
            await watching
    watching.cancel()


async def _main(data: Path, roots: list[Path]) -> None:
    up = json.loads((data / "up.json").read_text())
    try:
        devices = {root.name: processes_of(root) for root in roots}
    except LookupError as error:
        raise SystemExit(f"watcher: {error}") from error
    watcher = Watcher(up["url"], (data / "token").read_text().strip(), devices)
    credentials = Accounts.open(data / "nats" / "accounts").operator_credentials
    plane = Plane(Endpoint((up["nats_url"],), credentials, "watcher", "_INBOX_watcher"))
    await plane.start()
    await plane.subscribe(f"{subjects.SEEN_HEARTBEAT}.*.*", watcher.hear)
    try:
        await _serve(watcher)
    finally:
        await plane.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]]))
