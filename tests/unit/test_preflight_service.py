"""Service managers and units, as a preflight judges them, and what systemctl says of a unit."""

from dataclasses import replace
from pathlib import Path

import pytest

from harmony_fleet.agent.preflight import systemd
from harmony_fleet.agent.preflight.service import Manager, Unit, judge_service
from harmony_fleet.agent.preflight.systemd import Systemd, read_unit
from harmony_fleet.contracts.preflight import CheckName, CheckState

PID = 4321
UNIT = Unit("fleet-agent.service", "active", running=True, main_pid=PID)
MANAGER = Manager("systemd", (), UNIT)
LINK, PREVIOUS = "/usr/local/bin/fleet-agent", "/usr/local/lib/fleet-agent/previous"
TIMER = "fleet-agent-deadman.timer"
ASKED = Systemd("fleet-agent.service", Path(LINK), Path(PREVIOUS), TIMER)
START = f"{{ path={LINK} ; argv[]={LINK} ; ignore_errors=no ; start_time=[n/a] ; pid={PID} }}"
GUARD = f"{{ path=/usr/bin/timeout ; argv[]=/usr/bin/timeout -k 2 20 {PREVIOUS} guard ; pid=0 }}"
SHOWN = f"""\
Restart=always
RestartForceExitStatus=75
MainPID={PID}
ExecStart={START}
LoadState=loaded
ActiveState=active
NeedDaemonReload=no
ExecStartPre={GUARD}
StartLimitIntervalUSec=0

ActiveState=active
"""
"""In the order and the form of systemd 252."""


def test_a_manager_that_is_there_and_a_unit_that_runs_this_agent_are_well() -> None:
    manager, unit = judge_service(MANAGER, PID)
    assert (manager.name, manager.state) == (CheckName.SERVICE_MANAGER, CheckState.OK)
    assert (unit.name, unit.state) == (CheckName.UNIT, CheckState.OK)


def test_each_flaw_of_a_manager_is_told_and_its_unit_is_then_unknown() -> None:
    gone = Manager("systemd", ("process 1 is tini", "there is no systemd-run"))
    manager, unit = judge_service(gone, PID)
    assert (manager.state, unit.state) == (CheckState.FAILED, CheckState.UNKNOWN)
    assert manager.detail == "process 1 is tini; there is no systemd-run"


@pytest.mark.parametrize(
    ("unit", "state", "words"),
    [
        (replace(UNIT, running=False, state="failed"), CheckState.FAILED, "is failed, and this"),
        (replace(UNIT, main_pid=7), CheckState.FAILED, "runs process 7, and this agent"),
        (replace(UNIT, main_pid=None), CheckState.FAILED, "runs process None"),
        (replace(UNIT, flaws=("starts /bin/x",)), CheckState.FAILED, "service starts /bin/x"),
        (replace(UNIT, remarks=("was changed",)), CheckState.WARNING, "service was changed"),
        ("systemctl gave no answer", CheckState.UNKNOWN, "no answer"),
    ],
)
def test_an_agent_that_its_unit_does_not_run_could_not_hand_over(
    unit: Unit | str, state: CheckState, words: str
) -> None:
    _, judged = judge_service(replace(MANAGER, unit=unit), PID)
    assert judged.state is state
    assert words in judged.detail


def shown(timer: str = "active", **changed: str) -> Unit:
    unit = SHOWN.partition("\n\n")[0]
    lines = dict(line.split("=", 1) for line in unit.splitlines()) | changed
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    return read_unit(ASKED, f"{text}\nActiveState={timer}\n")


def test_a_unit_is_read_from_what_systemctl_shows() -> None:
    assert shown() == UNIT


@pytest.mark.parametrize(
    "starts_again", [{"Restart": "no"}, {"RestartForceExitStatus": ""}], ids=["forced", "always"]
)
def test_either_way_of_starting_again_after_75_will_do(starts_again: dict[str, str]) -> None:
    assert shown(**starts_again).flaws == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"Restart": "on-failure", "RestartForceExitStatus": "1 2"}, "after exit status 75"),
        ({"RestartPreventExitStatus": "1 75"}, "after exit status 75"),
        ({"ExecStart": f"{{ path={LINK} ; argv[]={LINK} --set a=b ; }}"}, "--set a=b: arguments"),
        ({"ExecStart": "{ path=/opt/x ; argv[]=/opt/x ; }"}, f"starts /opt/x, not {LINK}"),
        ({"ExecStart": ""}, "nothing that is understood"),
    ],
)
def test_what_keeps_a_unit_from_a_handover_is_a_flaw(changed: dict[str, str], words: str) -> None:
    (flaw,) = shown(**changed).flaws
    assert words in flaw


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (shown(NeedDaemonReload="yes"), "daemon-reload"),
        (shown(ExecStartPre=""), "no guard before its start"),
        (shown(StartLimitIntervalUSec="10s"), "may give up starting"),
        (shown(timer="inactive"), "fleet-agent-deadman.timer is inactive"),
    ],
)
def test_what_keeps_a_version_that_does_not_last_from_being_undone_is_remarked_upon(
    unit: Unit, words: str
) -> None:
    (remark,) = unit.remarks
    assert words in remark


@pytest.mark.parametrize(
    ("changed", "state", "main_pid"),
    [
        ({"ActiveState": "activating"}, "activating", PID),
        ({"LoadState": "not-found", "ActiveState": "inactive", "MainPID": "0"}, "not-found", None),
        ({"MainPID": "many"}, "active", None),
    ],
)
def test_a_unit_that_does_not_run_says_how_it_is(
    changed: dict[str, str], state: str, main_pid: int | None
) -> None:
    unit = shown(**changed)
    assert (unit.state, unit.running, unit.main_pid) == (state, state == "active", main_pid)


def test_of_an_answer_that_is_none_nothing_is_believed() -> None:
    unit = read_unit(ASKED, "hello\n=\n\n")
    assert not unit.running
    assert unit.state == "unknown"


# The look itself, at commands that a test wrote


@pytest.fixture
def machine(tmp_path: Path) -> Systemd:
    """One that systemd runs, by its looks."""
    (tmp_path / "booted").mkdir()
    return replace(
        ASKED,
        systemctl=command(tmp_path / "systemctl", f"cat <<'END'\n{SHOWN}END"),
        systemd_run=command(tmp_path / "systemd-run", "exit 99"),
        booted=tmp_path / "booted",
    )


def command(path: Path, script: str) -> str:
    path.write_text(f'#!/bin/sh\necho "$@" >> {path}.asked\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_systemd_is_asked_for_the_unit_and_nothing_is_run(machine: Systemd, tmp_path: Path) -> None:
    assert systemd.look(machine) == Manager("systemd", (), UNIT)
    asked = (tmp_path / "systemctl.asked").read_text()
    assert asked.startswith("show --no-pager --property=LoadState,")
    assert asked.endswith(" -- fleet-agent.service fleet-agent-deadman.timer\n")
    assert not (tmp_path / "systemd-run.asked").exists()


def test_a_machine_that_another_init_runs_is_told_and_not_asked(
    machine: Systemd, tmp_path: Path
) -> None:
    machine.booted.rmdir()
    found = systemd.look(machine)
    assert found.flaws == ("systemd does not run this machine",)
    assert isinstance(found.unit, str)
    assert not (tmp_path / "systemctl.asked").exists()


def test_every_flaw_of_the_machine_is_told_at_once(machine: Systemd, tmp_path: Path) -> None:
    (tmp_path / "booted").rmdir()
    bare = replace(machine, systemctl="/nowhere/systemctl", systemd_run="/nowhere/systemd-run")
    assert systemd.look(bare).flaws == (
        "systemd does not run this machine",
        "/nowhere/systemctl is not there, or cannot be run",
        "/nowhere/systemd-run is not there, or cannot be run",
    )


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Failed to connect to bus' >&2; exit 1", "Failed to connect to bus"),
        ("exit 3", "exit status 3"),
    ],
)
def test_a_systemctl_that_fails_leaves_the_unit_unknown(
    machine: Systemd, tmp_path: Path, script: str, words: str
) -> None:
    command(tmp_path / "systemctl", script)
    found = systemd.look(machine)
    assert found.flaws == ()
    assert isinstance(found.unit, str)
    assert words in found.unit


def test_a_systemctl_that_cannot_be_started_leaves_the_unit_unknown(
    machine: Systemd, tmp_path: Path
) -> None:
    (tmp_path / "systemctl").write_text("#!/nowhere/sh\n")
    assert "gave no answer" in str(systemd.look(machine).unit)
