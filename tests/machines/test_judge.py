"""The judge of a device, which the storm and most tests here trust, sees what is planted."""

import pytest
from soak.faults import Kind as Wrong
from tests.machines.conftest import Install
from tests.machines.device import OLD, TIMER, UNIT, eventually
from tests.machines.image import DEBIAN_13
from tests.machines.installs import LINK
from tests.machines.machine import Kind

pytestmark = pytest.mark.machines

STATE, PREVIOUS = "/var/lib/fleet-agent", "/usr/local/lib/fleet-agent/previous"
OWN_FILE = f"/usr/bin/fleet-agent-v{OLD}"
PLANTED = (
    (f"systemctl stop {UNIT}", f"systemctl start {UNIT}", Wrong.LOST),
    (f"systemctl stop {TIMER}", f"systemctl start {TIMER}", Wrong.LOST),
    (f"touch {STATE}/attempt-open", f"rm {STATE}/attempt-open", Wrong.LEFT_OVER),
    ("touch /usr/bin/.left.part", "rm /usr/bin/.left.part", Wrong.LEFT_OVER),
    (f"ln -s x {LINK}.x && mv {LINK}.x /usr/local/bin/.x", "rm /usr/local/bin/.x", Wrong.LEFT_OVER),
    (
        "systemd-run --unit=fleet-agent-candidate sleep infinity",
        "systemctl stop fleet-agent-candidate",
        Wrong.LEFT_OVER,
    ),
    (
        f"systemd-run --unit=stray sh -c 'exec 9<{OWN_FILE}; exec tail -f {OWN_FILE}'",
        "systemctl stop stray",
        Wrong.LEFT_OVER,
    ),
    (
        "systemd-run --wait --unit=fails false",
        "systemctl reset-failed fails",
        Wrong.LEFT_OVER,
    ),
    (
        f"cp {OWN_FILE} /usr/bin/fleet-agent-v9.0.0 && ln -sf /usr/bin/fleet-agent-v9.0.0 {LINK}",
        f"ln -sf ../../bin/fleet-agent-v{OLD} {LINK}",
        Wrong.LINK,
    ),
    (f"ln -sf nowhere {PREVIOUS}", f"rm {PREVIOUS}", Wrong.LINK),
)


def test_the_judge_sees_what_is_planted_and_nothing_else(install: Install) -> None:
    device = install(Kind(DEBIAN_13))
    for plant, undo, kind in PLANTED:
        device.machine.run("sh", "-c", f"{plant} || :")

        def seen(only: Wrong = kind) -> bool:
            return {fault.kind for fault in device.faults(OLD)} == {only}

        eventually(seen, plant, lambda: device.faults(OLD), 10.0)
        device.machine.run("sh", "-c", undo)
        device.settled(OLD)
    assert {fault.kind for fault in device.faults("2.0.0")} == {
        Wrong.LOST,
        Wrong.RECORD,
        Wrong.LINK,
    }
    assert device.holds("9.0.0")
    assert not device.holds("9.0.1")
