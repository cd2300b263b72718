"""The upgrade as the primary puts it together: what comes first on the disk, and the pace."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.primary_world import (
    OTHER,
    RUNNING,
    Ear,
    Files,
    ListeningPlane,
    Note,
    noted_disk,
    running_primary,
)

from harmony_fleet.agent import main
from harmony_fleet.agent.upgrade.plane import REPEAT_S, NatsOrders, NatsReports
from harmony_fleet.agent.upgrade.record import Stage
from harmony_fleet.agent.upgrade.states import EXIT_RESTART
from harmony_fleet.messaging.requests import Message, PlaneUnreachable
from harmony_fleet.testing.fake_clock import run
from harmony_fleet.testing.upgrade_samples import ID, IDLE

PROBATION_S = 600.0


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def synced_before_the_first_change(notes: list[Note]) -> set[Path]:
    changes = [number for number, (what, _) in enumerate(notes) if what == "rename"]
    assert changes, "nothing was changed at all"
    return {path for _, path in notes[: changes[0]]}


def read_and_folders(files: Files) -> set[Path]:
    """What a power cut might still take back, and whoever acts on a journal relies on."""
    return {files.journal.path, files.state, files.link.parent}


def test_a_primary_makes_the_journal_that_it_read_durable_before_it_acts_on_it(
    files: Files,
) -> None:
    """Else a power cut could keep its swap, and take back the commit that it came from."""
    files.upgrade(Stage.COMMITTED, origin=RUNNING, target=OTHER, link=RUNNING)

    async def story() -> int:
        async with running_primary(files.settings(), Ear()) as exited:
            return await exited

    with noted_disk() as notes:
        assert run(story()) == EXIT_RESTART
    assert files.layout.link_version() == OTHER
    assert synced_before_the_first_change(notes) >= read_and_folders(files)


def test_a_guard_makes_the_journal_that_it_read_durable_before_it_acts_on_it(
    files: Files,
) -> None:
    files.upgrade(Stage.CUTOVER, origin=RUNNING, target=OTHER, link=OTHER)
    with noted_disk() as notes:
        assert main.run(["--config", str(files.config), "guard"]) == 0
    assert files.layout.link_version() == RUNNING
    assert synced_before_the_first_change(notes) >= read_and_folders(files)


def test_probation_is_heard_at_the_quick_pace_for_a_minute_and_then_at_the_slow_one(
    files: Files,
) -> None:
    files.upgrade(Stage.COMMITTED, origin=OTHER, target=RUNNING, link=RUNNING)
    ear, pace = Ear(), files.settings().heartbeat

    async def story() -> None:
        async with running_primary(files.settings(), ear):
            await asyncio.sleep(PROBATION_S - 1)

    run(story())
    assert {said.beat.upgrade_id for said in ear.beats} == {None, ID}
    told = [said for said in ear.beats if said.beat.upgrade_id == ID]
    waits = [(said.at_s, later.at_s - said.at_s) for said, later in pairwise(told)]
    first_minute = [wait_s for at_s, wait_s in waits if at_s < 59]
    afterwards = [wait_s for at_s, wait_s in waits if at_s > 61]
    assert first_minute == pytest.approx([pace.quick_interval_s] * len(first_minute))
    assert afterwards == pytest.approx([pace.interval_s] * len(afterwards))
    assert len(first_minute) > 50
    assert len(afterwards) > 15


class AwayPlane(ListeningPlane):
    """Answers nothing, and notes when it is asked once it is back."""

    def __init__(self, files: Files) -> None:
        super().__init__(files.settings(), Ear())
        self.asked_at_s: list[float] = []
        self.back = False

    async def request(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        if self.back:
            self.asked_at_s.append(asyncio.get_running_loop().time())
        raise PlaneUnreachable("away")

    def come_back(self) -> None:
        self.back = True
        for callback in self._connect_callbacks:
            callback()


def test_a_status_that_waits_is_said_at_once_when_the_plane_is_back_and_soon_again(
    files: Files,
) -> None:
    """The dead-man's controls leave hardly more than the time that a reconnect takes; and a plane
    that comes back empty stores nothing before its operator is there, too."""

    async def story() -> None:
        plane = AwayPlane(files)
        reports = NatsReports(plane, "pi-1", lambda _event: None, lambda: "now")
        reports.start()
        reports.put(IDLE)
        saying = asyncio.create_task(reports.run())
        await asyncio.sleep(300)
        back_at_s = asyncio.get_running_loop().time()
        plane.come_back()
        await asyncio.sleep(100)
        saying.cancel()
        first_s, second_s, *_ = plane.asked_at_s
        assert first_s == pytest.approx(back_at_s, abs=0.1)
        assert second_s - first_s <= REPEAT_S[0]

    run(story())


def test_an_order_that_could_not_be_read_is_read_again_soon(files: Files) -> None:
    async def story() -> None:
        plane = AwayPlane(files)
        orders = NatsOrders(plane, "pi-1", 300.0, lambda _event: None)
        await orders.start()
        reading = asyncio.create_task(orders.run())
        plane.come_back()
        await asyncio.sleep(10)
        reading.cancel()
        waits = [later - earlier for earlier, later in pairwise(plane.asked_at_s)]
        assert waits[0] <= REPEAT_S[0]
        assert len(waits) > 2

    run(story())
