"""harmony-fleet: `fleet upgrade` is typed, and the rest is heard on the wire."""

import math
import time
from collections.abc import Mapping

from tests.machines.control_plane import FLEET

from benchmarks.device.gaps import NotSeen
from benchmarks.device.site import Site
from benchmarks.device.turn import Turn, side_by_side
from benchmarks.device.watcher import Watched
from benchmarks.upgrade import Wire
from harmony_fleet.contracts.upgrade import AgentUpgradePhase as Phase

LIMIT_S = 120.0
LOOK_AGAIN_S = 0.02


class Harmony:
    name = "harmony-fleet"
    guarded = True

    def prepare(self, site: Site) -> None:
        pass

    def close(self) -> None:
        pass

    def upgrade(self, site: Site) -> Turn:
        wires = site.listener.wires
        before = site.spent()
        with site.watched() as seen:
            for wire in wires.values():
                wire.begin(site.new.version)
            words = ("upgrade", *site.names, "--to", site.new.version, "--data")
            typed = side_by_side(site, [[*FLEET, *words, str(site.plane.data)]])
            _wait(wires)
        spent = site.spent_since(before)
        marker_s = min(_heard(wire.marker_s) for wire in wires.values())
        committed_s = max(_heard(wire.acknowledged_s) for wire in wires.values())
        more = {
            "handover": max(_handed_over_s(wires[n], seen.devices[n]) for n in wires) - marker_s,
            "typed": committed_s - before.at_s,
            "typed cpu": typed.cpu_s,
            "operator cpu": spent.operator_s,
            "nats cpu": spent.nats_s,
            "missed": math.fsum(_missed(wire) for wire in wires.values()),
            "beats": math.fsum(wire.pace.beats for wire in wires.values()),
            **(_stages(*wires.values()) if len(wires) == 1 else {}),
        }
        cpu_s = spent.operator_s + spent.nats_s
        return Turn(committed_s - marker_s, cpu_s, seen, more)


def _wait(wires: Mapping[str, Wire]) -> None:
    """Until the operator has heard of the end of each probation."""
    ends_s = time.monotonic() + LIMIT_S
    while not all(wire.done.is_set() for wire in wires.values()):
        if time.monotonic() > ends_s:
            shown = {name: sorted(wire.phases_s) for name, wire in wires.items()}
            raise TimeoutError(f"not all had succeeded after {LIMIT_S:g} s: {shown}")
        time.sleep(LOOK_AGAIN_S)


def _handed_over_s(wire: Wire, watched: Watched) -> float:
    """The new primary is READY as the permanent unit, and was heard."""
    return max(_heard(wire.handed_over_s), watched.primary_ready_s)


def _missed(wire: Wire) -> int:
    wire.pace.looked(time.monotonic())
    return wire.pace.missed


def _stages(wire: Wire) -> dict[str, float]:
    """Where the time of one device goes, from the marker on."""
    instants = {
        "staging begun": wire.phases_s.get(Phase.STAGING),
        "staged": wire.phases_s.get(Phase.VERIFYING),
        "candidate heard": wire.candidate_s,
        "cutover ready": wire.phases_s.get(Phase.CUTOVER_READY),
        "committed": wire.acknowledged_s,
    }
    marker_s = _heard(wire.marker_s)
    return {f"at {name}": at_s - marker_s for name, at_s in instants.items() if at_s is not None}


def _heard(instant_s: float | None) -> float:
    if instant_s is None:
        raise NotSeen("an instant of the upgrade was not heard on the wire")
    return instant_s
