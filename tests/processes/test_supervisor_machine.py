"""The whole machine: boot, power cut, shutdown, its socket, its logs, what it costs."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.processes.local_world import (
    SETTINGS,
    SOON_S,
    Device,
    ask_and_go_away,
    children,
    connected,
    device,
    gone_soon,
    self_test,
    start,
    until,
)

from harmony_fleet.agent.upgrade.local_messages import BOOT_ID, Refusal, UnitState
from harmony_fleet.contracts.codec import decode
from harmony_fleet.contracts.identity import check_token
from harmony_fleet.embedded.local_device import cut_power, running, spawn_supervisor
from harmony_fleet.embedded.supervisor.process import command
from harmony_fleet.embedded.supervisor.settings import SUPERVISOR, UNIT

SUPERVISOR_ARGV = [sys.executable, "-P", "-m", "harmony_fleet.embedded.supervisor"]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path / "device") as made:
        yield made


# Boot and power cut


def test_kill_9_of_the_supervisor_leaves_no_process(one: Device) -> None:
    one.prepare(
        replace(SETTINGS, deadman_s=0.1),
        primary="ignore_term(); ready(); rest()",
        expired="ignore_term(); mark('expired'); hang()",
    )
    one.install("2.0.0", self_test="ignore_term(); mark('self_test'); hang()")
    supervisor = one.run()
    start(one)
    ask_and_go_away(one, self_test(one))
    one.machine.attempt_open.touch()
    until(lambda: bool(one.marks("expired") and one.marks("self_test")))
    descriptors = [os.pidfd_open(pid) for pid in children(supervisor)]
    assert len(descriptors) == 4
    assert cut_power(one.root)
    assert all(gone_soon(descriptor) for descriptor in descriptors)


def test_each_boot_has_an_id_of_its_own(one: Device) -> None:
    one.prepare()
    one.run()
    first = check_token((one.machine.run / BOOT_ID).read_text().strip())
    assert one.state().boot_id == first
    cut_power(one.root)
    one.run()
    assert (one.machine.run / BOOT_ID).read_text().strip() == one.state().boot_id != first


def test_a_second_supervisor_of_the_same_root_says_so_and_exits_2(one: Device) -> None:
    one.prepare()
    pid = one.run()
    argv = [*SUPERVISOR_ARGV, "--root", str(one.root)]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=SOON_S)
    assert second.returncode == 2
    assert second.stderr.strip().endswith(f"as process {pid}; stop it first, or use it")
    assert one.state().unit is UnitState.RUNNING


def test_settings_that_make_no_sense_are_refused(one: Device) -> None:
    one.prepare()
    for settings in ('{"deadman_s": "often"}', '{"stop_limit_s": 0}', "{"):
        one.machine.settings.write_text(settings)
        argv = [*SUPERVISOR_ARGV, "--root", str(one.root)]
        refused = subprocess.run(argv, capture_output=True, text=True, timeout=SOON_S)
        assert refused.returncode == 2
        assert "not a Settings" in refused.stderr


def test_a_root_may_have_a_longer_path_than_a_socket_can(tmp_path: Path) -> None:
    with device(tmp_path / ("long" * 50)) as long:
        long.prepare()
        long.run()
        assert start(long).running is False


# Shutdown


def test_units_that_are_told_to_end_learn_that_the_machine_goes_down(one: Device) -> None:
    lingers = "signal.signal(15, lambda *_: (mark('told'), wait_for('go'), sys.exit(0)))"
    one.prepare(primary=f"{lingers}; ready(); rest()")
    one.install("2.0.0")
    supervisor = one.run()
    start(one)
    descriptors = [os.pidfd_open(pid) for pid in (supervisor, *children(supervisor))]
    assert one.state().stopping is False
    signal.pidfd_send_signal(descriptors[0], signal.SIGTERM)
    until(lambda: bool(one.marks("told")))
    assert one.state().stopping is True
    one.mark("go")
    assert all(gone_soon(descriptor) for descriptor in descriptors)
    assert not running(one.root)
    assert one.seen(SUPERVISOR, "ended") == 1
    assert one.seen(UNIT, "stopped status=0") == 1


def test_a_self_test_ends_after_the_primary_when_the_machine_goes_down(one: Device) -> None:
    lingers = "signal.signal(15, lambda *_: (mark('told'), wait_for('go'), sys.exit(0)))"
    one.prepare(primary=f"{lingers}; ready(); rest()")
    one.install("2.0.0", self_test="mark('begun'); hang()")
    supervisor = one.run()
    ask_and_go_away(one, self_test(one))
    until(lambda: bool(one.marks("begun")))
    descriptor = os.pidfd_open(supervisor)
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    until(lambda: bool(one.marks("told")))
    assert one.seen("transient", "ended") == 0
    one.mark("go")
    assert gone_soon(descriptor)
    assert one.seen("transient", "ended status=-15") == 1


# The socket


def test_the_socket_is_for_its_owner_alone(one: Device) -> None:
    one.prepare()
    one.run()
    assert stat.S_IMODE(one.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(one.socket.parent.stat().st_mode) == 0o700


def test_what_is_no_request_is_refused(one: Device) -> None:
    one.prepare()
    one.run()
    for line in (b"", b"[]", b'{"op":"dance"}', b'{"op":"run"}', b'{"op":"cancel"}'):
        assert decode(Refusal, _say(one, line + b"\n")).refused


def test_a_line_without_end_is_not_listened_to(one: Device) -> None:
    one.prepare()
    one.run()
    assert _say(one, b"x" * 1_000_000) == b""
    assert one.state().unit is UnitState.RUNNING


def _say(one: Device, line: bytes) -> bytes:
    with closing(connected(one)) as sock:
        try:
            sock.sendall(line)
            return sock.recv(65536)
        except ConnectionError:
            return b""


# Logs and environment


def test_what_a_unit_prints_is_in_its_log_and_the_log_is_bounded(one: Device) -> None:
    one.prepare(
        replace(SETTINGS, log_bytes=10_000),
        primary="print('out', flush=True); ready(); wait_for('go');"
        "[print('x' * 99, flush=True) for _ in range(1000)]; print('end', flush=True); rest()",
    )
    one.run()
    until(lambda: "out\n" in one.log(UNIT) and "the last words" in one.log(UNIT))
    one.mark("go")
    until(lambda: one.log(UNIT).endswith("end\n"))
    files = list(one.machine.log.glob(f"{UNIT}.log*"))
    assert len(files) == 2
    assert all(file.stat().st_size <= 65536 for file in files)


def test_the_environment_of_a_program_is_small(
    one: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_WHO_STARTED_IT", "x")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    one.prepare(primary="mark('names', ' '.join(os.environ)); ready(); rest()")
    one.run()
    names = set(one.marks("names")[0].split())
    assert names >= {"PATH", "FLEET_AGENT_CONFIG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "http_proxy"}
    assert not names & {"A_SECRET_OF_WHO_STARTED_IT", "PYTHONPATH"}


def test_a_supervisor_stays_small(one: Device) -> None:
    one.prepare()
    one.install("2.0.0", self_test="os.write(1, b'x' * 1000000)")
    pid = one.run()
    start(one)
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    assert int(found[1]) < 25 * 1024


# How programs are run


@pytest.mark.parametrize(
    ("name", "content", "by_interpreter"),
    [
        ("agent", b"#!/usr/bin/python3 -IS\nPK\x03\x04", True),
        ("agent", b"#!/usr/bin/env python3.12\n", True),
        ("agent", b"PK\x03\x04rest", True),
        ("agent.py", b"import sys\n", True),
        ("agent", b"#!/bin/sh\n", False),
        ("agent", b"\x7fELF", False),
        ("agent", None, False),
    ],
)
def test_the_interpreter_runs_what_is_pythons_and_nothing_else(
    tmp_path: Path, name: str, content: bytes | None, by_interpreter: bool
) -> None:
    file, link = tmp_path / name, tmp_path / "link"
    link.symlink_to(file)
    if content is not None:
        file.write_bytes(content)
    own = [str(link), "guard"]
    assert command("python", link, ["guard"]) == (["python", "-IS"] * by_interpreter) + own
    assert command(None, link, ["guard"]) == own


def test_a_program_that_is_not_pythons_is_run_directly(one: Device) -> None:
    one.prepare()
    script = one.path_of("2.0.0")
    script.write_text("#!/bin/sh\necho ran $0 > sh.mark\nexec sleep 1000\n")
    script.chmod(0o755)
    one.point(one.machine.link, "2.0.0")
    spawn_supervisor(one.root)
    until(lambda: one.marks("sh") == [f"ran {one.machine.link}"])
