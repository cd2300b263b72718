"""A cluster on this machine, against a stand-in for the container engine and for k3d."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from tests.processes.stand_in_api import Ran
from tests.processes.stand_in_engine import State, engine, program

from harmony_fleet.cli.main import main
from harmony_fleet.devcluster.engine import find_engine
from harmony_fleet.devcluster.errors import NoEngine

PROGRAM = "from harmony_fleet.cli.main import run; run()"
EVERYTHING = ["containers/k3d-fleet-server-0", "networks/k3d-fleet", "volumes/k3d-fleet-images"]


@dataclass
class World:
    folder: Path
    state: State
    capture: pytest.CaptureFixture[str]
    running: ExitStack

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "home/.kube/k3d-fleet.yaml"

    def __call__(self, *words: str) -> Ran:
        """`fleet dev cluster` in this process."""
        self.capture.readouterr()
        status = main(["dev", "cluster", *words])
        said = self.capture.readouterr()
        return Ran(status, said.out, said.err)

    @contextmanager
    def process(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """One that is killed where the test did not see it end."""
        argv = [sys.executable, "-c", PROGRAM, "dev", "cluster", *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as ran:
            try:
                yield ran
            finally:
                ran.kill()
                self.state.go_on()


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    state = State(tmp_path / "state").made()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLEET_K3D", str(program(tmp_path / "k3d", state)))
    with ExitStack() as running:
        socket = running.enter_context(engine(tmp_path, state))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        yield World(tmp_path, state, capsys, running)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_cluster_is_made_shown_and_removed(world: World) -> None:
    assert (world("status").status, world("status").out) == (1, "fleet  there is no such cluster\n")
    ran = world("up", "--agents", "1")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[:2] == [
        "fleet  created, and answers",
        f"kubeconfig: {world.kubeconfig}",
    ]
    assert "current-context: k3d-fleet" in world.kubeconfig.read_text()
    assert stat.S_IMODE(world.kubeconfig.stat().st_mode) == 0o600
    down = world("down")
    assert (down.status, down.out) == (0, "fleet  removed\n")
    assert world.state.everything() == []
    assert not world.kubeconfig.exists()


def test_the_users_own_kubeconfig_is_not_touched(world: World) -> None:
    world("up")
    create = next(words for words in world.state.asked() if words[1] == "create")
    assert "--kubeconfig-update-default=false" in create
    assert [one.name for one in world.kubeconfig.parent.glob("[!.]*")] == ["k3d-fleet.yaml"]


def test_one_that_runs_is_left_as_it_is_and_one_that_is_stopped_is_started(world: World) -> None:
    world("up")
    again = world("up")
    assert (again.status, again.out.splitlines()[0]) == (0, "fleet  runs already")
    node = world.state.folder / "containers/k3d-fleet-server-0"
    node.write_text(node.read_text().replace("true", "false"))
    status = world("status", "--json")
    assert (status.status, status.document["state"]) == (1, "stopped")
    started = world("up", "--json").document
    assert (started["made"], started["state"]) == ("started", "running")
    assert started["kubeconfig"] == str(world.kubeconfig)
    assert [words[1] for words in world.state.asked()].count("create") == 1


def test_several_clusters_do_not_know_each_other(world: World) -> None:
    world("up")
    world("up", "--name", "other")
    assert world("down").out == "fleet  removed\n"
    assert world("down").out == "fleet  there is no such cluster\n"
    assert world("down", "--json").document == {"name": "fleet", "removed": False}
    assert world("status", "--name", "other").status == 0


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "x" * 33, "--all"])
def test_a_name_that_is_none_is_refused(world: World, name: str) -> None:
    ran = world("down", f"--name={name}", "--json")
    assert (ran.status, ran.error["kind"]) == (2, "invalid_value")
    assert world.state.asked() == []


def test_without_an_engine_it_says_what_to_start_and_downloads_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.running.close()
    monkeypatch.delenv("FLEET_K3D")
    for command in ("up", "down", "status"):
        ran = world(command, "--json")
        assert (ran.status, ran.error["kind"]) == (1, "no_engine")
        assert "engine.sock: No such file or directory" in ran.error["message"]
        assert "start Docker, or Podman's socket" in ran.error["message"]
    assert not (world.folder / "home/.cache").exists()


def test_where_there_is_nothing_k3d_is_not_downloaded_to_say_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLEET_K3D")
    assert world("status").out == "fleet  there is no such cluster\n"
    assert world("down").status == 0
    assert not (world.folder / "home/.cache").exists()


def test_an_engine_that_may_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain-file").touch()
    environment = {"DOCKER_HOST": f"unix://{tmp_path / 'plain-file'}"}
    with pytest.raises(NoEngine, match="plain-file: Connection refused"):
        find_engine(environment)


def test_dockers_own_choice_of_an_engine_is_heeded(world: World) -> None:
    host = os.environ["DOCKER_HOST"]
    docker = world.folder / "home/.docker"
    meta = docker / "contexts/meta" / sha256(b"desktop").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    (docker / "config.json").write_text(json.dumps({"currentContext": "desktop"}))
    environment = {"HOME": str(world.folder / "home")}
    assert find_engine(environment).host == host
    with pytest.raises(NoEngine, match="context nowhere cannot be read"):
        find_engine(environment | {"DOCKER_CONTEXT": "nowhere"})
    remote = find_engine({"DOCKER_HOST": "tcp://10.0.0.1:2375"})
    assert (remote.socket, remote.parts("fleet")) == (None, [])


def test_podmans_socket_is_found_and_mounted_where_k3d_looks(tmp_path: Path) -> None:
    state = State(tmp_path / "state").made()
    (tmp_path / "podman").mkdir()
    with engine(tmp_path / "podman", state, "Libpod/5.4.0 (linux)") as socket:
        socket.rename(tmp_path / "podman/podman.sock")
        found = find_engine({"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)})
        (tmp_path / "podman/podman.sock").rename(socket)
    assert found.name == "Podman"
    assert found.environment()["DOCKER_SOCK"] == str(tmp_path / "podman/podman.sock")


def test_an_engines_disk_without_room_is_told_before_anything_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(300 * 1024**2))
    ran = world("up", "--json")
    assert (ran.status, ran.error["kind"]) == (1, "no_room")
    assert "has 300 MiB left" in ran.error["message"]
    assert world.state.everything() == []


@pytest.mark.parametrize("step", ["network", "volume", "server", "ready"])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("write /var/lib/x: no space left on device", "no_room"),
        ("failed to pull image 'rancher/k3s'", "k3d_failed"),
    ],
)
def test_what_fails_in_the_middle_says_why_and_leaves_nothing(
    world: World, step: str, words: str, kind: str
) -> None:
    world.state.fail(step, words)
    ran = world("up", "--json")
    assert (ran.status, ran.error["kind"]) == (1, kind)
    assert words in ran.error["message"]
    assert "nothing of it is left" in ran.error["message"]
    assert world.state.everything() == []
    assert not world.kubeconfig.exists()


@pytest.mark.parametrize("step", ["volume", "ready"])
def test_an_engine_that_dies_in_the_middle_is_told_with_how_to_clean_up(
    world: World, step: str
) -> None:
    world.state.hold(step)
    with world.process("up", "--json") as ran:
        until(world.state.held)
        world.running.close()
        world.state.go_on()
        _, err = ran.communicate(timeout=60)
    error = json.loads(err)["error"]
    assert (ran.returncode, error["kind"]) == (1, "half_made")
    assert "Is the docker daemon running?" in error["message"]
    assert "`fleet dev cluster down --name fleet`" in error["message"]
    assert world.state.everything() != []
    with engine(world.folder, world.state):
        assert world("down").out == "fleet  removed\n"
    assert world.state.everything() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["network", "volume", "server", "ready"])
def test_an_interrupt_leaves_nothing_half_made(
    world: World, step: str, number: signal.Signals
) -> None:
    world.state.hold(step)
    with world.process("up") as ran:
        until(world.state.held)
        ran.send_signal(number)
        out, err = ran.communicate(timeout=60)
    assert (ran.returncode, out) == (130, "")
    assert "nothing was left half made" in err
    assert world.state.everything() == []
    assert not world.kubeconfig.exists()


def test_what_an_interrupt_cannot_take_back_is_named(world: World) -> None:
    world.state.hold("ready")
    world.state.keep("volumes/k3d-fleet-images")
    volume = world.state.folder / "volumes/k3d-fleet-images"
    with world.process("up") as ran:
        until(world.state.held)
        (world.state.folder / "containers/k3d-fleet-server-0").unlink()
        ran.send_signal(signal.SIGINT)
        _, err = ran.communicate(timeout=60)
    assert ran.returncode == 130
    assert "it was interrupted; there is still volume k3d-fleet-images: remove it by" in err
    assert volume.exists()
    ran_down = world("down", "--json")
    assert (ran_down.status, ran_down.error["kind"]) == (1, "half_made")


def test_while_one_works_on_a_cluster_another_one_leaves_it_alone(world: World) -> None:
    world.state.hold("ready")
    with world.process("up") as first:
        until(world.state.held)
        for command in ("up", "down"):
            ran = world(command, "--json")
            assert (ran.status, ran.error["kind"]) == (1, "cluster_busy")
        world.state.go_on()
        assert first.wait(60) == 0
    assert world.state.everything() == EVERYTHING


def test_a_cluster_that_somebody_makes_meanwhile_is_not_removed(world: World) -> None:
    """Between the look and the making, by k3d itself."""
    world.state.fail("network", "a cluster with that name already exists")
    labels = {"app": "k3d", "k3d.cluster": "fleet", "k3d.role": "server"}
    world.state.put("volumes", "k3d-fleet-images", Labels=labels)
    ran = world("up", "--json")
    assert (ran.status, ran.error["kind"]) == (1, "cluster_busy")
    assert world.state.everything() == ["volumes/k3d-fleet-images"]


def test_a_cluster_that_is_no_whole_one_is_told(world: World) -> None:
    world("up")
    node = world.state.folder / "containers/k3d-fleet-server-0"
    document = json.loads(node.read_text())
    world.state.put("containers", "k3d-fleet-agent-0", Labels=document["Labels"], Running=False)
    document["Labels"] = document["Labels"] | {"k3d.role": "agent"}
    (world.state.folder / "containers/k3d-fleet-agent-0").write_text(
        json.dumps(document | {"Name": "k3d-fleet-agent-0", "Id": "k3d-fleet-agent-0"}).replace(
            "true", "false"
        )
    )
    status = world("status")
    assert (status.status, status.out.splitlines()[0]) == (
        1,
        "fleet  running in part, 1 of 1 servers, 0 of 1 agents",
    )


def test_a_program_that_is_no_k3d_is_told(world: World) -> None:
    world("up")
    for content, words in (
        ("#!/bin/sh\necho nonsense\n", "cannot be read"),
        ("#!/bin/sh\necho broken >&2\nexit 3\n", "broken"),
        ("#!/nowhere/sh\n", "cannot be run"),
    ):
        wrong = world.folder / "wrong"
        wrong.write_text(content)
        wrong.chmod(0o755)
        ran = world("status", "--json", "--k3d", str(wrong))
        assert (ran.status, ran.error["kind"]) == (1, "k3d_failed")
        assert words in ran.error["message"]
