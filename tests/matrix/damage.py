"""A machine that is cut off in some phase of an upgrade, and whose files are damaged meanwhile."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.killing import refuse_another_agent
from tests.matrix.scene import NEW, OLD, Device, eventually

from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase
from harmony_fleet.contracts.upgrade import CauseKind as Kind
from harmony_fleet.embedded.local_device import cut_power, spawn_supervisor

CRASHING, LATER = "1.3.0", "1.4.0"

Damage = Callable[[Device], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the machine is cut off: in an upgrade to `version`, at a checkpoint."""

    version: str
    checkpoint: str


IDLE = Moment(NEW, "")
"""Before the upgrade, which is ordered once the machine is up again."""
STAGING = Moment(NEW, f"primary {OLD}: after write staging")
CUTOVER = Moment(NEW, f"primary {OLD}: after swap_link {NEW}")
ARMED = Moment(NEW, f"primary {OLD}: after start_candidate {NEW}")
PROBATION = Moment(NEW, f"primary {NEW}: before stop_candidate")
REVERTING = Moment(CRASHING, "guard: after write reverting")


@dataclass(frozen=True, slots=True)
class Row:
    """What is damaged when, and what becomes of the upgrade and of the device."""

    what: str
    damage: Damage
    when: Moment
    ended: Phase
    cause: Kind | None
    runs: str


def play(device: Device, row: Row) -> None:
    """And the device can be upgraded again afterwards."""
    _cut_and_damage(device, row)
    if row.when is IDLE:
        device.plane.order(device.device_id, row.when.version)
    refuse_another_end(device, row.when.version, (row.ended, row.cause), row.runs)
    device.plane.order(device.device_id, LATER)
    refuse_another_end(device, LATER, (Phase.SUCCEEDED, None), LATER)


def _cut_and_damage(device: Device, row: Row) -> None:
    if row.when is not IDLE:
        device.stop_at(row.when.checkpoint)
        device.plane.order(device.device_id, row.when.version)
        eventually(lambda: device.stopped() is not None, "it is stopped")
    cut_power(device.root)
    row.damage(device)
    spawn_supervisor(device.root)


def refuse_another_end(
    device: Device, version: str, wanted: tuple[Phase, Kind | None], runs: str
) -> None:
    eventually(lambda: _end(device, version) is not None, f"{version} ends")
    found = _end(device, version)
    assert found == wanted, f"{found}: {device.plane.why(device.device_id)}"
    refuse_another_agent(device, runs)


def _end(device: Device, version: str) -> tuple[Phase, str | None] | None:
    upgrade = device.plane.view(device.device_id).get("upgrade")
    if not upgrade or upgrade["to_version"] != version or not Phase(upgrade["phase"]).final:
        return None
    return Phase(upgrade["phase"]), (upgrade["cause"] or {}).get("kind")


# Damages


def journal(data: bytes | None) -> Damage:
    """None: it is gone."""

    def damage(device: Device) -> None:
        file = device.machine.state / "journal.json"
        file.unlink(missing_ok=True)
        if data is not None:
            file.write_bytes(data)

    return damage


def journal_cut_in_half(device: Device) -> None:
    file = device.machine.state / "journal.json"
    data = file.read_bytes() if file.exists() else b'{"journal_id":"j","seq":1}'
    file.write_bytes(data[: len(data) // 2])


def journal_of_a_newer_schema(device: Device) -> None:
    """With fields that nobody here knows; all that is known means what it meant."""
    file = device.machine.state / "journal.json"
    told = json.loads(file.read_bytes())
    file.write_bytes(json.dumps({**told, "schema": 2, "weather": {"sun": [1, 2]}}).encode())


def journal_in_an_unknown_stage(device: Device) -> None:
    file = device.machine.state / "journal.json"
    told = json.loads(file.read_bytes())
    told["attempt"]["stage"] = "pondering"
    file.write_bytes(json.dumps({**told, "schema": 2}).encode())


def gone(path: Callable[[Device], Path]) -> Damage:
    return lambda device: path(device).unlink()


def half(path: Callable[[Device], Path]) -> Damage:
    """Of a program, so that it does not run any more."""

    def damage(device: Device) -> None:
        file = path(device)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return damage


def link(device: Device) -> Path:
    return device.machine.link


def previous(device: Device) -> Path:
    return device.machine.previous


def old_file(device: Device) -> Path:
    return device.machine.versions / f"fleet-agent-v{OLD}"


def new_file(device: Device) -> Path:
    return device.machine.versions / f"fleet-agent-v{NEW}"


def link_and_new_file_gone(device: Device) -> None:
    link(device).unlink()
    new_file(device).unlink()


def link_becomes_a_plain_file(device: Device) -> None:
    """As where somebody copies a program over it."""
    program = device.machine.link.resolve().read_bytes()
    device.machine.link.unlink()
    device.machine.link.write_bytes(program)
    device.machine.link.chmod(0o755)


def previous_dangles(device: Device) -> None:
    device.machine.previous.unlink(missing_ok=True)
    device.machine.previous.symlink_to("../../bin/fleet-agent-v0.9.0")
