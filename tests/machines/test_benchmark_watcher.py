"""What the comparison of `make bench-device` rests on: that its watcher sees each gap, as it is."""

from collections.abc import Iterator

import pytest
from benchmarks.device.site import container
from benchmarks.device.watcher import CANDIDATE, PERMANENT, Watched, Watcher
from tests.machines.conftest import Install
from tests.machines.device import Device
from tests.machines.image import DEBIAN_12
from tests.machines.machine import Kind

pytestmark = pytest.mark.machines

NEAR_S = 0.03
"""Of systemd's own clocks, on a machine on which other tests run."""
SELF_MADE = ("--upgrade-id", "0123456789abcdef0123456789abcdef")


@pytest.fixture
def device(install: Install) -> Device:
    return install(Kind(DEBIAN_12))


@pytest.fixture
def watcher(device: Device) -> Iterator[Watcher]:
    made = Watcher({device.device_id: container(device)})
    made.begin()
    yield made
    made.close()


def watched(watcher: Watcher) -> Watched:
    (one,) = watcher.end().values()
    return one


def instant_s(device: Device, name: str) -> float:
    """As systemd remembers it, monotonic."""
    return float(device.machine.show(PERMANENT, f"{name}TimestampMonotonic")) / 1e6


def test_an_agent_that_nobody_touches_is_never_missing(watcher: Watcher) -> None:
    assert watched(watcher).gaps_s == ()


def test_a_stopped_agent_is_missing_from_its_end_until_systemd_has_its_ready(
    device: Device, watcher: Watcher
) -> None:
    device.machine.systemctl("stop", PERMANENT)
    ended_s = instant_s(device, "ExecMainExit")
    device.machine.run("sleep", "0.3")
    device.machine.systemctl("start", PERMANENT)
    (gap_s,) = watched(watcher).gaps_s
    assert gap_s > 0.3
    assert gap_s == pytest.approx(instant_s(device, "ActiveEnter") - ended_s, abs=NEAR_S)


def test_an_agent_that_is_killed_is_missing_as_long_as_systemd_takes_to_have_it_back(
    device: Device, watcher: Watcher
) -> None:
    device.machine.systemctl("kill", "--signal=KILL", PERMANENT)
    device.settled("1.0.0")
    (gap_s,) = watched(watcher).gaps_s
    assert gap_s > 0.2, "RestartSec"


def test_a_candidate_that_is_ready_stands_in_for_the_agent(
    device: Device, watcher: Watcher
) -> None:
    program = "/usr/local/bin/fleet-agent"
    run = ("systemd-run", "--quiet", "--collect", "--property=Type=notify", f"--unit={CANDIDATE}")
    device.machine.run(*run, program, "candidate", *SELF_MADE)
    device.machine.systemctl("restart", PERMANENT)
    assert watched(watcher).gaps_s == ()
    device.settled("1.0.0")  # the agent has swept it, once it was READY itself
    assert watched(watcher).gaps_s == ()
    watcher.begin()
    device.machine.systemctl("restart", PERMANENT)
    assert len(watched(watcher).gaps_s) == 1
