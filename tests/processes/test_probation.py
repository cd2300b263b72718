"""Probation of real agents under the dead-man timer: who is undone, and who is waited for."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from benchmarks.world import VERSIONS, world
from tests.processes.test_upgrade import TIMING, Scene, until

from harmony_fleet.agent.upgrade.deadman import Controls
from harmony_fleet.agent.upgrade.guard_command import Files
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind
from harmony_fleet.embedded.local_device import spawn_supervisor
from harmony_fleet.embedded.supervisor.settings import DEADMAN, SUPERVISOR, MachineRoot

OLD, NEW = VERSIONS
BAD = "2.0.0"

SHORT = replace(TIMING, probation_s=1.0, deadman_s=0.2)
SOON_AGAIN_S = 0.3
"""The longest backoff: two controls count that lie half a second apart."""
SELDOM_AGAIN_S = 60.0
"""No two controls of a test lie further apart than that backoff."""
CONTROL_LIMIT_S = 1.3
"""So that a control without contact gives up after a second."""

WITH_CONTACT = "the control had contact: True"
WITHOUT_CONTACT = "the control had contact: False"


def play(scene: Callable[[Scene], Awaitable[None]], reconnect_max_s: float) -> None:
    async def whole() -> None:
        async with world(longest_retry_s=SOON_AGAIN_S) as ready:
            root = ready.prepare_device("one", SHORT)
            configure(MachineRoot(root), "plane", reconnect_max_s=reconnect_max_s)
            spawn_supervisor(root)
            await ready.heard("one")
            await scene(Scene(ready, root))

    asyncio.run(whole())


def configure(machine: MachineRoot, section: str, **keys: float) -> None:
    """For whoever reads its configuration from now on."""
    lines = machine.config.read_text().splitlines()
    kept = [line for line in lines if line.partition(" = ")[0] not in keys]
    at = kept.index(f"[{section}]") + 1
    kept[at:at] = [f"{key} = {value}" for key, value in keys.items()]
    machine.config.write_text("\n".join(kept) + "\n")


def log(one: Scene, name: str) -> list[str]:
    file = one.machine.log / f"{name}.log"
    return file.read_text(errors="replace").splitlines() if file.exists() else []


def controls(one: Scene, finding: str) -> int:
    return sum(finding in line for line in log(one, DEADMAN))


def notes(one: Scene) -> Controls | None:
    """What the timer has found out about this probation."""
    return Files(one.machine.state).controls()


def boot_id(one: Scene) -> str:
    return (one.machine.run / "boot_id").read_text().strip()


def restarts(one: Scene) -> int:
    """By the dead-man timer."""
    return sum(f"{DEADMAN} restarts" in line for line in log(one, SUPERVISOR))


def stage(one: Scene) -> str | None:
    """What the journal says; None before there is one."""
    file = one.machine.state / "journal.json"
    journal: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    return (journal.get("attempt") or {}).get("stage")


def test_a_version_that_lives_and_never_reports_as_primary_is_rolled_back_by_the_timer() -> None:
    async def scene(one: Scene) -> None:
        await one.release(BAD, "silent_as_primary")
        ended = await one.upgrade(BAD)
        assert ended.cause is not None
        assert (ended.phase, ended.cause.kind) == (Phase.ROLLED_BACK, CauseKind.NO_CONTACT)
        assert one.link() == f"fleet-agent-v{OLD}"
        await until(lambda: one.current() == OLD)
        assert not one.machine.attempt_open.exists()
        assert controls(one, WITH_CONTACT) >= 1  # and the one that failed it
        assert controls(one, "probation failed") == restarts(one) == 1

    play(scene, SOON_AGAIN_S)


def test_a_good_version_that_an_outage_of_the_plane_keeps_from_reporting_is_waited_for() -> None:
    async def scene(one: Scene) -> None:
        operator = one.world.operator
        await operator.upgrade(["one"], NEW, retry=False, replace=False)
        await until(lambda: stage(one) == "committed")
        await one.world.lose_nats()  # before the new version's agent has begun
        configure(one.machine, "upgrade", self_test_limit_s=CONTROL_LIMIT_S)
        await until(lambda: notes(one) is not None)
        assert controls(one, WITHOUT_CONTACT) >= 1
        assert notes(one) == Controls(one.order().upgrade_id, boot_id(one))  # no first contact
        assert stage(one) == "committed"
        await one.world.nats_again()
        await until(lambda: not one.order().open)
        assert one.order().phase is Phase.SUCCEEDED
        assert one.link() == f"fleet-agent-v{NEW}"
        await until(lambda: one.current() == NEW)
        assert controls(one, "probation failed") == restarts(one) == 0

    play(scene, SELDOM_AGAIN_S)
