"""A light device is a device: what the operator sees of it is what a real one would show."""

from pathlib import Path

import pytest
from tests.processes.light_fleet import (
    CRASHING,
    NEW,
    OLD,
    SILENT,
    LightFleet,
    ended,
    in_fleet,
    known,
    newest,
    order,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind


def test_a_good_version_is_taken_to_and_proves_itself(tmp_path: Path) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            await known(operator, "pi-1")
            await order(operator, "pi-1", NEW)
            assert await ended(operator, "pi-1") is Phase.SUCCEEDED
            await known(operator, "pi-1", version=NEW)
            assert fleet.devices["pi-1"].started == [OLD, NEW]

    in_fleet(tmp_path, ["pi-1"], use)


@pytest.mark.parametrize(
    ("version", "cause"),
    [(SILENT, CauseKind.CANDIDATE_SILENT), (CRASHING, CauseKind.CRASH_LOOP)],
)
def test_a_bad_version_is_rolled_back_and_says_why(
    version: str, cause: CauseKind, tmp_path: Path
) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            await known(operator, "pi-1")
            await order(operator, "pi-1", version)
            assert await ended(operator, "pi-1") is Phase.ROLLED_BACK
            told = newest(operator, "pi-1").cause
            assert told is not None
            assert told.kind is cause
            await known(operator, "pi-1")
            assert fleet.devices["pi-1"].running == OLD

    in_fleet(tmp_path, ["pi-1"], use)


def test_a_device_without_power_is_back_with_its_journal(tmp_path: Path) -> None:
    async def use(fleet: LightFleet) -> None:
        async with fleet.operator() as operator:
            device = fleet.devices["pi-1"]
            await known(operator, "pi-1")
            await device.power_cut()
            await order(operator, "pi-1", NEW)
            device.power_on()
            assert await ended(operator, "pi-1") is Phase.SUCCEEDED

    in_fleet(tmp_path, ["pi-1"], use)
