"""Run within a machine: one case of the executor's contract, or one of our own, over its systemd.

    python3 executor_inside.py CASE

The exit status is 0 where it holds. Needs the standard library and the device's own code alone.
"""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harmony_fleet.agent.upgrade.layout import Layout, Paths
from harmony_fleet.agent.upgrade.ports import Program, UpgradeFault
from harmony_fleet.agent.upgrade.systemd import SystemdExecutor
from harmony_fleet.contracts.upgrade import Artifact, CauseKind
from harmony_fleet.testing import executor_suite
from harmony_fleet.testing.executor_suite import LAST_WORDS, LONG_S, UPGRADE_ID, VERSION, Behaviour

RUNNING = "1.0.0"
PROGRAM = Program("contract")
UNITS = Path("/etc/systemd/system")
UNIT = """\
[Service]
Type=notify
ExecStart=/usr/local/bin/contract
Restart=always
WatchdogSec=30
Environment="GIVEN=to the unit"
MemoryMax=150M
ProtectHome=yes
NoExecPaths=/
ExecPaths=/usr
[Install]
WantedBy=multi-user.target
"""
STAND = """\
#!/usr/bin/python3
# {salt}
import os, signal, socket, sys, time
print({words!r}, *sys.argv[1:], file=sys.stderr, flush=True)
behaviour = {behaviour!r}
def hang(deaf):
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)
def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
home = "closed" if os.path.ismount("/home") else "open"
print("environment", os.environ.get("GIVEN"), "home", home, file=sys.stderr, flush=True)
if sys.argv[1] == "--self-test":
    if behaviour == "hangs_in_self_test":
        hang(deaf=True)
    if behaviour == "excuses_itself":
        print("x: Main process exited, code=exited, status=226/NAMESPACE", file=sys.stderr)
        sys.exit(-1)
    sys.exit(behaviour in ("fails_self_test", "shows"))
if sys.argv[1] == "guard":
    if behaviour == "hangs_in_self_test":
        hang(deaf=True)
    sys.exit(behaviour == "guard_broken")
if behaviour == "exits_at_once":
    sys.exit(1)
if behaviour != "never_ready":
    ready()
hang(deaf=False)
"""
KILLED_SYSTEMD_RUN = """\
#!/bin/sh
/usr/bin/systemd-run --no-block "$@"
kill -9 $$
"""
SHOWS = "shows"
"""Fails its self-test, so that what it saw is told."""
EXCUSES_ITSELF = "excuses_itself"
"""Fails it by a status, and with a line, that look like systemd's own."""
WRONG_UNITS = {
    "does not start again": UNIT.replace("Restart=always", "Restart=on-failure"),
    "after exit status 75": f"{UNIT}[Service]\nRestartPreventExitStatus=1 75\n",
    "arguments, which": UNIT.replace("/contract\n", "/contract --set log_level=DEBUG\n"),
    "not /usr/local/bin/contract": UNIT.replace("/local/bin/contract", "/bin/contract"),
}
"""By what is said of it."""


class World:
    """`executor_suite.World`, on the machine that this runs in."""

    short_s = 1.5

    def __init__(self, server: "Artifacts", descriptor: int) -> None:
        root = Path("/var/lib/contract")
        self.paths = Paths(Path("/usr/bin"), Path("/usr/local/bin/contract"), root / "prev", root)
        layout = Layout(PROGRAM, self.paths, own_descriptor=descriptor, own_version=RUNNING)
        self.executor = SystemdExecutor(layout, candidate_runtime_s=2250.0)
        self.running_sha256 = hashlib.sha256(running_file().read_bytes()).hexdigest()
        self._server = server

    async def publish(self, version: str, behaviour: Behaviour | str) -> Artifact:
        salt = f"{version} {len(self._server.files)}"
        content = stand(salt, str(behaviour))
        sha256 = hashlib.sha256(content).hexdigest()
        if behaviour is Behaviour.WRONG_BYTES:
            content = content[:-1] + bytes([content[-1] ^ 1])
        url = self._server.publish(content, behaviour is Behaviour.STALLS)
        return Artifact(url, len(content), sha256)

    def path_of(self, version: str) -> Path:
        return self.paths.versions / f"contract-v{version}"

    def at_final_path(self, version: str) -> bytes | None:
        path = self.path_of(version)
        return path.read_bytes() if path.exists() else None

    def processes(self, version: str) -> int:
        path = os.fsencode(self.path_of(version))
        found = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                found += path in (folder / "cmdline").read_bytes().split(b"\0")[:2]
            except OSError:
                continue
        return found

    async def kill_candidate(self) -> None:
        os.kill(int(shown("contract-candidate.service", "MainPID")), signal.SIGKILL)


# What systemd alone can get wrong


async def what_is_tried_has_the_units_environment_sandbox_and_limits(world: World) -> None:
    artifact = await world.publish(VERSION, SHOWS)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    fault = await fault_of(world.executor.self_test(VERSION, LONG_S))
    assert "environment to the unit home closed" in fault.evidence, fault.evidence
    await world.executor.start_candidate(VERSION, UPGRADE_ID, LONG_S)
    log = await world.executor.candidate_log()
    assert "environment to the unit home closed" in log, log
    unit = "contract-candidate.service"
    assert shown(unit, "MemoryMax") == str(150 * 1024**2)
    assert shown(unit, "WatchdogUSec") == "30s"
    assert shown(unit, "RuntimeMaxUSec") == "37min 30s"
    assert shown(unit, "Restart") == "no"
    await world.executor.stop_candidate()


async def no_unit_is_left_whatever_became_of_what_was_run(world: World) -> None:
    for behaviour in (Behaviour.GOOD, Behaviour.FAILS_SELF_TEST, Behaviour.HANGS_IN_SELF_TEST):
        await world.executor.stage(VERSION, await world.publish(VERSION, behaviour), lambda _: None)
        for step in (world.executor.self_test, world.executor.dry_run_guard):
            try:
                await step(VERSION, world.short_s)
            except UpgradeFault:
                continue
    for behaviour in (Behaviour.EXITS_AT_ONCE, Behaviour.NEVER_READY, Behaviour.GOOD):
        await world.executor.stage(VERSION, await world.publish(VERSION, behaviour), lambda _: None)
        try:
            await world.executor.start_candidate(VERSION, UPGRADE_ID, world.short_s)
        except UpgradeFault:
            continue
    await world.executor.stop_candidate()
    assert units() == [], units()


async def a_candidate_outlives_the_permanent_units_restart_and_stop(world: World) -> None:
    primary = world.paths.link
    primary.write_text("#!/bin/sh\nexec sleep infinity\n")
    primary.chmod(0o755)
    install(f"[Service]\nExecStart={primary}\nRestart=always\n")
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    systemctl("start", "contract.service")
    await world.executor.start_candidate(VERSION, UPGRADE_ID, LONG_S)
    pid = shown("contract-candidate.service", "MainPID")
    for verb in ("restart", "stop"):
        systemctl(verb, "contract.service")
        assert shown("contract-candidate.service", "MainPID") == pid, verb
    await world.executor.stop_candidate()
    primary.unlink()


async def the_log_of_one_candidate_is_not_told_as_that_of_the_next(world: World) -> None:
    for upgrade_id in ("ab" * 16, UPGRADE_ID):
        artifact = await world.publish(VERSION, Behaviour.EXITS_AT_ONCE)
        await world.executor.stage(VERSION, artifact, lambda _: None)
        fault = await fault_of(world.executor.start_candidate(VERSION, upgrade_id, LONG_S))
        assert upgrade_id in fault.evidence, fault.evidence
        assert ("ab" * 16 in fault.evidence) == (upgrade_id != UPGRADE_ID), fault.evidence
        assert "status=1" in fault.evidence, fault.evidence


async def a_device_whose_unit_is_missing_is_the_devices_fault(world: World) -> None:
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    (UNITS / "contract.service").unlink()
    reload()
    await blames_the_device(world.executor.self_test(VERSION, LONG_S), "contract.service")
    starting = world.executor.start_candidate(VERSION, UPGRADE_ID, LONG_S)
    await blames_the_device(starting, "contract.service")
    assert units() == [], units()


async def a_setting_that_no_transient_unit_takes_is_the_devices_fault(world: World) -> None:
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    install(UNIT.replace("ProtectHome=yes", "NoSuchSetting=yes"))
    await blames_the_device(world.executor.self_test(VERSION, LONG_S), "NoSuchSetting")


async def settings_that_cannot_be_set_up_are_the_devices_fault(world: World) -> None:
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    install(UNIT.replace("ProtectHome=yes", "User=nobody-of-that-name"))
    for step in (
        world.executor.self_test(VERSION, LONG_S),
        world.executor.dry_run_guard(VERSION, LONG_S),
        world.executor.start_candidate(VERSION, UPGRADE_ID, LONG_S),
    ):
        await blames_the_device(step, "217/USER")
    assert units() == [], units()


async def a_unit_that_would_not_start_what_is_tried_is_the_devices_fault(world: World) -> None:
    """Once committed, nobody would start it, or another program."""
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    for words, unit in WRONG_UNITS.items():
        install(unit)
        await blames_the_device(world.executor.self_test(VERSION, LONG_S), words)
        starting = world.executor.start_candidate(VERSION, UPGRADE_ID, LONG_S)
        await blames_the_device(starting, words)
    (UNITS / "contract.service").unlink()
    (UNITS / "contract.service").symlink_to("/dev/null")
    reload()
    await blames_the_device(world.executor.self_test(VERSION, LONG_S), "it is masked")
    (UNITS / "contract.service").unlink()
    assert units() == [], units()


async def a_version_that_ends_as_if_systemd_had_failed_is_not_excused(world: World) -> None:
    artifact = await world.publish(VERSION, EXCUSES_ITSELF)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    fault = await fault_of(world.executor.self_test(VERSION, LONG_S))
    assert fault.cause is CauseKind.SELF_TEST_FAILED, fault


async def without_its_commands_systemd_is_the_devices_fault(world: World) -> None:
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    os.environ["PATH"] = "/nowhere"
    await blames_the_device(world.executor.self_test(VERSION, LONG_S), "systemctl")


async def a_systemd_run_that_is_killed_is_the_devices_fault_and_leaves_nothing(
    world: World,
) -> None:
    """As by a kernel that is short of memory: of the version that says nothing."""
    artifact = await world.publish(VERSION, Behaviour.HANGS_IN_SELF_TEST)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    lay_over("systemd-run", KILLED_SYSTEMD_RUN)
    await blames_the_device(world.executor.self_test(VERSION, LONG_S), "systemd-run was killed")
    assert (world.processes(VERSION), units()) == (0, [])


async def who_is_killed_in_a_self_test_leaves_it_to_its_limit_alone(world: World) -> None:
    """The next one begins by ending it: its name is taken until then."""
    artifact = await world.publish(VERSION, Behaviour.HANGS_IN_SELF_TEST)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    begin(f"contract-self-test-v{VERSION}.service", str(world.path_of(VERSION)), "--self-test")
    artifact = await world.publish(VERSION, Behaviour.GOOD)
    await world.executor.stage(VERSION, artifact, lambda _: None)
    await world.executor.self_test(VERSION, LONG_S)
    assert (world.processes(VERSION), units()) == (0, [])


OURS = (
    what_is_tried_has_the_units_environment_sandbox_and_limits,
    a_candidate_outlives_the_permanent_units_restart_and_stop,
    no_unit_is_left_whatever_became_of_what_was_run,
    the_log_of_one_candidate_is_not_told_as_that_of_the_next,
    a_device_whose_unit_is_missing_is_the_devices_fault,
    a_setting_that_no_transient_unit_takes_is_the_devices_fault,
    settings_that_cannot_be_set_up_are_the_devices_fault,
    a_unit_that_would_not_start_what_is_tried_is_the_devices_fault,
    a_version_that_ends_as_if_systemd_had_failed_is_not_excused,
    without_its_commands_systemd_is_the_devices_fault,
    a_systemd_run_that_is_killed_is_the_devices_fault_and_leaves_nothing,
    who_is_killed_in_a_self_test_leaves_it_to_its_limit_alone,
)
CASES = {case.__name__: case for case in (*executor_suite.CASES, *OURS)}


def stand(salt: str, behaviour: str) -> bytes:
    return STAND.format(salt=salt, words=LAST_WORDS, behaviour=behaviour).encode()


def running_file() -> Path:
    return Path(f"/usr/bin/contract-v{RUNNING}")


def install(unit: str) -> None:
    (UNITS / "contract.service").write_text(unit)
    reload()


def reload() -> None:
    systemctl("daemon-reload")


def systemctl(*words: str) -> None:
    subprocess.run(["systemctl", *words], check=True)


def lay_over(command: str, script: str) -> None:
    """What is run under that name from now on."""
    file = Path("/var/lib/contract/commands") / command
    file.parent.mkdir(exist_ok=True)
    file.write_text(script)
    file.chmod(0o755)
    os.environ["PATH"] = f"{file.parent}:{os.environ['PATH']}"


def begin(unit: str, *argv: str) -> None:
    words = ["systemd-run", "--quiet", f"--unit={unit}", "--property=TimeoutStopSec=1", "--"]
    subprocess.run([*words, *argv], check=True)


def shown(unit: str, name: str) -> str:
    argv = ["systemctl", "show", f"--property={name}", "--value", unit]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def units() -> list[str]:
    argv = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "contract-*"]
    listed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [line.split()[0] for line in listed.splitlines()]


class Artifacts(ThreadingHTTPServer):
    """What each path serves; what stalls sends a half of it, and then nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.files: dict[str, tuple[bytes, bool]] = {}
        self.closing = threading.Event()

    def publish(self, content: bytes, stalls: bool) -> str:
        path = f"/artifact-{len(self.files)}"
        self.files[path] = content, stalls
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class _Exchange(BaseHTTPRequestHandler):
    server: Artifacts

    def do_GET(self) -> None:
        if self.path not in self.server.files:
            self.send_error(404)
            return
        content, stalls = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if stalls else content)
        if stalls:
            self.server.closing.wait()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Silent."""


@contextmanager
def artifacts() -> Iterator[Artifacts]:
    with Artifacts() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def prepare() -> None:
    running_file().write_bytes(stand("running", "good"))
    running_file().chmod(0o755)
    Path("/var/lib/contract").mkdir(exist_ok=True)
    install(UNIT)


async def fault_of(step: Awaitable[None]) -> UpgradeFault:
    try:
        await step
    except UpgradeFault as fault:
        return fault
    raise AssertionError("it was to fail, and did not")


async def blames_the_device(step: Awaitable[None], words: str) -> None:
    fault = await fault_of(step)
    assert fault.cause is CauseKind.DEVICE_FAULT, fault
    assert words in fault.sentence, fault


async def run(case: str) -> None:
    with artifacts() as server, running_file().open("rb") as file:
        await CASES[case](World(server, file.fileno()))


if __name__ == "__main__":
    prepare()
    asyncio.run(run(sys.argv[1]))
    for path in Path("/usr/bin").glob("*contract-v*"):
        path.unlink()
