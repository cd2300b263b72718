"""What the tests of real devices stand on: machines that boot, lose power, and leave nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.machines.conftest import Boot
from tests.machines.faults import disk_full, mounted
from tests.machines.hub import ADDRESS, Hub, Refused
from tests.machines.image import DEBIAN_12, DEBIAN_13, Recipe
from tests.machines.machine import Kind, Machine
from tests.machines.network import hub_cut_off
from tests.matrix.scene import eventually

pytestmark = pytest.mark.machines

SMALL = 48 << 20
MORE_THAN_A_SERVICE_GIVES_BACK = b"\0" * (4 << 20)
REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.5)"


@pytest.mark.parametrize(
    ("recipe", "systemd"), [(DEBIAN_12, "systemd 252"), (DEBIAN_13, "systemd 257")], ids=str
)
def test_a_machine_boots_and_keeps_the_service_manager_s_rules(
    boot: Boot, recipe: Recipe, systemd: str
) -> None:
    pi = boot("pi-1", Kind(recipe))
    assert pi.run("systemctl", "is-system-running") == "running\n"
    assert pi.run("systemctl", "--version").startswith(systemd)
    assert pi.run("hostname") == "pi-1\n"
    says_ready = "systemd-notify --ready && exec sleep infinity"
    options = ("--unit=ready", "--property=Type=notify", "--property=NotifyAccess=all")
    pi.run("systemd-run", *options, "sh", "-c", says_ready)
    assert pi.show("ready", "ActiveState") == "active"
    eventually(lambda: sleeper(pi) is not None, "what the shell gave way to runs in the unit")
    pi.run("kill", "-KILL", str(sleeper(pi)))
    killed = "ready.service: Main process exited, code=killed, status=9/KILL"
    eventually(lambda: killed in pi.journal("ready"), "the journal tells of it")


def test_what_a_unit_says_comes_back_and_a_failure_raises(boot: Boot) -> None:
    pi = boot("pi-1", Kind())
    assert pi.unit_run("said", "sh", "-c", "id -un", properties=("User=nobody",)) == "nobody\n"
    with pytest.raises(Refused, match="status 3: it says why"):
        pi.unit_run("failed", "sh", "-c", "echo it says why >&2; exit 3")


def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(boot: Boot) -> None:
    pi, bystander = boot("pi-1", Kind(disk_bytes=SMALL)), boot("pi-2", Kind())
    first_boot = boot_id(pi)
    pi.write("/var/synced", "kept")
    pi.run("sync")
    pi.write("/var/unsynced", "lost")
    pi.cut_power()
    assert not pi.is_on()
    assert pi.read("/var/synced") == "kept"
    pi.boot()
    assert pi.read("/var/synced") == "kept"
    assert pi.run("ls", "/var").split().count("unsynced") == 0
    assert boot_id(pi) != first_boot
    assert bystander.run("systemctl", "is-system-running") == "running\n"


def test_a_machine_that_reboots_is_up_again_with_its_log(boot: Boot) -> None:
    pi = boot("pi-1", Kind())
    say(pi, "before", "said before")
    first_boot, machine_id = boot_id(pi), pi.read("/etc/machine-id")
    with pi.rebooting():
        pi.run("systemctl", "reboot")
    assert boot_id(pi) != first_boot
    assert pi.read("/etc/machine-id") == machine_id
    assert "said before" in pi.journal("before")


def test_a_machine_may_be_held_between_its_end_and_its_boot(boot: Boot) -> None:
    pi = boot("pi-1", Kind(reboots_by_itself=False, volatile_journal=True))
    say(pi, "before", "said before")
    pi.run("systemctl", "reboot")
    pi.wait_off()
    assert pi.asked_for_reboot()
    pi.write("/etc/motd", "written meanwhile")
    pi.boot()
    assert pi.read("/etc/motd") == "written meanwhile"
    assert pi.journal("before") == []


def test_root_logs_in_by_its_key_and_the_machine_shows_its_own(boot: Boot, hub: Hub) -> None:
    pi = boot("pi-1", Kind())
    assert pi.ssh("hostname") == "pi-1\n"
    known = pi.access.config.with_name("known_hosts")
    known.write_text(known.read_text().replace(pi.address, "10.77.0.250"))
    with pytest.raises(Refused, match="Host key verification failed"):
        pi.ssh("true")


def test_machines_reach_the_hub_and_each_other_but_not_this_machine(boot: Boot, hub: Hub) -> None:
    one = boot("one", Kind())
    with listening() as port:
        assert not reaches(one, ADDRESS, port)
        assert not reaches(one, own_address(), port)
    with hub.inside(), listening() as port:
        comes_back(one, port)
        one.link.cut()
        two = boot("two", Kind(DEBIAN_13))
        comes_back(two, port)
        assert not reaches(one, ADDRESS, port)
        one.link.mend()
        comes_back(one, port)
        with hub_cut_off(hub):
            assert not reaches(two, ADDRESS, port)
            assert reaches(two, one.address, 22)
        comes_back(two, port)


def test_a_link_that_was_cut_stays_cut_over_a_boot(boot: Boot, hub: Hub) -> None:
    pi = boot("pi-1", Kind())
    with hub.inside(), listening() as port:
        pi.link.cut()
        pi.cut_power()
        pi.boot()
        assert not reaches(pi, ADDRESS, port)
        pi.link.mend()
        comes_back(pi, port)


def test_a_small_disk_gets_full_and_a_bad_one_read_only(boot: Boot) -> None:
    pi = boot("pi-1", Kind(disk_bytes=SMALL, volatile_journal=True))  # a journal would give way
    with disk_full(pi), pytest.raises(Refused, match="No space left on device"):
        pi.write("/var/one", MORE_THAN_A_SERVICE_GIVES_BACK)
    pi.write("/var/again", "there is room")
    pi.disk.turn_read_only()
    with pytest.raises(Refused, match="Read-only file system"):
        pi.write("/var/again", "no")
    assert pi.read("/var/again") == "there is room"


def test_a_folder_may_refuse_to_be_written_or_to_have_its_programs_run(boot: Boot) -> None:
    pi = boot("pi-1", Kind())
    pi.write("/opt/program", "#!/bin/sh\necho it runs\n", 0o755)
    with mounted(pi, "/opt", "noexec"), pytest.raises(Refused, match="status 203"):
        pi.unit_run("program", "/opt/program")
    with mounted(pi, "/opt", "ro"), pytest.raises(Refused, match="Read-only file system"):
        pi.write("/opt/program", "")
    assert pi.unit_run("program", "/opt/program") == "it runs\n"


def sleeper(machine: Machine) -> int | None:
    for process in machine.processes():
        if (process.unit, process.argv) == ("ready.service", ("sleep", "infinity")):
            return process.pid
    return None


def say(machine: Machine, unit: str, words: str) -> None:
    """Into the journal."""
    machine.run("systemd-run", "--wait", "--quiet", f"--unit={unit}", "echo", words)


def boot_id(machine: Machine) -> str:
    return machine.read("/proc/sys/kernel/random/boot_id")


def comes_back(machine: Machine, port: int) -> None:
    eventually(lambda: reaches(machine, ADDRESS, port), f"{machine.name} reaches the hub")


def reaches(machine: Machine, address: str, port: int) -> bool:
    try:
        machine.run("python3", "-c", REACH, address, str(port))
    except Refused:
        return False
    return True


@contextmanager
def listening() -> Iterator[int]:
    """On all addresses of the network that this thread is on."""
    with socket.create_server(("", 0)) as server:
        yield server.getsockname()[1]


def own_address() -> str:
    """By which this machine would be known outside, where it has a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        address: str = sock.getsockname()[0]
        return address
