"""Cut off in each phase, and a journal, a link or a way back is damaged or gone afterwards."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from demo.releases import OVERLAYS
from tests.matrix import damage as d
from tests.matrix.damage import Row
from tests.matrix.scene import (
    NEW,
    OLD,
    SEED,
    ControlPlane,
    build_stoppable,
    control_plane,
    device,
)

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind as Kind
from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor

pytestmark = pytest.mark.matrix

AT_ONCE = 4
SAMPLE = 4
"""Of the rows, where HARMONY_FLEET_FULL is not set."""

UNREADABLE = {
    "is cut in half": d.journal_cut_in_half,
    "is empty": d.journal(b""),
    "is other JSON": d.journal(b'{"weather": "fine"}'),
    "is not text": d.journal(b"\xff\x00" * 2000),
}
LOST = (Phase.UNRESOLVED, Kind.JOURNAL_LOST)
DONE = (Phase.SUCCEEDED, None)
CRASHED = (Phase.ROLLED_BACK, Kind.CRASH_LOOP)
"""No start of it succeeds, for whatever reason."""

JOURNALS = [
    *(
        Row(f"the journal {how}", damage, when, *LOST, runs)
        for how, damage in UNREADABLE.items()
        for when, runs in (
            (d.IDLE, OLD),
            (d.STAGING, OLD),
            (d.CUTOVER, NEW),
            (d.ARMED, NEW),
            (d.PROBATION, NEW),
            (d.REVERTING, OLD),
        )
    ),
    Row("the journal is gone", d.journal(None), d.STAGING, *DONE, NEW),
    Row("the journal is gone", d.journal(None), d.PROBATION, *LOST, NEW),
    Row("the journal's stage is unknown", d.journal_in_an_unknown_stage, d.PROBATION, *LOST, NEW),
    Row("the journal is of a newer schema", d.journal_of_a_newer_schema, d.PROBATION, *DONE, NEW),
    Row(
        "the journal is of a newer schema",
        d.journal_of_a_newer_schema,
        d.ARMED,
        Phase.ROLLED_BACK,
        Kind.INTERRUPTED,
        OLD,
    ),
]
FILES = [
    Row("`previous` is gone", d.gone(d.previous), d.ARMED, *DONE, NEW),
    Row("`previous` is gone", d.gone(d.previous), d.PROBATION, *DONE, NEW),
    Row("`previous` leads nowhere", d.previous_dangles, d.IDLE, *DONE, NEW),
    Row("`previous` leads nowhere", d.previous_dangles, d.PROBATION, *DONE, NEW),
    Row("the way back is gone", d.gone(d.old_file), d.ARMED, *DONE, NEW),
    Row("the way back is cut in half", d.half(d.old_file), d.ARMED, *DONE, NEW),
    Row("the way back is cut in half", d.half(d.old_file), d.PROBATION, *DONE, NEW),
    Row("the link is gone", d.gone(d.link), d.ARMED, Phase.ROLLED_BACK, Kind.INTERRUPTED, OLD),
    Row("the link is gone", d.gone(d.link), d.PROBATION, *DONE, NEW),
    Row("the new file is gone", d.gone(d.new_file), d.PROBATION, *CRASHED, OLD),
    Row("link and new file are gone", d.link_and_new_file_gone, d.PROBATION, *CRASHED, OLD),
    Row("the link is a plain file", d.link_becomes_a_plain_file, d.IDLE, *DONE, NEW),
]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("damage")
    releases = {NEW: None, d.LATER: None, d.CRASHING: OVERLAYS / "crashes_as_primary"}
    with control_plane(folder / "data") as plane:
        for version, overlay in releases.items():
            plane.add(version, build_stoppable(folder, overlay, version))
        yield plane


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stoppable(tmp_path_factory.mktemp("old"), version=OLD)


@pytest.mark.parametrize("rows", [JOURNALS, FILES], ids=["journal", "files"])
def test_whatever_is_damaged_in_whatever_phase_the_upgrade_ends_as_said_and_the_next_one_works(
    rows: list[Row], plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    def fault_of(number: int, row: Row) -> str | None:
        name = f"damaged-{len(rows)}-{number}"
        try:
            with device(plane, tmp_path / name, program, name, 10.0) as one:
                d.play(one, row)
        except AssertionError as error:
            return f"{row.what}, {row.when}: {str(error).splitlines()[0]}"
        return None

    taken = list(enumerate(rows))
    if not os.environ.get("HARMONY_FLEET_FULL"):
        taken = random.Random(f"{SEED} {len(rows)}").sample(taken, SAMPLE)
    with ThreadPoolExecutor(AT_ONCE) as side_by_side:
        faults = side_by_side.map(fault_of, *zip(*taken, strict=True))
    found = [fault for fault in faults if fault]
    assert not found, "\n".join((f"HARMONY_FLEET_SEED={SEED}", *found))


def test_a_link_that_is_gone_while_idle_is_put_back_by_hand_as_the_page_on_recovery_says(
    plane: ControlPlane, program: Path, tmp_path: Path
) -> None:
    with device(plane, tmp_path / "by-hand", program, "by-hand", 10.0) as one:
        cut_power(one.root)
        one.machine.link.unlink()
        spawn_supervisor(one.root)
        new = one.machine.link.with_name("fleet-agent.new")
        new.symlink_to(f"../../bin/fleet-agent-v{OLD}")
        new.rename(one.machine.link)
        plane.order("by-hand", NEW)
        d.refuse_another_end(one, NEW, DONE, NEW)
