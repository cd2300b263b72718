"""Versions that are fine as candidates and do not last as the agent: real ones, side by side."""

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.world import VERSIONS, World, add_release, world
from demo.releases import OVERLAYS as DEMO
from demo.releases import build_release
from tests.processes.test_upgrade import TIMING, until

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.embedded.local_device import running, spawn_supervisor
from harmony_fleet.embedded.supervisor.settings import SUPERVISOR, MachineRoot
from harmony_fleet.operator.records import Order
from harmony_fleet.release.manifest import describe

OLD, NEW = VERSIONS
OVERLAYS = Path(__file__).parent / "overlays"
STARTS_ALLOWED = 2
WATCHDOG_S = 2.0
LONG = replace(TIMING, probation_s=60.0, stop_limit_s=30.0, starts_allowed=STARTS_ALLOWED)
"""None of them lasts so long."""


@dataclass(frozen=True, slots=True)
class Bad:
    overlay: Path
    evidence: str
    """Among its last log lines; empty: they went down with the machine."""
    ended: str
    """As the supervisor noted it at each end; empty: the supervisor was gone first."""


BAD = {
    "dies-at-once": Bad(DEMO / "crashes_as_primary", "cannot be opened twice", "status=1"),
    "dies-soon": Bad(OVERLAYS / "dies_soon_as_primary", "the sensor bus was lost", "status=1"),
    "hangs": Bad(DEMO / "hangs_as_primary", "a lock that nobody gives back", "watchdog missed"),
    "reboots": Bad(OVERLAYS / "reboots_as_primary", "", ""),
}


def test_versions_that_do_not_last_as_the_agent_are_rolled_back_with_cause_and_evidence() -> None:
    async def whole() -> None:
        async with world() as ready:
            await asyncio.gather(
                *(undone(ready, name, f"2.0.{number}") for number, name in enumerate(BAD))
            )

    asyncio.run(whole())


async def undone(ready: World, name: str, version: str) -> None:
    bad, machine = BAD[name], await up(ready, name)
    file = build_release(version, ready.artifacts, str(bad.overlay))
    await add_release(ready.store, describe(file))
    await ready.operator.upgrade([name], version, retry=False, replace=False)
    power = asyncio.create_task(keep_power_on(machine))
    await until(lambda: not order(ready, name).open)
    cause = order(ready, name).cause
    assert cause is not None
    assert (order(ready, name).phase, cause.kind) == (Phase.ROLLED_BACK, CauseKind.CRASH_LOOP)
    assert f"{version} was started {STARTS_ALLOWED} times" in cause.sentence
    assert bad.evidence in cause.evidence
    assert bad.ended in (machine.log / f"{SUPERVISOR}.log").read_text(errors="replace")
    await until(lambda: ready.operator.sight(name).case.record.current_version == OLD)
    assert machine.link.resolve().name == f"fleet-agent-v{OLD}"
    await until(lambda: not machine.attempt_open.exists())
    power.cancel()


async def up(ready: World, name: str) -> MachineRoot:
    machine = MachineRoot(ready.prepare_device(name, LONG))
    settings = json.loads(machine.settings.read_bytes())
    machine.settings.write_text(json.dumps({**settings, "watchdog_s": WATCHDOG_S}))
    await asyncio.to_thread(spawn_supervisor, machine.root)
    await ready.heard(name)
    return machine


async def keep_power_on(machine: MachineRoot) -> None:
    """A machine that went down comes up again."""
    while True:
        if not running(machine.root):
            await asyncio.to_thread(spawn_supervisor, machine.root)
        await asyncio.sleep(0.05)


def order(ready: World, name: str) -> Order:
    found = ready.operator.sight(name).case.record.order
    assert found is not None
    return found
