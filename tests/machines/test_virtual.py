"""A virtual machine boots, runs what it is told to, loses its power at any instant, and is gone.

Where no guest runs they are skipped, in a sentence that says why.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machines.hub import Hub, Refused, hub_at
from tests.machines.image import DEBIAN_12, DEBIAN_13
from tests.machines.machine import Kind
from tests.machines.nspawn import MachineOff
from tests.machines.test_nothing_left import left_over
from tests.machines.virtual import VirtualMachine, virtual_machine
from tests.machines.why_no_virtual_machine import why_no_virtual_machine
from tests.matrix.scene import eventually

pytestmark = pytest.mark.machines

TORN = 'while :; do echo "$$" >>/var/torn; done'


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[Hub]:
    if why := why_no_virtual_machine():
        pytest.skip(why)
    with hub_at(tmp_path) as made:
        yield made


def test_a_power_cut_takes_what_was_not_synced_and_leaves_a_sound_disk(own_hub: Hub) -> None:
    with virtual_machine(own_hub, "pi-1", Kind(DEBIAN_12)) as pi:
        it_runs_what_it_is_told_to(pi)
        pi.run("systemd-run", "--unit=writes", "sh", "-c", TORN)
        pi.write("/var/synced", "kept")
        pi.run("sync", "/var/synced", "/var")
        pi.write("/var/unsynced", "lost")
        pi.cut_power()
        assert not pi.is_on()
        with pytest.raises(MachineOff, match="pi-1 is off"):
            pi.run("true")
        assert pi.flaws_of_disk() == ""
        pi.boot()
        assert pi.read("/var/synced") == "kept"
        assert pi.run("sh", "-c", "cat /var/unsynced 2>/dev/null || :") == ""
        assert pi.run("systemctl", "is-system-running") == "running\n"


def it_runs_what_it_is_told_to(pi: VirtualMachine) -> None:
    assert pi.run("hostname") == "pi-1\n"
    assert pi.run("cat", stdin=b"said to it") == "said to it"
    assert pi.ssh("hostname") == "pi-1\n"
    with pytest.raises(Refused, match="status 3: it says why"):
        pi.run("sh", "-c", "echo it says why >&2; exit 3")
    pi.run("systemd-run", "--unit=sleeps", "sleep", "infinity")
    seen = [one.argv for one in pi.processes() if one.unit == "sleeps.service"]
    assert seen == [("/usr/bin/sleep", "infinity")]


def test_a_cut_ends_what_runs_and_the_end_of_the_hub_leaves_nothing(tmp_path: Path) -> None:
    if why := why_no_virtual_machine():
        pytest.skip(why)
    with hub_at(tmp_path) as hub:
        with virtual_machine(hub, "pi-1", Kind(DEBIAN_13)) as pi:
            before = pi.read("/proc/sys/kernel/random/boot_id")
            pi.reboot()
            assert pi.read("/proc/sys/kernel/random/boot_id") != before
            said: list[str] = []
            runs = threading.Thread(target=run_until_the_cut, args=(pi, said))
            runs.start()
            eventually(lambda: sleeps(pi), "the command runs")
            pi.cut_power()
            runs.join(20)
            assert not runs.is_alive()
            assert "MachineOff" in said[0]
            pi.start()
            cut = threading.Timer(1, pi.cut_power)
            cut.start()
            with pytest.raises(MachineOff, match="power was cut while it booted"):
                pi.wait_up()
            cut.join()
        assert hub.run("ip", "-o", "link", "show", "type", "tun") == ""
        assert not (tmp_path / "pi-1").exists()
        pid = hub.pid
    assert left_over(tmp_path, pid) == []


def run_until_the_cut(pi: VirtualMachine, said: list[str]) -> None:
    try:
        said.append(pi.run("sleep", "3141"))
    except (MachineOff, Refused) as error:
        said.append(repr(error))


def sleeps(pi: VirtualMachine) -> bool:
    return "sleep 3141" in pi.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
