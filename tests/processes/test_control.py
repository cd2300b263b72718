"""The dead-man timer's control, at a real server: what it takes for contact."""

import asyncio

from benchmarks.world import world

from harmony_fleet.agent.config import load
from harmony_fleet.agent.upgrade.control import contact
from harmony_fleet.agent.upgrade.record import Stage, end, status_of
from harmony_fleet.contracts import codec
from harmony_fleet.contracts.subjects import STATUS_BUCKET, stream
from harmony_fleet.contracts.upgrade import Status
from harmony_fleet.embedded.start_local import QUICK
from harmony_fleet.embedded.supervisor.settings import MachineRoot
from harmony_fleet.messaging import keyvalue
from harmony_fleet.testing.upgrade_samples import journal_in

JOURNAL = journal_in(Stage.COMMITTED)


def test_contact_takes_a_plane_that_stores_a_status_and_not_only_answers() -> None:
    async def check() -> None:
        async with world() as ready:
            machine = MachineRoot(ready.prepare_device("one", QUICK))
            (machine.run / "boot_id").write_text("boot-1")
            config = load(machine.config, {})
            assert await asyncio.to_thread(contact, config, lambda: JOURNAL)
            stored = await keyvalue.get(ready.plane, STATUS_BUCKET, "one", 5)
            assert stored is not None
            said = codec.decode(Status, stored.value)
            assert said == status_of(JOURNAL, "one", said.sent_at)
            gone = f"$JS.API.STREAM.DELETE.{stream(STATUS_BUCKET)}"
            await ready.plane.request(gone, b"", 5)
            assert not await asyncio.to_thread(contact, config, lambda: JOURNAL)

    asyncio.run(check())


def test_the_newest_status_is_stored_last_whatever_the_journal_does_meanwhile() -> None:
    async def check() -> None:
        async with world() as ready:
            machine = MachineRoot(ready.prepare_device("one", QUICK))
            (machine.run / "boot_id").write_text("boot-1")
            newer = end(JOURNAL, Stage.SUCCEEDED, None)
            found = iter([JOURNAL, newer, newer])
            config = load(machine.config, {})
            assert await asyncio.to_thread(contact, config, lambda: next(found))
            stored = await keyvalue.get(ready.plane, STATUS_BUCKET, "one", 5)
            assert stored is not None
            assert codec.decode(Status, stored.value).seq == newer.seq

    asyncio.run(check())
